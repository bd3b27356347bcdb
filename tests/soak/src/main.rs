//! `vouchsafe-soak`: many streams through a host to an echoing guest, byte for byte compared.
//!
//! Started by `cargo xtask image --soak`, which boots the guest. Each stream writes and reads at once;
//! every fourth reads late, so that everything between here and the guest fills up, and must wait without
//! losing anything. A stream that stands still for too long has hung, which is a failure.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Longest time without any progress of a stream.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);
/// How long late readers wait before they begin.
const LATE: Duration = Duration::from_secs(3);
const PART_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// Where the host listens
    #[arg(long, value_name = "ADDR:PORT")]
    to: SocketAddr,
    /// Streams at the same time
    #[arg(long, default_value_t = 200)]
    streams: u64,
    /// Bytes each way, over all streams
    #[arg(long, default_value_t = 1 << 30)]
    bytes: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
            eprintln!("vouchsafe-soak: {}", causes.join(": "));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let each = arguments.bytes / arguments.streams.max(1);
    let begun = Instant::now();
    let streams: Vec<_> =
        (0..arguments.streams).map(|number| tokio::spawn(stream(arguments.to, number, each))).collect();
    for (number, stream) in streams.into_iter().enumerate() {
        stream.await?.with_context(|| format!("stream {number}"))?;
    }
    let (seconds, total) = (begun.elapsed().as_secs_f64(), each * arguments.streams);
    let rate = total as f64 / seconds / f64::from(1 << 20);
    println!(
        "{} streams, {total} bytes each way, nothing lost: {seconds:.1} s, {rate:.1} MiB/s each way",
        arguments.streams
    );
    Ok(())
}

/// Writes `length` bytes, and reads them back.
async fn stream(to: SocketAddr, number: u64, length: u64) -> Result<()> {
    let (mut reader, mut writer) = TcpStream::connect(to).await?.into_split();
    let writing = async move {
        let mut bytes = Bytes::new(number);
        let mut left = length;
        while left > 0 {
            let part = bytes.part(left);
            left -= part.len() as u64;
            timeout(STANDSTILL_MAX, writer.write_all(&part)).await.context("writing stands still")??;
        }
        writer.shutdown().await.context("ending")
    };
    let reading = async move {
        if number.is_multiple_of(4) {
            sleep(LATE).await;
        }
        let (mut bytes, mut left) = (Bytes::new(number), length);
        while left > 0 {
            let expected = bytes.part(left);
            left -= expected.len() as u64;
            let mut found = vec![0; expected.len()];
            timeout(STANDSTILL_MAX, reader.read_exact(&mut found))
                .await
                .with_context(|| format!("reading stands still with {left} bytes left"))?
                .with_context(|| format!("cut with {left} bytes left"))?;
            if found != expected {
                bail!("other bytes came back, with {left} left");
            }
        }
        let mut more = [0; 1];
        match timeout(STANDSTILL_MAX, reader.read(&mut more)).await.context("no end comes")?? {
            0 => Ok(()),
            _ => bail!("more came back than was sent"),
        }
    };
    tokio::try_join!(writing, reading).map(|_| ())
}

/// A stream's bytes: a sequence of its own for each (splitmix64), so that none passes for another's.
struct Bytes {
    state: u64,
}

impl Bytes {
    fn new(number: u64) -> Self {
        Self { state: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    /// The next bytes, at most `left`.
    fn part(&mut self, left: u64) -> Vec<u8> {
        let mut part = Vec::with_capacity(PART_BYTES);
        while part.len() < PART_BYTES {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            part.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
        }
        part.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        part
    }
}
