//! The words that several of the line formats share: decimal numbers, hashes in base64.

use vouchsafe_verifier::encoding::from_base64;

use crate::Hash;

/// An ASCII decimal without leading zeros (zero itself is `0`); anything else gives `None`.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let is_canonical = match text.as_bytes() {
        [] => false,
        [b'0'] => true,
        [b'0', ..] => false,
        digits => digits.iter().all(u8::is_ascii_digit),
    };
    if !is_canonical {
        return None;
    }
    text.parse().ok()
}

/// One hash in padded standard base64; anything else gives `None`.
pub(crate) fn hash(text: &str) -> Option<Hash> {
    from_base64(text)?.try_into().ok()
}

/// The first line without its newline, and what follows it; `None` where no newline is.
pub(crate) fn next(text: &str) -> Option<(&str, &str)> {
    text.split_once('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_hashes_have_one_form() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for wrong in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "0x1", "18446744073709551616", "１"] {
            assert_eq!(decimal(wrong), None, "{wrong:?}");
        }
        assert_eq!(hash("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), Some([0; 32]));
        for wrong in [
            "",
            "AAAA",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            " AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ] {
            assert_eq!(hash(wrong), None, "{wrong:?}");
        }
    }
}
