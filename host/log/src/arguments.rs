//! The command line of `vouchsafe-log`.

use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use vouchsafe_log::{Error, Folder, ServeConfig, WitnessConfig, WitnessSettings};

/// The transparency log: sequences, stores, publishes and has witnessed what settles.
#[derive(Parser)]
#[command(name = "vouchsafe-log", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a new log with a fresh key and print its verifier key.
    Init(Init),
    /// Print the verifier key of a log.
    Vkey(Where),
    /// Run a log.
    Serve(Box<Serve>),
    /// Read every entry and every tile of a log that does not run, and say whether all of it is sound.
    Check(Existing),
    /// Measure: fill a throwaway log and offer leaves to it at a fixed rate.
    Load(Box<Load>),
    /// Rebuild what can be rebuilt of a log that does not run: tiles from entries, the index from tiles.
    Repair(Existing),
    /// End a log that does not run, for ever: check all of it and destroy its key.
    Retire(Where),
}

/// Which log.
#[derive(Args)]
pub(crate) struct Where {
    /// The log's folder.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The key's file; in the log's folder unless given.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The record of the largest size signed; in the log's folder unless given. Keep it where no backup
    /// of the folder restores it.
    #[arg(long, value_name = "FILE")]
    high_water: Option<PathBuf>,
}

impl From<Where> for Folder {
    fn from(place: Where) -> Self {
        Self::new(place.dir, place.key, place.high_water)
    }
}

/// A log that has run before, and was restored perhaps.
#[derive(Args)]
pub(crate) struct Existing {
    #[command(flatten)]
    pub(crate) place: Where,
    /// Make the high-water record anew: only where it is lost, and this folder certainly holds the newest that
    /// was ever signed.
    #[arg(long)]
    pub(crate) create_high_water: bool,
}

#[derive(Args)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) place: Where,
    /// The log's name: the URL it will be served under, without its scheme.
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: String,
}

#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) log: Existing,
    /// The policy that a boot's evidence has to satisfy.
    #[arg(long, value_name = "POLICY")]
    pub(crate) admission: PathBuf,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

#[derive(Args)]
pub(crate) struct Load {
    /// Folder of the throwaway log; made where missing, and kept.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// How many entries the log has before the measurement.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) entries: u64,
    /// How many leaves to offer per second.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rate: u64,
    /// For how long.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// How many leaves come in one submission.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) batch: u64,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// How a log runs.
#[derive(Args)]
pub(crate) struct Settings {
    /// Where to listen; port 0 takes a free one. Put a TLS server in front of it.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8647")]
    listen: SocketAddr,
    /// Where to serve Prometheus metrics.
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<SocketAddr>,
    /// A witness: where it answers, and its verifier key. May be given several times.
    #[arg(long, value_name = "URL=VKEY")]
    witness: Vec<String>,
    /// How many witnesses must cosign before a checkpoint is published: the majority unless given, and no fewer.
    #[arg(long, value_name = "COUNT")]
    quorum: Option<usize>,
    /// How long leaves are collected before they are sequenced together, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    pool_ms: u64,
    /// How long a witness has to answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    witness_ms: u64,
    /// How often the published checkpoint is cosigned again when nothing is new, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    refresh_s: u64,
    /// How long a submission may wait for its proofs, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    answer_s: u64,
    /// How long before a receipt's `settle_by` to raise the alarm, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    alarm_s: u64,
    /// Most connections at once.
    #[arg(long, value_name = "COUNT", default_value_t = 1_024)]
    connections_max: usize,
}

impl Settings {
    /// The settings, checked as far as they can be before the log is open.
    pub(crate) fn config(&self) -> Result<ServeConfig, Error> {
        let witnesses: Vec<_> =
            self.witness.iter().map(|text| WitnessConfig::parse(text)).collect::<Result<_, _>>()?;
        let majority = witnesses.len() / 2 + 1;
        let quorum = self.quorum.unwrap_or(majority);
        let wrong = |why: &str| Err(Error::Setting { name: "--quorum", why: why.into() });
        match (witnesses.len(), self.quorum) {
            (0, Some(_)) => return wrong("there are no witnesses to make one"),
            (_, Some(0)) => return wrong("a quorum of zero trusts nobody's eyes"),
            (count @ 1.., _) if quorum > count => return wrong("it is above the number of witnesses"),
            // Of two quorums one witness is in both, so that a restored folder meets one that has seen more.
            (count @ 1.., _) if quorum < majority => {
                let why =
                    format!("{quorum} of {count} is no majority: a restored log could be forked unnoticed");
                return wrong(&why);
            }
            _ => {}
        }
        Ok(ServeConfig {
            listen: self.listen,
            metrics: self.metrics,
            pool: Duration::from_millis(self.pool_ms),
            witnesses: WitnessSettings {
                witnesses,
                quorum,
                answer_max: Duration::from_millis(self.witness_ms),
                refresh: Duration::from_secs(self.refresh_s),
            },
            answer_max: Duration::from_secs(self.answer_s),
            alarm_s: self.alarm_s,
            connections_max: self.connections_max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_translog::{Algorithm, VerifierKey};
    use vouchsafe_verifier::crypto::Ring;

    #[test]
    fn a_quorum_is_a_majority_of_the_witnesses_there_are() {
        let quorum = |count: u8, quorum: Option<&str>| {
            let mut line =
                vec!["vouchsafe-log".to_owned(), "serve".into(), "--dir=d".into(), "--admission=p".into()];
            for n in 0..count {
                let key =
                    VerifierKey::new(&format!("w{n}"), Algorithm::CosignatureV1, [n; 32], &Ring).unwrap();
                line.push(format!("--witness=http://127.0.0.1:{}={key}", 9_000 + u16::from(n)));
            }
            line.extend(quorum.map(|quorum| format!("--quorum={quorum}")));
            let Command::Serve(serve) = Cli::parse_from(line).command else { panic!("not serve") };
            serve.settings.config().map(|config| config.witnesses.quorum).map_err(|error| error.code())
        };
        assert_eq!(quorum(0, None), Ok(1), "not asked for without witnesses");
        for (count, given, expected) in [
            (1, None, Ok(1)),
            (2, None, Ok(2)),
            (3, None, Ok(2)),
            (3, Some("2"), Ok(2)),
            (3, Some("3"), Ok(3)),
            (4, Some("3"), Ok(3)),
            (0, Some("1"), Err("setting")),
            (2, Some("0"), Err("setting")),
            (2, Some("1"), Err("setting")),
            (3, Some("1"), Err("setting")),
            (4, Some("2"), Err("setting")),
            (3, Some("4"), Err("setting")),
        ] {
            assert_eq!(quorum(count, given), expected, "{given:?} of {count}");
        }
    }
}
