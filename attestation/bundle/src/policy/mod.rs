//! The policy document: what a relying party accepts.
//!
//! JSON, version 1, described for people in `docs/policy.md` and for machines in
//! `policies/schema/policy.v1.schema.json`. Every decision is made: a field that is absent is an
//! error, and so is one that is unknown. `$comment` may stand in any object.
//!
//! [`PolicyDocument`] is the document as plain data; [`Policy`] is one whose decisions were checked
//! against each other.

mod check;
mod document;
mod log;
mod platform;
mod reference;
mod rule;

pub use document::{
    Anchors, Engine, Freshness, Gpu, Images, Log, ModelReference, Openings, Operator, Parameters,
    PolicyDocument, Proof, Purpose, ReleaseReference, Replay, RevocationReference, Revocations, Sessions,
    Settlement, Trust, Vendor, Witnesses,
};
pub use log::{LogReference, QuorumReference, Vkey};
pub use platform::{
    PlatformName, PlatformRules, SnpProduct, SnpRules, SnpSigningKey, SnpTcb, TcbStatusRule, TdxRules,
    TrailingBytes,
};
pub(crate) use reference::Standing;
pub use reference::{ReferenceDigests, ReferenceValue, Revocation};
pub use rule::{Demanded, Reason, Rule, Unbuilt};
pub use vouchsafe_verifier::Moment;

use std::collections::BTreeMap;

use vouchsafe_receipt::threshold::Signers;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::strict_json::{self, FromValue, Limits, Value};

use crate::Error;

/// Longest accepted policy, in bytes.
pub const POLICY_BYTES_MAX: usize = 1 << 20;

const LIMITS: Limits = Limits { bytes_max: POLICY_BYTES_MAX, depth_max: 16 };
const VERSION: u64 = 1;
const COMMENT: &str = "$comment";
/// Where names and values are the execution record's, and no decisions.
const PARAMETERS: &str = "parameters.values.require";

/// A policy whose decisions were read and do not contradict each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    document: PolicyDocument,
    /// Reasons by the paths of what they excuse.
    ignored: BTreeMap<String, Value>,
}

impl Policy {
    /// Reads a policy from its JSON text.
    ///
    /// # Errors
    /// [`Error::PolicyMalformed`], [`Error::PolicyVersion`] or [`Error::PolicyContradiction`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let whole = |why: String| Error::PolicyMalformed { path: ".".into(), why };
        let mut value = strict_json::value(json, LIMITS).map_err(|error| whole(error.to_string()))?;
        // The version comes first: a later version's fields are not errors of this one.
        match value.get("version").map(Value::as_u64) {
            Some(Some(VERSION)) => {}
            Some(Some(found)) => return Err(Error::PolicyVersion { found, known: VERSION }),
            _ => return Err(whole("no version number".into())),
        }
        strip_comments(&mut value)?;
        let mut decisions = value.as_object().into_iter().flatten();
        if decisions.any(|(name, decision)| name != "parameters" && has_null(decision)) {
            return Err(whole("null is no value: what is left open is left out".into()));
        }
        let document = PolicyDocument::from_value(&value).map_err(|fault| Error::PolicyMalformed {
            path: fault.path().to_owned(),
            why: fault.why().to_owned(),
        })?;
        check::check(&document)?;
        Ok(Self { ignored: ignored(&value), document })
    }

    /// Checks a document's decisions against each other and its purpose.
    ///
    /// # Errors
    /// [`Error::PolicyVersion`] or [`Error::PolicyContradiction`].
    pub fn new(document: PolicyDocument) -> Result<Self, Error> {
        if document.version != VERSION {
            return Err(Error::PolicyVersion { found: document.version, known: VERSION });
        }
        check::check(&document)?;
        let ignored = strict_json::to_value(&document).map(|value| ignored(&value)).unwrap_or_default();
        Ok(Self { document, ignored })
    }

    /// The policy's decisions.
    pub fn document(&self) -> &PolicyDocument {
        &self.document
    }

    /// The policy's decisions, to edit; [`Policy::new`] makes a policy of them again.
    pub fn into_document(self) -> PolicyDocument {
        self.document
    }

    /// The document as indented JSON, without the comments it was read with.
    pub fn to_json(&self) -> Vec<u8> {
        // Maps with string keys, strings and integers only: serialisation has no failing case, and an
        // empty text would be refused by every reader.
        serde_json::to_vec_pretty(&self.document).unwrap_or_default()
    }

    /// Believes one more simulated root, by the SHA-256 of its certificate.
    ///
    /// # Errors
    /// [`Error::PolicyContradiction`] unless the purpose is simulation.
    pub fn with_simulated_root(mut self, root_sha256: [u8; 32]) -> Result<Self, Error> {
        push(&mut self.document.trust.simulated_roots, Hex(root_sha256));
        Self::new(self.document)
    }

    /// Accepts one more measurement. A policy that ignored measurements accepts only this one then.
    ///
    /// # Errors
    /// [`Error::PolicyContradiction`], where the name is taken for example.
    pub fn with_measurement(mut self, value: ReferenceValue) -> Result<Self, Error> {
        push(&mut self.document.measurements, value);
        Self::new(self.document)
    }

    /// Accepts one more model. A policy that ignored models accepts only this one then.
    ///
    /// # Errors
    /// [`Error::PolicyContradiction`], where neither digest is given for example.
    pub fn with_model(mut self, model: ModelReference) -> Result<Self, Error> {
        push(&mut self.document.models, model);
        Self::new(self.document)
    }

    /// Who may revoke; `None` where the policy ignores revocations, or names nobody.
    pub fn revocation_signers(&self, crypto: &dyn Crypto) -> Option<Signers> {
        let reference = self.document.revocations.list.required()?;
        signers(&reference.keys, reference.threshold, crypto)
    }

    /// Who may release images; `None` where the policy ignores releases, or names nobody.
    pub fn release_signers(&self, crypto: &dyn Crypto) -> Option<Signers> {
        let reference = self.document.images.released.required()?;
        signers(&reference.keys, reference.threshold, crypto)
    }

    /// Every ignored decision, as its path and the reason, sorted by path.
    pub fn ignored(&self) -> Vec<(String, String)> {
        let text = |reason: &Value| reason.as_str().unwrap_or_default().to_owned();
        self.ignored.iter().map(|(path, reason)| (path.clone(), text(reason))).collect()
    }
}

fn signers(keys: &[Base64], threshold: u64, crypto: &dyn Crypto) -> Option<Signers> {
    let threshold = usize::try_from(threshold).unwrap_or(usize::MAX);
    Signers::new(keys.iter().map(|key| key.0.as_slice()), threshold, crypto).ok()
}

fn push<T>(rule: &mut Rule<Vec<T>>, value: T) {
    match rule {
        Rule::Require(values) => values.push(value),
        Rule::Ignore(_) => *rule = Rule::Require(vec![value]),
    }
}

/// Removes `$comment` from every object, where it is text. Depth is bounded by the parser's limit.
fn strip_comments(value: &mut Value) -> Result<(), Error> {
    match value {
        Value::Object(map) => {
            for (name, mut inner) in std::mem::take(map) {
                if name != COMMENT {
                    strip_comments(&mut inner)?;
                    map.insert(name, inner);
                } else if !inner.is_string() {
                    return Err(Error::PolicyMalformed { path: name, why: "a comment must be text".into() });
                }
            }
            Ok(())
        }
        Value::Array(values) => values.iter_mut().try_for_each(strip_comments),
        _ => Ok(()),
    }
}

/// Depth is bounded by the parser's limit.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.values().any(has_null),
        Value::Array(values) => values.iter().any(has_null),
        value => value.is_null(),
    }
}

fn ignored(document: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    collect_ignored(document, &mut String::new(), &mut found);
    found
}

fn collect_ignored(value: &Value, path: &mut String, found: &mut BTreeMap<String, Value>) {
    let length = path.len();
    let mut enter = |segment: &str, inner: &Value, path: &mut String| {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(segment);
        collect_ignored(inner, path, found);
        path.truncate(length);
    };
    match value {
        Value::Object(map) => match (map.len(), map.get("ignore")) {
            // Parameters have names of their own, which mean nothing here.
            _ if path == PARAMETERS => {}
            (1, Some(reason @ Value::String(_))) => drop(found.insert(path.clone(), reason.clone())),
            _ => map.iter().for_each(|(key, inner)| enter(key, inner, path)),
        },
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(index, inner)| enter(&index.to_string(), inner, path));
        }
        _ => {}
    }
}
