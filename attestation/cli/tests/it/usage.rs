//! The command line itself.

use crate::common::*;

#[test]
fn wrong_usage_exits_2_and_help_exits_0() {
    let policy = golden("policy.json");
    for arguments in [
        vec![],
        vec!["verify"],
        vec!["verify", "x"],
        vec!["verify", "x", "--policy", &policy, "--at", "yesterday"],
        vec!["verify", "x", "--policy", &policy, "--format", "xml"],
        vec!["verify", "x", "--policy", &policy, "--unknown"],
        vec!["evidence"],
        vec!["evidence", "verify", "sgx"],
        vec!["evidence", "verify", "snp", "--policy", &policy],
    ] {
        let run = run(&arguments);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{arguments:?}: {}", run.err);
        assert!(!run.err.is_empty(), "{arguments:?}");
    }
    for arguments in [vec!["--help"], vec!["--version"], vec!["verify", "--help"], vec!["evidence", "--help"]]
    {
        let run = run(&arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.err);
        assert!(!run.out.is_empty() && run.err.is_empty(), "{arguments:?}");
    }
}
