//! Facts that verification establishes and leaves to policy: accepted here, and visible.

use vouchsafe_simulator::amd::Product;
use vouchsafe_verifier::snp::VerifiedSnp;

use super::{Draft, milan, milan_vlek, turin};

struct Fact {
    what: &'static str,
    draft: fn() -> Draft,
    change: fn(&mut Draft),
    /// False before the change, true after it.
    visible: fn(&VerifiedSnp) -> bool,
}

const LEFT_TO_POLICY: &[Fact] = &[
    Fact {
        what: "debug",
        draft: milan,
        change: |d| d.fields.policy |= 1 << 19,
        visible: |v| v.report().policy().debug_allowed(),
    },
    Fact {
        what: "migration agent",
        draft: milan,
        change: |d| d.fields.policy |= 1 << 18,
        visible: |v| v.report().policy().migrate_ma_allowed(),
    },
    Fact {
        what: "single socket",
        draft: milan,
        change: |d| d.fields.policy |= 1 << 20,
        visible: |v| v.report().policy().single_socket(),
    },
    Fact {
        what: "CXL",
        draft: milan,
        change: |d| d.fields.policy |= 1 << 21,
        visible: |v| v.report().policy().cxl_allowed(),
    },
    Fact {
        what: "AES-256-XTS",
        draft: milan,
        change: |d| d.fields.policy |= 1 << 22,
        visible: |v| v.report().policy().aes_256_xts_required(),
    },
    Fact {
        what: "RAPL disabled",
        draft: milan,
        change: |d| d.fields.policy |= 1 << 23,
        visible: |v| v.report().policy().rapl_disabled_required(),
    },
    Fact {
        what: "ciphertext hiding",
        draft: milan,
        change: |d| d.fields.policy |= 1 << 24,
        visible: |v| v.report().policy().ciphertext_hiding_required(),
    },
    Fact {
        what: "page swap disabled",
        draft: milan,
        change: |d| d.fields.policy |= 1 << 25,
        visible: |v| v.report().policy().page_swap_disabled(),
    },
    Fact {
        what: "SMT forbidden",
        draft: milan,
        change: |d| d.fields.policy &= !(1 << 16),
        visible: |v| !v.report().policy().smt_allowed(),
    },
    Fact {
        what: "firmware ABI 1.55",
        draft: milan,
        change: |d| d.fields.policy |= 0x137,
        visible: |v| (v.report().policy().abi_major(), v.report().policy().abi_minor()) == (1, 0x37),
    },
    Fact { what: "VMPL 3", draft: milan, change: |d| d.fields.vmpl = 3, visible: |v| v.report().vmpl() == 3 },
    Fact {
        what: "alias check not complete",
        draft: milan,
        change: |d| d.fields.platform_info &= !(1 << 5),
        visible: |v| !v.report().platform_info().alias_check_complete(),
    },
    Fact {
        what: "another measurement",
        draft: milan,
        change: |d| d.fields.measurement = [1; 48],
        visible: |v| v.measurement() == &[1; 48],
    },
    Fact {
        what: "host data",
        draft: milan,
        change: |d| d.fields.host_data = [2; 32],
        visible: |v| v.report().host_data() == &[2; 32],
    },
    Fact {
        what: "id key",
        draft: milan,
        change: |d| d.fields.id_key_digest = [3; 48],
        visible: |v| v.report().id_key_digest() == Some(&[3; 48]),
    },
    Fact {
        what: "author key",
        draft: milan,
        change: |d| {
            d.fields.author_key_digest = [4; 48];
            d.fields.key_info |= 1;
        },
        visible: |v| v.report().author_key_digest() == Some(&[4; 48]),
    },
    Fact {
        what: "report data zero",
        draft: milan,
        change: |d| d.fields.report_data = [0; 64],
        visible: |v| v.report().report_data() == &[0; 64],
    },
    Fact {
        what: "no revocation list",
        draft: milan,
        change: |d| d.crl = None,
        visible: |v| !v.crl_checked(),
    },
    Fact {
        what: "a VLEK with a visible chip",
        draft: milan_vlek,
        change: |d| d.fields.chip_id = [5; 64],
        visible: |v| v.report().chip_id() == Some(&[5; 64]),
    },
    Fact {
        what: "committed TCB below the reported one",
        draft: turin,
        change: |d| {
            let mut tcb = Product::Turin.typical_tcb();
            tcb.fmc = 0;
            d.fields.committed_tcb = tcb.to_bytes(Product::Turin);
        },
        visible: |v| v.committed_tcb().fmc == Some(0) && v.reported_tcb().fmc == Some(1),
    },
    Fact {
        what: "mitigations",
        draft: turin,
        change: |d| d.fields.current_mitigations = 1,
        visible: |v| v.report().current_mitigations() == Some(1),
    },
];

#[test]
fn facts_for_policy_are_accepted_and_visible() {
    for Fact { what, draft, change, visible } in LEFT_TO_POLICY {
        let mut draft = draft();
        let before = draft.judge().unwrap_or_else(|error| panic!("{what}: control: {error}"));
        assert!(!visible(before.snp().unwrap()), "{what}: visible in the control");
        change(&mut draft);
        let after = draft.judge().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(visible(after.snp().unwrap()), "{what}: not visible");
    }
}

/// A digest in AUTHOR_KEY_DIGEST means nothing while KEY_INFO says that there was no author key.
#[test]
fn an_author_key_that_was_not_used_is_not_shown() {
    let mut draft = milan();
    draft.fields.author_key_digest = [4; 48];
    let verified = draft.judge().unwrap();
    assert_eq!(verified.snp().unwrap().report().author_key_digest(), None);
}
