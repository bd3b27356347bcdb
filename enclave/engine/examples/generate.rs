//! Generates from a GGUF file: `generate MODEL.gguf [--chat] [--tokens N] [--temperature T] PROMPT`.

use std::io::Write;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::mpsc;

use vouchsafe_engine::{
    ChatMessage, ChatOptions, Engine, EngineOptions, Event, GenerateRequest, LoadOptions, Model, Role,
    SamplingOptions, SamplingParams,
};

const USAGE: &str = "generate MODEL.gguf [--chat] [--tokens N] [--temperature T] PROMPT";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut chat, mut tokens, mut temperature) = (false, None, 0.0);
    let mut positional = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--chat" => chat = true,
            "--tokens" => tokens = Some(value()?.parse::<NonZeroU32>()?),
            "--temperature" => temperature = value()?.parse()?,
            _ => positional.push(argument),
        }
    }
    let [path, prompt] = positional.as_slice() else { return Err(USAGE.into()) };

    let model = Model::load(path, &LoadOptions::default(), &mut |progress| {
        eprint!("\r{} of {} bytes", progress.bytes_done, progress.bytes_total);
    })?;
    eprintln!("\r{}", serde_json::to_string_pretty(model.identity())?);
    let engine = Engine::start(model, EngineOptions::default())?;

    let prompt = if chat {
        engine.render_chat(&[ChatMessage::new(Role::User, prompt)], &ChatOptions::default())?
    } else {
        engine.tokenize(prompt)
    };
    let mut request = GenerateRequest::new(prompt, 0);
    request.max_tokens = tokens;
    request.sampling = SamplingParams::new(SamplingOptions { temperature, ..SamplingOptions::default() })?;
    let (sender, receiver) = mpsc::channel();
    engine.submit(
        request,
        Box::new(move |event| match sender.send(event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }),
    )?;
    for event in receiver {
        match event {
            Event::Text(delta) => {
                print!("{}", delta.text);
                std::io::stdout().flush()?;
            }
            Event::Finished(finish) => {
                println!();
                let rate = f64::from(finish.usage.completion_tokens) / finish.timing.decode.as_secs_f64();
                eprintln!("{finish:?}, {rate:.1} tokens/s");
            }
            _ => {}
        }
    }
    Ok(())
}
