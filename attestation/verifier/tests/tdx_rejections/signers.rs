//! The signers of TCB info and of QE identity, each by itself (34, 38).

use vouchsafe_simulator::intel::{IntelIssuer, PckCa, certificate};
use vouchsafe_simulator::pem;
use vouchsafe_simulator::x509::{CertificateSpec, standard};

use crate::certificates::{FUTURE, PAST, replace};
use crate::world::{Change, Expected, Row, in_collateral, row};

const PLATFORM_CA: IntelIssuer = IntelIssuer::PckCa(PckCa::Platform);

pub(crate) fn rows() -> Vec<Row> {
    // Both documents' chains are the same text, so one change would go to both; each is changed alone.
    let in_signer = |what: &str, change: fn(&mut CertificateSpec), code| {
        in_collateral(
            34,
            format!("TCB signer: {what}"),
            move |w, c| {
                let signer = w.changed_ca(IntelIssuer::TcbSigning, change);
                c.tcb_info_issuer_chain = pem::certificates(&[&signer, w.authority.root_der()]);
            },
            code,
        )
    };
    let in_qe_signer = |what: &str, change: fn(&mut CertificateSpec), code| {
        in_collateral(
            34,
            format!("QE identity's signer: {what}"),
            move |w, c| c.qe_identity_issuer_chain = w.qe_signer_chain(change),
            code,
        )
    };
    vec![
        in_signer("expired", |c| c.validity = PAST, "tdx_certificate_expired"),
        in_signer("not yet valid", |c| c.validity = FUTURE, "tdx_certificate_not_yet_valid"),
        in_signer(
            "of another name",
            |c| c.subject = certificate::name("Intel SGX PCK Certificate"),
            "tdx_tcb_signing_name",
        ),
        in_signer(
            "a CA",
            |c| replace(c, standard::basic_constraints(true, None)),
            "tdx_certificate_leaf_is_ca",
        ),
        in_collateral(
            34,
            "TCB signer: a stranger's, with a root of Intel's name",
            |w, c| c.tcb_info_issuer_chain = w.stranger.issuer_chain(IntelIssuer::TcbSigning),
            "tdx_root_not_trusted",
        ),
        in_collateral(
            34,
            "TCB signer: a stranger's, without its root",
            |w, c| {
                c.tcb_info_issuer_chain =
                    pem::certificates(&[w.stranger.certificate_der(IntelIssuer::TcbSigning)]);
            },
            "tdx_certificate_signature_invalid",
        ),
        in_collateral(
            34,
            "QE identity's signer: a stranger's",
            |w, c| c.qe_identity_issuer_chain = w.stranger.issuer_chain(IntelIssuer::TcbSigning),
            "tdx_root_not_trusted",
        ),
        in_collateral(
            34,
            "QE identity's signer: a stranger's, without its root",
            |w, c| {
                c.qe_identity_issuer_chain =
                    pem::certificates(&[w.stranger.certificate_der(IntelIssuer::TcbSigning)]);
            },
            "tdx_certificate_signature_invalid",
        ),
        in_qe_signer("expired", |c| c.validity = PAST, "tdx_certificate_expired"),
        in_qe_signer("not yet valid", |c| c.validity = FUTURE, "tdx_certificate_not_yet_valid"),
        in_qe_signer(
            "of another name",
            |c| c.subject = certificate::name("Intel SGX PCK Certificate"),
            "tdx_tcb_signing_name",
        ),
        in_qe_signer(
            "a CA",
            |c| replace(c, standard::basic_constraints(true, None)),
            "tdx_certificate_leaf_is_ca",
        ),
        in_collateral(
            38,
            "QE identity's signer: of another key",
            |w, c| {
                let other = w.stranger.ca_spec(IntelIssuer::TcbSigning, PAST);
                let key = &other.subject_public_key_info;
                c.qe_identity_issuer_chain =
                    w.qe_signer_chain(|spec| spec.subject_public_key_info = key.clone());
            },
            "tdx_qe_identity_signature",
        ),
        row(
            34,
            "control: QE identity's signer has another certificate than the TCB info's",
            Change::Collateral(Box::new(|w, c| c.qe_identity_issuer_chain = w.qe_signer_chain(|_| {}))),
            Expected::Status("UpToDate"),
        ),
        in_collateral(
            34,
            "TCB signer: a PCK CA",
            |w, c| c.tcb_info_issuer_chain = w.authority.issuer_chain(PLATFORM_CA),
            "tdx_tcb_signing_name",
        ),
    ]
}
