//! Boot records that wait for endorsements.
//!
//! A log admits a boot whose evidence verifies, and evidence verifies with endorsements. A machine that brings
//! none along (TDX never does, SEV-SNP only where its host filled the certificate table) has them fetched by this
//! host, which learns from the boot record's evidence whose they are. Until they are there the record waits, and
//! with it what the enclave said after it: a log takes nothing of a boot that it has not admitted.

use vouchsafe_collateral::Wanted;
use vouchsafe_link::Error as LinkError;
use vouchsafe_receipt::Leaf;
use vouchsafe_receipt::records::{endorsements_blob, parse_evidence_blob};
use vouchsafe_verifier::Endorsements;
use vouchsafe_verifier::encoding::Base64;

use crate::collateral::Stapled;
use crate::settle::Item;

/// Most records that wait: epochs of some weeks.
const HELD_MAX: usize = 1024;

/// The records of one control connection that wait. The enclave sends them again on the next one.
#[derive(Debug, Default)]
pub(crate) struct Endorsing {
    held: Vec<Item>,
    wanted: Option<Wanted>,
}

/// What becomes of a record.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It may go on its way.
    Goes(Item),
    /// It waits. The evidence, JSON, where endorsements have to be asked for.
    Waits(Option<String>),
}

impl Endorsing {
    /// Takes a record, with the endorsements that there are.
    ///
    /// # Errors
    /// [`LinkError::MessageMalformed`]: more wait than any enclave has.
    pub(crate) fn take(&mut self, mut item: Item, stapled: Option<&Stapled>) -> Result<Taken, LinkError> {
        if !self.held.is_empty() {
            if self.held.len() >= HELD_MAX {
                let why = format!("more than {HELD_MAX} records before the first one is endorsed");
                return Err(LinkError::MessageMalformed(why));
            }
            self.held.push(item);
            return Ok(Taken::Waits(None));
        }
        // Evidence that names no machine can be endorsed by nobody; the log says what is wrong with it.
        let Some((wanted, json)) = unendorsed(&item) else { return Ok(Taken::Goes(item)) };
        if let Some(stapled) = stapled.filter(|stapled| stapled.wanted == wanted) {
            endorse(&mut item, &stapled.endorsements);
            return Ok(Taken::Goes(item));
        }
        self.held.push(item);
        self.wanted = Some(wanted);
        Ok(Taken::Waits(Some(json)))
    }

    /// The records that need not wait any longer, in the order in which they came.
    pub(crate) fn release(&mut self, stapled: &Stapled) -> Vec<Item> {
        if self.wanted.as_ref() != Some(&stapled.wanted) {
            return Vec::new();
        }
        self.wanted = None;
        if let Some(first) = self.held.first_mut() {
            endorse(first, &stapled.endorsements);
        }
        core::mem::take(&mut self.held)
    }
}

fn endorse(item: &mut Item, endorsements: &Endorsements) {
    item.blobs.push(Base64(endorsements_blob(endorsements)));
}

/// Whose endorsements a boot record lacks, and its evidence.
fn unendorsed(item: &Item) -> Option<(Wanted, String)> {
    let Ok(Leaf::Boot(_)) = Leaf::parse(&item.leaf.0) else { return None };
    // Statement and evidence, and no endorsements behind them.
    let [_, evidence] = &item.blobs[..] else { return None };
    let wanted = Wanted::of(&parse_evidence_blob(&evidence.0).ok()?).ok()?;
    Some((wanted, String::from_utf8(evidence.0.clone()).ok()?))
}
