//! SEV-SNP and TDX through configfs-tsm, and what makes evidence of what hardware gives, however it is reached.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::{Endorsements, Evidence};

use crate::certificates;
use crate::tsm::{Tree, Tsm};
use crate::{AttestError, Attestation, Attester, Platform, Tee};

/// Length of an SNP attestation report (AMD 56860, table "ATTESTATION_REPORT").
const SNP_REPORT_BYTES: usize = 1184;
/// Where REPORT_DATA begins in it.
const SNP_REPORT_DATA_AT: usize = 0x50;
/// Most bytes of an event log that is carried.
const EVENT_LOG_BYTES_MAX: u64 = 256 * 1024;

/// The names that configfs-tsm gives its providers.
const PROVIDERS: [(&str, Tee); 2] = [("sev_guest", Tee::SevSnp), ("tdx_guest", Tee::Tdx)];

/// A confidential VM's own attester.
pub(crate) struct TsmAttester<T> {
    tsm: Tsm<T>,
    tee: Tee,
    provider: &'static str,
    event_log: PathBuf,
}

impl<T: Tree> TsmAttester<T> {
    /// Asks the interface who provides its reports.
    pub(crate) fn new(tree: T, event_log: PathBuf) -> Result<Self, AttestError> {
        let tsm = Tsm::new(tree);
        let found = tsm.provider()?;
        let known = PROVIDERS.into_iter().find(|(name, _)| *name == found);
        let (provider, tee) = known.ok_or(AttestError::ProviderUnknown { found })?;
        Ok(Self { tsm, tee, provider, event_log })
    }
}

/// Evidence of a report, with the certificates that the host supplied.
pub(crate) fn snp_evidence(
    report_data: &[u8; 64],
    report: Vec<u8>,
    endorsements: Option<Endorsements>,
) -> Result<Attestation, AttestError> {
    if report.len() != SNP_REPORT_BYTES {
        let problem = format!("{} bytes, where a report has {SNP_REPORT_BYTES}", report.len());
        return Err(AttestError::Attribute { attribute: "report", problem });
    }
    let end = SNP_REPORT_DATA_AT.saturating_add(report_data.len());
    if report.get(SNP_REPORT_DATA_AT..end) != Some(report_data.as_slice()) {
        return Err(AttestError::NotBound);
    }
    Ok(Attestation { evidence: Evidence::SevSnp { report: Base64(report) }, endorsements })
}

/// Evidence of a quote, with the event log that the firmware left, if any.
pub(crate) fn tdx_evidence(
    report_data: &[u8; 64],
    quote: Vec<u8>,
    event_log: &Path,
) -> Result<Attestation, AttestError> {
    // Where REPORT_DATA stands depends on the quote's version, which is the verifier's to parse;
    // 64 bytes of digest do not occur by accident.
    if !quote.windows(report_data.len()).any(|window| window == report_data) {
        return Err(AttestError::NotBound);
    }
    let event_log = read_event_log(event_log).map(Base64);
    Ok(Attestation { evidence: Evidence::Tdx { quote: Base64(quote), event_log }, endorsements: None })
}

impl<T: Tree> Attester for TsmAttester<T> {
    fn platform(&self) -> Platform {
        let interface = format!("configfs-tsm ({})", self.provider);
        Platform { tee: self.tee, simulated: false, interface }
    }

    fn attest(&self, report_data: &[u8; 64]) -> Result<Attestation, AttestError> {
        let blobs = self.tsm.report(report_data)?;
        if blobs.provider != self.provider {
            return Err(AttestError::ProviderChanged { expected: self.provider, found: blobs.provider });
        }
        match self.tee {
            Tee::SevSnp => {
                // A table that cannot be read costs the endorsements, which can be had elsewhere: the host
                // could as well have supplied none.
                let supplied = certificates::endorsements(&blobs.aux).unwrap_or_default();
                snp_evidence(report_data, blobs.out, supplied.map(Endorsements::SevSnp))
            }
            Tee::Tdx => tdx_evidence(report_data, blobs.out, &self.event_log),
        }
    }
}

/// The CCEL event log, where the firmware left one of acceptable size. It is not signed: what counts
/// is whether it replays to the registers in the quote.
fn read_event_log(path: &Path) -> Option<Vec<u8>> {
    let mut log = Vec::new();
    File::open(path).ok()?.take(EVENT_LOG_BYTES_MAX.saturating_add(1)).read_to_end(&mut log).ok()?;
    let length = u64::try_from(log.len()).ok()?;
    (length > 0 && length <= EVENT_LOG_BYTES_MAX).then_some(log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::tests::table;
    use crate::tsm::tests::FakeTree;

    fn report(inblob: &[u8]) -> Vec<u8> {
        let mut report = vec![0; SNP_REPORT_BYTES];
        report[SNP_REPORT_DATA_AT..SNP_REPORT_DATA_AT + 64].copy_from_slice(inblob);
        report
    }

    fn attester(
        provider: &'static str,
        make: fn(&[u8]) -> Vec<u8>,
        aux: Option<Vec<u8>>,
    ) -> TsmAttester<FakeTree> {
        TsmAttester::new(FakeTree::new(provider, make, aux), "/nowhere/CCEL".into()).unwrap()
    }

    #[test]
    fn snp_gives_the_report_and_the_hosts_certificates() {
        let vcek = 0x63da758d_e664_4564_adc5_f4b93be8accd_u128.to_be_bytes();
        let snp = attester("sev_guest", report, Some(table(&[(vcek, b"\x30\x00")])));
        assert_eq!(snp.platform().tee, Tee::SevSnp);
        assert!(!snp.platform().simulated);
        let attestation = snp.attest(&[9; 64]).unwrap();
        let Evidence::SevSnp { report } = attestation.evidence else { panic!("other evidence") };
        assert_eq!(report.0[SNP_REPORT_DATA_AT..][..64], [9; 64]);
        let Some(Endorsements::SevSnp(endorsements)) = attestation.endorsements else {
            panic!("no endorsements")
        };
        assert_eq!(endorsements.vek.unwrap().0, b"\x30\x00");
    }

    #[test]
    fn a_hostile_certificate_table_does_not_cost_the_report() {
        let snp = attester("sev_guest", report, Some(vec![1; 24]));
        assert_eq!(snp.attest(&[9; 64]).unwrap().endorsements, None);
    }

    #[test]
    fn evidence_that_is_not_bound_or_not_of_its_length_is_refused() {
        let stale = attester("sev_guest", |_| report(&[1; 64]), None);
        assert_eq!(stale.attest(&[9; 64]), Err(AttestError::NotBound));
        let short = attester("sev_guest", |inblob| report(inblob)[..1183].to_vec(), None);
        assert_eq!(short.attest(&[9; 64]).unwrap_err().code(), "attest_attribute");
        let stale = attester("tdx_guest", |_| vec![1; 5000], None);
        assert_eq!(stale.attest(&[9; 64]), Err(AttestError::NotBound));
    }

    #[test]
    fn tdx_gives_the_quote_and_the_event_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("CCEL");
        std::fs::write(&log, b"events").unwrap();
        let tree = FakeTree::new("tdx_guest", |inblob| [&[4; 568], inblob].concat(), None);
        let tdx = TsmAttester::new(tree, log).unwrap();
        assert_eq!(tdx.platform().tee, Tee::Tdx);
        let Evidence::Tdx { quote, event_log } = tdx.attest(&[9; 64]).unwrap().evidence else {
            panic!("other evidence")
        };
        assert_eq!((quote.0.len(), event_log.unwrap().0), (632, b"events".to_vec()));
    }

    #[test]
    fn an_unknown_provider_is_named() {
        let error = TsmAttester::new(FakeTree::new("arm_cca_guest", report, None), PathBuf::new()).err();
        assert_eq!(error, Some(AttestError::ProviderUnknown { found: "arm_cca_guest".into() }));
    }

    #[test]
    fn the_certificate_table_of_a_real_machine_is_read() {
        let fixtures = std::env::var_os("VOUCHSAFE_FIXTURES").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
            Into::into,
        );
        let file = fixtures.join("vectors/snp/genoa-v3-tsm/tsm-report.json");
        if !file.is_file() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", file.display());
            eprintln!("NOT RUN: {} is missing", file.display());
            return;
        }
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let text = json["auxblob"].as_str().unwrap();
        let aux = data_encoding::BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes()).unwrap();
        let found = certificates::endorsements(&aux).unwrap().unwrap();
        let vek = std::fs::read(fixtures.join("vectors/snp/genoa-v3-tsm/vek.der")).unwrap();
        assert_eq!(found.vek.unwrap().0, vek);
        let ark = std::fs::read(fixtures.join("vectors/snp/chains/genoa-ark.der")).unwrap();
        assert_eq!(found.root.unwrap().0, ark);
        assert!(found.intermediate.is_some() && found.crl.is_none());
    }
}
