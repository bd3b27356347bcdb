//! Revocation: who is revoked, and which lists say so (35 to 37).

use vouchsafe_simulator::der;
use vouchsafe_simulator::intel::certificate::revoked;
use vouchsafe_simulator::intel::{IntelIssuer, PckCa, TdxMachine, oid};
use vouchsafe_simulator::pem;
use vouchsafe_simulator::x509::{CrlSpec, Extension, PssParameters, SignatureAlgorithm, standard};
use vouchsafe_verifier::encoding::to_hex;
use vouchsafe_verifier::x509::Certificate;
use vouchsafe_verifier::{TdxCollateral, UnixSeconds};

use crate::encoding::{algorithms, leaked};
use crate::world::{
    AT, Base, Change, ENDORSED, Expected, QE_SIGNER_SERIAL, Row, World, in_collateral, in_machine, row,
};

const DAY: u64 = 86_400;
const PLATFORM_CA: IntelIssuer = IntelIssuer::PckCa(PckCa::Platform);
const PROCESSOR_CA: IntelIssuer = IntelIssuer::PckCa(PckCa::Processor);

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = revocations();
    rows.extend(lists());
    rows
}

fn revocations() -> Vec<Row> {
    let serial = |der: &[u8]| Certificate::parse(der).unwrap().serial().to_vec();
    let by_root = |what: &str, whose: IntelIssuer| {
        in_machine(
            35,
            what,
            move |w, m| {
                let entry = revoked(&serial(w.authority.certificate_der(whose)), ENDORSED);
                m.collateral_mut().root_crl.revoked.push(entry);
            },
            "tdx_certificate_revoked",
        )
    };
    let pck_serial = move |w: &World| serial(&w.pck_chain(|_| {}, |_| {})[0]);
    vec![
        in_machine(
            35,
            "revoked PCK",
            move |w, m| {
                m.collateral_mut().pck_crl.revoked.push(revoked(&pck_serial(w), ENDORSED));
            },
            "tdx_certificate_revoked",
        ),
        in_machine(
            35,
            "PCK to be revoked tomorrow",
            move |w, m| {
                m.collateral_mut().pck_crl.revoked.push(revoked(&pck_serial(w), UnixSeconds(AT.0 + DAY)));
            },
            "tdx_certificate_revoked",
        ),
        in_machine(
            35,
            "revoked PCK among others",
            move |w, m| {
                let list = &mut m.collateral_mut().pck_crl.revoked;
                list.extend((1..=200u8).map(|n| revoked(&[n; 20], ENDORSED)));
                list.insert(100, revoked(&pck_serial(w), ENDORSED));
            },
            "tdx_certificate_revoked",
        ),
        by_root("revoked PCK CA", PLATFORM_CA),
        by_root("revoked TCB signer", IntelIssuer::TcbSigning),
        by_root("revoked root", IntelIssuer::Root),
        qe_signer(
            "revoked signer of the QE identity alone",
            &QE_SIGNER_SERIAL,
            Expected::Code("tdx_certificate_revoked"),
        ),
        qe_signer("control: another serial number revoked", &[9; 4], Expected::Status("UpToDate")),
        in_collateral(
            36,
            "the Processor CA's list",
            |w, c| {
                let spec = w.authority.crl_spec(PROCESSOR_CA, ENDORSED, UnixSeconds(AT.0 + DAY));
                c.pck_crl = to_hex(&w.authority.sign_crl(PROCESSOR_CA, &spec).unwrap());
            },
            "tdx_crl_issuer_mismatch",
        ),
        in_collateral(
            36,
            "the root's list as the PCK CA's",
            |_, c| c.pck_crl = c.root_ca_crl.clone(),
            "tdx_crl_issuer_mismatch",
        ),
        in_collateral(
            36,
            "the PCK CA's list as the root's",
            |_, c| c.root_ca_crl = c.pck_crl.clone(),
            "tdx_crl_issuer_mismatch",
        ),
    ]
}

/// A row in which the QE identity has a signer of its own, and the root's list revokes a serial number.
fn qe_signer(what: &str, serial: &'static [u8], expected: Expected) -> Row {
    let change = move |w: &World, c: &mut TdxCollateral| {
        c.qe_identity_issuer_chain = w.qe_signer_chain(|_| {});
        let mut list = w.authority.crl_spec(IntelIssuer::Root, ENDORSED, UnixSeconds(AT.0 + DAY));
        list.revoked.push(revoked(serial, ENDORSED));
        c.root_ca_crl = to_hex(&w.authority.sign_crl(IntelIssuer::Root, &list).unwrap());
    };
    row(35, what, Change::Collateral(Box::new(change)), expected)
}

fn lists() -> Vec<Row> {
    let mut rows = vec![
        in_collateral(37, "no root list", |_, c| c.root_ca_crl.clear(), "tdx_crl_missing"),
        in_collateral(37, "no PCK list", |_, c| c.pck_crl.clear(), "tdx_crl_missing"),
        in_collateral(
            37,
            "a list that is not hexadecimal",
            |_, c| c.pck_crl.push('x'),
            "tdx_collateral_encoding",
        ),
        in_collateral(37, "a PCK list of 2 MiB", |_, c| c.pck_crl = "00".repeat(2 << 20), "tdx_crl_too_long"),
        in_collateral(
            37,
            "a root list of 1 MiB and a byte",
            |_, c| c.root_ca_crl = "00".repeat((1 << 20) + 1),
            "tdx_crl_too_long",
        ),
        row(
            37,
            "no collateral",
            Change::Minted(|m| m.collateral = None),
            Expected::Code("tdx_collateral_missing"),
        ),
        in_machine(
            37,
            "a PCK list of a CA that may not sign lists",
            |w, m| {
                let chain = w.pck_chain(
                    |_| {},
                    |c| *c.extension_mut(standard::KEY_USAGE).unwrap() = standard::key_usage(2, 0x04),
                );
                *m.pck_chain_mut() = pem::certificates(&chain.iter().map(Vec::as_slice).collect::<Vec<_>>());
            },
            "tdx_crl_issuer_key_usage",
        ),
        in_collateral(
            37,
            "a PCK list signed by a stranger",
            |w, c| {
                let spec = w.authority.crl_spec(PLATFORM_CA, ENDORSED, UnixSeconds(AT.0 + DAY));
                c.pck_crl = to_hex(&w.stranger.sign_crl(PLATFORM_CA, &spec).unwrap());
            },
            "tdx_crl_signature_invalid",
        ),
        in_collateral(
            37,
            "a root list signed by the PCK CA",
            |w, c| {
                let spec = w.authority.crl_spec(IntelIssuer::Root, ENDORSED, UnixSeconds(AT.0 + DAY));
                c.root_ca_crl = to_hex(&w.authority.sign_crl(PLATFORM_CA, &spec).unwrap());
            },
            "tdx_crl_signature_invalid",
        ),
    ];
    let scope =
        |inner: Vec<u8>| Extension::critical(standard::ISSUING_DISTRIBUTION_POINT, der::sequence(&[&inner]));
    type ListChange = fn(&mut CrlSpec);
    let changes: [(&str, &str, ListChange); 7] = [
        ("with an extension twice", "tdx_crl_extension_duplicate", |list| {
            list.extensions.push(list.extensions[0].clone());
        }),
        ("with 33 extensions and its own", "tdx_crl_extensions_too_many", |list| {
            let other = |number| oid::CONFIGURATION.push_arc(number).unwrap();
            list.extensions.extend((0..33).map(|number| Extension::new(other(number), der::null())));
        }),
        ("with another algorithm outside than inside", "tdx_crl_signature_algorithms_differ", |list| {
            list.outer_algorithm = Some(SignatureAlgorithm::RsaPss(PssParameters::AMD));
        }),
        ("expired", "tdx_crl_stale", |list| list.next_update = Some(UnixSeconds(AT.0 - 1))),
        ("of tomorrow", "tdx_crl_future", |list| list.this_update = UnixSeconds(AT.0 + 1)),
        ("without an end", "tdx_crl_without_next_update", |list| list.next_update = None),
        ("with an unknown critical extension", "tdx_crl_extension_critical_unknown", |list| {
            list.extensions.push(Extension::critical(oid::CONFIGURATION, der::null()));
        }),
    ];
    for (what, code, change) in changes {
        rows.push(in_machine(
            37,
            format!("root list {what}"),
            move |_, m| change(&mut m.collateral_mut().root_crl),
            code,
        ));
        rows.push(in_machine(
            37,
            format!("PCK list {what}"),
            move |_, m| change(&mut m.collateral_mut().pck_crl),
            code,
        ));
    }
    for (what, algorithm, word) in algorithms() {
        for (whose, list) in LISTS {
            let algorithm = algorithm.clone();
            rows.push(in_machine(
                37,
                format!("{whose} list signed by {what}"),
                move |_, m| list(m).algorithm = algorithm.clone(),
                leaked("tdx_crl_", word),
            ));
        }
    }
    for (what, inner, code) in [
        ("of some reasons: none (an empty bit string)", der::context_primitive(3, &[]), "tdx_crl_scope"),
        ("of some reasons: no bits", der::context_primitive(3, &[0]), "tdx_crl_scope"),
        ("of some reasons", der::context_primitive(3, &[1, 0x40]), "tdx_crl_scope"),
        ("of some reasons, with impossible unused bits", der::context_primitive(3, &[9, 0]), "tdx_crl_scope"),
        ("of users' certificates only", der::context_primitive(1, &[0xff]), "tdx_crl_scope"),
        ("of CAs' certificates only", der::context_primitive(2, &[0xff]), "tdx_crl_scope"),
        ("that is indirect", der::context_primitive(4, &[0xff]), "tdx_crl_scope"),
        ("of attribute certificates", der::context_primitive(5, &[0xff]), "tdx_crl_scope"),
        ("of an unknown scope", der::context_primitive(6, &[0xff]), "tdx_crl_malformed"),
        ("whose scope is cut short", vec![0x83], "tdx_crl_malformed"),
        ("of an empty flag", der::context_primitive(1, &[]), "tdx_crl_malformed"),
    ] {
        let extension = scope(inner);
        for (whose, list) in LISTS {
            let extension = extension.clone();
            rows.push(in_machine(
                37,
                format!("{whose} list {what}"),
                move |_, m| list(m).extensions.push(extension.clone()),
                code,
            ));
        }
    }
    rows
}

type List = fn(&mut TdxMachine) -> &mut CrlSpec;
const LISTS: [(&str, List); 2] = [
    ("root", |machine| &mut machine.collateral_mut().root_crl),
    ("PCK", |machine| &mut machine.collateral_mut().pck_crl),
];

/// The control of the crafted scopes: the same extension in the same lists, saying nothing that narrows.
#[test]
fn scopes_that_narrow_nothing_are_accepted() {
    let world = World::new();
    // distributionPoint [0] { fullName [0] { uniformResourceIdentifier [6] } }
    let name = [&[0xa0, 11, 0xa0, 9, 0x86, 7], b"urn:crl".as_slice()].concat();
    for inner in [Vec::new(), name] {
        for (whose, list) in LISTS {
            let scope = Extension::critical(standard::ISSUING_DISTRIBUTION_POINT, der::sequence(&[&inner]));
            let change = Change::Machine(Box::new(move |_, m| list(m).extensions.push(scope.clone())));
            let verified = world.mint_changed(Base::V4, &change).verify();
            let verified = verified.unwrap_or_else(|error| panic!("{whose}: {error}"));
            assert_eq!(verified.tcb().status().as_str(), "UpToDate", "{whose}");
        }
    }
}
