//! How fast the engine is on this machine, beside a plain read of memory and, where it is there,
//! llama.cpp: `bench [--shape small|1b] [--storage q4_k_m|q8_0] [--threads N] [--rounds N]
//! [--answer TOKENS] [--folder FOLDER] [--llama-cpp PYTHON]`.
//!
//! It writes a GGUF file of random weights in the shape of a real model, once, and measures prefill,
//! decoding alone and eight at a time, and the time to the first token while others decode. PYTHON is an
//! interpreter that has `llama-cpp-python`; it runs on the same file with as many threads.
//!
//! Rates are by the clock and, where there is one thread, by the processor's time as well: on a machine
//! that others use, the latter is what says how fast the program is.

mod file;
mod memory;

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use vouchsafe_engine::{
    Engine, EngineOptions, Event, Finish, GenerateRequest, LoadOptions, Model, SamplingOptions,
    SamplingParams,
};

use crate::file::{Shape, Storage};

type Failure = Box<dyn std::error::Error>;

struct Options {
    shape: Shape,
    storage: Storage,
    threads: usize,
    /// The best of so many counts: other work on the machine only ever slows.
    rounds: usize,
    /// Tokens that each sequence generates.
    answer: u32,
    folder: PathBuf,
    llama_cpp: Option<String>,
}

impl Options {
    fn parse() -> Result<Self, Failure> {
        let mut options = Self {
            shape: Shape::ONE_BILLION,
            storage: Storage::Q4KM,
            threads: std::thread::available_parallelism()?.into(),
            rounds: 3,
            answer: 65,
            folder: std::env::temp_dir(),
            llama_cpp: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} wants a value"))?;
            match (name.as_str(), value.as_str()) {
                ("--shape", "small") => options.shape = Shape::SMALL,
                ("--shape", "1b") => options.shape = Shape::ONE_BILLION,
                ("--storage", "q4_k_m") => options.storage = Storage::Q4KM,
                ("--storage", "q8_0") => options.storage = Storage::Q8_0,
                ("--threads", _) => options.threads = value.parse()?,
                ("--rounds", _) => options.rounds = value.parse()?,
                ("--answer", _) => options.answer = value.parse()?,
                ("--folder", _) => options.folder = value.into(),
                ("--llama-cpp", _) => options.llama_cpp = Some(value),
                _ => return Err(format!("what is {name} {value}?").into()),
            }
        }
        Ok(options)
    }
}

fn main() -> Result<(), Failure> {
    let options = Options::parse()?;
    let path = options.folder.join(format!("bench-{}-{}.gguf", options.shape.name, options.storage.name()));
    if !path.is_file() {
        file::write(&path, &options.shape, options.storage)?;
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{}, {} threads; load before: {load}", path.display(), options.threads);

    let (start, processor) = (Instant::now(), memory::processor_seconds());
    let model = Model::load(&path, &LoadOptions::default(), &mut |_| {})?;
    let weight_bytes = model.weight_bytes();
    println!(
        "{} million weights, {:.0} MB packed, loaded in {:.1} s, {:.1} s of them processor time",
        model.identity().parameters() / 1_000_000,
        weight_bytes as f64 / 1e6,
        start.elapsed().as_secs_f64(),
        memory::processor_seconds() - processor
    );
    let engine_options = EngineOptions { threads: options.threads, ..EngineOptions::default() };
    let engine = Engine::start(model, engine_options)?;
    println!("instructions: {}", engine.instructions());

    let mut rows = Vec::new();
    for _ in 0..options.rounds {
        rows.push(measure(&engine, options.answer)?);
    }
    drop(engine);
    let bandwidth = memory::read_bandwidth(weight_bytes, options.threads)?;
    println!("plain read of as many bytes: {:.1} GB/s", bandwidth / 1e9);

    let best = |pick: fn(&Figures) -> f64| rows.iter().map(pick).fold(0.0, f64::max);
    let ours = Figures {
        prefill: best(|figures| figures.prefill),
        decode: best(|figures| figures.decode),
        together: best(|figures| figures.together),
        first_token_ms: rows.iter().map(|figures| figures.first_token_ms).fold(f64::MAX, f64::min),
        by_processor: [0, 1, 2]
            .map(|at| rows.iter().map(|figures| figures.by_processor[at]).fold(0.0, f64::max)),
    };
    let read = ours.decode * weight_bytes as f64;
    println!(
        "decode reads {:.1} GB/s of weights: {:.0} % of the plain read",
        read / 1e9,
        100.0 * read / bandwidth
    );
    println!(
        "first token of a {PROMPT}-token prompt beside {SEQUENCES} others: {:.0} ms",
        ours.first_token_ms
    );
    println!("peak memory: {}", memory::peak());
    let theirs = match &options.llama_cpp {
        Some(python) => Some(llama_cpp(python, &path, &options)?),
        None => None,
    };
    report("by the clock", ours.by_clock(), theirs.as_ref().map(Figures::by_clock));
    if options.threads == 1 {
        report("by the processor's time", ours.by_processor, theirs.map(|theirs| theirs.by_processor));
    }
    Ok(())
}

/// Tokens per second.
struct Figures {
    prefill: f64,
    decode: f64,
    together: f64,
    first_token_ms: f64,
    /// Prefill, decode and together, per second of processor time.
    by_processor: [f64; 3],
}

impl Figures {
    fn by_clock(&self) -> [f64; 3] {
        [self.prefill, self.decode, self.together]
    }
}

fn measure(engine: &Engine, answer: u32) -> Result<Figures, Failure> {
    let (prefill, prefill_time) = timed(|| finish(&submit(engine, PROMPT, 1)?))?;
    let (decode, decode_time) = timed(|| finish(&submit(engine, 1, answer)?))?;
    let (slowest, together_time) = timed(|| {
        let running: Vec<_> = (0..SEQUENCES).map(|_| submit(engine, 1, answer)).collect::<Result<_, _>>()?;
        let all: Vec<Finish> = running.iter().map(finish).collect::<Result<_, _>>()?;
        Ok(all.iter().map(|finish| finish.timing.decode.as_secs_f64()).fold(0.0, f64::max))
    })?;
    let long: Vec<_> = (0..SEQUENCES - 1).map(|_| submit(engine, 16, answer)).collect::<Result<_, _>>()?;
    let late = finish(&submit(engine, PROMPT, 1)?)?;
    long.iter().try_for_each(|events| finish(events).map(drop))?;
    let sequences = SEQUENCES as f64;
    Ok(Figures {
        prefill: f64::from(PROMPT) / prefill.timing.prefill.as_secs_f64(),
        decode: f64::from(answer - 1) / decode.timing.decode.as_secs_f64(),
        together: f64::from(answer - 1) * sequences / slowest,
        first_token_ms: 1e3 * (late.timing.queued + late.timing.prefill).as_secs_f64(),
        by_processor: [
            f64::from(PROMPT) / prefill_time,
            f64::from(answer) / decode_time,
            f64::from(answer) * sequences / together_time,
        ],
    })
}

/// What the work gives, and the processor time that it took.
fn timed<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<(T, f64), Failure> {
    let start = memory::processor_seconds();
    let result = work()?;
    Ok((result, memory::processor_seconds() - start))
}

fn submit(engine: &Engine, prompt: u32, answer: u32) -> Result<Receiver<Finish>, Failure> {
    let mut request = GenerateRequest::new((0..prompt).map(|at| 300 + at * 7 % 1000).collect(), 0);
    request.max_tokens = NonZeroU32::new(answer);
    // Greedy, and without an end.
    request.sampling = SamplingParams::new(SamplingOptions {
        temperature: 0.0,
        logit_bias: vec![(file::END, -100.0)],
        ..SamplingOptions::default()
    })?;
    let (sender, receiver) = channel();
    let sink = Box::new(move |event| {
        if let Event::Finished(finish) = event {
            let _ = sender.send(finish);
        }
        ControlFlow::Continue(())
    });
    engine.submit(request, sink)?;
    Ok(receiver)
}

fn finish(events: &Receiver<Finish>) -> Result<Finish, Failure> {
    Ok(events.recv()?)
}

fn llama_cpp(python: &str, model: &Path, options: &Options) -> Result<Figures, Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/bench-llama-cpp.py");
    let output = Command::new(python)
        .arg(script)
        .arg(model)
        .args(
            [options.threads, PROMPT as usize, options.answer as usize, SEQUENCES, options.rounds]
                .map(|value| value.to_string()),
        )
        .output()?;
    if !output.status.success() {
        return Err(format!("{python}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let figure = |name: &str| figures[name].as_f64().ok_or_else(|| format!("no {name}"));
    Ok(Figures {
        prefill: figure("prefill")?,
        decode: figure("decode")?,
        together: figure("together")?,
        first_token_ms: 0.0,
        by_processor: [
            figure("prefill_processor")?,
            figure("decode_processor")?,
            figure("together_processor")?,
        ],
    })
}

fn report(how: &str, ours: [f64; 3], theirs: Option<[f64; 3]>) {
    println!("| tokens/s {how} | here | llama.cpp | ratio |\n| --- | --- | --- | --- |");
    let names = [format!("prefill {PROMPT}"), "decode".to_owned(), format!("{SEQUENCES} decoding together")];
    for (at, name) in names.iter().enumerate() {
        match theirs {
            Some(theirs) => {
                let (ours, theirs) = (ours[at], theirs[at]);
                println!("| {name} | {ours:.1} | {theirs:.1} | {:.2} |", ours / theirs);
            }
            None => println!("| {name} | {:.1} | | |", ours[at]),
        }
    }
}

const PROMPT: u32 = 256;
const SEQUENCES: usize = 8;
