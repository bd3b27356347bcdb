//! `vouchsafe policy submit`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use vouchsafe_bundle::LoggedImage;
use vouchsafe_policy::signed::Error;
use vouchsafe_receipt::revocation::SIGNED_REVOCATIONS_BYTES_MAX;
use vouchsafe_receipt::{PayloadType, SignedImage, SignedRevocations, image_leaf, revocations_leaf};
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
    /// The log's address, http://…
    #[arg(long, value_name = "URL")]
    log: String,
    /// Of an image: where to write it with the proof that it is in the log, for `vouchsafe verify --image` and for
    /// bundles
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
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
        let length = u16::try_from(leaf.len()).map_err(|_| Failure::Own("longer than a leaf".into()))?;
        let answer = self.post(&[length.to_be_bytes().as_slice(), &leaf].concat())?;
        let answered = answer.pointer("/leaves/0").ok_or_else(|| self.malformed())?;
        if let Some(code) = answered.get("error").and_then(Value::as_str) {
            return Err(Failure::Refused("the log refuses it".into(), code.to_owned()));
        }
        let index = answered.get("index").and_then(Value::as_u64).ok_or_else(|| self.malformed())?;
        if let (Some(out), Some(image)) = (&self.out, image) {
            self.write(out, image, index, &answer)?;
        }
        anstream::println!("leaf {index}");
        Ok(ExitCode::SUCCESS)
    }

    /// Writes an image with its proof, which is the log's word until somebody verifies it.
    fn write(&self, out: &Path, image: SignedImage, index: u64, answer: &Value) -> Result<(), Failure> {
        let path = answer.pointer("/leaves/0/path").and_then(Value::as_array);
        let hash = |hash: &Value| from_base64(hash.as_str()?)?.try_into().ok();
        let path = path.and_then(|path| path.iter().map(hash).collect::<Option<Vec<[u8; 32]>>>());
        let note = answer.get("checkpoint").and_then(Value::as_str);
        let (path, note) = path.zip(note).ok_or_else(|| self.malformed())?;
        let logged = LoggedImage::placed(image, index, path, note.as_bytes());
        let logged = logged.map_err(|_| self.malformed())?;
        std::fs::write(out, logged.to_json())
            .map_err(|error| Failure::Own(format!("can't write {}: {error}", out.display())))
    }

    fn malformed(&self) -> Failure {
        Failure::Input { path: PathBuf::from(&self.log), why: "its answer is none of a log's".into() }
    }

    fn post(&self, body: &[u8]) -> Result<Value, Failure> {
        let failed = |why: String| Failure::Input { path: PathBuf::from(&self.log), why };
        if !self.log.starts_with("http://") {
            return Err(failed("only http:// is supported: what is signed is verified anyway".into()));
        }
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
        let agent = ureq::Agent::new_with_config(config.build());
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
