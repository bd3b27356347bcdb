//! Boots and epochs as a log admits them and as its monitors judge them: by the whole policy, from what
//! is public of them, before there is any answer.

use vouchsafe_receipt::{
    AttestedStatement, BootStatement, EpochStatement, ImageManifest, ReceiptKey, report_data,
};
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::{Endorsements, UnixSeconds};

use super::checks::{Checks, check};
use super::evidence::{Basis, OtherRoots, platform_of, unsupported};
use super::released::{Released, images_of};
use super::statements::{self, Attested};
use super::unproved::{self, Subject};
use super::{model, purpose_fits};
use crate::verdict::Step;
use crate::{Policy, Verdict, codes};

/// A boot that a policy accepted by what is public of it. Only [`appraise_boot`] makes one.
#[derive(Debug, Clone)]
pub struct AcceptedBoot {
    verdict: Verdict,
    statement: BootStatement,
    receipt_key: ReceiptKey,
    images: Vec<usize>,
}

impl AcceptedBoot {
    /// The verdict that made it: always accepted.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// What the enclave states of its boot.
    pub fn statement(&self) -> &BootStatement {
        &self.statement
    }

    /// The places of all images that measure to what it does, among those that were given.
    pub fn images(&self) -> &[usize] {
        &self.images
    }

    /// The key that signs this boot's receipts and records.
    pub fn receipt_key(&self) -> &ReceiptKey {
        &self.receipt_key
    }
}

/// Judges a boot: its evidence, what it measures to, who runs it, where its receipts settle, what it
/// serves. `at` is the moment for which to judge, `images` what was released in the log before, under the keys
/// that the policy names.
///
/// # Errors
/// The verdict, where it is not accepted.
pub fn appraise_boot(
    boot: &AttestedStatement,
    endorsements: Option<&Endorsements>,
    policy: &Policy,
    images: &[ImageManifest],
    at: UnixSeconds,
    crypto: &dyn Crypto,
) -> Result<AcceptedBoot, Box<Verdict>> {
    let mut checks = Checks::new(policy, at);
    checks.released = Released::Read(images);
    purpose_fits(&mut checks);
    let Some(platform) = platform_of(&boot.evidence) else {
        unsupported(&mut checks, Step::BootEvidence);
        return Err(Box::new(checks.conclude()));
    };
    let basis = Basis::new(&mut checks, platform, endorsements, OtherRoots::Added(&[]), crypto);
    let evidence = statements::report(&mut checks, &basis, statements::BOOT, &boot.evidence, None);
    if let Some(evidence) = &evidence {
        statements::prove_hardware(&mut checks, evidence);
    }
    let bytes = &boot.statement.0;
    statements::bound(
        &mut checks,
        check(Step::Binding, "boot_report_data", codes::BOOT_REPORT_DATA),
        evidence.as_ref(),
        &report_data::boot(bytes, crypto),
    );
    let parsed =
        BootStatement::parse(bytes, crypto).and_then(|parsed| Ok((parsed.receipt_key(crypto)?, parsed)));
    let parsed = match parsed {
        Ok((receipt_key, statement)) => {
            statements::boot(&mut checks, &statement);
            model::of_boot(&mut checks, &statement, crypto);
            Some((receipt_key, statement))
        }
        Err(error) => {
            let check = check(Step::Binding, "boot_statement", error.code());
            checks.fail(check, "a well-formed statement of version 1", error.to_string());
            None
        }
    };
    unproved::record(&mut checks, Subject::Document, Some(platform));
    let verdict = checks.conclude();
    match parsed {
        Some((receipt_key, statement)) if verdict.is_accepted() => {
            let images = evidence.as_ref().map_or_else(Vec::new, |evidence| images_of(images, evidence));
            Ok(AcceptedBoot { verdict, statement, receipt_key, images })
        }
        _ => Err(Box::new(verdict)),
    }
}

/// An epoch of a boot in a log, by its statement and evidence.
#[derive(Debug, Clone, Copy)]
pub struct LoggedEpoch<'a> {
    /// What the boot's record names.
    pub boot: &'a AttestedStatement,
    /// What the epoch's record names.
    pub epoch: &'a AttestedStatement,
    /// The epoch's number, by its record.
    pub number: u64,
}

/// Judges an epoch of a boot, which is judged with it: the same machine, the same measurement, a
/// statement of this very boot with this number. When the epoch ends is for whoever gets an answer.
///
/// # Errors
/// The verdict, where it is not accepted.
pub fn appraise_epoch(
    logged: LoggedEpoch<'_>,
    endorsements: Option<&Endorsements>,
    policy: &Policy,
    images: &[ImageManifest],
    at: UnixSeconds,
    crypto: &dyn Crypto,
) -> Result<EpochStatement, Box<Verdict>> {
    let LoggedEpoch { boot, epoch, number } = logged;
    let mut checks = Checks::new(policy, at);
    checks.released = Released::Read(images);
    purpose_fits(&mut checks);
    let verified = statements::appraise(&mut checks, boot, epoch, endorsements, &[], crypto);
    match &verified.attested {
        Some(Attested { epoch, .. }) => {
            checks.demand(
                check(Step::Binding, "epoch_number", codes::EPOCH_MISMATCH),
                epoch.epoch == number,
                number.to_string(),
                epoch.epoch.to_string(),
            );
        }
        None => checks.blocked(Step::Boot, "boot", "an attested boot statement"),
    }
    let verdict = checks.conclude();
    match verified.attested {
        Some(Attested { epoch, .. }) if verdict.is_accepted() => Ok(epoch),
        _ => Err(Box::new(verdict)),
    }
}
