//! The program over the demo model: a true receipt, and every way in which one can be untrue.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use vouchsafe_bundle::{Bundle, BundleParts};
use vouchsafe_engine::{
    AnswerForm, ChatMessage, ChatOptions, Engine, EngineOptions, EngineVersion, Event, FinishReason,
    GenerateRequest, LoadOptions, Model, Role, SamplingOptions, SamplingParams,
};
use vouchsafe_receipt::{
    Assurance, AttestedStatement, BootKeys, BootStatement, EngineIdentity, Envelope, ExecutionOpening,
    ExecutionRecord, ModelFile, ModelManifest, Opening, PayloadType, ReceiptKey, ReceiptPayload,
    RequestOpening, ResponseOpening, Settlement, Usage, pae, to_low_s,
};
use vouchsafe_verifier::Evidence;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex};

const QUESTION: &str = "What is a receipt?";
const SEED: u64 = 7;
/// The demo model knows its answers by heart: at this temperature the seed shows.
const TEMPERATURE: f32 = 2.0;

fn weights() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo-model/vouchsafe-demo.gguf")
}

/// What an enclave with the demo model gives, and its parts to change.
struct Answered {
    request: Vec<u8>,
    response: Vec<u8>,
    record: ExecutionRecord,
    manifest: ModelManifest,
    kernel: String,
}

impl Answered {
    fn new() -> Self {
        Self::in_form(json!({"type": "text"}))
    }

    /// An answer in the form that `response_format` describes.
    fn in_form(format: Value) -> Self {
        let model = Model::load(weights(), &LoadOptions::default(), &mut |_| {}).unwrap();
        let manifest = ModelManifest {
            name: "demo".into(),
            files: vec![ModelFile {
                name: "vouchsafe-demo.gguf".into(),
                sha256: Hex(model.identity().files()[0].sha256),
            }],
            tokenizer: model.identity().tokenizer_sha256().copied().map(Hex),
            chat_template: model.identity().chat_template_sha256().copied().map(Hex),
        };
        // As a server has it: several places, and one of everything for each processor.
        let engine = Engine::start(model, EngineOptions::default()).unwrap();
        let prompt =
            engine.render_chat(&[ChatMessage::new(Role::User, QUESTION)], &ChatOptions::default()).unwrap();
        let mut request = GenerateRequest::new(prompt, SEED);
        request.max_tokens = NonZeroU32::new(40);
        let options = SamplingOptions { temperature: TEMPERATURE, ..SamplingOptions::default() };
        request.sampling = SamplingParams::new(options).unwrap();
        let schema = format.pointer("/json_schema/schema").cloned();
        request.constraint = engine.constrain(&AnswerForm { schema, tools: None }).unwrap();
        let (sender, events) = channel();
        let sink = Box::new(move |event| {
            let _ = sender.send(event);
            ControlFlow::Continue(())
        });
        engine.submit(request, sink).unwrap();
        let (mut text, mut usage, mut reason) = (String::new(), Usage::default(), "stop");
        for event in events {
            match event {
                Event::Text(delta) => text.push_str(&delta.text),
                Event::Finished(finish) => {
                    if finish.reason == FinishReason::Length {
                        reason = "length";
                    }
                    usage.prompt_tokens = finish.usage.prompt_tokens.into();
                    usage.completion_tokens = finish.usage.completion_tokens.into();
                    break;
                }
                _ => {}
            }
        }
        let parameters: BTreeMap<String, Value> = [
            ("temperature", json!(TEMPERATURE)),
            ("top_p", json!(1)),
            ("top_k", json!(0)),
            ("min_p", json!(0)),
            ("repetition_penalty", json!(1)),
            ("presence_penalty", json!(0)),
            ("frequency_penalty", json!(0)),
            ("logit_bias", json!({})),
            ("stop", json!([])),
            ("max_tokens", json!(40)),
            ("n", json!(1)),
            ("tools", json!([])),
            ("response_format", format),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let choice = json!({"index": 0, "message": {"role": "assistant", "content": text},
            "finish_reason": reason});
        Self {
            request: json!({"model": "demo", "messages": [{"role": "user", "content": QUESTION}]})
                .to_string()
                .into_bytes(),
            response: json!({ "choices": [choice] }).to_string().into_bytes(),
            record: ExecutionRecord {
                version: 1,
                operation: "chat.completions".into(),
                model: "demo".into(),
                parameters,
                seed: Some(SEED.to_string()),
                usage: Some(usage),
                finish_reasons: vec!["length".into()],
                error: None,
            },
            manifest,
            kernel: EngineVersion::CURRENT.kernels.into(),
        }
    }

    /// A bundle whose receipt commits to all of it.
    fn bundle(&self) -> Vec<u8> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
        let key = ReceiptKey::from_spki(&spki, &Ring).unwrap();
        let engine =
            EngineIdentity { name: "engine".into(), version: "1".into(), kernel: self.kernel.clone() };
        let boot = BootStatement {
            version: 1,
            boot: Hex(key.id()),
            keys: BootKeys { receipt: Base64(spki.clone()), tls: Base64(spki) },
            models: vec![self.manifest.clone()],
            engine: engine.clone(),
            configuration: Hex([3; 32]),
            operator: None,
            settlement: Settlement::None,
        };
        let opening = Opening {
            version: 1,
            request: Some(RequestOpening {
                salt: Hex([4; 32]),
                method: "POST".into(),
                path: "/v1/chat/completions".into(),
                content_type: "application/json".into(),
                nonce: String::new(),
                assurance: String::new(),
            }),
            response: Some(ResponseOpening {
                salt: Hex([5; 32]),
                status: 200,
                content_type: "application/json".into(),
            }),
            execution: Some(ExecutionOpening {
                salt: Hex([6; 32]),
                record: serde_json::to_string(&self.record).unwrap(),
            }),
        };
        let payload = ReceiptPayload {
            version: 1,
            boot: Hex(key.id()),
            epoch: 0,
            seq: 0,
            previous: None,
            model: Some(Hex(self.manifest.digest(&Ring))),
            engine: Hex(engine.digest(&Ring)),
            request: Hex(opening.request.as_ref().unwrap().commit(&self.request, &Ring)),
            response: Hex(opening.response.as_ref().unwrap().commit(&self.response, &Ring)),
            execution: Hex(opening.execution.as_ref().unwrap().commit(&Ring)),
            assurance: Assurance::Attested,
            checkpoint: None,
            settle_by: None,
            unattested_time: 1_700_000_000,
        };
        let payload = payload.to_bytes();
        let signed = pair.sign(&random, &pae(PayloadType::Receipt.as_str(), &payload)).unwrap();
        let signature = to_low_s(signed.as_ref().try_into().unwrap());
        // What nobody looks at here: `vouchsafe verify` judges it.
        let statement = |bytes: Vec<u8>| AttestedStatement {
            statement: Base64(bytes),
            evidence: Evidence::SevSnp { report: Base64(vec![0; 1184]) },
        };
        Bundle::new(BundleParts {
            receipt: Some(Envelope::new(PayloadType::Receipt, payload, key.id(), signature)),
            opening: Some(opening),
            stream: None,
            boot: statement(boot.to_bytes()),
            epoch: statement(b"{}".to_vec()),
            endorsements: None,
            proof: None,
            image: None,
        })
        .unwrap()
        .to_json()
    }
}

/// The program's exit status, and what it said.
fn replay(bundle: &[u8], request: &[u8], response: &[u8], model: &Path) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let output = Command::new(env!("CARGO_BIN_EXE_vouchsafe-replay"))
        .arg(file("bundle.json", bundle))
        .arg("--model")
        .arg(model)
        .arg("--request")
        .arg(file("request.json", request))
        .arg("--response")
        .arg(file("response.json", response))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn replay_of(answered: &Answered) -> (i32, String) {
    replay(&answered.bundle(), &answered.request, &answered.response, &weights())
}

#[test]
fn a_true_receipt_is_found_true_and_untrue_ones_are_named() {
    let answered = Answered::new();
    let (status, said) = replay_of(&answered);
    assert_eq!(status, 0, "{said}");
    assert!(said.starts_with("The same: an answer of "), "{said}");

    // What the enclave could have signed falsely.
    type Change = fn(&mut Answered);
    let table: [(i32, &str, Change); 7] = [
        (10, "differs:", |answered| {
            let text = String::from_utf8(answered.response.clone()).unwrap();
            answered.response = text.replacen("\"content\":\"", "\"content\":\"x", 1).into_bytes();
        }),
        (10, "differs:", |answered| answered.record.seed = Some("8".into())),
        (10, "differs:", |answered| {
            answered.record.parameters.insert("temperature".into(), json!(0));
        }),
        (10, "ends-otherwise:", |answered| {
            let text = String::from_utf8(answered.response.clone()).unwrap();
            let other = text.replace("\"length\"", "\"stop!\"").replace("\"stop\"", "\"length\"");
            answered.response = other.replace("stop!", "stop").into_bytes();
        }),
        (20, "other-weights:", |answered| answered.manifest.files[0].sha256 = Hex([1; 32])),
        (20, "other-kernels:", |answered| answered.kernel = "other-1".into()),
        (20, "undecided:", |answered| answered.record.error = Some("engine_failed".into())),
    ];
    for (index, (expected, beginning, change)) in table.into_iter().enumerate() {
        let mut changed = Answered {
            request: answered.request.clone(),
            response: answered.response.clone(),
            record: answered.record.clone(),
            manifest: answered.manifest.clone(),
            kernel: answered.kernel.clone(),
        };
        change(&mut changed);
        let (status, said) = replay_of(&changed);
        assert_eq!(status, expected, "row {index}: {said}");
        assert!(said.starts_with(beginning), "row {index}: {said}");
    }

    // What somebody could show with a true receipt.
    let bundle = answered.bundle();
    for (request, response) in [
        (b"{}".to_vec(), answered.response.clone()),
        (answered.request.clone(), b"{\"choices\":[]}".to_vec()),
    ] {
        let (status, said) = replay(&bundle, &request, &response, &weights());
        assert_eq!(status, 10, "{said}");
        assert!(said.starts_with("mismatch:"), "{said}");
    }
    let (status, said) = replay(&bundle, &answered.request, &answered.response, Path::new("/nonexistent"));
    assert_eq!((status, said.starts_with("model:")), (30, true), "{said}");
    let (status, said) = replay(b"{}", &answered.request, &answered.response, &weights());
    assert_eq!((status, said.starts_with("bundle:")), (10, true), "{said}");
}

#[test]
fn an_answer_in_a_form_is_computed_again_in_that_form() {
    let schema = json!({"type": "object", "properties": {"proved": {"type": "boolean"}, "n": {"enum": [1, 22, 333]}},
        "required": ["proved", "n"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}});
    let mut answered = Answered::in_form(format);
    let response: Value = serde_json::from_slice(&answered.response).unwrap();
    let content = response["choices"][0]["message"]["content"].as_str().unwrap();
    let value: Value = serde_json::from_str(content).unwrap();
    assert!(value["proved"].is_boolean() && value["n"].is_u64(), "{content}");
    assert_eq!(response["choices"][0]["finish_reason"], "stop");
    let (status, said) = replay_of(&answered);
    assert_eq!(status, 0, "{said}");

    // The form is what the receipt says and nothing else.
    answered.record.parameters.insert("response_format".into(), json!({"type": "text"}));
    let (status, said) = replay_of(&answered);
    assert_eq!((status, said.starts_with("differs:")), (10, true), "{said}");
    answered.record.parameters.insert("response_format".into(), json!({"type": "grammar"}));
    let (status, said) = replay_of(&answered);
    assert_eq!((status, said.starts_with("undecided:")), (20, true), "{said}");
}
