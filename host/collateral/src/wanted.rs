//! Which endorsements a piece of evidence wants, and where they are.

use vouchsafe_verifier::Evidence;
use vouchsafe_verifier::encoding::to_hex;
use vouchsafe_verifier::snp::{Product, Report, Tcb, VekKind};
use vouchsafe_verifier::tdx::{PckCa, claimed_platform};

use crate::Error;
use crate::item::{Item, Kind};

/// Where the services are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// AMD's KDS.
    pub amd_kds: String,
    /// Intel's PCS.
    pub intel_pcs: String,
    /// Intel's list of revoked authorities, which is published elsewhere.
    pub intel_root_crl: String,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            amd_kds: "https://kdsintf.amd.com".into(),
            intel_pcs: "https://api.trustedservices.intel.com".into(),
            intel_root_crl: "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der".into(),
        }
    }
}

/// What a machine's endorsements are about. As the evidence claims it: nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted(What);

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Amd {
        product: Product,
        /// Absent where the report is signed by a VLEK: its certificate comes with the machine.
        vcek: Option<Vcek>,
    },
    Intel {
        fmspc: String,
        ca: &'static str,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Vcek {
    chip: String,
    tcb: Tcb,
}

impl Wanted {
    /// What this evidence wants.
    ///
    /// # Errors
    /// [`Error::Evidence`]: it is malformed, or does not say which chip or platform made it.
    pub fn of(evidence: &Evidence) -> Result<Self, Error> {
        let refused = |why: String| Error::Evidence(why);
        let what = match evidence {
            Evidence::SevSnp { report } => {
                let report = Report::parse(&report.0).map_err(|error| refused(error.to_string()))?;
                let product = report
                    .cpuid_product()
                    .ok_or_else(|| refused("the report names no product that is known".into()))?;
                let vcek = match report.signing_key() {
                    VekKind::Vcek => Some(Vcek {
                        chip: report
                            .chip_id()
                            .map(|chip| to_hex(chip.get(..chip_id_len(product)).unwrap_or_default()))
                            .ok_or_else(|| refused("the report's CHIP_ID is masked".into()))?,
                        tcb: report
                            .reported_tcb()
                            .components(product)
                            .map_err(|error| refused(error.to_string()))?,
                    }),
                    _ => None,
                };
                What::Amd { product, vcek }
            }
            Evidence::Tdx { quote, .. } => {
                let (platform, ca) =
                    claimed_platform(&quote.0).map_err(|error| refused(error.to_string()))?;
                let ca = match ca {
                    PckCa::Platform => "platform",
                    PckCa::Processor => "processor",
                };
                What::Intel { fmspc: to_hex(platform.fmspc()), ca }
            }
            _ => return Err(refused("of a platform that is not known".into())),
        };
        Ok(Self(what))
    }

    /// Everything to be fetched, and where.
    pub(crate) fn items(&self, sources: &Sources) -> Vec<Item> {
        match &self.0 {
            What::Amd { product, vcek } => {
                let service = if vcek.is_some() { "vcek" } else { "vlek" };
                let base = format!("{}/{service}/v1/{product}", sources.amd_kds.trim_end_matches('/'));
                let mut items = vec![
                    Item::new(
                        Kind::AmdChain,
                        format!("{base}/cert_chain"),
                        format!("{product}-{service}-chain"),
                    ),
                    Item::new(Kind::AmdCrl, format!("{base}/crl"), format!("{product}-{service}-crl")),
                ];
                if let Some(Vcek { chip, tcb }) = vcek {
                    let query: Vec<String> = tcb
                        .components()
                        .map(|(component, level)| format!("{component}SPL={level:02}"))
                        .collect();
                    let query = query.join("&");
                    let name =
                        format!("{product}-{}-{}", chip.get(..16).unwrap_or(chip), query.replace('&', "-"));
                    items.push(Item::new(Kind::Vcek, format!("{base}/{chip}?{query}"), name));
                }
                items
            }
            What::Intel { fmspc, ca } => {
                let base = sources.intel_pcs.trim_end_matches('/');
                let sgx = format!("{base}/sgx/certification/v4");
                let tdx = format!("{base}/tdx/certification/v4");
                vec![
                    Item::new(Kind::TcbInfo, format!("{tdx}/tcb?fmspc={fmspc}"), format!("tcb-{fmspc}")),
                    Item::new(Kind::QeIdentity, format!("{tdx}/qe/identity"), "qe-identity".into()),
                    Item::new(
                        Kind::PckCrl,
                        format!("{sgx}/pckcrl?ca={ca}&encoding=der"),
                        format!("pck-crl-{ca}"),
                    ),
                    Item::new(Kind::IntelRootCrl, sources.intel_root_crl.clone(), "root-crl".into()),
                ]
            }
        }
    }

    /// Whether these are AMD's.
    pub(crate) fn is_amd(&self) -> bool {
        matches!(self.0, What::Amd { .. })
    }
}

/// How many bytes of CHIP_ID are the chip's `hwID` (AMD 57230, "hwID").
fn chip_id_len(product: Product) -> usize {
    if product == Product::Turin { 8 } else { 64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_documented_ones() {
        let vcek = Vcek {
            chip: "ab".repeat(8),
            tcb: Tcb { fmc: Some(1), bootloader: 1, tee: 0, snp: 4, microcode: 81 },
        };
        let wanted = Wanted(What::Amd { product: Product::Turin, vcek: Some(vcek) });
        let urls = |wanted: &Wanted| -> Vec<String> {
            wanted.items(&Sources::default()).into_iter().map(|item| item.url).collect()
        };
        assert_eq!(
            urls(&wanted),
            [
                "https://kdsintf.amd.com/vcek/v1/Turin/cert_chain",
                "https://kdsintf.amd.com/vcek/v1/Turin/crl",
                "https://kdsintf.amd.com/vcek/v1/Turin/abababababababab?fmcSPL=01&blSPL=01&teeSPL=00&snpSPL=04&ucodeSPL=81",
            ]
        );
        let vlek = Wanted(What::Amd { product: Product::Milan, vcek: None });
        assert_eq!(urls(&vlek)[0], "https://kdsintf.amd.com/vlek/v1/Milan/cert_chain");
        let intel = Wanted(What::Intel { fmspc: "90c06f000000".into(), ca: "platform" });
        assert_eq!(
            urls(&intel),
            [
                "https://api.trustedservices.intel.com/tdx/certification/v4/tcb?fmspc=90c06f000000",
                "https://api.trustedservices.intel.com/tdx/certification/v4/qe/identity",
                "https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
                "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der",
            ]
        );
    }
}
