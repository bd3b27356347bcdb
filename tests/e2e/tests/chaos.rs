//! A short run of random faults, so that the command that makes long ones works; long ones are its own business.

use std::process::Command;

use vouchsafe_e2e::{program, run};

#[test]
fn every_answer_is_accounted_for_after_random_faults() {
    let output =
        run(Command::new(program("vouchsafe-chaos")).args(["--for", "12", "--clients", "3", "--seed", "5"]));
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("\nanswers accounted for: ") && said.contains("; lost: 0\n"), "{said}");
    assert!(said.contains(" faults: killed "), "{said}");
}
