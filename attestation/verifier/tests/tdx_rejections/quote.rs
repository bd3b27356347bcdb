//! The quote itself: signatures, the binding of the attestation key, layout (28 to 33).

use vouchsafe_simulator::intel::{QuoteHeader, TdxMachine};

use crate::world::{Change, Expected, Row, in_machine, in_quote, row};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = signatures();
    rows.extend(layout());
    rows
}

fn signatures() -> Vec<Row> {
    let sign_qe = |m: &TdxMachine, q: &mut _| m.sign_qe_report(q);
    vec![
        in_quote(28, "a bit of the header", |_, _, q| q.signed[30] ^= 1, "tdx_quote_signature"),
        in_quote(28, "a bit of the body", |_, _, q| q.signed[100] ^= 1, "tdx_quote_signature"),
        in_quote(
            28,
            "the body's last bit",
            |_, _, q| *q.signed.last_mut().unwrap() ^= 1,
            "tdx_quote_signature",
        ),
        in_quote(28, "a bit of a version 5 body", |_, _, q| q.signed[700] ^= 1, "tdx_quote_signature")
            .on_v5(),
        in_quote(28, "a bit of the signature", |_, _, q| q.signature[63] ^= 1, "tdx_quote_signature"),
        in_quote(28, "a signature of zeros", |_, _, q| q.signature = [0; 64], "tdx_quote_signature"),
        in_quote(
            28,
            "another key's signature",
            |w, _, q| w.strangers_machine.sign_body(q),
            "tdx_quote_signature",
        ),
        in_quote(
            29,
            "another attestation key and its signature",
            |w, _, q| {
                q.attestation_key = w.strangers_machine.quote_parts([0; 64]).attestation_key;
                w.strangers_machine.sign_body(q);
            },
            "tdx_attestation_key_unbound",
        ),
        in_quote(
            29,
            "other authentication data",
            |_, _, q| q.auth_data[0] ^= 1,
            "tdx_attestation_key_unbound",
        ),
        in_quote(29, "no authentication data", |_, _, q| q.auth_data.clear(), "tdx_attestation_key_unbound"),
        in_quote(
            29,
            "another digest in the QE report",
            move |_, m, q| {
                q.qe_report[320] ^= 1;
                sign_qe(m, q);
            },
            "tdx_attestation_key_unbound",
        ),
        in_quote(
            29,
            "the QE report's second half not zero",
            move |_, m, q| {
                q.qe_report[383] = 1;
                sign_qe(m, q);
            },
            "tdx_qe_report_data_tail",
        ),
        in_quote(30, "a bit of the QE report", |_, _, q| q.qe_report[0] ^= 1, "tdx_qe_report_signature"),
        in_quote(
            30,
            "a reserved bit of the QE report",
            |_, _, q| q.qe_report[300] ^= 1,
            "tdx_qe_report_signature",
        ),
        in_quote(
            30,
            "a bit of its signature",
            |_, _, q| q.qe_report_signature[0] ^= 1,
            "tdx_qe_report_signature",
        ),
        in_quote(
            30,
            "another PCK's signature",
            |w, _, q| w.strangers_machine.sign_qe_report(q),
            "tdx_qe_report_signature",
        ),
        in_machine(31, "another QE vendor", |_, m| m.header_mut().qe_vendor_id[15] ^= 1, "tdx_qe_vendor"),
        in_machine(31, "TEE type 0, SGX", |_, m| m.header_mut().tee_type = 0, "tdx_tee_type"),
        in_machine(31, "TEE type 0x80000081", |_, m| m.header_mut().tee_type |= 1 << 31, "tdx_tee_type"),
        in_machine(31, "key type 3, P-384", |_, m| m.header_mut().attestation_key_type = 3, "tdx_key_type"),
        in_machine(
            31,
            "an SGX quote, version 3",
            |_, m| *m.header_mut() = QuoteHeader { tee_type: 0, ..QuoteHeader::typical(3) },
            "tdx_quote_version",
        ),
        in_machine(31, "version 6", |_, m| m.header_mut().version = 6, "tdx_quote_version"),
        in_quote(
            31,
            "certified by a PCK chain alone",
            |_, _, q| q.certification_type = 5,
            "tdx_certification_type",
        ),
    ]
}

fn layout() -> Vec<Row> {
    // In a version 5 quote the body's type stands at 48, its size at 50, the body at 54.
    let resigned = |clause, what: &'static str, edit: fn(&mut Vec<u8>), code| {
        in_quote(
            clause,
            what,
            move |_, m, q| {
                edit(&mut q.signed);
                m.sign_body(q);
            },
            code,
        )
        .on_v5()
    };
    vec![
        resigned(32, "type TD 1.0 with the size of TD 1.5", |s| s[48] = 2, "tdx_body_size"),
        resigned(
            32,
            "type TD 1.5 with the size of TD 1.0",
            |s| s[50..52].copy_from_slice(&584u16.to_le_bytes()),
            "tdx_body_size",
        ),
        resigned(
            32,
            "TD 1.5 one byte short, and saying so",
            |s| {
                s.pop();
                s[50..52].copy_from_slice(&647u16.to_le_bytes());
            },
            "tdx_body_size",
        ),
        resigned(32, "a body size of 4 GiB", |s| s[50..54].fill(0xff), "tdx_body_size"),
        resigned(32, "type 1, an SGX report", |s| s[48] = 1, "tdx_body_type"),
        resigned(32, "type 4, not known", |s| s[48] = 4, "tdx_body_type"),
        row(
            32,
            "TD 1.5 that ends in MRSERVICETD",
            Change::Bytes(Box::new(|quote| quote.truncate(680))),
            Expected::Code("tdx_quote_truncated"),
        )
        .on_v5(),
        in_quote(
            33,
            "signature data of 4 GiB",
            |_, _, q| q.signature_data_size = Some(u32::MAX),
            "tdx_quote_length",
        ),
        in_quote(
            33,
            "a byte more of signature data than there is",
            |_, _, q| {
                let len = q.to_bytes().len() - q.signed.len() - 4;
                q.signature_data_size = Some(u32::try_from(len + 1).unwrap());
            },
            "tdx_quote_length",
        ),
        in_quote(
            33,
            "certification data of 4 GiB",
            |_, _, q| q.certification_size = Some(u32::MAX),
            "tdx_quote_length",
        ),
        in_quote(
            33,
            "authentication data of 64 KiB",
            |_, _, q| q.auth_data_size = Some(u16::MAX),
            "tdx_quote_length",
        ),
        in_quote(
            33,
            "a PCK chain of 4 GiB",
            |_, _, q| q.inner_certification_size = Some(u32::MAX),
            "tdx_quote_length",
        ),
        in_quote(
            33,
            "a PCK chain shorter than what holds it",
            |_, _, q| {
                q.inner_certification_size = Some(u32::try_from(q.inner_certification.len() - 1).unwrap());
            },
            "tdx_surplus_bytes",
        ),
        row(
            33,
            "a byte after the quote, to be seen by policies",
            Change::Quote(Box::new(|_, _, q| q.trailing = vec![1])),
            Expected::Fact(|v| v.trailing().count == 1 && !v.trailing().all_zero),
        ),
        row(
            33,
            "a byte at the end of the padding, to be seen by policies",
            Change::Quote(Box::new(|_, _, q| q.trailing = [vec![0; 3000], vec![1]].concat())),
            Expected::Fact(|v| v.trailing().count == 3001 && !v.trailing().all_zero),
        ),
        row(
            33,
            "padding, to be seen by policies",
            Change::Quote(Box::new(|_, _, q| q.trailing = vec![0; 3000])),
            Expected::Fact(|v| v.trailing().count == 3000 && v.trailing().all_zero),
        ),
        in_quote(33, "a buffer of 1 MiB", |_, _, q| q.trailing = vec![0; 1 << 20], "tdx_quote_too_long"),
    ]
}
