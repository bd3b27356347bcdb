//! all-MiniLM-L6-v2, served through the whole chain, against embeddings computed independently.

use serde_json::{Value, json};
use vouchsafe_e2e::{Up, fixtures, prepared};

#[test]
fn minilm_embeddings_are_those_of_the_reference() {
    const TEST: &str = "minilm_embeddings_are_those_of_the_reference";
    let (Some(fixtures), Some(minilm)) = (fixtures(TEST), prepared("VOUCHSAFE_MINILM", TEST)) else { return };
    let reference = std::fs::read(fixtures.join("reference/embeddings/minilm-l6-v2.json")).unwrap();
    let reference: Value = serde_json::from_slice(&reference).unwrap();
    let cases = find_cases(&reference);
    assert_eq!(cases.len(), 50, "the reference holds 50 texts");

    let up = Up::start(&["--embedding-model", minilm.to_str().unwrap()]);
    let models = list_models(&up);
    let model =
        models.iter().find(|name| name.as_str() != "vouchsafe-demo").expect("the embedding model is listed");
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let (status, body) = up.curl("/embeddings", &json!({"model": model, "input": text}).to_string());
        let shown: String = text.chars().take(40).collect();
        assert_eq!(status, 200, "{shown:?}: {body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let cosine = cosine(&numbers(&answer["data"][0]["embedding"]), &numbers(&case["embedding"]));
        assert!(cosine >= 0.9999, "{shown:?}: cosine {cosine}");
        assert_eq!(answer["usage"]["prompt_tokens"], case["tokens"], "{shown:?}: token count");
    }
}

fn find_cases(reference: &Value) -> &Vec<Value> {
    reference
        .as_array()
        .or_else(|| reference.as_object()?.values().find_map(Value::as_array))
        .expect("a list of texts")
}

fn list_models(up: &Up) -> Vec<String> {
    let output = vouchsafe_e2e::run(
        std::process::Command::new("curl")
            .args(["--silent", "--max-time", "20"])
            .arg(format!("{}/models", up.endpoint)),
    );
    let models: Value = serde_json::from_slice(&output.stdout).unwrap();
    models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("numbers").iter().map(|number| number.as_f64().expect("a number")).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
