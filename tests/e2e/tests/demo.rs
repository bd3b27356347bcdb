//! `cargo demo` as a newcomer sees it.

use std::process::Command;

use vouchsafe_e2e::{program, run};

const CODES: [&str; 5] = [
    "response_mismatch",
    "receipt_signature_invalid",
    "snp_report_signature_invalid",
    "measurement_mismatch",
    "inclusion_invalid",
];

#[test]
fn the_demo_accepts_its_answer_settles_it_rejects_tampered_ones_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let output = run(Command::new(program("vouchsafe-up")).arg("--demo").env("TMPDIR", temporary.path()));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("accepted"), "{text}");
    assert!(text.contains("answered to witnessed"), "{text}");
    assert!(text.contains("simulated evidence"), "a simulated verdict must say so:\n{text}");
    let rejected: Vec<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("rejected")).map(str::trim).collect();
    assert_eq!(rejected.len(), CODES.len(), "{text}");
    for (line, code) in rejected.iter().zip(CODES) {
        assert!(line.starts_with(code), "{code} expected, seen {line}");
    }
    assert!(!text.contains('\u{1b}'), "no colour codes where nobody looks");
    let left: Vec<_> =
        std::fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn a_model_that_is_none_is_refused_by_name_before_anything_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, &[u8]); 3] = [
        ("empty.gguf", b""),
        ("text.gguf", b"this is not a model"),
        ("cut.gguf", b"GGUF\x03\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x7f"),
    ];
    for (name, bytes) in cases {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let output = run(Command::new(program("vouchsafe-up")).arg("--demo").arg("--model").arg(&file));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name} was served");
        assert!(
            errors.contains("gguf") || errors.contains("GGUF"),
            "{name}: the error names nothing: {errors}"
        );
        assert!(!String::from_utf8_lossy(&output.stdout).contains("ready after"), "{name}");
    }
}
