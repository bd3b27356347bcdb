//! Random bytes for ids and seeds. Everything that signing needs is drawn by the issuer itself.

use ring::rand::{SecureRandom as _, SystemRandom};

/// Fresh random bytes; `None` when the operating system gives none.
pub(crate) fn bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}
