//! How many requests each address may make: a token bucket per address, in bounded memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Addresses remembered at once.
const ADDRESSES_MAX: usize = 16_384;

/// Token buckets by address. An IPv6 address counts as its /64, which is what one subscriber gets.
#[derive(Debug)]
pub struct Rate {
    per_second: u32,
    burst: u32,
    buckets: HashMap<IpAddr, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Rate {
    /// Lets each address make `per_second` requests per second, and `burst` at once.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst: burst.max(1), buckets: HashMap::new() }
    }

    /// Takes one request of `address` at the moment `now`; the time to wait where it is one too many.
    ///
    /// # Errors
    /// How long until the next request is admitted.
    pub fn take(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let (per_second, burst) = (f64::from(self.per_second), f64::from(self.burst));
        let address = subscriber(address);
        if self.buckets.len() >= ADDRESSES_MAX && !self.buckets.contains_key(&address) {
            self.forget_full(now);
        }
        let bucket = self.buckets.entry(address).or_insert(Bucket { tokens: burst, at: now });
        let gained = now.saturating_duration_since(bucket.at).as_secs_f64() * per_second;
        bucket.tokens = (bucket.tokens + gained).min(burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            let seconds = if per_second > 0.0 { (1.0 - bucket.tokens) / per_second } else { 3600.0 };
            return Err(Duration::from_secs_f64(seconds));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    /// Forgets every address that has its whole burst again, as one never seen has; and if all of
    /// them are busy, forgets them all: that admits some requests too many rather than no new address.
    fn forget_full(&mut self, now: Instant) {
        let (per_second, burst) = (f64::from(self.per_second), f64::from(self.burst));
        self.buckets.retain(|_, bucket| {
            bucket.tokens + now.saturating_duration_since(bucket.at).as_secs_f64() * per_second < burst
        });
        if self.buckets.len() >= ADDRESSES_MAX {
            self.buckets.clear();
        }
    }
}

fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_admitted_and_then_the_rate() {
        let (mut rate, start) = (Rate::new(2, 3), Instant::now());
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..3 {
            assert_eq!(rate.take(one, start), Ok(()));
        }
        assert_eq!(rate.take(one, start), Err(Duration::from_millis(500)));
        assert_eq!(rate.take(other, start), Ok(()), "another address has its own bucket");
        let later = start + Duration::from_millis(500);
        assert_eq!(rate.take(one, later), Ok(()));
        assert!(rate.take(one, later).is_err());
    }

    #[test]
    fn one_subscriber_has_one_bucket_and_memory_is_bounded() {
        let (mut rate, start) = (Rate::new(1, 1), Instant::now());
        assert_eq!(rate.take("2001:db8::1".parse().unwrap(), start), Ok(()));
        assert!(rate.take("2001:db8::2".parse().unwrap(), start).is_err());
        for index in 0..40_000u32 {
            let _ = rate.take(IpAddr::from((index + 0x0a00_0000).to_be_bytes()), start);
            assert!(rate.buckets.len() <= ADDRESSES_MAX);
        }
    }
}
