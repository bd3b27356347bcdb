//! The certificate table that an SNP host supplies with a report (GHCB specification, revision 2.03,
//! section 4.1.8.1, "SNP Extended Guest Request").
//!
//! Entries of 24 bytes: a GUID in the order its text shows, offset and length as 32-bit
//! little-endian numbers, ended by an entry of zeros. Hosts fill it with DER or with PEM; unknown
//! GUIDs are passed over. The table is the host's word: it is carried for verifiers to judge.

use vouchsafe_verifier::SnpEndorsements;
use vouchsafe_verifier::encoding::{Base64, from_base64};

use crate::AttestError;

const ENTRY_BYTES: usize = 24;
/// Most entries looked at.
const ENTRIES_MAX: usize = 32;

const VCEK: [u8; 16] = guid(0x63da758d_e664_4564_adc5_f4b93be8accd);
const VLEK: [u8; 16] = guid(0xa8074bc2_a25a_483e_aae6_39c045a0b8a1);
const ASK: [u8; 16] = guid(0x4ab7b379_bbac_4fe4_a02f_05aef327c782);
const ARK: [u8; 16] = guid(0xc0b406a4_a803_4952_9743_3fb6014cd0ae);
const CRL: [u8; 16] = guid(0x92f81bc3_5811_4d3d_97ff_d19f88dc67ea);

const fn guid(digits: u128) -> [u8; 16] {
    digits.to_be_bytes()
}

/// Reads the table; `None` where the host supplied none.
pub(crate) fn endorsements(table: &[u8]) -> Result<Option<SnpEndorsements>, AttestError> {
    let mut found = SnpEndorsements::default();
    let mut terminated = table.is_empty();
    for number in 0..ENTRIES_MAX {
        let start = number.saturating_mul(ENTRY_BYTES);
        let Some(entry) = table.get(start..start.saturating_add(ENTRY_BYTES)) else { break };
        let (guid, place) = entry.split_at(16);
        if entry.iter().all(|byte| *byte == 0) {
            terminated = true;
            break;
        }
        let content = content(table, place).ok_or_else(|| malformed("an entry points outside the table"))?;
        let field = match <[u8; 16]>::try_from(guid).unwrap_or_default() {
            // A report is signed under one of the two; a host has no reason to supply both.
            VCEK | VLEK => &mut found.vek,
            ASK => &mut found.intermediate,
            ARK => &mut found.root,
            CRL => &mut found.crl,
            _ => continue,
        };
        if field.replace(Base64(to_der(content)?)).is_some() {
            return Err(malformed("an entry stands twice"));
        }
    }
    if !terminated {
        return Err(malformed("it has no last entry"));
    }
    Ok((found != SnpEndorsements::default()).then_some(found))
}

fn content<'a>(table: &'a [u8], place: &[u8]) -> Option<&'a [u8]> {
    let (offset, length) = place.split_at_checked(4)?;
    let number = |bytes: &[u8]| usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok();
    let start = number(offset)?;
    table.get(start..start.checked_add(number(length)?)?)
}

/// DER as it is; PEM of one object taken out of its armour.
fn to_der(content: &[u8]) -> Result<Vec<u8>, AttestError> {
    if !content.starts_with(b"-----BEGIN ") {
        return Ok(content.to_vec());
    }
    let not_pem = || malformed("an entry is neither DER nor PEM of one object");
    // Some hosts count a terminating zero into the length.
    let text = core::str::from_utf8(content).map_err(|_| not_pem())?.trim_end_matches('\0');
    let mut lines = text.lines().map(str::trim).skip(1);
    let body: String = lines.by_ref().take_while(|line| !line.starts_with("-----END ")).collect();
    if lines.any(|line| !line.is_empty()) {
        return Err(not_pem());
    }
    from_base64(&body).ok_or_else(not_pem)
}

fn malformed(problem: &str) -> AttestError {
    AttestError::Attribute { attribute: "auxblob", problem: format!("certificate table: {problem}") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A table of these entries, their contents in order behind it.
    pub(crate) fn table(entries: &[([u8; 16], &[u8])]) -> Vec<u8> {
        let mut offset = (entries.len() + 1) * ENTRY_BYTES;
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        for (guid, content) in entries {
            head.extend_from_slice(guid);
            head.extend_from_slice(&u32::try_from(offset).unwrap().to_le_bytes());
            head.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
            tail.extend_from_slice(content);
            offset += content.len();
        }
        head.extend_from_slice(&[0; ENTRY_BYTES]);
        [head, tail].concat()
    }

    #[test]
    fn der_and_pem_come_out_as_der() {
        let pem = b"-----BEGIN CERTIFICATE-----\nMIIB\nAAAA\n-----END CERTIFICATE-----\n\0";
        let found = endorsements(&table(&[(VCEK, b"\x30\x01x"), (ASK, pem), ([9; 16], b"other")])).unwrap();
        let found = found.unwrap();
        assert_eq!(found.vek.unwrap().0, b"\x30\x01x");
        assert_eq!(found.intermediate.unwrap().0, [0x30, 0x82, 0x01, 0, 0, 0]);
        assert_eq!((found.root, found.crl), (None, None));
    }

    #[test]
    fn no_table_is_no_endorsements() {
        assert_eq!(endorsements(&[]).unwrap(), None);
        assert_eq!(endorsements(&[0; 4096]).unwrap(), None, "what a host without certificates returns");
        assert_eq!(endorsements(&table(&[([9; 16], b"other")])).unwrap(), None);
    }

    #[test]
    fn hostile_tables_are_refused() {
        let good = table(&[(VCEK, b"abc")]);
        let mut outside = good.clone();
        outside[20] = 200;
        let mut far = good.clone();
        far[16..24].fill(0xff);
        let unterminated = [VCEK.as_slice(), &[0; 8]].concat();
        let twice = table(&[(VCEK, b"abc"), (VLEK, b"abc")]);
        let no_pem = table(&[(ARK, b"-----BEGIN X-----\n!!\n-----END X-----\n")]);
        let two = table(&[(ARK, b"-----BEGIN X-----\nAAAA\n-----END X-----\nmore\n")]);
        for (number, bad) in [outside, far, unterminated, twice, no_pem, two].iter().enumerate() {
            let error = endorsements(bad).unwrap_err();
            assert_eq!(error.code(), "attest_attribute", "{number}");
        }
    }
}
