//! Certificate chains in PEM, as Intel hands them out.

use alloc::vec::Vec;

use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{CERTIFICATE_BYTES_MAX, Error};

/// Decodes the certificates of a PEM text, in order. Text between them is skipped: nothing there is
/// signed or used.
///
/// # Errors
/// [`Error::PemMalformed`] when the text is broken or empty, or holds more than `certificates_max`;
/// [`Error::CertificateTooLong`] when it is longer than so many certificates can be.
pub fn pem_certificates(text: &[u8], certificates_max: usize) -> Result<Vec<Vec<u8>>, Error> {
    // Base64 grows by a third; labels, line ends and explanatory text get the rest.
    let max = certificates_max.saturating_mul(CERTIFICATE_BYTES_MAX).saturating_mul(2);
    if text.len() > max {
        return Err(Error::CertificateTooLong { len: text.len(), max });
    }
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|_| Error::PemMalformed { what: "not PEM" })?;
        if certificates.len() == certificates_max {
            return Err(Error::PemMalformed { what: "too many certificates" });
        }
        certificates.push(certificate.as_ref().to_vec());
    }
    if certificates.is_empty() {
        return Err(Error::PemMalformed { what: "no certificate" });
    }
    Ok(certificates)
}
