//! What the documents say of platform, TDX module and quoting enclave together (44 to 47).

use vouchsafe_simulator::intel::{QeTcbLevel, SvnLevel, TdxMachine};

use crate::world::{Change, Expected, Row, in_machine, row};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = levels();
    rows.extend(statuses());
    rows.extend(module());
    rows.extend(current_tcb());
    rows
}

/// A row that ends in a status.
pub(crate) fn status(
    clause: u8,
    what: impl Into<String>,
    change: impl Fn(&mut TdxMachine) + 'static,
    status: &'static str,
) -> Row {
    row(clause, what, Change::Machine(Box::new(move |_, m| change(m))), Expected::Status(status))
}

/// The platform has 4 4 2 2 4 1 0 5, PCESVN 13; the lowest level wants 2 2 2 2 3 1 0 3, PCESVN 5.
fn levels() -> Vec<Row> {
    let mut rows = Vec::new();
    for component in [0, 1, 2, 3, 4, 5, 7] {
        rows.push(row(
            44,
            format!("SGX component {component} below every level"),
            Change::Platform(Box::new(move |spec| {
                spec.facts.components[component] = 0;
                spec.facts.cpu_svn[component] = 0;
            })),
            Expected::Status("NoMatchingLevel"),
        ));
    }
    for component in [6, 8, 9, 10, 11, 12, 13, 14, 15] {
        rows.push(status(
            44,
            format!("every level above SGX component {component}"),
            move |m| {
                for level in &mut m.collateral_mut().tcb_info.tcb_levels {
                    level.tcb.sgxtcbcomponents[component].svn = 1;
                }
            },
            "NoMatchingLevel",
        ));
    }
    rows.push(row(
        44,
        "PCESVN below every level",
        Change::Platform(Box::new(|spec| spec.facts.pcesvn = 4)),
        Expected::Status("NoMatchingLevel"),
    ));
    for component in 2..16 {
        rows.push(status(
            44,
            format!("every level above TDX component {component}"),
            move |m| {
                for level in &mut m.collateral_mut().tcb_info.tcb_levels {
                    level.tcb.tdxtcbcomponents[component].svn = 200;
                }
            },
            "NoMatchingLevel",
        ));
    }
    rows.push(status(
        44,
        "base module below every level's TDX component 0",
        |m| m.body_mut().tee_tcb_svn[..2].copy_from_slice(&[1, 0]),
        "NoMatchingLevel",
    ));
    rows.push(status(
        44,
        "no level at all",
        |m| m.collateral_mut().tcb_info.tcb_levels.clear(),
        "NoMatchingLevel",
    ));
    rows.push(status(
        44,
        "module version below every level",
        |m| m.body_mut().tee_tcb_svn[0] = 3,
        "NoMatchingLevel",
    ));
    rows
}

fn statuses() -> Vec<Row> {
    let mut rows = Vec::new();
    for word in [
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
        "OutOfDate",
        "OutOfDateConfigurationNeeded",
        "Revoked",
    ] {
        rows.push(status(
            45,
            format!("platform {word}"),
            move |m| m.collateral_mut().tcb_info.tcb_levels[0].tcb_status = word.into(),
            word,
        ));
    }
    for word in ["OutOfDate", "Revoked"] {
        rows.push(status(
            45,
            format!("TDX module {word}"),
            move |m| module_level(m).tcb_status = word.into(),
            word,
        ));
        rows.push(status(
            45,
            format!("quoting enclave {word}"),
            move |m| qe_level(m).tcb_status = word.into(),
            word,
        ));
    }
    // Intel's library would leave the platform's status as it is.
    rows.push(status(
        45,
        "quoting enclave ConfigurationNeeded",
        |m| qe_level(m).tcb_status = "ConfigurationNeeded".into(),
        "ConfigurationNeeded",
    ));
    rows.push(status(
        45,
        "quoting enclave OutOfDateConfigurationNeeded",
        |m| qe_level(m).tcb_status = "OutOfDateConfigurationNeeded".into(),
        "OutOfDateConfigurationNeeded",
    ));
    rows.push(status(
        45,
        "platform SWHardeningNeeded and quoting enclave ConfigurationNeeded",
        |m| {
            m.collateral_mut().tcb_info.tcb_levels[0].tcb_status = "SWHardeningNeeded".into();
            qe_level(m).tcb_status = "ConfigurationNeeded".into();
        },
        "ConfigurationAndSWHardeningNeeded",
    ));
    rows.push(status(
        45,
        "platform SWHardeningNeeded and quoting enclave OutOfDate",
        |m| {
            m.collateral_mut().tcb_info.tcb_levels[0].tcb_status = "SWHardeningNeeded".into();
            qe_level(m).tcb_status = "OutOfDate".into();
        },
        "OutOfDate",
    ));
    rows.push(status(
        45,
        "platform OutOfDate and quoting enclave Revoked",
        |m| {
            m.collateral_mut().tcb_info.tcb_levels[0].tcb_status = "OutOfDate".into();
            qe_level(m).tcb_status = "Revoked".into();
        },
        "Revoked",
    ));
    rows.push(status(
        45,
        "platform ConfigurationNeeded and module OutOfDate",
        |m| {
            m.collateral_mut().tcb_info.tcb_levels[0].tcb_status = "ConfigurationNeeded".into();
            module_level(m).tcb_status = "OutOfDate".into();
        },
        "OutOfDateConfigurationNeeded",
    ));
    rows.push(row(
        45,
        "platform down by one microcode",
        Change::Platform(Box::new(|spec| {
            spec.facts.components[0] = 2;
            spec.facts.cpu_svn[0] = 2;
        })),
        Expected::Status("OutOfDate"),
    ));
    let in_level = |what: &str, change: fn(&mut TdxMachine)| {
        row(
            45,
            what,
            Change::Machine(Box::new(move |_, m| change(m))),
            Expected::Fact(|v| v.tcb().advisories().contains("INTEL-SA-00001")),
        )
    };
    rows.push(in_level("an advisory on the platform", |m| {
        m.collateral_mut().tcb_info.tcb_levels[0].advisory_ids.push("INTEL-SA-00001".into())
    }));
    rows.push(in_level("an advisory on the TDX module", |m| {
        module_level(m).advisory_ids.push("INTEL-SA-00001".into())
    }));
    rows.push(in_level("an advisory on the quoting enclave", |m| {
        qe_level(m).advisory_ids.push("INTEL-SA-00001".into())
    }));
    rows.push(in_machine(
        45,
        "a status that nobody defined",
        |_, m| m.collateral_mut().tcb_info.tcb_levels[0].tcb_status = "Fine".into(),
        "tdx_tcb_info_json",
    ));
    rows
}

/// The level of TDX_01 that the TD's module reaches.
fn module_level(m: &mut TdxMachine) -> &mut SvnLevel {
    let identities = &mut m.collateral_mut().tcb_info.tdx_module_identities;
    &mut identities.iter_mut().find(|identity| identity.id == "TDX_01").unwrap().tcb_levels[0]
}

fn qe_level(m: &mut TdxMachine) -> &mut QeTcbLevel {
    &mut m.collateral_mut().qe_identity.tcb_levels[0]
}

fn module() -> Vec<Row> {
    let base =
        |m: &mut TdxMachine| m.body_mut().tee_tcb_svn = [5, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    vec![
        in_machine(
            46,
            "MRSIGNERSEAM, first byte",
            |_, m| m.body_mut().mr_signer_seam[0] = 1,
            "tdx_module_mrsigner",
        ),
        in_machine(
            46,
            "MRSIGNERSEAM, last byte",
            |_, m| m.body_mut().mr_signer_seam[47] = 1,
            "tdx_module_mrsigner",
        ),
        in_machine(
            46,
            "MRSIGNERSEAM of a base module",
            move |_, m| {
                base(m);
                m.body_mut().mr_signer_seam[0] = 1;
            },
            "tdx_module_mrsigner",
        ),
        in_machine(
            46,
            "another signer in the identity",
            |_, m| {
                for identity in &mut m.collateral_mut().tcb_info.tdx_module_identities {
                    identity.mrsigner.replace_range(..2, "01");
                }
            },
            "tdx_module_mrsigner",
        ),
        in_machine(
            46,
            "SEAMATTRIBUTES, first bit",
            |_, m| m.body_mut().seam_attributes[0] = 1,
            "tdx_module_attributes",
        ),
        in_machine(
            46,
            "SEAMATTRIBUTES, last bit",
            |_, m| m.body_mut().seam_attributes[7] = 0x80,
            "tdx_module_attributes",
        ),
        in_machine(
            46,
            "SEAMATTRIBUTES outside the mask",
            |_, m| {
                for identity in &mut m.collateral_mut().tcb_info.tdx_module_identities {
                    identity.attributes_mask = "00FFFFFFFFFFFFFF".into();
                }
                m.body_mut().seam_attributes[0] = 1;
            },
            "tdx_module_attributes",
        ),
        in_machine(
            46,
            "SEAMATTRIBUTES of a base module",
            move |_, m| {
                base(m);
                m.body_mut().seam_attributes[0] = 1;
            },
            "tdx_module_attributes",
        ),
        in_machine(
            46,
            "SEAMATTRIBUTES that the identity wants",
            |_, m| {
                for identity in &mut m.collateral_mut().tcb_info.tdx_module_identities {
                    identity.attributes = "0100000000000000".into();
                }
            },
            "tdx_module_attributes",
        ),
        in_machine(
            46,
            "TDX_02, which nobody knows",
            |_, m| m.body_mut().tee_tcb_svn[1] = 2,
            "tdx_module_unknown",
        ),
        in_machine(
            46,
            "no module identities",
            |_, m| m.collateral_mut().tcb_info.tdx_module_identities.clear(),
            "tdx_module_unknown",
        ),
    ]
}

/// TEE_TCB_SVN2: what runs now, beside what the TD was launched on.
fn current_tcb() -> Vec<Row> {
    let mut rows = current_levels();
    // Component 0 is the module's ISVSVN and component 1 its version; both have rows of their own.
    for component in 2..16 {
        for (what, now, expected) in [
            (String::from("below every level"), 199, "NoMatchingLevel"),
            ("control: at its level".into(), 200, "UpToDate"),
        ] {
            let change = move |m: &mut TdxMachine| {
                for level in &mut m.collateral_mut().tcb_info.tcb_levels {
                    level.tcb.tdxtcbcomponents[component].svn = 200;
                }
                m.body_mut().tee_tcb_svn[component] = 200;
                m.body_mut().td15.as_mut().unwrap().tee_tcb_svn2[component] = now;
            };
            rows.push(status(47, format!("component {component} now {what}"), change, expected).on_v5());
        }
    }
    rows
}

fn current_levels() -> Vec<Row> {
    let now = |m: &mut TdxMachine, component: usize, svn: u8| {
        m.body_mut().td15.as_mut().unwrap().tee_tcb_svn2[component] = svn
    };
    vec![
        status(47, "module now below its level", move |m| now(m, 0, 4), "OutOfDate").on_v5(),
        status(47, "module now below every level", move |m| now(m, 0, 3), "NoMatchingLevel").on_v5(),
        status(47, "microcode now below its level", move |m| now(m, 2, 2), "OutOfDate").on_v5(),
        status(47, "microcode now below every level", move |m| now(m, 2, 1), "NoMatchingLevel").on_v5(),
        in_machine(47, "an unknown module now", move |_, m| now(m, 1, 2), "tdx_module_unknown").on_v5(),
        status(
            47,
            "launched on an outdated module, updated since",
            |m| m.body_mut().tee_tcb_svn[0] = 4,
            "TDRelaunchAdvised",
        )
        .on_v5(),
        status(
            47,
            "launched on no known level, updated since",
            |m| m.body_mut().tee_tcb_svn[0] = 3,
            "NoMatchingLevel",
        )
        .on_v5(),
        advised("an advisory on the platform's level now", move |m| {
            now(m, 2, 2);
            m.collateral_mut().tcb_info.tcb_levels[1].advisory_ids.push(ADVISORY.into());
        }),
        advised("an advisory on the module's level now", move |m| {
            now(m, 0, 4);
            let identities = &mut m.collateral_mut().tcb_info.tdx_module_identities;
            let known = identities.iter_mut().find(|identity| identity.id == "TDX_01").unwrap();
            known.tcb_levels[1].advisory_ids.push(ADVISORY.into());
        }),
        row(
            47,
            "the current TCB alone, to be seen by policies",
            Change::Machine(Box::new(move |_, m| now(m, 0, 4))),
            Expected::Fact(|v| v.tcb().current_status().is_some_and(|status| status.as_str() == "OutOfDate")),
        )
        .on_v5(),
    ]
}

const ADVISORY: &str = "INTEL-SA-00001";

/// A row in which what runs now has an advisory that what the TD was launched on has not.
fn advised(what: &str, change: impl Fn(&mut TdxMachine) + 'static) -> Row {
    row(
        47,
        what,
        Change::Machine(Box::new(move |_, m| change(m))),
        Expected::Fact(|v| v.tcb().advisories().contains(ADVISORY)),
    )
    .on_v5()
}
