//! The link's framing against a model: any order of writing, ending, aborting, cutting and reading, on
//! both sides of one connection.
//!
//! The model says what each direction holds; the system under test is two framed streams over one
//! in-memory transport. A failing run prints its shortest sequence and, as proptest does, the seed that
//! brings it back; `PROPTEST_RNG_SEED` sets one, `PROPTEST_CASES` the number of sequences.

use std::io::ErrorKind;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::runtime::Runtime;
use vouchsafe_link::FramedStream;

/// One of the two ends of the connection.
type Side = usize;

/// More than any sequence of writes fills, so that a write never waits.
const TRANSPORT_BYTES: usize = 1 << 20;
const WRITE_BYTES_MAX: usize = 20_000;
const STEPS_MAX: usize = 40;

#[derive(Debug, Clone)]
enum Step {
    /// Writes so many bytes, all of this value, and flushes.
    Write(Side, u8, usize),
    /// Ends the side's direction.
    End(Side),
    /// Aborts it.
    Abort(Side),
    /// Drops the side's stream, transport and all.
    Cut(Side),
    /// Reads everything that there is, so many bytes at a time.
    Read(Side, usize),
}

/// How a direction stands, seen by who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    Open,
    Ended,
    Aborted,
    Truncated,
}

/// What a step must come to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The direction was closed before, in another way or at all.
    Refused,
    /// These bytes, and then this.
    Read(Vec<u8>, Close),
}

#[derive(Debug, Clone)]
struct Model {
    /// By the side that writes.
    unread: [Vec<u8>; 2],
    closed: [Close; 2],
    is_gone: [bool; 2],
    /// What the last step must have come to.
    outcome: Outcome,
}

struct Framing;

impl ReferenceStateMachine for Framing {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        let model = Model {
            unread: [Vec::new(), Vec::new()],
            closed: [Close::Open; 2],
            is_gone: [false; 2],
            outcome: Outcome::Done,
        };
        Just(model).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        let reading =
            |side| (Just(side), 1..=WRITE_BYTES_MAX).prop_map(|(side, size)| Step::Read(side, size));
        match model.is_gone {
            [true, _] => return reading(1).boxed(),
            [_, true] => return reading(0).boxed(),
            [false, false] => {}
        }
        let side = || 0..2_usize;
        prop_oneof![
            6 => (side(), any::<u8>(), 0..=WRITE_BYTES_MAX)
                .prop_map(|(side, value, length)| Step::Write(side, value, length)),
            6 => side().prop_flat_map(reading),
            1 => side().prop_map(Step::End),
            1 => side().prop_map(Step::Abort),
            1 => side().prop_map(Step::Cut),
        ]
        .boxed()
    }

    fn preconditions(model: &Model, step: &Step) -> bool {
        match step {
            // Whether a write towards nobody fails is the transport's business. Somebody stays to read.
            Step::Write(..) | Step::End(_) | Step::Abort(_) | Step::Cut(_) => model.is_gone == [false; 2],
            Step::Read(side, _) => !model.is_gone[*side],
        }
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        model.outcome = match *step {
            Step::Write(side, value, length) => match model.closed[side] {
                Close::Open => {
                    model.unread[side].extend(std::iter::repeat_n(value, length));
                    Outcome::Done
                }
                // A write of nothing is refused too: the direction is over.
                _ => Outcome::Refused,
            },
            Step::End(side) => model.close(side, Close::Ended),
            Step::Abort(side) => model.close(side, Close::Aborted),
            Step::Cut(side) => {
                model.is_gone[side] = true;
                if model.closed[side] == Close::Open {
                    model.closed[side] = Close::Truncated;
                }
                Outcome::Done
            }
            Step::Read(side, _) => {
                Outcome::Read(std::mem::take(&mut model.unread[1 - side]), model.closed[1 - side])
            }
        };
        model
    }
}

impl Model {
    fn close(&mut self, side: Side, how: Close) -> Outcome {
        match self.closed[side] {
            Close::Open => {
                self.closed[side] = how;
                Outcome::Done
            }
            before if before == how => Outcome::Done,
            _ => Outcome::Refused,
        }
    }
}

struct Streams {
    runtime: Runtime,
    sides: [Option<FramedStream<DuplexStream>>; 2],
}

impl Streams {
    fn run(&mut self, step: &Step) -> Outcome {
        let (Step::Write(side, ..)
        | Step::End(side)
        | Step::Abort(side)
        | Step::Cut(side)
        | Step::Read(side, _)) = *step;
        let Some(stream) = &mut self.sides[side] else { panic!("the model let a gone side act") };
        let of = |result: std::io::Result<()>| match result {
            Ok(()) => Outcome::Done,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
                Outcome::Refused
            }
        };
        match *step {
            Step::Write(_, value, length) => of(self.runtime.block_on(async {
                let bytes = vec![value; length];
                if bytes.is_empty() {
                    // `write_all` would not ask.
                    assert_eq!(stream.write(&bytes).await?, 0);
                }
                stream.write_all(&bytes).await?;
                stream.flush().await
            })),
            Step::End(_) => of(self.runtime.block_on(stream.shutdown())),
            Step::Abort(_) => of(self.runtime.block_on(stream.abort())),
            Step::Read(_, size) => self.runtime.block_on(read(stream, size)),
            Step::Cut(_) => {
                self.sides[side] = None;
                Outcome::Done
            }
        }
    }
}

/// Reads until nothing is there, or nothing can come.
async fn read(stream: &mut FramedStream<DuplexStream>, size: usize) -> Outcome {
    let (mut all, mut buffer) = (Vec::new(), vec![0; size]);
    loop {
        let read = tokio::select! {
            biased;
            read = stream.read(&mut buffer) => read,
            () = std::future::ready(()) => return Outcome::Read(all, Close::Open),
        };
        let close = match read {
            Ok(0) => Close::Ended,
            Ok(count) => {
                all.extend_from_slice(&buffer[..count]);
                continue;
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Close::Truncated,
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => Close::Aborted,
            Err(error) => panic!("{error}"),
        };
        return Outcome::Read(all, close);
    }
}

impl StateMachineTest for Streams {
    type SystemUnderTest = Self;
    type Reference = Framing;

    fn init_test(_: &Model) -> Self {
        let (a, b) = tokio::io::duplex(TRANSPORT_BYTES);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { runtime, sides: [a, b].map(|side| Some(FramedStream::new(side))) }
    }

    fn apply(mut streams: Self, model: &Model, step: Step) -> Self {
        assert_eq!(streams.run(&step), model.outcome, "{step:?}");
        streams
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn framing_does_what_its_model_does(sequential 1..STEPS_MAX => Streams);
}

/// The sequence that every session goes through, so that a model that lets nothing happen is noticed.
#[test]
fn the_model_allows_an_ordinary_session() {
    let steps = [
        Step::Write(0, 1, 300),
        Step::Read(1, 100),
        Step::Write(1, 2, WRITE_BYTES_MAX),
        Step::End(1),
        Step::Read(0, 7),
        Step::Write(0, 3, 5),
        Step::End(0),
        Step::Read(1, 4096),
        Step::Cut(0),
        Step::Read(1, 1),
    ];
    let state = Framing::init_state();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut model = state.new_tree(&mut runner).unwrap().current();
    let mut streams = Streams::init_test(&model);
    for step in steps {
        assert!(Framing::preconditions(&model, &step), "{step:?}");
        model = Framing::apply(model, &step);
        streams = Streams::apply(streams, &model, step);
    }
    assert_eq!(model.closed, [Close::Ended; 2]);
}
