//! What is reused and what is guessed changes no answer.

use proptest::prelude::*;

use super::tests::{Answer, collect, options, request, run, submit};
use super::*;
use crate::model::tests::{tiny, tiny_file};
use crate::{LoadOptions, SamplingOptions, SamplingParams};

fn key(byte: u8) -> Option<ReuseKey> {
    Some(ReuseKey::new([byte; 32]))
}

fn same(a: &Answer, b: &Answer) -> bool {
    a.text == b.text && a.tokens == b.tokens && a.finish.reason == b.finish.reason && {
        a.finish.usage == b.finish.usage
    }
}

/// A few letters alone, so that an answer repeats itself.
fn babble(text: &str, max_tokens: u32, temperature: f32) -> GenerateRequest {
    let mut request = request(text, max_tokens);
    let logit_bias = (b'a'..=b'c').map(|byte| (u32::from(byte), 80.0)).collect();
    let options = SamplingOptions { logit_bias, temperature, ..SamplingOptions::default() };
    request.sampling = SamplingParams::new(options).unwrap();
    request.logprobs = Some(2);
    request
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn guesses_change_no_bit(
        seed: u64,
        prompts in prop::collection::vec("[abc]{1,60}", 1..4),
        max_tokens in 1_u32..80,
        temperature in prop::sample::select(&[0.0, 0.3, 1.0][..]),
    ) {
        let engine = Engine::start(tiny(), options()).unwrap();
        let requests: Vec<GenerateRequest> = prompts
            .iter()
            .map(|prompt| GenerateRequest { seed, ..babble(prompt, max_tokens, temperature) })
            .collect();
        let plain: Vec<Answer> = requests.iter().map(|request| run(&engine, request.clone())).collect();
        prop_assert_eq!(engine.savings(), Savings::default());
        let bold = |request: &GenerateRequest| GenerateRequest { speculate: true, ..request.clone() };
        for (plain, request) in plain.iter().zip(&requests) {
            prop_assert!(same(plain, &run(&engine, bold(request))));
        }
        let together: Vec<_> = requests.iter().map(|request| submit(&engine, bold(request)).1).collect();
        for (plain, events) in plain.iter().zip(&together) {
            prop_assert!(same(plain, &collect(events)));
        }
    }

    #[test]
    fn what_is_reused_changes_no_bit(
        seed: u64,
        turns in prop::collection::vec("[a-e]{1,50}", 1..5),
        kv_tokens_max in 200_usize..900,
        speculate: bool,
    ) {
        let fresh = Engine::start(tiny(), options()).unwrap();
        let kept = Engine::start(tiny(), EngineOptions { kv_tokens_max, ..options() }).unwrap();
        let mut text = String::new();
        for (turn, addition) in turns.iter().enumerate() {
            text.push_str(addition);
            let plain = GenerateRequest { seed, ..babble(&text, 20, 0.7) };
            if text.len() + 20 > kv_tokens_max {
                break;
            }
            // Another tenant's requests come between.
            let other = GenerateRequest { reuse: key(2), ..babble(addition, 5, 0.7) };
            let other = submit(&kept, other).1;
            let reusing = GenerateRequest { reuse: key(1), speculate, ..plain.clone() };
            let expected = run(&fresh, plain);
            prop_assert!(same(&expected, &run(&kept, reusing)), "turn {turn}");
            collect(&other);
            text.push_str(&expected.text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_draft_changes_no_bit(
        seed: u64,
        prompts in prop::collection::vec("[a-z]{1,60}", 1..4),
        max_tokens in 1_u32..60,
        temperature in prop::sample::select(&[0.0, 0.7][..]),
    ) {
        // With pieces so small that the draft reads its prompt in several steps.
        let options = EngineOptions { prefill_chunk: 9, ..options() };
        let plain = Engine::start(tiny(), options.clone()).unwrap();
        let with = Engine::start_with_draft(tiny(), smaller(), options).unwrap();
        let requests: Vec<GenerateRequest> = prompts
            .iter()
            .map(|prompt| GenerateRequest { seed, ..varied(prompt, max_tokens, temperature) })
            .collect();
        let expected: Vec<Answer> = requests.iter().map(|request| run(&plain, request.clone())).collect();
        let bold = |request: &GenerateRequest| GenerateRequest { speculate: true, ..request.clone() };
        for (expected, request) in expected.iter().zip(&requests) {
            prop_assert!(same(expected, &run(&with, bold(request))));
        }
        let together: Vec<_> = requests.iter().map(|request| submit(&with, bold(request)).1).collect();
        for (expected, events) in expected.iter().zip(&together) {
            prop_assert!(same(expected, &collect(events)));
        }
    }
}

/// Answers that prompt lookup finds little in.
fn varied(text: &str, max_tokens: u32, temperature: f32) -> GenerateRequest {
    let mut request = request(text, max_tokens);
    let options = SamplingOptions { temperature, ..request.sampling.options().clone() };
    request.sampling = SamplingParams::new(options).unwrap();
    request.logprobs = Some(2);
    request
}

/// The tiny model without its second layer.
fn smaller() -> Model {
    let mut file = tiny_file().u32("llama.block_count", 1);
    for name in [
        "attn_q",
        "attn_k",
        "attn_v",
        "attn_output",
        "ffn_gate",
        "ffn_up",
        "ffn_down",
        "attn_norm",
        "ffn_norm",
    ] {
        file = file.without_tensor(&format!("blk.1.{name}.weight"));
    }
    Model::from_bytes(&file.build(), &LoadOptions::default()).unwrap()
}

#[test]
fn a_draft_that_is_the_model_itself_guesses_right() {
    let engine = Engine::start_with_draft(tiny(), tiny(), options()).unwrap();
    let answer = run(&engine, GenerateRequest { speculate: true, ..varied("what comes next", 60, 0.0) });
    let savings = engine.savings();
    assert_eq!(answer.finish.usage.completion_tokens, 60);
    assert!(savings.guesses_right >= 40, "{savings:?}");
    // Nothing is guessed of who does not ask for it.
    run(&engine, varied("what comes next", 60, 0.0));
    assert_eq!(engine.savings(), savings);
}

#[test]
fn a_draft_that_does_not_go_with_the_model_is_refused() {
    let load = |file: crate::gguf::testing::GgufWriter| {
        Model::from_bytes(&file.build(), &LoadOptions::default()).unwrap()
    };
    let other = load(tiny_file().i32s("tokenizer.ggml.token_type", &[1; 262]));
    assert_eq!(Engine::start_with_draft(tiny(), other, options()).unwrap_err(), StartError::DraftTokens);
    let short = load(tiny_file().u32("llama.context_length", 512));
    let refused = Engine::start_with_draft(tiny(), short, options()).unwrap_err();
    assert_eq!(refused, StartError::DraftContext { draft: 512, model: 1024 });
}

#[test]
fn an_expected_answer_is_guessed_right_and_a_wrong_one_does_no_harm() {
    let engine = Engine::start(tiny(), options()).unwrap();
    let plain = run(&engine, babble("abcab", 100, 1.0));
    let ids = plain.ids();
    for (expected, right_min) in [
        (ids.clone(), 90),
        // Divided into tokens otherwise at the beginning, and wrong in the middle.
        ([&[97, 98, 99, 97], &ids[3..]].concat(), 30),
        ([&ids[..40], &[1, 2, 3], &ids[43..]].concat(), 30),
        (vec![120; 100], 0),
    ] {
        let before = engine.savings().guesses_right;
        let request = GenerateRequest { expected, ..babble("abcab", 100, 1.0) };
        assert!(same(&plain, &run(&engine, request)));
        let right = engine.savings().guesses_right - before;
        assert!(right >= right_min, "{right} of {right_min}");
    }
}

#[test]
fn guesses_change_no_bit_of_an_answer_that_must_have_a_form() {
    let engine = Engine::start(tiny(), options()).unwrap();
    let items = serde_json::json!({"enum": ["aaaaaaaa", "abababab", "cccc"]});
    let schema = serde_json::json!({"type": "array", "items": items, "minItems": 6, "maxItems": 9});
    let form = AnswerForm { schema: Some(schema), tools: None };
    let constraint = engine.constrain(&form).unwrap();
    for seed in 0..4 {
        let asked = GenerateRequest { seed, constraint: constraint.clone(), ..babble("abcab", 200, 1.0) };
        let plain = run(&engine, asked.clone());
        let value: serde_json::Value = serde_json::from_str(&plain.text).unwrap();
        assert!((6..=9).contains(&value.as_array().unwrap().len()), "{}", plain.text);
        let before = engine.savings().guesses_right;
        let ids = plain.ids();
        // Right, wrong in the middle so that the form forbids it, and looked up.
        let wrong = [&ids[..20], &[1, 2, 3], &ids[23..]].concat();
        for expected in [ids.clone(), wrong, Vec::new()] {
            let bold = GenerateRequest { expected, speculate: true, ..asked.clone() };
            assert!(same(&plain, &run(&engine, bold)), "{seed}");
        }
        assert!(engine.savings().guesses_right > before);
    }
}

#[test]
fn an_expected_token_beyond_the_vocabulary_is_refused() {
    let engine = Engine::start(tiny(), options()).unwrap();
    let request = GenerateRequest { expected: vec![262], ..babble("a", 5, 0.0) };
    let refused = engine.submit(request, Box::new(|_| ControlFlow::Continue(())));
    assert_eq!(refused.unwrap_err(), SubmitError::TokenOutOfRange { token: 262, vocabulary: 262 });
}

#[test]
fn repetition_is_guessed_right() {
    let engine = Engine::start(tiny(), options()).unwrap();
    let bold = GenerateRequest { speculate: true, ..babble("abcabcabcabc", 200, 0.0) };
    run(&engine, bold);
    let savings = engine.savings();
    assert!(savings.guesses_right > 0, "{savings:?}");
    assert!(savings.guesses_right <= savings.tokens_guessed);
}

#[test]
fn a_conversation_is_read_once_and_by_its_own_tenant_alone() {
    let engine = Engine::start(tiny(), options()).unwrap();
    let turn = |text: &str, key| GenerateRequest { reuse: key, ..babble(text, 10, 0.0) };
    let first = "a question that is longer than a block";
    let answer = run(&engine, turn(first, key(1)));
    assert_eq!(engine.savings().tokens_reused, 0);
    let second = format!("{first}{}and another", answer.text);
    for stranger in [key(2), None] {
        run(&engine, turn(&second, stranger));
        assert_eq!(engine.savings().tokens_reused, 0, "{stranger:?}");
    }
    run(&engine, turn(&second, key(1)));
    // The last token of the first answer was chosen and never read.
    let reused = u64::try_from(first.len() + 10 - 1).unwrap();
    assert_eq!(engine.savings().tokens_reused, reused);
    // Of the same prompt once more, all but its last token is there.
    run(&engine, turn(&second, key(1)));
    let again = u64::try_from(second.len() - 1).unwrap();
    assert_eq!(engine.savings().tokens_reused, reused + again);
    // What has less than a block in common is read again.
    run(&engine, turn("a question?", key(1)));
    assert_eq!(engine.savings().tokens_reused, reused + again);
}

#[test]
fn what_is_kept_gives_way_to_what_runs() {
    let engine = Engine::start(tiny(), EngineOptions { kv_tokens_max: 128, ..options() }).unwrap();
    let long = "x".repeat(60);
    run(&engine, GenerateRequest { reuse: key(1), ..babble(&long, 10, 0.0) });
    // Needs all there is: nothing can stay.
    let all = "y".repeat(100);
    assert_eq!(run(&engine, babble(&all, 28, 0.0)).finish.usage.completion_tokens, 28);
    run(&engine, GenerateRequest { reuse: key(1), ..babble(&long, 10, 0.0) });
    assert_eq!(engine.savings().tokens_reused, 0);
    run(&engine, GenerateRequest { reuse: key(1), ..babble(&long, 10, 0.0) });
    assert_eq!(engine.savings().tokens_reused, 59);
}
