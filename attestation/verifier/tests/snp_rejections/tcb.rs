//! Rows about TCB versions: every component of every product against the certificate, every reserved byte.

use vouchsafe_simulator::amd::{Tcb, oid};
use vouchsafe_simulator::x509::Extension;
use vouchsafe_verifier::x509::oid::ObjectIdentifier;

use super::draft::Draft;
use super::{Row, genoa, milan, milan_vlek, row, turin, turin_vlek};

const MISMATCH: &str = "snp_vek_tcb_mismatch";
const RESERVED: &str = "snp_tcb_reserved";

/// Has the report say one less than the certificate; where that says 0, the certificate says one more.
fn lower(draft: &mut Draft, component: fn(&mut Tcb) -> &mut u8) {
    let mut tcb = draft.authority.product().typical_tcb();
    if *component(&mut tcb) > 0 {
        draft.report_tcb(|tcb| *component(tcb) -= 1);
    } else {
        *component(&mut tcb) += 1;
        draft.certify_tcb(tcb);
    }
}

/// Has the certificate give a version to a component that no report has.
fn spare(draft: &mut Draft, component: ObjectIdentifier) {
    let extensions = &mut draft.vek_mut().extensions;
    extensions.retain(|extension| extension.oid != component);
    extensions.push(Extension::new(component, vec![2, 1, 1]));
}

pub(crate) const TCB: &[Row] = &[
    row(
        10,
        "Milan: bl above the certificate's",
        milan,
        |d| d.report_tcb(|tcb| tcb.boot_loader += 1),
        MISMATCH,
    ),
    row(10, "Milan: bl below the certificate's", milan, |d| lower(d, |tcb| &mut tcb.boot_loader), MISMATCH),
    row(10, "Milan: tee above the certificate's", milan, |d| d.report_tcb(|tcb| tcb.tee += 1), MISMATCH),
    row(10, "Milan: tee below the certificate's", milan, |d| lower(d, |tcb| &mut tcb.tee), MISMATCH),
    row(10, "Milan: snp above the certificate's", milan, |d| d.report_tcb(|tcb| tcb.snp += 1), MISMATCH),
    row(10, "Milan: snp below the certificate's", milan, |d| lower(d, |tcb| &mut tcb.snp), MISMATCH),
    row(
        10,
        "Milan: ucode above the certificate's",
        milan,
        |d| d.report_tcb(|tcb| tcb.microcode += 1),
        MISMATCH,
    ),
    row(10, "Milan: ucode below the certificate's", milan, |d| lower(d, |tcb| &mut tcb.microcode), MISMATCH),
    row(
        10,
        "Genoa: bl above the certificate's",
        genoa,
        |d| d.report_tcb(|tcb| tcb.boot_loader += 1),
        MISMATCH,
    ),
    row(10, "Genoa: bl below the certificate's", genoa, |d| lower(d, |tcb| &mut tcb.boot_loader), MISMATCH),
    row(10, "Genoa: tee above the certificate's", genoa, |d| d.report_tcb(|tcb| tcb.tee += 1), MISMATCH),
    row(10, "Genoa: tee below the certificate's", genoa, |d| lower(d, |tcb| &mut tcb.tee), MISMATCH),
    row(10, "Genoa: snp above the certificate's", genoa, |d| d.report_tcb(|tcb| tcb.snp += 1), MISMATCH),
    row(10, "Genoa: snp below the certificate's", genoa, |d| lower(d, |tcb| &mut tcb.snp), MISMATCH),
    row(
        10,
        "Genoa: ucode above the certificate's",
        genoa,
        |d| d.report_tcb(|tcb| tcb.microcode += 1),
        MISMATCH,
    ),
    row(10, "Genoa: ucode below the certificate's", genoa, |d| lower(d, |tcb| &mut tcb.microcode), MISMATCH),
    row(10, "Turin: fmc above the certificate's", turin, |d| d.report_tcb(|tcb| tcb.fmc += 1), MISMATCH),
    row(10, "Turin: fmc below the certificate's", turin, |d| lower(d, |tcb| &mut tcb.fmc), MISMATCH),
    row(
        10,
        "Turin: bl above the certificate's",
        turin,
        |d| d.report_tcb(|tcb| tcb.boot_loader += 1),
        MISMATCH,
    ),
    row(10, "Turin: bl below the certificate's", turin, |d| lower(d, |tcb| &mut tcb.boot_loader), MISMATCH),
    row(10, "Turin: tee above the certificate's", turin, |d| d.report_tcb(|tcb| tcb.tee += 1), MISMATCH),
    row(10, "Turin: tee below the certificate's", turin, |d| lower(d, |tcb| &mut tcb.tee), MISMATCH),
    row(10, "Turin: snp above the certificate's", turin, |d| d.report_tcb(|tcb| tcb.snp += 1), MISMATCH),
    row(10, "Turin: snp below the certificate's", turin, |d| lower(d, |tcb| &mut tcb.snp), MISMATCH),
    row(
        10,
        "Turin: ucode above the certificate's",
        turin,
        |d| d.report_tcb(|tcb| tcb.microcode += 1),
        MISMATCH,
    ),
    row(10, "Turin: ucode below the certificate's", turin, |d| lower(d, |tcb| &mut tcb.microcode), MISMATCH),
    row(
        10,
        "Milan VLEK: bl above the certificate's",
        milan_vlek,
        |d| d.report_tcb(|tcb| tcb.boot_loader += 1),
        MISMATCH,
    ),
    row(
        10,
        "Milan VLEK: bl below the certificate's",
        milan_vlek,
        |d| lower(d, |tcb| &mut tcb.boot_loader),
        MISMATCH,
    ),
    row(
        10,
        "Milan VLEK: tee above the certificate's",
        milan_vlek,
        |d| d.report_tcb(|tcb| tcb.tee += 1),
        MISMATCH,
    ),
    row(
        10,
        "Milan VLEK: tee below the certificate's",
        milan_vlek,
        |d| lower(d, |tcb| &mut tcb.tee),
        MISMATCH,
    ),
    row(
        10,
        "Milan VLEK: snp above the certificate's",
        milan_vlek,
        |d| d.report_tcb(|tcb| tcb.snp += 1),
        MISMATCH,
    ),
    row(
        10,
        "Milan VLEK: snp below the certificate's",
        milan_vlek,
        |d| lower(d, |tcb| &mut tcb.snp),
        MISMATCH,
    ),
    row(
        10,
        "Milan VLEK: ucode above the certificate's",
        milan_vlek,
        |d| d.report_tcb(|tcb| tcb.microcode += 1),
        MISMATCH,
    ),
    row(
        10,
        "Milan VLEK: ucode below the certificate's",
        milan_vlek,
        |d| lower(d, |tcb| &mut tcb.microcode),
        MISMATCH,
    ),
    row(
        10,
        "Turin VLEK: fmc above the certificate's",
        turin_vlek,
        |d| d.report_tcb(|tcb| tcb.fmc += 1),
        MISMATCH,
    ),
    row(
        10,
        "Turin VLEK: fmc below the certificate's",
        turin_vlek,
        |d| lower(d, |tcb| &mut tcb.fmc),
        MISMATCH,
    ),
    row(
        10,
        "Turin VLEK: bl above the certificate's",
        turin_vlek,
        |d| d.report_tcb(|tcb| tcb.boot_loader += 1),
        MISMATCH,
    ),
    row(
        10,
        "Turin VLEK: bl below the certificate's",
        turin_vlek,
        |d| lower(d, |tcb| &mut tcb.boot_loader),
        MISMATCH,
    ),
    row(
        10,
        "Turin VLEK: tee above the certificate's",
        turin_vlek,
        |d| d.report_tcb(|tcb| tcb.tee += 1),
        MISMATCH,
    ),
    row(
        10,
        "Turin VLEK: tee below the certificate's",
        turin_vlek,
        |d| lower(d, |tcb| &mut tcb.tee),
        MISMATCH,
    ),
    row(
        10,
        "Turin VLEK: snp above the certificate's",
        turin_vlek,
        |d| d.report_tcb(|tcb| tcb.snp += 1),
        MISMATCH,
    ),
    row(
        10,
        "Turin VLEK: snp below the certificate's",
        turin_vlek,
        |d| lower(d, |tcb| &mut tcb.snp),
        MISMATCH,
    ),
    row(
        10,
        "Turin VLEK: ucode above the certificate's",
        turin_vlek,
        |d| d.report_tcb(|tcb| tcb.microcode += 1),
        MISMATCH,
    ),
    row(
        10,
        "Turin VLEK: ucode below the certificate's",
        turin_vlek,
        |d| lower(d, |tcb| &mut tcb.microcode),
        MISMATCH,
    ),
    row(
        10,
        "Milan: the certificate speaks for the reserved component spl4",
        milan,
        |d| spare(d, oid::SPL_4),
        MISMATCH,
    ),
    row(
        10,
        "Milan: the certificate speaks for the reserved component spl5",
        milan,
        |d| spare(d, oid::SPL_5),
        MISMATCH,
    ),
    row(
        10,
        "Milan: the certificate speaks for the reserved component spl6",
        milan,
        |d| spare(d, oid::SPL_6),
        MISMATCH,
    ),
    row(
        10,
        "Milan: the certificate speaks for the reserved component spl7",
        milan,
        |d| spare(d, oid::SPL_7),
        MISMATCH,
    ),
    row(
        10,
        "Turin: the certificate speaks for the reserved component spl4",
        turin,
        |d| spare(d, oid::SPL_4),
        MISMATCH,
    ),
    row(
        10,
        "Turin: the certificate speaks for the reserved component spl5",
        turin,
        |d| spare(d, oid::SPL_5),
        MISMATCH,
    ),
    row(
        10,
        "Turin: the certificate speaks for the reserved component spl6",
        turin,
        |d| spare(d, oid::SPL_6),
        MISMATCH,
    ),
    row(
        10,
        "Turin: the certificate speaks for the reserved component spl7",
        turin,
        |d| spare(d, oid::SPL_7),
        MISMATCH,
    ),
    row(
        10,
        "Milan VLEK: the certificate speaks for the reserved component spl4",
        milan_vlek,
        |d| spare(d, oid::SPL_4),
        MISMATCH,
    ),
    row(
        10,
        "Milan VLEK: the certificate speaks for the reserved component spl5",
        milan_vlek,
        |d| spare(d, oid::SPL_5),
        MISMATCH,
    ),
    row(
        10,
        "Milan VLEK: the certificate speaks for the reserved component spl6",
        milan_vlek,
        |d| spare(d, oid::SPL_6),
        MISMATCH,
    ),
    row(
        10,
        "Milan VLEK: the certificate speaks for the reserved component spl7",
        milan_vlek,
        |d| spare(d, oid::SPL_7),
        MISMATCH,
    ),
    row(1, "Milan: REPORTED_TCB has reserved byte 2 set", milan, |d| d.fields.reported_tcb[2] = 1, RESERVED),
    row(1, "Milan: REPORTED_TCB has reserved byte 3 set", milan, |d| d.fields.reported_tcb[3] = 1, RESERVED),
    row(1, "Milan: REPORTED_TCB has reserved byte 4 set", milan, |d| d.fields.reported_tcb[4] = 1, RESERVED),
    row(1, "Milan: REPORTED_TCB has reserved byte 5 set", milan, |d| d.fields.reported_tcb[5] = 1, RESERVED),
    row(1, "Milan: CURRENT_TCB has reserved byte 2 set", milan, |d| d.fields.current_tcb[2] = 1, RESERVED),
    row(1, "Milan: CURRENT_TCB has reserved byte 3 set", milan, |d| d.fields.current_tcb[3] = 1, RESERVED),
    row(1, "Milan: CURRENT_TCB has reserved byte 4 set", milan, |d| d.fields.current_tcb[4] = 1, RESERVED),
    row(1, "Milan: CURRENT_TCB has reserved byte 5 set", milan, |d| d.fields.current_tcb[5] = 1, RESERVED),
    row(
        1,
        "Milan: COMMITTED_TCB has reserved byte 2 set",
        milan,
        |d| d.fields.committed_tcb[2] = 1,
        RESERVED,
    ),
    row(
        1,
        "Milan: COMMITTED_TCB has reserved byte 3 set",
        milan,
        |d| d.fields.committed_tcb[3] = 1,
        RESERVED,
    ),
    row(
        1,
        "Milan: COMMITTED_TCB has reserved byte 4 set",
        milan,
        |d| d.fields.committed_tcb[4] = 1,
        RESERVED,
    ),
    row(
        1,
        "Milan: COMMITTED_TCB has reserved byte 5 set",
        milan,
        |d| d.fields.committed_tcb[5] = 1,
        RESERVED,
    ),
    row(1, "Milan: LAUNCH_TCB has reserved byte 2 set", milan, |d| d.fields.launch_tcb[2] = 1, RESERVED),
    row(1, "Milan: LAUNCH_TCB has reserved byte 3 set", milan, |d| d.fields.launch_tcb[3] = 1, RESERVED),
    row(1, "Milan: LAUNCH_TCB has reserved byte 4 set", milan, |d| d.fields.launch_tcb[4] = 1, RESERVED),
    row(1, "Milan: LAUNCH_TCB has reserved byte 5 set", milan, |d| d.fields.launch_tcb[5] = 1, RESERVED),
    row(1, "Turin: REPORTED_TCB has reserved byte 4 set", turin, |d| d.fields.reported_tcb[4] = 1, RESERVED),
    row(1, "Turin: REPORTED_TCB has reserved byte 5 set", turin, |d| d.fields.reported_tcb[5] = 1, RESERVED),
    row(1, "Turin: REPORTED_TCB has reserved byte 6 set", turin, |d| d.fields.reported_tcb[6] = 1, RESERVED),
    row(1, "Turin: CURRENT_TCB has reserved byte 4 set", turin, |d| d.fields.current_tcb[4] = 1, RESERVED),
    row(1, "Turin: CURRENT_TCB has reserved byte 5 set", turin, |d| d.fields.current_tcb[5] = 1, RESERVED),
    row(1, "Turin: CURRENT_TCB has reserved byte 6 set", turin, |d| d.fields.current_tcb[6] = 1, RESERVED),
    row(
        1,
        "Turin: COMMITTED_TCB has reserved byte 4 set",
        turin,
        |d| d.fields.committed_tcb[4] = 1,
        RESERVED,
    ),
    row(
        1,
        "Turin: COMMITTED_TCB has reserved byte 5 set",
        turin,
        |d| d.fields.committed_tcb[5] = 1,
        RESERVED,
    ),
    row(
        1,
        "Turin: COMMITTED_TCB has reserved byte 6 set",
        turin,
        |d| d.fields.committed_tcb[6] = 1,
        RESERVED,
    ),
    row(1, "Turin: LAUNCH_TCB has reserved byte 4 set", turin, |d| d.fields.launch_tcb[4] = 1, RESERVED),
    row(1, "Turin: LAUNCH_TCB has reserved byte 5 set", turin, |d| d.fields.launch_tcb[5] = 1, RESERVED),
    row(1, "Turin: LAUNCH_TCB has reserved byte 6 set", turin, |d| d.fields.launch_tcb[6] = 1, RESERVED),
];
