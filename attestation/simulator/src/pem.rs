//! PEM as both vendors' services write it (RFC 7468).

use vouchsafe_verifier::encoding::to_base64;

/// Certificates, each from DER, one after the other.
pub fn certificates(ders: &[&[u8]]) -> String {
    ders.iter().map(|der| encode("CERTIFICATE", der)).collect()
}

/// One block with lines of 64 characters and a final newline.
pub fn encode(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let base64 = to_base64(der);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
