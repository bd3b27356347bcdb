//! `vouchsafe policy submit`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use vouchsafe_bundle::LoggedImage;
use vouchsafe_policy::signed::Error;
use vouchsafe_receipt::revocation::SIGNED_REVOCATIONS_BYTES_MAX;
use vouchsafe_receipt::{PayloadType, SignedImage, SignedRevocations, image_leaf, revocations_leaf};
use vouchsafe_translog::{SignedCheckpoint, SignedNote, TlogProof, TrustedLog, VerifierKey, merkle};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::from_base64;

use super::{Failure, payload_type, read};

/// A log answers when its witnesses have cosigned.
const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Lists of revocations and images have the same bound.
const SIGNED_BYTES_MAX: usize = SIGNED_REVOCATIONS_BYTES_MAX;

/// Enter a signed list of revocations, or a signed image, into a transparency log
///
/// The log takes it if the keys signed it that its own policy names. Exit status 10 when it is refused, 30 when
/// the log can't be reached or could not answer: submitting again is safe.
#[derive(Debug, clap::Args)]
pub(super) struct Submit {
    /// The signed list or image
    signed: PathBuf,
    /// The log's address, https://… or http://…
    #[arg(long, value_name = "URL")]
    log: String,
    /// Of an image: where to write it with the proof that it is in the log, for `vouchsafe verify --image` and for
    /// bundles. With --log-key the proof is verified first
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The log's verifier key: its answer has to prove under it that the leaf is in the log
    #[arg(long, value_name = "VKEY")]
    log_key: Option<String>,
    /// A witness's verifier key, once for each; some of them must have cosigned the proof's checkpoint
    #[arg(long, value_name = "VKEY", requires = "log_key", requires = "quorum")]
    witness: Vec<String>,
    /// How many of the witnesses must have
    #[arg(long, value_name = "N", requires = "witness")]
    quorum: Option<usize>,
}

/// Whose word a proof is taken on.
enum Trusted {
    /// The log's, and of so many of its witnesses.
    Witnessed(TrustedLog),
    /// The log's alone.
    Log(VerifierKey),
}

impl Submit {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let json = read(&self.signed, SIGNED_BYTES_MAX)?;
        let image = match payload_type(&json).as_deref() == Some(PayloadType::Image.as_str()) {
            true => Some(SignedImage::parse(&json).map_err(Error::Revocations)?),
            false => None,
        };
        let leaf = match &image {
            Some(image) => image_leaf(image),
            None if self.out.is_some() => {
                let why = "--out is for images: a list of revocations needs no proof".into();
                return Err(Failure::Input { path: self.signed.clone(), why });
            }
            None => revocations_leaf(&SignedRevocations::parse(&json).map_err(Error::Revocations)?),
        };
        let trusted = self.trusted()?;
        let length = u16::try_from(leaf.len()).map_err(|_| Failure::Own("longer than a leaf".into()))?;
        let answer = self.post(&[length.to_be_bytes().as_slice(), &leaf].concat())?;
        let answered = answer.pointer("/leaves/0").ok_or_else(|| self.malformed())?;
        if let Some(code) = answered.get("error").and_then(Value::as_str) {
            return Err(Failure::Refused("the log refuses it".into(), code.to_owned()));
        }
        let index = answered.get("index").and_then(Value::as_u64).ok_or_else(|| self.malformed())?;
        if trusted.is_some() || self.out.is_some() {
            let proof = self.proof(index, &answer)?;
            if let Some(trusted) = trusted {
                verify(&proof, &merkle::leaf_hash(&leaf, &Ring), &trusted)?;
            }
            if let (Some(out), Some(image)) = (&self.out, image) {
                std::fs::write(out, LoggedImage::new(image, proof).to_json())
                    .map_err(|error| Failure::Own(format!("can't write {}: {error}", out.display())))?;
            }
        }
        anstream::println!("leaf {index}");
        Ok(ExitCode::SUCCESS)
    }

    fn trusted(&self) -> Result<Option<Trusted>, Failure> {
        let Some(log) = &self.log_key else { return Ok(None) };
        let unusable = |error: vouchsafe_translog::Error| Failure::Input {
            path: PathBuf::from(log),
            why: format!("not the keys of a log and its witnesses: {error}"),
        };
        let trusted = match self.quorum {
            Some(quorum) => TrustedLog::parse(log, &self.witness, quorum, &Ring).map(Trusted::Witnessed),
            None => VerifierKey::parse(log, &Ring).map(Trusted::Log),
        };
        trusted.map(Some).map_err(unusable)
    }

    /// The proof that the log answers, which is the log's word until it is verified.
    fn proof(&self, index: u64, answer: &Value) -> Result<TlogProof, Failure> {
        let path = answer.pointer("/leaves/0/path").and_then(Value::as_array);
        let hash = |hash: &Value| from_base64(hash.as_str()?)?.try_into().ok();
        let path = path.and_then(|path| path.iter().map(hash).collect::<Option<Vec<[u8; 32]>>>());
        let note = answer.get("checkpoint").and_then(Value::as_str);
        let (path, note) = path.zip(note).ok_or_else(|| self.malformed())?;
        let note = SignedNote::parse(note.as_bytes()).map_err(|_| self.malformed())?;
        TlogProof::new(index, path, note).map_err(|_| self.malformed())
    }

    fn malformed(&self) -> Failure {
        Failure::Input { path: PathBuf::from(&self.log), why: "its answer is none of a log's".into() }
    }

    fn post(&self, body: &[u8]) -> Result<Value, Failure> {
        let failed = |why: String| Failure::Input { path: PathBuf::from(&self.log), why };
        if !["http://", "https://"].iter().any(|scheme| self.log.starts_with(scheme)) {
            return Err(failed("neither an http:// nor an https:// address".into()));
        }
        let agent = agent();
        let address = format!("{}/add", self.log.trim_end_matches('/'));
        let mut answer = agent.post(&address).send(body).map_err(|error| failed(error.to_string()))?;
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let value: Value = text
            .map_err(|error| failed(error.to_string()))
            .and_then(|text| serde_json::from_slice(&text).map_err(|error| failed(error.to_string())))?;
        match answer.status().is_success() {
            true => Ok(value),
            false => Err(failed(format!("status {}: {value}", answer.status()))),
        }
    }
}

fn verify(proof: &TlogProof, leaf_hash: &[u8; 32], trusted: &Trusted) -> Result<(), Failure> {
    let verified = match trusted {
        Trusted::Witnessed(log) => proof.verify(leaf_hash, log, &Ring).map(|_| ()),
        Trusted::Log(key) => {
            let note = proof.note().to_string();
            SignedCheckpoint::open(note.as_bytes(), key.name(), core::slice::from_ref(key), &Ring)
                .and_then(|signed| proof.verify_path(leaf_hash, &signed, &Ring))
        }
    };
    verified.map_err(|error| {
        Failure::Refused(format!("the log's answer proves nothing: {error}"), error.code().to_owned())
    })
}

/// An HTTP client that believes the certificate authorities of the operating system.
fn agent() -> ureq::Agent {
    // Authorities that cannot be read are not believed; without any, servers are refused.
    let roots = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> =
        roots.iter().map(|root| ureq::tls::Certificate::from_der(root.as_ref()).to_owned()).collect();
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = ureq::Agent::config_builder().tls_config(tls).timeout_global(Some(TIMEOUT));
    ureq::Agent::new_with_config(config.http_status_as_error(false).build())
}
