//! Commitments bind every field and its borders; statements bind their keys; reports bind statements.

mod common;

use common::Signer;
use proptest::prelude::*;
use vouchsafe_receipt::{
    BootKeys, BootStatement, EngineIdentity, EpochStatement, ExecutionOpening, ModelFile, ModelManifest,
    Opening, RequestOpening, ResponseOpening, Settlement, TenantsRef, report_data,
};
use vouchsafe_verifier::crypto::{Crypto, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex};

fn request() -> RequestOpening {
    RequestOpening {
        salt: Hex([7; 32]),
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        content_type: "application/json".into(),
        nonce: String::new(),
        assurance: String::new(),
    }
}

#[test]
fn a_request_commitment_is_an_hmac_over_tag_and_length_prefixed_fields() {
    let mut message = b"vouchsafe/request/v1".to_vec();
    for field in ["POST", "/v1/chat/completions", "application/json", "", "", "{}"] {
        message.extend_from_slice(&(field.len() as u64).to_be_bytes());
        message.extend_from_slice(field.as_bytes());
    }
    assert_eq!(request().commit(b"{}", &Ring), Ring.hmac_sha256(&[7; 32], &message));
}

#[test]
fn every_field_counts() {
    let base = request().commit(b"{}", &Ring);
    let changes: [fn(&mut RequestOpening); 6] = [
        |opening| opening.salt.0[0] ^= 1,
        |opening| opening.method = "PUT".into(),
        |opening| opening.path.push('?'),
        |opening| opening.content_type.clear(),
        |opening| opening.nonce = "n".into(),
        |opening| opening.assurance = "attested".into(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut opening = request();
        change(&mut opening);
        assert_ne!(opening.commit(b"{}", &Ring), base, "change {index}");
    }
    assert_ne!(request().commit(b"{ }", &Ring), base);
    let response = ResponseOpening { salt: Hex([7; 32]), status: 200, content_type: "a".into() };
    let committed = response.commit(b"x", &Ring);
    assert_ne!(ResponseOpening { status: 201, ..response.clone() }.commit(b"x", &Ring), committed);
    assert_ne!(
        ResponseOpening { content_type: "b".into(), ..response.clone() }.commit(b"x", &Ring),
        committed
    );
    assert_ne!(response.commit(b"y", &Ring), committed);
    let execution = ExecutionOpening { salt: Hex([7; 32]), record: "{}".into() };
    assert_ne!(
        ExecutionOpening { record: "{ }".into(), ..execution.clone() }.commit(&Ring),
        execution.commit(&Ring)
    );
}

#[test]
fn only_event_streams_are_streams() {
    let kind = |content_type: &str| ResponseOpening {
        salt: Hex([0; 32]),
        status: 200,
        content_type: content_type.into(),
    };
    assert!(kind("text/event-stream").is_stream());
    assert!(kind("text/event-stream; charset=utf-8").is_stream());
    assert!(!kind("application/json").is_stream());
    assert!(!kind("").is_stream());
}

proptest! {
    #[test]
    fn moving_a_border_between_fields_changes_the_commitment(text in "[a-z]{1,20}", at: prop::sample::Index, to: prop::sample::Index) {
        let (at, to) = (at.index(text.len() + 1), to.index(text.len() + 1));
        let split = |at: usize| {
            let opening = RequestOpening { path: text[..at].into(), content_type: text[at..].into(), ..request() };
            opening.commit(b"", &Ring)
        };
        prop_assert_eq!(split(at) == split(to), at == to);
    }
}

#[test]
fn openings_are_read_strictly() {
    let opening = Opening { version: 1, request: Some(request()), response: None, execution: None };
    let json = String::from_utf8(opening.to_json()).unwrap();
    assert_eq!(Opening::from_json(json.as_bytes()).unwrap(), opening);
    assert_eq!(
        Opening::from_json(json.replace(r#""version":1"#, r#""version":2"#).as_bytes()).unwrap_err().code(),
        "version_unknown"
    );
    for wrong in [
        json.replace(r#"{"version""#, r#"{"extra":1,"version""#),
        json.replace(r#""method":"POST""#, r#""method":"POST","method":"GET""#),
        json.replace(&"07".repeat(32), &"07".repeat(31)),
        json.replace(r#""nonce":"","#, ""),
    ] {
        assert_ne!(wrong, json);
        assert_eq!(Opening::from_json(wrong.as_bytes()).unwrap_err().code(), "payload_malformed", "{wrong}");
    }
}

fn boot(signer: &Signer) -> BootStatement {
    BootStatement {
        version: 1,
        boot: Hex(signer.key.id()),
        keys: BootKeys { receipt: Base64(signer.spki.clone()), tls: Base64(vec![1, 2, 3]) },
        models: vec![ModelManifest {
            name: "demo".into(),
            files: vec![ModelFile { name: "demo.gguf".into(), sha256: Hex([1; 32]) }],
            tokenizer: None,
            chat_template: None,
        }],
        engine: EngineIdentity { name: "e".into(), version: "1".into(), kernel: "k".into() },
        configuration: Hex([2; 32]),
        operator: None,
        settlement: Settlement::None,
    }
}

#[test]
fn a_boot_statement_names_its_own_key() {
    let (signer, other) = (Signer::new(), Signer::new());
    let statement = boot(&signer);
    assert_eq!(BootStatement::parse(&statement.to_bytes(), &Ring).unwrap(), statement);
    let code =
        |statement: &BootStatement| BootStatement::parse(&statement.to_bytes(), &Ring).unwrap_err().code();
    assert_eq!(code(&BootStatement { boot: Hex([0; 32]), ..statement.clone() }), "boot_id_mismatch");
    assert_eq!(code(&BootStatement { boot: Hex(other.key.id()), ..statement.clone() }), "boot_id_mismatch");
    assert_eq!(code(&BootStatement { version: 2, ..statement.clone() }), "version_unknown");
    let keys = BootKeys { receipt: Base64(vec![0; 91]), ..statement.keys.clone() };
    assert_eq!(code(&BootStatement { keys, ..statement.clone() }), "statement_key_malformed");
    let json = String::from_utf8(statement.to_bytes()).unwrap();
    for wrong in [
        json.replace(r#""settlement":"none""#, r#""settlement":"log""#),
        format!("{json}{json}"),
        "[".repeat(70_000),
    ] {
        assert_eq!(BootStatement::parse(wrong.as_bytes(), &Ring).unwrap_err().code(), "payload_malformed");
    }
}

#[test]
fn an_epoch_statement_is_read_strictly() {
    let statement = EpochStatement {
        version: 1,
        boot_statement: Hex([1; 32]),
        epoch: 0,
        checkpoint: None,
        tenants: Some(TenantsRef { sha256: Hex([2; 32]), version: 1 }),
        not_after: 1_795_266_000,
    };
    assert_eq!(EpochStatement::parse(&statement.to_bytes()).unwrap(), statement);
    let code = |statement: &EpochStatement| EpochStatement::parse(&statement.to_bytes()).unwrap_err().code();
    assert_eq!(code(&EpochStatement { version: 0, ..statement.clone() }), "version_unknown");
    assert_eq!(code(&EpochStatement { not_after: 1 << 53, ..statement.clone() }), "payload_malformed");
    assert_eq!(code(&EpochStatement { epoch: 1 << 53, ..statement.clone() }), "payload_malformed");
    let tenants = Some(TenantsRef { sha256: Hex([2; 32]), version: 1 << 53 });
    assert_eq!(code(&EpochStatement { tenants, ..statement }), "payload_malformed");
}

#[test]
fn each_kind_of_report_binds_its_own_statement() {
    let (boot, epoch) = (report_data::boot(b"x", &Ring), report_data::epoch(b"x", &Ring));
    let challenge = report_data::challenge(b"x", &[0; 32], &Ring);
    assert!(boot != epoch && epoch != challenge && boot != challenge);
    assert_eq!(boot, Ring.sha512(b"vouchsafe/boot/v1\0x"));
    assert_eq!(epoch, Ring.sha512(b"vouchsafe/epoch/v1\0x"));
    let digest = Ring.sha256(b"x");
    assert_eq!(challenge, Ring.sha512(&[b"vouchsafe/challenge/v1\0".as_slice(), &digest, &[0; 32]].concat()));
    assert_ne!(report_data::nonce(&[1; 32], &[2; 32], &Ring), report_data::nonce(&[2; 32], &[1; 32], &Ring));
}

#[test]
fn a_models_digest_covers_everything_but_its_served_name() {
    let manifest = boot(&Signer::new()).models.remove(0);
    let digest = manifest.digest(&Ring);
    assert_eq!(ModelManifest { name: "other".into(), ..manifest.clone() }.digest(&Ring), digest);
    let mut renamed_file = manifest.clone();
    renamed_file.files[0].name.push('x');
    let mut other_weights = manifest.clone();
    other_weights.files[0].sha256.0[0] ^= 1;
    let changed = [
        renamed_file,
        other_weights,
        ModelManifest { tokenizer: Some(Hex([0; 32])), ..manifest.clone() },
        ModelManifest { chat_template: Some(Hex([0; 32])), ..manifest },
    ];
    for manifest in changed {
        assert_ne!(manifest.digest(&Ring), digest);
    }
}
