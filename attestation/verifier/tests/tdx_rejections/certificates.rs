//! Certificates: roots, the PCK chain, what the PCK certificate says of its platform (34).

use vouchsafe_simulator::intel::{IntelIssuer, PckCa, certificate, encode_sgx_entries, oid};
use vouchsafe_simulator::x509::{CertificateSpec, Extension, Validity, standard};
use vouchsafe_simulator::{der, pem};
use vouchsafe_verifier::{TrustRoots, UnixSeconds};

use crate::world::{AT, Change, ENDORSED, Expected, Row, World, in_machine, in_quote, row};

const DAY: u64 = 86_400;
/// Over before evidence is judged.
pub(crate) const PAST: Validity =
    Validity { not_before: UnixSeconds(AT.0 - 9 * DAY), not_after: UnixSeconds(AT.0 - 1) };
/// Starts after evidence is judged.
pub(crate) const FUTURE: Validity =
    Validity { not_before: UnixSeconds(AT.0 + 1), not_after: UnixSeconds(AT.0 + 9 * DAY) };
const PROCESSOR_CA: IntelIssuer = IntelIssuer::PckCa(PckCa::Processor);

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = roots();
    rows.extend(pck_chain());
    rows.extend(sgx_extension());
    rows
}

/// A row with another PCK chain: of these certificates, in DER.
pub(crate) fn chain(what: &str, ders: impl Fn(&World) -> Vec<Vec<u8>> + 'static, code: &'static str) -> Row {
    in_machine(34, what, move |w, m| *m.pck_chain_mut() = to_pem(&ders(w)), code)
}

fn to_pem(ders: &[Vec<u8>]) -> String {
    pem::certificates(&ders.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// A row whose PCK certificate says something else.
pub(crate) fn in_pck(what: &str, change: fn(&mut CertificateSpec), code: &'static str) -> Row {
    chain(what, move |w| w.pck_chain(change, |_| {}), code)
}

/// A row whose PCK CA certificate says something else.
fn in_ca(what: &str, change: fn(&mut CertificateSpec), code: &'static str) -> Row {
    chain(what, move |w| w.pck_chain(|_| {}, change), code)
}

fn roots() -> Vec<Row> {
    vec![
        row(
            34,
            "no root believed",
            Change::Roots(TrustRoots::none()),
            Expected::Code("tdx_root_not_trusted"),
        ),
        row(
            34,
            "only Intel's root believed",
            Change::Roots(TrustRoots::vendor_pinned()),
            Expected::Code("tdx_root_not_trusted"),
        ),
        chain(
            "a stranger's chain, with a root of Intel's name",
            |w| w.strangers_chain(),
            "tdx_root_not_trusted",
        ),
        chain(
            "a stranger's chain, without its root",
            |w| w.strangers_chain()[..2].to_vec(),
            "tdx_certificate_signature_invalid",
        ),
        chain(
            "a stranger's PCK under the right CA",
            |w| {
                let mut chain = w.pck_chain(|_| {}, |_| {});
                chain[0] = w.strangers_chain()[0].clone();
                chain
            },
            "tdx_certificate_signature_invalid",
        ),
        chain("the leaf alone", |w| w.pck_chain(|_| {}, |_| {})[..1].to_vec(), "tdx_chain_length"),
        chain(
            "four certificates",
            |w| [w.pck_chain(|_| {}, |_| {}), vec![w.authority.root_der().to_vec()]].concat(),
            "tdx_pem_malformed",
        ),
        chain(
            "without the CA",
            |w| vec![w.pck_chain(|_| {}, |_| {})[0].clone(), w.authority.root_der().to_vec()],
            "tdx_pck_ca_type",
        ),
        chain(
            "from root to leaf",
            |w| w.pck_chain(|_| {}, |_| {}).into_iter().rev().collect(),
            "tdx_root_not_trusted",
        ),
        chain("no certificate", |_| Vec::new(), "tdx_pem_malformed"),
        chain(
            "bytes after a certificate",
            |w| {
                let mut chain = w.pck_chain(|_| {}, |_| {});
                chain[0].push(0);
                chain
            },
            "tdx_certificate_malformed",
        ),
        in_quote(
            34,
            "no chain in the quote and none in the collateral",
            |_, _, q| q.inner_certification_type = 3,
            "tdx_pck_chain_missing",
        ),
    ]
}

fn pck_chain() -> Vec<Row> {
    let rename =
        |name: &'static str| move |spec: &mut CertificateSpec| spec.subject = certificate::name(name);
    vec![
        row(
            34,
            "control: a platform of the Processor CA",
            Change::Platform(Box::new(|spec| {
                spec.ca = PckCa::Processor;
                spec.facts.platform = None;
            })),
            Expected::Status("UpToDate"),
        ),
        row(
            34,
            "control: the chain without its root",
            Change::Machine(Box::new(|w, m| *m.pck_chain_mut() = to_pem(&w.pck_chain(|_| {}, |_| {})[..2]))),
            Expected::Status("UpToDate"),
        ),
        row(
            34,
            "a root that allows no authority below it",
            Change::Rooted(
                Box::new(|w, _, q| {
                    q.inner_certification = to_pem(&w.pck_chain(|_| {}, |_| {})[..2]).into_bytes();
                }),
                |w| {
                    w.changed_ca(IntelIssuer::Root, |c| {
                        replace(c, standard::basic_constraints(true, Some(0)))
                    })
                },
            ),
            Expected::Code("tdx_certificate_path_too_long"),
        ),
        in_pck("expired PCK", |c| c.validity = PAST, "tdx_certificate_expired"),
        in_pck("PCK not yet valid", |c| c.validity = FUTURE, "tdx_certificate_not_yet_valid"),
        in_pck(
            "a PCK that is a CA",
            |c| replace(c, standard::basic_constraints(true, None)),
            "tdx_certificate_leaf_is_ca",
        ),
        in_pck(
            "a PCK of another name",
            |c| c.subject = certificate::name("Intel SGX TCB Signing"),
            "tdx_pck_name",
        ),
        in_pck(
            "a PCK with an unknown critical extension",
            |c| c.extensions.push(Extension::critical(oid::CONFIGURATION, der::null())),
            "tdx_certificate_extension_critical_unknown",
        ),
        in_pck(
            "an extension twice",
            |c| assert!(c.duplicate_extension(standard::KEY_USAGE)),
            "tdx_certificate_extension_duplicate",
        ),
        in_pck(
            "a PCK that names another issuer",
            |c| c.issuer = certificate::name("Intel SGX PCK Processor CA"),
            "tdx_certificate_issuer_mismatch",
        ),
        in_ca("expired CA", |c| c.validity = PAST, "tdx_certificate_expired"),
        in_ca("CA not yet valid", |c| c.validity = FUTURE, "tdx_certificate_not_yet_valid"),
        chain(
            "a CA of another name",
            move |w| w.pck_chain(|_| {}, rename("Intel SGX PCK Client CA")),
            "tdx_pck_ca_type",
        ),
        chain(
            "the TCB signer in place of the CA",
            |w| {
                let mut chain = w.pck_chain(|_| {}, |_| {});
                chain[1] = w.authority.certificate_der(IntelIssuer::TcbSigning).to_vec();
                chain
            },
            "tdx_pck_ca_type",
        ),
        chain(
            "the Processor CA in place of the Platform CA",
            |w| {
                let mut chain = w.pck_chain(|_| {}, |_| {});
                chain[1] = w.authority.certificate_der(PROCESSOR_CA).to_vec();
                chain
            },
            "tdx_certificate_issuer_mismatch",
        ),
        in_ca(
            "a CA that is none",
            |c| replace(c, standard::basic_constraints(false, None)),
            "tdx_certificate_issuer_not_ca",
        ),
        in_ca(
            "a CA without basicConstraints",
            |c| assert_eq!(c.remove_extension(standard::BASIC_CONSTRAINTS), 1),
            "tdx_certificate_issuer_not_ca",
        ),
        in_ca(
            "a CA that may not sign certificates",
            |c| replace(c, standard::key_usage(1, 0x02)),
            "tdx_certificate_issuer_key_usage",
        ),
        in_ca(
            "a CA without keyUsage",
            |c| assert_eq!(c.remove_extension(standard::KEY_USAGE), 1),
            "tdx_certificate_issuer_key_usage",
        ),
        row(
            34,
            "expired root",
            Change::At(UnixSeconds(ENDORSED.0 + 40 * 366 * DAY)),
            Expected::Code("tdx_certificate_expired"),
        ),
    ]
}

/// Puts an extension in place of the one with its OID.
pub(crate) fn replace(spec: &mut CertificateSpec, extension: Extension) {
    let oid = extension.oid;
    *spec.extension_mut(oid).unwrap() = extension;
}

fn sgx_extension() -> Vec<Row> {
    let mut rows = vec![
        in_pck(
            "no SGX extension",
            |c| assert_eq!(c.remove_extension(oid::SGX_EXTENSIONS), 1),
            "tdx_pck_extension_missing",
        ),
        in_pck(
            "an SGX extension of garbage",
            |c| c.extension_mut(oid::SGX_EXTENSIONS).unwrap().value = vec![0x30, 1],
            "tdx_pck_extension_malformed",
        ),
    ];
    for (name, field) in [
        ("PPID", oid::PPID),
        ("TCB", oid::TCB),
        ("PCEID", oid::PCE_ID),
        ("FMSPC", oid::FMSPC),
        ("SGX type", oid::SGX_TYPE),
    ] {
        rows.push(in_entries(
            &format!("{name} missing"),
            false,
            move |e| e.retain(|(o, _)| *o != field),
            "tdx_pck_extension_missing",
        ));
        rows.push(in_entries(
            &format!("{name} twice"),
            false,
            move |e| e.extend(e.iter().find(|(o, _)| *o == field).cloned()),
            "tdx_pck_extension_duplicate",
        ));
        rows.push(in_entries(
            &format!("{name} malformed"),
            false,
            move |e| {
                e.iter_mut()
                    .filter(|(o, _)| *o == field)
                    .for_each(|(_, value)| *value = der::octet_string(&[1; 5]));
            },
            "tdx_pck_extension_malformed",
        ));
    }
    for field in (1..=16).map(oid::component).chain([oid::PCESVN, oid::CPUSVN]) {
        rows.push(in_entries(
            &format!("{field} missing"),
            true,
            move |e| e.retain(|(o, _)| *o != field),
            "tdx_pck_extension_missing",
        ));
        rows.push(in_entries(
            &format!("{field} twice"),
            true,
            move |e| e.extend(e.iter().find(|(o, _)| *o == field).cloned()),
            "tdx_pck_extension_duplicate",
        ));
    }
    rows.push(in_entries(
        "an SGX type beyond the known",
        false,
        |e| {
            e.iter_mut()
                .filter(|(o, _)| *o == oid::SGX_TYPE)
                .for_each(|(_, value)| *value = der::enumerated(3));
        },
        "tdx_pck_extension_malformed",
    ));
    rows.push(in_entries(
        "a component above 8 bits",
        true,
        |e| {
            e.iter_mut()
                .filter(|(o, _)| *o == oid::component(7))
                .for_each(|(_, value)| *value = der::integer_u64(256));
        },
        "tdx_pck_extension_malformed",
    ));
    rows.push(in_entries(
        "PCESVN above 16 bits",
        true,
        |e| {
            e.iter_mut()
                .filter(|(o, _)| *o == oid::PCESVN)
                .for_each(|(_, value)| *value = der::integer_u64(65_536));
        },
        "tdx_pck_extension_malformed",
    ));
    rows
}

/// A row that changes the entries of the SGX extension, or of its TCB list.
fn in_entries(
    what: &str,
    in_tcb: bool,
    change: impl Fn(&mut Vec<vouchsafe_simulator::intel::SgxEntry>) + 'static,
    code: &'static str,
) -> Row {
    chain(
        &format!("SGX extension: {what}"),
        move |w| {
            let facts = w.spec(crate::world::Base::V4).facts;
            let mut entries = facts.entries();
            if in_tcb {
                let mut tcb = facts.tcb_entries();
                change(&mut tcb);
                entries
                    .iter_mut()
                    .filter(|(o, _)| *o == oid::TCB)
                    .for_each(|(_, v)| *v = encode_sgx_entries(&tcb));
            } else {
                change(&mut entries);
            }
            let value = encode_sgx_entries(&entries);
            w.pck_chain(|c| c.extension_mut(oid::SGX_EXTENSIONS).unwrap().value = value.clone(), |_| {})
        },
        code,
    )
}
