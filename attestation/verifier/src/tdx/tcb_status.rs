//! TCB statuses and how those of several parts become one.
//!
//! Statuses: Intel PCS API v4, "TCB Status". `NoMatchingLevel` is ours: the signed TCB info holds no level
//! that this platform reaches.
//!
//! Convergence: as in Intel's Quote Verification Library wherever a part is out of date or revoked. It differs
//! on purpose, and towards the worse status alone, in two places. There a quoting enclave that needs to be
//! configured otherwise leaves the platform's status as it is; here every trouble of any part is one of the
//! whole. And there the TCB that runs now counts only where it is better than the one at launch, or revoked;
//! here a worse one counts as it is.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::fmt;

use crate::{UnixSeconds, json_words};

/// What Intel says of a TCB, in Intel's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TcbStatus {
    /// Nothing to do.
    UpToDate,
    /// The software in the TD must be hardened.
    SwHardeningNeeded,
    /// The platform must be configured otherwise.
    ConfigurationNeeded,
    /// Both of the above.
    ConfigurationAndSwHardeningNeeded,
    /// TD 1.5: the TD was launched on an outdated TCB that has been updated since.
    TdRelaunchAdvised,
    /// The same, and the platform must be configured otherwise.
    TdRelaunchAdvisedConfigurationNeeded,
    /// A security update is missing.
    OutOfDate,
    /// A security update is missing, and the platform must be configured otherwise.
    OutOfDateConfigurationNeeded,
    /// No signed TCB level is reached: Intel vouches for nothing.
    NoMatchingLevel,
    /// The keys of this TCB are no longer to be believed.
    Revoked,
}

impl TcbStatus {
    fn is_out_of_date(self) -> bool {
        matches!(self, Self::OutOfDate | Self::OutOfDateConfigurationNeeded)
    }

    fn is_decided(self) -> bool {
        matches!(self, Self::Revoked | Self::NoMatchingLevel)
    }

    /// Two independent troubles, neither of them final, and the word for both.
    fn needs(self) -> Needs {
        use TcbStatus as S;
        Needs {
            update: self.is_out_of_date(),
            configuration: matches!(
                self,
                S::ConfigurationNeeded
                    | S::ConfigurationAndSwHardeningNeeded
                    | S::OutOfDateConfigurationNeeded
                    | S::TdRelaunchAdvisedConfigurationNeeded
            ),
            hardening: matches!(self, S::SwHardeningNeeded | S::ConfigurationAndSwHardeningNeeded),
            relaunch: matches!(self, S::TdRelaunchAdvised | S::TdRelaunchAdvisedConfigurationNeeded),
        }
    }

    /// The status of a whole whose parts have these two: every trouble of either part.
    #[must_use]
    pub fn converge(self, other: Self) -> Self {
        if self.is_decided() || other.is_decided() {
            return self.max(other);
        }
        let (a, b) = (self.needs(), other.needs());
        Needs {
            update: a.update || b.update,
            configuration: a.configuration || b.configuration,
            hardening: a.hardening || b.hardening,
            relaunch: a.relaunch || b.relaunch,
        }
        .status()
    }

    /// The status of a TD 1.5 launched on a TCB of status `self` and running now on one of `current`.
    ///
    /// A launch TCB that was outdated and has been updated since asks for a relaunch: what happened
    /// before the update stays suspect. A current TCB worse than the launch TCB counts as it is.
    #[must_use]
    pub fn with_current(self, current: Self) -> Self {
        if self.is_out_of_date() && !current.is_out_of_date() && !current.is_decided() {
            let configuration = self.needs().configuration || current.needs().configuration;
            return Needs { relaunch: true, configuration, update: false, hardening: false }.status();
        }
        self.converge(current)
    }
}

json_words!(TcbStatus {
    "UpToDate" => UpToDate,
    "SWHardeningNeeded" => SwHardeningNeeded,
    "ConfigurationNeeded" => ConfigurationNeeded,
    "ConfigurationAndSWHardeningNeeded" => ConfigurationAndSwHardeningNeeded,
    "TDRelaunchAdvised" => TdRelaunchAdvised,
    "TDRelaunchAdvisedConfigurationNeeded" => TdRelaunchAdvisedConfigurationNeeded,
    "OutOfDate" => OutOfDate,
    "OutOfDateConfigurationNeeded" => OutOfDateConfigurationNeeded,
    "NoMatchingLevel" => NoMatchingLevel,
    "Revoked" => Revoked,
});

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The troubles a status stands for.
#[derive(Debug, Clone, Copy)]
struct Needs {
    update: bool,
    configuration: bool,
    hardening: bool,
    relaunch: bool,
}

impl Needs {
    /// The one status for these troubles. A missing update outweighs the others, as Intel has it.
    fn status(self) -> TcbStatus {
        match (self.update, self.relaunch, self.configuration, self.hardening) {
            (true, _, true, _) => TcbStatus::OutOfDateConfigurationNeeded,
            (true, _, false, _) => TcbStatus::OutOfDate,
            (false, true, true, _) => TcbStatus::TdRelaunchAdvisedConfigurationNeeded,
            (false, true, false, _) => TcbStatus::TdRelaunchAdvised,
            (false, false, true, true) => TcbStatus::ConfigurationAndSwHardeningNeeded,
            (false, false, true, false) => TcbStatus::ConfigurationNeeded,
            (false, false, false, true) => TcbStatus::SwHardeningNeeded,
            (false, false, false, false) => TcbStatus::UpToDate,
        }
    }
}

/// What the signed documents say of one part of the TCB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcbPart {
    pub(super) status: TcbStatus,
    pub(super) tcb_date: Option<UnixSeconds>,
    pub(super) advisories: BTreeSet<String>,
}

impl TcbPart {
    /// A part for which no level is signed.
    pub(super) fn no_matching_level() -> Self {
        Self { status: TcbStatus::NoMatchingLevel, tcb_date: None, advisories: BTreeSet::new() }
    }

    /// The part's own status.
    pub fn status(&self) -> TcbStatus {
        self.status
    }

    /// The date of the matching level: what was published before it is fixed. `None` without a level.
    pub fn tcb_date(&self) -> Option<UnixSeconds> {
        self.tcb_date
    }

    /// Intel's security advisories that apply at this level, by id.
    pub fn advisories(&self) -> &BTreeSet<String> {
        &self.advisories
    }
}

#[cfg(test)]
mod tests {
    use super::TcbStatus as S;

    const ALL: [S; 10] = [
        S::UpToDate,
        S::SwHardeningNeeded,
        S::ConfigurationNeeded,
        S::ConfigurationAndSwHardeningNeeded,
        S::TdRelaunchAdvised,
        S::TdRelaunchAdvisedConfigurationNeeded,
        S::OutOfDate,
        S::OutOfDateConfigurationNeeded,
        S::NoMatchingLevel,
        S::Revoked,
    ];

    #[test]
    fn convergence_is_commutative_idempotent_and_never_improves() {
        for a in ALL {
            assert_eq!(a.converge(a), a);
            assert_eq!(a.converge(S::UpToDate), a);
            for b in ALL {
                assert_eq!(a.converge(b), b.converge(a), "{a} {b}");
                if a != S::UpToDate {
                    assert_ne!(a.converge(b), S::UpToDate, "{a} {b}");
                }
                for c in ALL {
                    assert_eq!(
                        a.converge(b).converge(c).needs().update,
                        a.converge(b.converge(c)).needs().update
                    );
                }
            }
        }
    }

    #[test]
    fn a_component_out_of_date_or_revoked_counts_as_intel_has_it() {
        // Intel QVL, convergeTcbStatuses.
        for (platform, expected) in [
            (S::UpToDate, S::OutOfDate),
            (S::SwHardeningNeeded, S::OutOfDate),
            (S::ConfigurationNeeded, S::OutOfDateConfigurationNeeded),
            (S::ConfigurationAndSwHardeningNeeded, S::OutOfDateConfigurationNeeded),
            (S::OutOfDate, S::OutOfDate),
            (S::OutOfDateConfigurationNeeded, S::OutOfDateConfigurationNeeded),
            (S::Revoked, S::Revoked),
        ] {
            assert_eq!(platform.converge(S::OutOfDate), expected, "{platform}");
            assert_eq!(platform.converge(S::Revoked), S::Revoked, "{platform}");
        }
    }

    #[test]
    fn an_updated_launch_tcb_asks_for_a_relaunch_and_a_worse_current_one_counts() {
        for (launch, current, expected) in [
            (S::UpToDate, S::UpToDate, S::UpToDate),
            (S::OutOfDate, S::UpToDate, S::TdRelaunchAdvised),
            (S::OutOfDate, S::SwHardeningNeeded, S::TdRelaunchAdvised),
            (S::OutOfDate, S::ConfigurationNeeded, S::TdRelaunchAdvisedConfigurationNeeded),
            (S::OutOfDateConfigurationNeeded, S::UpToDate, S::TdRelaunchAdvisedConfigurationNeeded),
            (S::OutOfDate, S::OutOfDate, S::OutOfDate),
            (S::OutOfDate, S::Revoked, S::Revoked),
            (S::OutOfDate, S::NoMatchingLevel, S::NoMatchingLevel),
            (S::UpToDate, S::OutOfDate, S::OutOfDate),
            (S::UpToDate, S::NoMatchingLevel, S::NoMatchingLevel),
            (S::Revoked, S::UpToDate, S::Revoked),
            (S::NoMatchingLevel, S::UpToDate, S::NoMatchingLevel),
        ] {
            assert_eq!(launch.with_current(current), expected, "{launch} then {current}");
        }
    }

    #[test]
    fn the_words_are_the_same_in_json() {
        for status in ALL {
            let json = serde_json::to_string(&status).unwrap();
            assert_eq!(json, alloc::format!("\"{status}\""));
            assert_eq!(serde_json::from_str::<S>(&json).unwrap(), status);
        }
    }
}
