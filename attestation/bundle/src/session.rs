//! An enclave whose attestation was judged good, and the answers it then signs.

use vouchsafe_receipt::{
    AttestedStatement, BootStatement, Envelope, EpochStatement, Opening, ReceiptKey, VerifiedRevocations,
};
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::{Endorsements, Platform, UnixSeconds};

use crate::appraise::released::ShownImage;
use crate::appraise::revoked::is_fresh;
use crate::policy::Rule;
use crate::{Answer, Bundle, BundleParts, LoggedImage, Policy, StreamRecords, Verdict};

/// An enclave that a policy accepted. Only [`appraise_document`](crate::appraise_document) makes one.
#[derive(Debug, Clone)]
pub struct VerifiedBoot {
    pub(crate) policy: Policy,
    pub(crate) revocations: Option<VerifiedRevocations>,
    /// The released image that it was held against, which its bundles take along.
    pub(crate) image: Option<LoggedImage>,
    pub(crate) released: Option<ShownImage>,
    pub(crate) verdict: Verdict,
    pub(crate) platform: Option<Platform>,
    pub(crate) receipt_key: ReceiptKey,
    pub(crate) boot: BootStatement,
    pub(crate) epoch: EpochStatement,
    pub(crate) attested_boot: AttestedStatement,
    pub(crate) attested_epoch: AttestedStatement,
    pub(crate) endorsements: Option<Endorsements>,
}

impl VerifiedBoot {
    /// The verdict that made it: always accepted.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The policy it was accepted under.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The list of revocations that it was held against.
    pub fn revocations(&self) -> Option<&VerifiedRevocations> {
        self.revocations.as_ref()
    }

    /// Whether that list is still as fresh as the policy demands; true where it demands none.
    pub fn is_list_fresh(&self, now: UnixSeconds) -> bool {
        let Rule::Require(reference) = &self.policy.document().revocations.list else { return true };
        self.revocations.as_ref().is_some_and(|list| is_fresh(list.list(), reference, now))
    }

    /// The key that signs this boot's receipts.
    pub fn receipt_key(&self) -> &ReceiptKey {
        &self.receipt_key
    }

    /// The TLS key of this boot, DER of its SubjectPublicKeyInfo. A session is with this enclave only
    /// if the certificate it presents carries exactly this key.
    pub fn tls_spki(&self) -> &[u8] {
        &self.boot.keys.tls.0
    }

    /// What the enclave states of its boot.
    pub fn boot_statement(&self) -> &BootStatement {
        &self.boot
    }

    /// What it states of its current epoch.
    pub fn epoch_statement(&self) -> &EpochStatement {
        &self.epoch
    }

    /// When the epoch ends: attest again before.
    pub fn not_after(&self) -> UnixSeconds {
        UnixSeconds(self.epoch.not_after)
    }

    /// Whether the evidence is under a simulated root: then it proves nothing about hardware.
    pub fn simulated(&self) -> bool {
        self.verdict.simulated()
    }

    /// Judges one answer of this enclave under the same policy: receipt, model, engine, openings.
    ///
    /// A receipt of a later epoch than the attested one is refused with `epoch_mismatch`: attest
    /// again, then judge it.
    pub fn check_answer(&self, answer: &Answer<'_>, at: UnixSeconds, crypto: &dyn Crypto) -> Verdict {
        crate::appraise::check_answer(self, answer, at, crypto)
    }

    /// A bundle for an answer of this enclave, which anyone can verify offline.
    ///
    /// # Errors
    /// [`Error::BundleEmpty`](crate::Error::BundleEmpty) when there is neither receipt nor stream.
    pub fn bundle(
        &self,
        receipt: Option<Envelope>,
        opening: Option<Opening>,
        stream: Option<StreamRecords>,
    ) -> Result<Bundle, crate::Error> {
        Bundle::new(BundleParts {
            receipt,
            opening,
            stream,
            boot: self.attested_boot.clone(),
            epoch: self.attested_epoch.clone(),
            endorsements: self.endorsements.clone(),
            proof: None,
            image: self.image.clone(),
        })
    }
}
