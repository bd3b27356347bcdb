//! The quoting enclave against its identity (48 and 49).

use vouchsafe_simulator::intel::{SvnLevel, TdxMachine};
use vouchsafe_verifier::encoding::to_hex;

use crate::tcb::status;
use crate::world::{Row, in_machine};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        in_machine(
            48,
            "the SGX QE's identity",
            |_, m| m.collateral_mut().qe_identity.id = "QE".into(),
            "tdx_qe_identity_id",
        ),
        in_machine(
            48,
            "MRSIGNER of the enclave",
            |_, m| m.qe_report_mut().mr_signer[0] ^= 1,
            "tdx_qe_mrsigner",
        ),
        in_machine(
            48,
            "MRSIGNER's last byte",
            |_, m| m.qe_report_mut().mr_signer[31] ^= 1,
            "tdx_qe_mrsigner",
        ),
        in_machine(
            48,
            "ISVPRODID of the SGX QE",
            |_, m| m.qe_report_mut().isv_prod_id = 1,
            "tdx_qe_isvprodid",
        ),
        in_machine(48, "ISVSVN below every level", |_, m| m.qe_report_mut().isv_svn = 3, "tdx_qe_isvsvn"),
        status(
            48,
            "ISVSVN of an outdated level",
            |m| {
                m.collateral_mut().qe_identity.tcb_levels = vec![
                    SvnLevel::new(8, "2025-01-01T00:00:00Z", "UpToDate", &[]),
                    SvnLevel::new(4, "2024-01-01T00:00:00Z", "OutOfDate", &[]),
                ];
            },
            "OutOfDate",
        ),
        in_machine(49, "QE debug", |_, m| m.qe_report_mut().attributes[0] |= 2, "tdx_qe_debug"),
        in_machine(
            49,
            "QE debug that the mask would allow",
            |_, m| {
                m.qe_report_mut().attributes[0] |= 2;
                m.collateral_mut().qe_identity.attributes_mask = "00".repeat(16);
            },
            "tdx_qe_debug",
        ),
    ];
    for byte in 0..4 {
        rows.push(in_machine(
            48,
            format!("MISCSELECT byte {byte}"),
            move |_, m| m.qe_report_mut().misc_select[byte] = 1,
            "tdx_qe_miscselect",
        ));
    }
    // Bits 2 (MODE64BIT) and all of XFRM are outside Intel's mask; bit 1 has a code of its own.
    for byte in 0..8 {
        rows.push(in_machine(
            48,
            format!("ATTRIBUTES byte {byte}"),
            move |_, m| m.qe_report_mut().attributes[byte] ^= 0x20,
            "tdx_qe_attributes",
        ));
    }
    for byte in 8..16 {
        rows.push(status(
            48,
            format!("control: ATTRIBUTES byte {byte}, which the mask leaves out"),
            move |m| m.qe_report_mut().attributes[byte] ^= 0x20,
            "UpToDate",
        ));
        rows.push(in_machine(
            48,
            format!("ATTRIBUTES byte {byte} under a mask of all bits"),
            move |_, m| {
                under_all_bits(m);
                m.qe_report_mut().attributes[byte] ^= 0x20;
            },
            "tdx_qe_attributes",
        ));
    }
    rows.push(status(48, "control: ATTRIBUTES under a mask of all bits", under_all_bits, "UpToDate"));
    rows
}

/// Has the identity say all of the enclave's ATTRIBUTES.
fn under_all_bits(m: &mut TdxMachine) {
    let attributes = to_hex(&m.qe_report_mut().attributes).to_uppercase();
    let identity = &mut m.collateral_mut().qe_identity;
    (identity.attributes, identity.attributes_mask) = (attributes, "FF".repeat(16));
}
