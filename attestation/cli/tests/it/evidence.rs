//! `vouchsafe evidence` on real reports and quotes.

use std::path::Path;

use crate::common::*;

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

fn snp(folder: &Path, case: &str, policy_name: &str, at: &str, more: &[&str]) -> Run {
    let (report, vek) =
        (path(folder, &format!("{case}/report.bin")), path(folder, &format!("{case}/vek.der")));
    let policy = policy(policy_name);
    let mut arguments =
        vec!["evidence", "verify", "snp", "--report", &report, "--policy", &policy, "--at", at];
    if Path::new(&vek).is_file() {
        arguments.extend(["--vek", &vek]);
    }
    arguments.extend(["--format", "json"]);
    arguments.extend(more);
    run(&arguments)
}

fn is(run: &Run, code: i32, verdict: &str, word: &str) {
    assert_eq!(run.verdict(), (code, verdict.into(), word.into()), "{}", run.out);
}

#[test]
fn reports_are_verified_with_files_in_der_and_pem() {
    let Some(folder) = vectors("snp") else { return };
    let (case, at) = ("genoa-v5-siena", "2026-07-30T00:00:00Z");
    let chains = path(&folder, "chains");
    let crl = path(&folder, "crl/genoa-crl9.der");
    let first = snp(&folder, case, "evidence-strict", at, &[]);
    is(&first, 0, "accepted", "");
    let claims = &first.json()["claims"];
    assert_eq!((&claims["product"], &claims["crl_checked"]), (&"Genoa".into(), &false.into()));
    let with_list = snp(&folder, case, "evidence-strict", at, &["--chain", &chains, "--crl", &crl]);
    is(&with_list, 0, "accepted", "");
    assert_eq!(with_list.json()["claims"]["crl_checked"], true);
    let stale = snp(&folder, case, "evidence-strict", "2026-12-01T00:00:00Z", &["--crl", &crl]);
    is(&stale, 10, "rejected", "snp_crl_stale");

    // The same files in PEM.
    let own = tempfile::tempdir().unwrap();
    let pem = |name: &str, label: &str, der: &Path| {
        let body = data_encoding::BASE64.encode(&std::fs::read(der).unwrap());
        let target = own.path().join(name);
        std::fs::write(&target, format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")).unwrap();
        target.to_str().unwrap().to_owned()
    };
    let vek = pem("vek.pem", "CERTIFICATE", &folder.join(case).join("vek.der"));
    let crl = pem("crl.pem", "X509 CRL", &folder.join("crl/genoa-crl9.der"));
    for name in ["ark", "ask", "asvk"] {
        pem(&format!("{name}.pem"), "CERTIFICATE", &folder.join(format!("chains/genoa-{name}.der")));
    }
    let report = path(&folder, &format!("{case}/report.bin"));
    let chain = own.path().to_str().unwrap();
    let policy = policy("evidence-strict");
    let run = run(&[
        "evidence", "verify", "snp", "--report", &report, "--vek", &vek, "--chain", chain, "--crl", &crl,
        "--policy", &policy, "--at", at, "--format", "json",
    ]);
    is(&run, 0, "accepted", "");
    assert_eq!(run.json()["claims"]["crl_checked"], true);
}

#[test]
fn report_data_is_compared_when_given() {
    let Some(folder) = vectors("snp") else { return };
    let at = "2026-02-20T00:00:00Z";
    let report = std::fs::read(folder.join("genoa-v5-siena/report.bin")).unwrap();
    let data = data_encoding::HEXLOWER.encode(&report[0x50..0x90]);
    let judge = |data: &str| snp(&folder, "genoa-v5-siena", "evidence-strict", at, &["--report-data", data]);
    is(&judge(&data), 0, "accepted", "");
    is(&judge(&data.to_uppercase()), 0, "accepted", "");
    is(&judge(&"00".repeat(64)), 10, "rejected", "report_data_mismatch");
    assert_eq!(judge("00").code, 2, "too short is a mistake on the command line");
}

#[test]
fn evidence_that_is_malformed_is_rejected() {
    let Some(folder) = vectors("snp") else { return };
    let (at, own) = ("2026-02-06T00:00:00Z", tempfile::tempdir().unwrap());
    is(
        &snp(&folder, "milan-v4-gce-nocert", "evidence-crypto-only", at, &[]),
        10,
        "rejected",
        "snp_vek_missing",
    );
    is(&snp(&folder, "milan-v2-debug", "evidence-strict", at, &[]), 10, "rejected", "snp_debug_mismatch");
    let file = |name: &str, bytes: &[u8]| {
        let path = own.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let policy = policy("evidence-crypto-only");
    let judge = |arguments: &[&str]| {
        let common = ["--policy", &policy, "--at", at, "--format", "json"];
        run(&[&["evidence", "verify"], arguments, &common].concat())
    };
    let short = file("short", &[0; 10]);
    is(&judge(&["snp", "--report", &short]), 10, "rejected", "snp_report_length");
    is(&judge(&["tdx", "--quote", &short]), 10, "rejected", "tdx_quote_version");
    let quote = path(&folder, "../tdx/v4-phala-uptodate/quote.bin");
    let deep = file("deep", "[".repeat(50_000_000).as_bytes());
    let twice = file("twice", b"{\"tcb_info\":\"\",\"tcb_info\":\"\"}");
    let part = |name: &str| {
        let whole = path(&folder, "../tdx/v4-phala-uptodate/collateral-2025-06-19.json");
        let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(whole).unwrap()).unwrap();
        assert!(json.as_object_mut().unwrap().remove(name).is_some(), "{name}");
        file(name, json.to_string().as_bytes())
    };
    for (name, word) in [
        ("root_ca_crl", "tdx_crl_missing"),
        ("pck_crl", "tdx_crl_missing"),
        ("tcb_info", "tdx_collateral_incomplete"),
        ("tcb_info_signature", "tdx_collateral_incomplete"),
        ("qe_identity_issuer_chain", "tdx_collateral_incomplete"),
    ] {
        let collateral = part(name);
        let at = ["--at", "2025-06-20T00:00:00Z", "--policy", &policy, "--format", "json"];
        let start = ["evidence", "verify", "tdx", "--quote", &quote, "--collateral", &collateral];
        is(&run(&[start.as_slice(), &at].concat()), 10, "rejected", word);
    }
    for collateral in [deep, twice] {
        let run = judge(&["tdx", "--quote", &quote, "--collateral", &collateral]);
        is(&run, 10, "rejected", "collateral_malformed");
    }
    let run = judge(&["tdx", "--quote", &quote]);
    assert_eq!(run.code, 10, "{}", run.out);
    assert_eq!(judge(&["snp", "--report", "/nonexistent"]).code, 30);
}

#[test]
fn a_test_root_replaces_the_vendors_and_is_not_hidden() {
    let Some(folder) = vectors("snp") else { return };
    let at = "2026-02-06T00:00:00Z";
    let root = path(&folder, "chains/milan-ark.der");
    // AMD's own root named as a test authority: then what it vouches for is called simulated.
    let run = snp(&folder, "milan-v3-aci", "evidence-strict", at, &["--trust-root", &root]);
    is(&run, 0, "accepted", "");
    assert_eq!(run.json()["simulated"], true);
    let other = path(&folder, "chains/genoa-ark.der");
    let run = snp(&folder, "milan-v3-aci", "evidence-strict", at, &["--trust-root", &other]);
    is(&run, 10, "rejected", "snp_root_not_trusted");
    let run = snp(&folder, "milan-v3-aci", "production-snp", at, &["--trust-root", &root]);
    is(&run, 10, "rejected", "root_simulated");
}

#[test]
fn quotes_are_verified_with_collateral_and_event_log() {
    let Some(folder) = vectors("tdx") else { return };
    let policy = policy("evidence-strict");
    let judge = |case: &str, collateral: &str, at: &str, more: &[&str]| {
        let (quote, collateral) =
            (path(&folder, &format!("{case}/quote.bin")), path(&folder, &format!("{case}/{collateral}")));
        let start = ["evidence", "verify", "tdx", "--quote", &quote, "--collateral", &collateral];
        run(&[&start, ["--policy", &policy, "--at", at, "--format", "json"].as_slice(), more].concat())
    };
    let log = path(&folder, "v4-gcp-cos113-ccel/ccel_data.bin");
    let case = "v4-gcp-cos113-ccel";
    let good = judge(case, "collateral-2025-01-21.json", "2025-01-21T14:00:00Z", &["--event-log", &log]);
    is(&good, 0, "accepted", "");
    let claims = good.json()["claims"].clone();
    assert_eq!((&claims["tcb_status"], &claims["fmspc"]), (&"UpToDate".into(), &"00806f050000".into()));
    let newer = judge(case, "collateral-2026-01-27.json", "2026-01-27T12:00:00Z", &[]);
    is(&newer, 10, "rejected", "tdx_tcb_status_not_accepted");
    assert_eq!(newer.json()["claims"]["tcb_status"], "OutOfDate", "claims appear even when policy rejects");
    let foreign = path(&folder, "v4-live-ccel-pair/ccel-good.bin");
    let wrong = judge(case, "collateral-2025-01-21.json", "2025-01-21T14:00:00Z", &["--event-log", &foreign]);
    is(&wrong, 10, "rejected", "tdx_event_log_replay");
    let early = judge(case, "collateral-2025-01-21.json", "2025-01-20T14:00:00Z", &[]);
    assert_eq!(early.code, 10);
}

#[test]
fn reports_and_quotes_are_shown_and_called_unverified() {
    let (Some(snp), Some(tdx)) = (vectors("snp"), vectors("tdx")) else { return };
    let report = path(&snp, "turin-v5-aci/report.bin");
    let shown = run(&["evidence", "show", "snp", "--report", &report]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    insta::assert_snapshot!("show_snp", shown.out);
    let quote = path(&tdx, "v5-google-uptodate/quote.bin");
    let shown = run(&["evidence", "show", "tdx", "--quote", &quote]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    insta::assert_snapshot!("show_tdx", shown.out);
    let json = run(&["evidence", "show", "tdx", "--quote", &quote, "--format", "json"]).json();
    assert_eq!(json["verified"], false);
    // What is shown has the names and values that a verdict has.
    let policy = policy("evidence-crypto-only");
    let (collateral, vek) =
        (path(&tdx, "v5-google-uptodate/collateral-2026-02-18.json"), path(&snp, "turin-v5-aci/vek.der"));
    let (at, when) = ("2026-02-27T00:00:00Z", "2026-02-06T00:00:00Z");
    let common = ["--policy", &policy, "--format", "json"];
    let of_quote = ["tdx", "--quote", &quote, "--collateral", &collateral, "--at", at];
    let of_report = ["snp", "--report", &report, "--vek", &vek, "--at", when];
    for (file, arguments) in [(&quote, of_quote.as_slice()), (&report, &of_report)] {
        let verified = run(&[&["evidence", "verify"], arguments, &common].concat()).json()["claims"].clone();
        let shown = run(&["evidence", "show", file, "--format", "json"]).json()["claims"].clone();
        let shown = shown.as_object().unwrap();
        assert!(shown.len() > 25, "{}", shown.len());
        for (name, value) in shown {
            assert_eq!(verified[name], *value, "{name}");
        }
    }
    assert!(json["claims"]["mrtd"].as_str().unwrap().starts_with("7348651a34b2d2d3462822e3"));
    for (file, known) in [(&report, ["snp", "--report"]), (&quote, ["tdx", "--quote"])] {
        let by_itself = run(&["evidence", "show", file]);
        assert_eq!(by_itself.code, 0, "{}", by_itself.err);
        let named = run(&[["evidence", "show"].as_slice(), &known, &[file]].concat());
        assert_eq!(by_itself.out, named.out, "the first bytes say what it is");
    }
    for case in [&snp, &tdx].into_iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()) {
        for name in ["report.bin", "quote.bin"].map(|name| case.as_ref().unwrap().path().join(name)) {
            let shown = name.is_file().then(|| run(&["evidence", "show", name.to_str().unwrap()]));
            assert!(shown.is_none_or(|shown| shown.code == 0), "{}", name.display());
        }
    }
    assert_eq!(run(&["evidence", "show"]).code, 2, "a file must be named");
    assert_eq!(run(&["evidence", "show", "/nonexistent"]).code, 30);
    let empty = run(&["evidence", "show", "/dev/null"]);
    assert!(empty.code == 10 && empty.out.contains("snp_report_length"), "{}", empty.out);
    let wrong = run(&["evidence", "show", "snp", "--report", &quote]);
    assert_eq!(wrong.code, 10);
    assert!(wrong.out.contains("snp_report_length"), "{}", wrong.out);
}

#[test]
fn a_verdict_is_given_as_an_attestation_result_and_signed_if_asked() {
    let Some(folder) = vectors("snp") else { return };
    let (at, own) = ("2026-02-20T00:00:00Z", tempfile::tempdir().unwrap());
    let (report, vek) = (path(&folder, "genoa-v5-siena/report.bin"), path(&folder, "genoa-v5-siena/vek.der"));
    let policy = policy("evidence-strict");
    let judge = |more: &[&str]| {
        let words = [
            "evidence", "verify", "snp", "--report", &report, "--vek", &vek, "--policy", &policy, "--at", at,
        ];
        run(&[words.as_slice(), more].concat())
    };
    let claims = judge(&["--ear"]);
    assert_eq!(claims.code, 0, "{}", claims.err);
    assert_eq!(claims.json()["submods"]["vm"]["ear.status"], "affirming");
    assert_eq!(judge(&["--ear", "--format", "json"]).code, 2, "one form at a time");
    assert_eq!(judge(&["--ear-key", "x"]).code, 2);

    let (key, public) = p256_key(own.path());
    let token = judge(&["--ear", "--ear-key", &key]);
    assert_eq!(token.code, 0, "{}", token.err);
    let parts: Vec<_> = token.out.trim().split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("{}", token.out) };
    let decode = |text: &str| data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    assert_eq!(decode(header), br#"{"alg":"ES256","typ":"JWT"}"#);
    let inside: serde_json::Value = serde_json::from_slice(&decode(payload)).unwrap();
    assert_eq!(inside["submods"], claims.json()["submods"]);
    let algorithm = &ring::signature::ECDSA_P256_SHA256_FIXED;
    let verify = |message: String| {
        ring::signature::UnparsedPublicKey::new(algorithm, &public)
            .verify(message.as_bytes(), &decode(signature))
    };
    assert!(verify(format!("{header}.{payload}")).is_ok());
    assert!(verify(format!("{header}.{payload}A")).is_err());
    assert_eq!(judge(&["--ear", "--ear-key", &report]).code, 30, "a report is no key");
}

/// A new P-256 key as PKCS#8 in PEM, and its public point.
fn p256_key(folder: &Path) -> (String, Vec<u8>) {
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    let random = ring::rand::SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
    let body = data_encoding::BASE64.encode(document.as_ref());
    let file = folder.join("key.pem");
    std::fs::write(&file, format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"))
        .unwrap();
    (file.to_str().unwrap().to_owned(), pair.public_key().as_ref().to_vec())
}
