//! The endpoint for programs that know nothing of attestation.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use vouchsafe_bundle::{Inputs, verify_bundle_json};
use vouchsafe_client::proxy::{Proxy, Served};
use vouchsafe_verifier::crypto::Ring;

use crate::enclave::{Enclave, Fault, WORDS};
use crate::signer::policy;

struct Endpoint {
    address: SocketAddr,
    folder: tempfile::TempDir,
    served: Arc<Mutex<Vec<Served>>>,
    task: AbortHandle,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A response, and whether its body ended as it should.
struct Got {
    status: u16,
    headers: http::HeaderMap,
    body: String,
    complete: bool,
}

impl Endpoint {
    async fn start(enclave: &Enclave) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let served = Arc::<Mutex<Vec<Served>>>::default();
        let told = Arc::clone(&served);
        let observer = Arc::new(move |one: Served| told.lock().unwrap().push(one));
        let proxy = Proxy::new(Arc::new(enclave.client()), Some(folder.path().join("receipts")), observer);
        let task = tokio::spawn(async move {
            let _ = proxy.serve(listener).await;
        });
        Self { address, folder, served, task: task.abort_handle() }
    }

    async fn post(&self, body: &'static str) -> Got {
        self.request(http::Request::post("/v1/chat/completions"), body).await
    }

    async fn request(&self, builder: http::request::Builder, body: &'static str) -> Got {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(driver);
        let has_host = builder.headers_ref().is_some_and(|headers| headers.contains_key("host"));
        let builder = if has_host { builder } else { builder.header("host", self.address.to_string()) };
        let request =
            builder.header("content-type", "application/json").body(Full::new(body.into())).unwrap();
        let request: http::Request<Full<bytes::Bytes>> = request;
        let mut response = sender.send_request(request).await.unwrap();
        let (mut text, mut complete) = (Vec::new(), true);
        while let Some(frame) = response.frame().await {
            match frame {
                Ok(frame) => text.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Err(_) => complete = false,
            }
        }
        let body = String::from_utf8(text).unwrap();
        Got { status: response.status().as_u16(), headers: response.headers().clone(), body, complete }
    }

    /// The only report so far.
    fn report(&self) -> Served {
        let served = self.served.lock().unwrap();
        assert_eq!(served.len(), 1, "{served:?}");
        served[0].clone()
    }

    fn files(&self) -> Vec<PathBuf> {
        let Ok(folder) = std::fs::read_dir(self.folder.path().join("receipts")) else { return Vec::new() };
        folder.map(|file| file.unwrap().path()).collect()
    }
}

fn error_code(got: &Got) -> String {
    let body: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    body["error"]["code"].as_str().unwrap().to_owned()
}

const PLAIN: &str = r#"{"messages":[]}"#;
const STREAM: &str = r#"{"stream":true}"#;

#[tokio::test]
async fn good_answers_pass_with_their_verdict_and_their_bundles_are_kept() {
    let enclave = Enclave::honest().await;
    for (body, response) in [(PLAIN, "response.json"), (STREAM, "response.sse")] {
        let endpoint = Endpoint::start(&enclave).await;
        let got = endpoint.post(body).await;
        assert_eq!((got.status, got.complete), (200, true), "{}", got.body);
        let report = endpoint.report();
        assert_eq!((report.accepted, report.code), (Some(true), None));
        let bundle = report.bundle.unwrap();
        let beside = |suffix: &str| {
            let name = bundle.file_name().unwrap().to_str().unwrap().replace("bundle.json", suffix);
            std::fs::read(bundle.with_file_name(name)).unwrap()
        };
        let (request, response) = (beside("request.json"), beside(response));
        assert_eq!(request, body.as_bytes());
        let now = vouchsafe_client::now().unwrap();
        let inputs = Inputs { request: Some(&request), response: Some(&response), ..Inputs::new(now) };
        let verdict = verify_bundle_json(&std::fs::read(&bundle).unwrap(), &policy(), &inputs, &Ring);
        assert!(verdict.is_accepted(), "{}", verdict.to_json());
        if body == PLAIN {
            assert_eq!(got.headers["vouchsafe-verdict"], "accepted; simulated");
            assert_eq!(got.body.as_bytes(), response);
        } else {
            assert_eq!(got.body.matches("data: {").count(), WORDS.len());
            assert!(
                got.body.contains(": vouchsafe-verdict accepted; simulated\n\ndata: [DONE]\n\n"),
                "{}",
                got.body
            );
        }
    }
}

#[tokio::test]
async fn an_enclave_that_is_refused_gets_no_prompt_and_the_program_an_error() {
    for (fault, code) in [
        (Fault::OtherTlsKey, "tls_key_mismatch"),
        (Fault::ReplayedEvidence, "challenge_nonce_mismatch"),
        (Fault::GarbageDocument, "attestation_document_malformed"),
    ] {
        let enclave = Enclave::start(Some(fault)).await;
        let endpoint = Endpoint::start(&enclave).await;
        let got = endpoint.post(PLAIN).await;
        assert_eq!((got.status, error_code(&got).as_str()), (502, code));
        assert_eq!(enclave.requests(), 0, "{fault:?}");
        assert_eq!(endpoint.report().code.as_deref(), Some(code));
    }
}

#[tokio::test]
async fn an_answer_that_is_not_proved_is_not_passed_on() {
    for (fault, code) in [
        (Fault::NoReceipt, "receipt_missing"),
        (Fault::OtherRequest, "request_mismatch"),
        (Fault::OtherResponse, "response_mismatch"),
        (Fault::OtherPath, "opening_mismatch"),
    ] {
        let enclave = Enclave::start(Some(fault)).await;
        let endpoint = Endpoint::start(&enclave).await;
        let got = endpoint.post(PLAIN).await;
        assert_eq!((got.status, error_code(&got).as_str()), (502, code), "{fault:?}");
        assert!(!got.body.contains("To b"), "{}", got.body);
    }
}

#[tokio::test]
async fn a_stream_that_is_not_proved_never_looks_complete() {
    for (fault, code) in [
        (Fault::OtherEvent, "stream_head_mismatch"),
        (Fault::Cut, "connection_failed"),
        (Fault::NoReceiptInStream, "receipt_missing"),
        (Fault::OtherRequest, "request_mismatch"),
    ] {
        let enclave = Enclave::start(Some(fault)).await;
        let endpoint = Endpoint::start(&enclave).await;
        let got = endpoint.post(STREAM).await;
        assert!(!got.complete && !got.body.contains("[DONE]"), "{fault:?}: {}", got.body);
        assert!(got.body.contains(&format!("\"code\":\"{code}\"")), "{fault:?}: {}", got.body);
        let report = endpoint.report();
        assert_eq!(report.code.as_deref(), Some(code));
        assert_eq!(report.accepted, Some(false));
        // What it proves all the same is kept.
        let bundle =
            report.bundle.clone().unwrap_or_else(|| panic!("{fault:?}: nothing was kept: {report:?}"));
        assert_eq!(bundle.to_str().unwrap().contains("-cut-"), fault != Fault::OtherRequest, "{bundle:?}");
        assert_eq!(endpoint.files().len(), 3);
    }
}

#[tokio::test]
async fn refusals_pass_as_they_are() {
    let enclave = Enclave::start(Some(Fault::Refused)).await;
    let endpoint = Endpoint::start(&enclave).await;
    let got = endpoint.post(PLAIN).await;
    assert_eq!((got.status, got.body.as_str()), (404, r#"{"error":{"message":"no"}}"#));
    assert_eq!(endpoint.report().accepted, None);
    assert!(endpoint.files().is_empty());
}

#[tokio::test]
async fn an_enclave_that_is_away_is_told_and_found_again() {
    let enclave = Enclave::honest().await;
    let (endpoint, address) = (Endpoint::start(&enclave).await, enclave.address);
    drop(enclave);
    let got = endpoint.post(PLAIN).await;
    assert_eq!((got.status, error_code(&got).as_str()), (503, "enclave_unreachable"));
    let _again = Enclave::start_at(address, None).await;
    assert_eq!(endpoint.post(PLAIN).await.status, 200);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let enclave = Enclave::honest().await;
    let endpoint = Endpoint::start(&enclave).await;
    for (name, value) in [("origin", "https://example.com"), ("host", "rebound.example.com")] {
        let request = http::Request::post("/v1/chat/completions").header(name, value);
        let got = endpoint.request(request, PLAIN).await;
        assert_eq!((got.status, error_code(&got).as_str()), (403, "origin_not_local"), "{name}");
    }
    let request = http::Request::post("/v1/chat/completions").header("origin", "http://localhost:3000");
    assert_eq!(endpoint.request(request, PLAIN).await.status, 200);
    let encoded = http::Request::post("/v1/chat/completions").header("content-encoding", "gzip");
    assert_eq!(endpoint.request(encoded, PLAIN).await.status, 415);
    assert_eq!(enclave.requests(), 1);
}
