//! Whether a boot in the log satisfies the policy: the seam to `vouchsafe-bundle`.

use serde::{Deserialize, Serialize};
use vouchsafe_bundle::{LoggedEpoch, Policy, Verdict, appraise_boot, appraise_epoch};
use vouchsafe_receipt::threshold::Signers;
use vouchsafe_receipt::{AttestedStatement, ImageManifest};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::{Endorsements, UnixSeconds};

use crate::state::Image;

/// What is shown of an accepted boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The platform, for people.
    pub platform: String,
    /// The launch measurement in hexadecimal.
    pub measurement: String,
    /// Whether a simulated authority vouches, so that no hardware does.
    pub simulated: bool,
    /// What the first release of its image is called, if one in the log before it measures to what it does.
    #[serde(default)]
    pub release: Option<String>,
    /// The indices of all releases in the log before it that measure to what it does: names may be given twice, and
    /// an image released under several.
    #[serde(default)]
    pub images: Vec<u64>,
}

/// Why a boot is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The appraisal's code.
    pub code: String,
    /// In words.
    pub why: String,
}

/// Judges boots and epochs, for the moment `at`. `images` are those in the log before.
pub trait Appraise: Send + Sync {
    /// Judges a boot: its evidence and what it states of itself.
    ///
    /// # Errors
    /// [`Refused`].
    fn boot(
        &self,
        boot: &AttestedStatement,
        endorsements: Option<&Endorsements>,
        images: &[Image],
        at: UnixSeconds,
    ) -> Result<Accepted, Refused>;

    /// Judges an epoch of a boot: its evidence is of the boot's machine, its statement of this boot and
    /// with this number.
    ///
    /// # Errors
    /// [`Refused`].
    fn epoch(
        &self,
        logged: LoggedEpoch<'_>,
        endorsements: Option<&Endorsements>,
        images: &[Image],
        at: UnixSeconds,
    ) -> Result<(), Refused>;

    /// Who may revoke; `None` where it names nobody.
    fn revocation_signers(&self) -> Option<Signers> {
        None
    }

    /// Who may release images; `None` where it names nobody.
    fn release_signers(&self) -> Option<Signers> {
        None
    }
}

impl Appraise for Policy {
    fn boot(
        &self,
        boot: &AttestedStatement,
        endorsements: Option<&Endorsements>,
        images: &[Image],
        at: UnixSeconds,
    ) -> Result<Accepted, Refused> {
        let accepted = appraise_boot(boot, endorsements, self, &manifests(images), at, &Ring)
            .map_err(|verdict| refused(&verdict))?;
        let of_it: Vec<&Image> = accepted.images().iter().filter_map(|place| images.get(*place)).collect();
        let claims = accepted.verdict().claims().cloned().unwrap_or_default();
        Ok(Accepted {
            platform: find(&claims, "platform").unwrap_or_else(|| "unknown".into()),
            measurement: ["measurement", "mrtd"]
                .into_iter()
                .find_map(|name| find(&claims, name))
                .unwrap_or_default(),
            simulated: accepted.verdict().simulated(),
            release: of_it.first().map(|image| image.manifest.release.clone()),
            images: of_it.iter().map(|image| image.index).collect(),
        })
    }

    fn revocation_signers(&self) -> Option<Signers> {
        Policy::revocation_signers(self, &Ring)
    }

    fn release_signers(&self) -> Option<Signers> {
        Policy::release_signers(self, &Ring)
    }

    fn epoch(
        &self,
        logged: LoggedEpoch<'_>,
        endorsements: Option<&Endorsements>,
        images: &[Image],
        at: UnixSeconds,
    ) -> Result<(), Refused> {
        match appraise_epoch(logged, endorsements, self, &manifests(images), at, &Ring) {
            Ok(_) => Ok(()),
            Err(verdict) => Err(refused(&verdict)),
        }
    }
}

fn manifests(images: &[Image]) -> Vec<ImageManifest> {
    images.iter().map(|image| image.manifest.clone()).collect()
}

fn refused(verdict: &Verdict) -> Refused {
    Refused {
        code: verdict.code().unwrap_or("incomplete").into(),
        why: verdict.detail().unwrap_or_default().into(),
    }
}

/// The first text of this name at any depth of the claims.
fn find(value: &serde_json::Value, name: &str) -> Option<String> {
    match value {
        serde_json::Value::Object(fields) => match fields.get(name) {
            Some(serde_json::Value::String(text)) => Some(text.clone()),
            _ => fields.values().find_map(|value| find(value, name)),
        },
        serde_json::Value::Array(values) => values.iter().find_map(|value| find(value, name)),
        _ => None,
    }
}
