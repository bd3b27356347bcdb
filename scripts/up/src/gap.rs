//! The trust gap: how long answers are unproved to anyone but their client.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::show::{self, WARN};
use crate::{Started, ask};

/// What has not settled by then counts as unsettled, with this as its gap.
const SETTLED_TIMEOUT: Duration = Duration::from_secs(60);

/// Pauses are below this: twice the interval at which the log sequences.
const PAUSE_MILLIS: u64 = 500;
/// Its multiples spread evenly: the golden section of [`PAUSE_MILLIS`].
const GOLDEN: u64 = 309;

pub(crate) async fn run(started: Started, count: u32) -> Result<()> {
    let session = ask::attest(started.running.address, &started.policy).await?;
    let model = &started.expected.models.first().context("no model is served")?.name;
    let (mut gaps, mut unsettled) = (Vec::new(), 0_u32);
    for number in 0..u64::from(count) {
        // A proof comes when the log has just sequenced a batch: asked at once, every question would wait
        // for a whole interval. Pauses spread evenly over two intervals ask at any time of it.
        tokio::time::sleep(Duration::from_millis(number.wrapping_mul(GOLDEN) % PAUSE_MILLIS)).await;
        let asked = ask::stream(&session, model, "What is a receipt?", |_| {}).await?;
        let token = asked.token.as_deref().context("the answer came without a token")?;
        let answered = Instant::now();
        match tokio::time::timeout(SETTLED_TIMEOUT, ask::proof(&session, token, &asked.boot)).await {
            Ok(proof) => drop(proof?),
            Err(_) => unsettled += 1,
        }
        gaps.push(answered.elapsed());
    }
    gaps.sort_unstable();
    drop(session);
    started.stop().await?;

    show::heading("Trust gap: from the answer's last byte to its proof under a quorum of witnesses");
    anstream::println!(
        "  {WARN}One machine: enclave (simulated), host, log and three witnesses share it.{WARN:#}"
    );
    anstream::println!(
        "  Measured by the client's own clock, which looks every {} ms; questions come at any time.",
        ask::LOOK.as_millis()
    );
    show::row("answers", &format!("{count}, unsettled {unsettled}"));
    for (name, share) in [("p50", 50), ("p90", 90), ("p99", 99), ("longest", 100)] {
        show::row(name, &show::time(percentile(&gaps, share)));
    }
    Ok(())
}

/// The smallest of the sorted values that at least `share` percent do not exceed.
fn percentile(sorted: &[Duration], share: usize) -> Duration {
    let rank = (sorted.len() * share).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), Duration::from_millis(100));
        assert_eq!(percentile(&values, 99), Duration::from_millis(198));
        assert_eq!(percentile(&values, 100), Duration::from_millis(200));
        assert_eq!(percentile(&values[..1], 50), Duration::from_millis(1));
    }
}
