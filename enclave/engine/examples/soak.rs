//! A soak of the engine: `soak MODEL.gguf [--minutes N] [--seed N]`.
//!
//! Requests arrive at random, of random lengths, some of them turns of a tenant's conversation, some with
//! speculation, some cancelled on the way by their sink or their handle, some refused by a full queue. It
//! checks that each ends, once, and as it should; that requests start in the order of their arrival; that
//! nothing stays reserved when all have ended; that every answer, also what there is of a cancelled
//! one, is what a second engine computes that runs nothing else; and that memory stops growing. It ends with
//! status 1 at the first of these that does not hold.

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use vouchsafe_engine::{
    Engine, EngineOptions, Event, FinishReason, GenerateRequest, JobHandle, Load, LoadOptions, Model,
    ReuseKey, SamplingOptions, SamplingParams, SubmitError,
};

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "soak MODEL.gguf [--minutes N] [--seed N]";

struct Options {
    model: String,
    minutes: f64,
    seed: u64,
}

impl Options {
    fn parse() -> Result<Self, Failure> {
        let mut options = Self { model: String::new(), minutes: 30.0, seed: 1 };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--minutes" => options.minutes = arguments.next().ok_or(USAGE)?.parse()?,
                "--seed" => options.seed = arguments.next().ok_or(USAGE)?.parse()?,
                _ => options.model = argument,
            }
        }
        if options.model.is_empty() { Err(USAGE.into()) } else { Ok(options) }
    }
}

struct Random(u64);

impl Random {
    /// Below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 ^ self.0 >> 29) >> 16) % bound
    }
}

/// What a sink saw.
struct Told {
    number: u64,
    event: Event,
}

/// A request under way.
struct Running {
    request: GenerateRequest,
    handle: JobHandle,
    text: String,
    tokens: Vec<u32>,
    tenant: Option<usize>,
}

#[derive(Default)]
struct Counts {
    ended: [u64; 4],
    refused: u64,
    replayed: u64,
    tokens: u64,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse()?;
    let load = || Model::load(&options.model, &LoadOptions::default(), &mut |_| {});
    let bounds = EngineOptions { max_queue: 24, kv_tokens_max: 4096, ..EngineOptions::default() };
    let engine = Engine::start(load()?, bounds.clone())?;
    let alone = Engine::start(load()?, EngineOptions { max_sequences: 1, threads: 1, ..bounds })?;
    let mut soak = Soak {
        context: u64::from(engine.context_length()),
        vocabulary: u64::from(engine.identity().vocabulary()),
        random: Random(options.seed),
        conversations: vec![Vec::new(); TENANTS],
        counts: Counts::default(),
    };
    let end = Instant::now() + Duration::from_secs_f64(options.minutes * 60.0);
    let (mut rounds, mut resident) = (0_u32, Vec::new());
    while Instant::now() < end {
        soak.round(&engine, &alone)?;
        rounds += 1;
        resident.push(resident_kb());
        if rounds.is_multiple_of(20) {
            eprintln!("{rounds} rounds, {} kB resident", resident.last().unwrap_or(&0));
        }
    }
    let counts = &soak.counts;
    let [stop, length, cancelled, failed] = counts.ended;
    println!(
        "{rounds} rounds in {} minutes: {stop} ended by themselves, {length} by length, {cancelled} cancelled, {failed} failed, {} refused; {} answers of {} tokens computed again and the same; {:?}",
        options.minutes,
        counts.refused,
        counts.replayed,
        counts.tokens,
        engine.savings()
    );
    grown(&resident)
}

/// Whether the second half's least memory is more than the first half's most, by more than a little.
fn grown(resident: &[u64]) -> Result<(), Failure> {
    let (first, second) = resident.split_at(resident.len() / 2);
    let (Some(most), Some(least)) = (first.iter().max(), second.iter().min()) else { return Ok(()) };
    println!("resident: at most {most} kB in the first half, at least {least} kB in the second");
    if *least > most + most / 50 { Err("memory grows".into()) } else { Ok(()) }
}

struct Soak {
    context: u64,
    vocabulary: u64,
    random: Random,
    /// Of each tenant, the tokens of its conversation so far.
    conversations: Vec<Vec<u32>>,
    counts: Counts,
}

impl Soak {
    /// Some dozens of requests, and then nothing until all have ended.
    fn round(&mut self, engine: &Engine, alone: &Engine) -> Result<(), Failure> {
        let (sender, events) = channel();
        let (mut running, mut over) = (std::collections::BTreeMap::new(), Vec::new());
        let count = 10 + self.random.below(60);
        let mut started = Vec::new();
        for number in 0..count {
            let (request, tenant) = self.request();
            let patience = match self.random.below(8) {
                0 => self.random.below(20),
                _ => u64::MAX,
            };
            match engine.submit(request.clone(), sink(number, patience, sender.clone())) {
                Ok(handle) => {
                    let fresh = Running { request, handle, text: String::new(), tokens: Vec::new(), tenant };
                    running.insert(number, fresh);
                }
                Err(SubmitError::QueueFull { .. }) => self.counts.refused += 1,
                Err(error) => return Err(error.into()),
            }
            if self.random.below(10) == 0
                && let Some(unlucky) =
                    running.values().nth(self.random.below(running.len().max(1) as u64) as usize)
            {
                unlucky.handle.cancel();
            }
            let exponent = 5 + self.random.below(12);
            let pause = Duration::from_micros(self.random.below(1 << exponent));
            let until = Instant::now() + pause;
            while let Ok(told) = events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                self.note(told, &mut running, &mut started, &mut over)?;
            }
        }
        while !running.is_empty() {
            let told = events.recv_timeout(PATIENCE).map_err(|_| "a request does not end")?;
            self.note(told, &mut running, &mut started, &mut over)?;
        }
        if !started.is_sorted() {
            return Err(format!("requests started in the order {started:?}").into());
        }
        if engine.load() != Load::default() {
            return Err(format!("all have ended, and there is {:?}", engine.load()).into());
        }
        over.into_iter().try_for_each(|(running, reason)| self.again(alone, running, reason))
    }

    fn request(&mut self) -> (GenerateRequest, Option<usize>) {
        let random = &mut self.random;
        let tenant = (random.below(2) == 0).then(|| random.below(TENANTS as u64) as usize);
        let long = if random.below(6) == 0 { self.context / 2 } else { 40 };
        let addition = 1 + random.below(long);
        let mut prompt = tenant.map(|tenant| self.conversations[tenant].clone()).unwrap_or_default();
        prompt.extend((0..addition).map(|_| random.below(self.vocabulary) as u32));
        prompt.truncate(self.context as usize * 3 / 4);
        let mut request = GenerateRequest::new(prompt, random.below(u64::MAX));
        let longest = if random.below(5) == 0 { self.context / 4 } else { 30 };
        let answer = 1 + random.below(longest);
        request.max_tokens = NonZeroU32::new(answer as u32);
        request.reuse = tenant.map(|tenant| ReuseKey::new([tenant as u8; 32]));
        request.speculate = random.below(3) == 0;
        let temperature = [0.0, 0.5, 1.0][random.below(3) as usize];
        let sampling = SamplingOptions { temperature, ..SamplingOptions::default() };
        request.sampling = SamplingParams::new(sampling).unwrap_or_default();
        (request, tenant)
    }

    fn note(
        &mut self,
        told: Told,
        running: &mut std::collections::BTreeMap<u64, Running>,
        started: &mut Vec<u64>,
        over: &mut Vec<(Running, FinishReason)>,
    ) -> Result<(), Failure> {
        let number = told.number;
        let one = running.get_mut(&number).ok_or("an event after the end")?;
        match told.event {
            Event::Started { .. } => started.push(number),
            Event::Text(delta) => {
                one.text.push_str(&delta.text);
                one.tokens.extend(delta.tokens.iter().map(|token| token.id));
            }
            Event::Finished(finish) => {
                let kind = match &finish.reason {
                    FinishReason::Stop | FinishReason::StopString(_) => 0,
                    FinishReason::Length => 1,
                    FinishReason::Cancelled => 2,
                    _ => 3,
                };
                self.counts.ended[kind] += 1;
                if kind == 3 {
                    return Err(format!("a request failed: {:?}", finish.reason).into());
                }
                over.extend(running.remove(&number).map(|running| (running, finish.reason)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Computes an answer again, by itself.
    fn again(&mut self, alone: &Engine, done: Running, reason: FinishReason) -> Result<(), Failure> {
        let (sender, events) = channel();
        let mut request = GenerateRequest::new(done.request.prompt.clone(), done.request.seed);
        (request.sampling, request.max_tokens) = (done.request.sampling, done.request.max_tokens);
        let cancelled = reason == FinishReason::Cancelled;
        if cancelled {
            // Of what was cut off the beginning is compared.
            match NonZeroU32::new(done.tokens.len() as u32) {
                Some(count) => request.max_tokens = Some(count),
                None => return Ok(()),
            }
        }
        alone.submit(request, sink(0, u64::MAX, sender))?;
        let (mut text, mut tokens, mut ended) = (String::new(), Vec::new(), None);
        for told in events {
            match told.event {
                Event::Text(delta) => {
                    text.push_str(&delta.text);
                    tokens.extend(delta.tokens.iter().map(|token| token.id));
                }
                Event::Finished(finish) => ended = Some(finish.reason),
                _ => {}
            }
        }
        // What a decoder still held back of a character is missing where it was cut off.
        let same = if cancelled {
            tokens.starts_with(&done.tokens) && text.starts_with(&done.text)
        } else {
            tokens == done.tokens && text == done.text && ended == Some(reason)
        };
        if !same {
            return Err(format!("{:?} and alone {text:?}", done.text).into());
        }
        self.counts.replayed += 1;
        self.counts.tokens += tokens.len() as u64;
        if let Some(tenant) = done.tenant {
            let conversation = &mut self.conversations[tenant];
            *conversation = [done.request.prompt, tokens].concat();
            if conversation.len() as u64 > self.context / 2 {
                conversation.clear();
            }
        }
        Ok(())
    }
}

/// Breaks off after so many pieces of text.
fn sink(number: u64, mut patience: u64, events: Sender<Told>) -> vouchsafe_engine::Sink {
    Box::new(move |event| {
        let is_text = matches!(event, Event::Text(_));
        let _ = events.send(Told { number, event });
        if is_text && patience == 0 {
            return ControlFlow::Break(());
        }
        patience -= u64::from(is_text && patience < u64::MAX);
        ControlFlow::Continue(())
    })
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

const TENANTS: usize = 5;

/// A bound on a hang.
const PATIENCE: Duration = Duration::from_secs(600);
