//! From a CoRIM to reference values of a policy.
//!
//! The CoRIM is walked as CBOR, key by key. A reader of CoRIMs skips keys that it does not know; but a policy must not
//! accept a guest for half of what was said of it, so that here each of them is refused.

use corim::cbor::DecodeLimits;
use corim::cbor::value::Value;
use corim::document::inspect;
use vouchsafe_bundle::policy::{Moment, Reason, ReferenceDigests, ReferenceValue, Rule};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::encoding::Hex;

use super::{
    BY_CHIP, BY_PROVIDER, CORIM_BYTES_MAX, Error, INTEL_MODEL, INTEL_PROFILE, INTEL_VENDOR, OID_HEADER_BYTES,
    SHA_384, SNP_MEASUREMENT, SNP_PROFILE, TEE_MRTEE,
};

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 16;

/// Tags of a CoRIM (draft-ietf-rats-corim, section "CBOR Tags").
const CORIM: u64 = 501;
const SIGNED_CORIM: u64 = 18;
const COMID: u64 = 506;
const OID: u64 = 111;
const URI: u64 = 32;
const TIME: u64 = 1;
/// Keys of a measurement's values.
const DIGESTS: i128 = 2;
const REGISTERS: i128 = 14;

/// What a CoRIM says that a policy can.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The CoRIM's own name.
    pub id: String,
    /// Its reference values.
    pub values: Vec<ReferenceValue>,
}

/// Reads the reference values of an unsigned CoRIM.
///
/// # Errors
/// [`Error::Malformed`], or [`Error::Unsupported`] with the first thing that a policy's reference values can't say.
pub fn import(bytes: &[u8]) -> Result<Imported, Error> {
    let mut limits = DecodeLimits::default();
    (limits.max_input_bytes, limits.max_depth) = (CORIM_BYTES_MAX, DEPTH_MAX);
    let malformed = |error: corim::DecodeError| Error::Malformed(error.to_string());
    let whole = match inspect(bytes, &limits).map_err(malformed)? {
        Value::Tag(CORIM, inner) => *inner,
        Value::Tag(SIGNED_CORIM, _) => {
            return unsupported(
                "corim",
                "it is signed: verify whose signature it is, and take its payload out",
            );
        }
        other => other,
    };
    let mut corim = Map::of("corim", whole)?;
    let id = text("corim.id", corim.demand(0, "id")?)?;
    let tags = array("corim.tags", corim.demand(1, "tags")?)?;
    let platform = corim.take(3).map(profile).transpose()?;
    let (from, until) = corim.take(4).map_or(Ok((None, None)), validity)?;
    // Who made it says nothing of what it says.
    corim.take(5);
    corim.finish(&[(2, "dependent-rims")])?;
    let mut values = Vec::new();
    for (place, tag) in tags.into_iter().enumerate() {
        let place = format!("corim.tags[{place}]");
        let Value::Tag(COMID, inner) = tag else {
            return unsupported(&place, "it is not a CoMID (CoSWID and CoTL say nothing of guests)");
        };
        let Value::Bytes(inner) = *inner else { return Err(Error::Malformed(format!("{place}: not bytes"))) };
        comid(&place, inspect_comid(&inner, &limits)?, &mut values)?;
    }
    for value in &mut values {
        (value.valid_from, value.valid_until) = (from, until);
        value.computed = format!("by whoever made the CoRIM {id:?}");
        if platform.is_some_and(|platform| platform != value.digests.platform().as_str()) {
            return unsupported("corim.profile", "it is another platform's than the reference values are of");
        }
    }
    number_twins(&mut values);
    Ok(Imported { id, values })
}

fn inspect_comid(bytes: &[u8], limits: &DecodeLimits) -> Result<Value, Error> {
    corim::cbor::decode_exact_with_limits(bytes, limits).map_err(|error| Error::Malformed(error.to_string()))
}

fn unsupported<T>(place: &str, what: &str) -> Result<T, Error> {
    Err(Error::Unsupported { place: place.into(), what: what.into() })
}

/// A CBOR map with integer keys, from which is taken what is understood.
struct Map {
    place: String,
    entries: Vec<(Value, Value)>,
}

impl Map {
    fn of(place: &str, value: Value) -> Result<Self, Error> {
        match value {
            Value::Map(entries) => Ok(Self { place: place.into(), entries }),
            _ => Err(Error::Malformed(format!("{place}: not a map"))),
        }
    }

    fn take(&mut self, key: i128) -> Option<Value> {
        let place = self.entries.iter().position(|(known, _)| *known == Value::Integer(key))?;
        Some(self.entries.swap_remove(place).1)
    }

    fn demand(&mut self, key: i128, name: &str) -> Result<Value, Error> {
        self.take(key).ok_or_else(|| Error::Malformed(format!("{}: no {name}", self.place)))
    }

    /// Refuses what is left, by its name where it has one here.
    fn finish(self, names: &[(i128, &str)]) -> Result<(), Error> {
        let Some((key, _)) = self.entries.first() else { return Ok(()) };
        let name = names.iter().find(|(number, _)| Value::Integer(*number) == *key);
        let name = name.map_or_else(|| format!("key {key:?}"), |(_, name)| (*name).to_owned());
        unsupported(&self.place, &format!("{name} has no place in a policy's reference values"))
    }
}

fn text(place: &str, value: Value) -> Result<String, Error> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Tag(37, inner) => match *inner {
            Value::Bytes(bytes) => Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            _ => Err(Error::Malformed(format!("{place}: not a UUID"))),
        },
        _ => Err(Error::Malformed(format!("{place}: neither text nor a UUID"))),
    }
}

fn array(place: &str, value: Value) -> Result<Vec<Value>, Error> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(Error::Malformed(format!("{place}: not an array"))),
    }
}

/// The platform whose profile it is.
fn profile(value: Value) -> Result<&'static str, Error> {
    // The draft's own example has an array of one.
    let value = match value {
        Value::Array(mut one) if one.len() == 1 => one.remove(0),
        other => other,
    };
    match &value {
        Value::Tag(URI, inner) if **inner == Value::Text(SNP_PROFILE.into()) => Ok("sev-snp"),
        Value::Tag(OID, inner) if **inner == Value::Bytes(INTEL_PROFILE.into()) => Ok("tdx"),
        _ => unsupported("corim.profile", &format!("a profile that is not known here: {value:?}")),
    }
}

/// From when, and until before when.
fn validity(value: Value) -> Result<(Option<Moment>, Option<Moment>), Error> {
    const PLACE: &str = "corim.rim-validity";
    let mut map = Map::of(PLACE, value)?;
    let moment = |value: Value, later: u64| {
        let value = match value {
            Value::Tag(TIME, inner) => *inner,
            other => other,
        };
        let seconds = value.into_integer().and_then(|seconds| u64::try_from(seconds).ok());
        let seconds = seconds.and_then(|seconds| seconds.checked_add(later));
        let seconds = seconds.ok_or_else(|| Error::Malformed(format!("{PLACE}: no moment after 1970")))?;
        Ok::<_, Error>(Moment(UnixSeconds(seconds)))
    };
    let from = map.take(0).map(|value| moment(value, 0)).transpose()?;
    let until = moment(map.demand(1, "not-after")?, 1)?;
    map.finish(&[])?;
    Ok((from, Some(until)))
}

fn comid(place: &str, value: Value, found: &mut Vec<ReferenceValue>) -> Result<(), Error> {
    let mut comid = Map::of(place, value)?;
    let mut identity = Map::of(&format!("{place}.tag-identity"), comid.demand(1, "tag-identity")?)?;
    let name = text(&format!("{place}.tag-id"), identity.demand(0, "tag-id")?)?;
    identity.take(1);
    identity.finish(&[])?;
    // Language and entities say nothing of guests.
    comid.take(0);
    comid.take(2);
    let mut triples = Map::of(&format!("{place}.triples"), comid.demand(4, "triples")?)?;
    comid.finish(&[(3, "linked-tags")])?;
    let references = triples.take(0);
    triples.finish(&[
        (1, "endorsed-triples"),
        (2, "identity-triples"),
        (3, "attest-key-triples"),
        (4, "dependency-triples"),
        (5, "membership-triples"),
        (6, "coswid-triples"),
        (8, "conditional-endorsement-series-triples"),
        (10, "conditional-endorsement-triples"),
    ])?;
    let Some(references) = references else { return unsupported(place, "it holds no reference-triples") };
    for (number, triple) in array(place, references)?.into_iter().enumerate() {
        let place = format!("{place}.reference-triples[{number}]");
        let digests = triple_digests(&place, triple)?;
        // One guest under a chip's key and under a provider's is one reference value here.
        let is_known = |known: &ReferenceValue| known.name == name && known.digests == digests;
        if !found.iter().any(is_known) {
            found.push(ReferenceValue::new(name.clone(), "", digests));
        }
    }
    Ok(())
}

fn triple_digests(place: &str, triple: Value) -> Result<ReferenceDigests, Error> {
    let Ok([environment, measurements]) = <[Value; 2]>::try_from(array(place, triple)?) else {
        return Err(Error::Malformed(format!("{place}: not an environment and measurements")));
    };
    let is_snp = is_snp(&format!("{place}.environment"), environment)?;
    let Ok([measurement]) = <[Value; 1]>::try_from(array(place, measurements)?) else {
        return unsupported(
            place,
            "more than one measurement: reference values name the guest's image alone",
        );
    };
    let mut measurement = Map::of(&format!("{place}.measurement"), measurement)?;
    let key = measurement.take(0);
    let values = Map::of(&format!("{place}.mval"), measurement.demand(1, "mval")?)?;
    measurement.finish(&[(2, "authorized-by")])?;
    match is_snp {
        true => snp(place, key, values),
        false => tdx(place, key, values),
    }
}

/// Whether an environment is an SEV-SNP guest's, or else a TD's.
fn is_snp(place: &str, value: Value) -> Result<bool, Error> {
    let mut environment = Map::of(place, value)?;
    let mut class = Map::of(&format!("{place}.class"), environment.demand(0, "class")?)?;
    environment.finish(&[(1, "instance"), (2, "group")])?;
    let (id, vendor, model) = (class.take(0), class.take(1), class.take(2));
    class.finish(&[(3, "layer"), (4, "index")])?;
    let is_oid =
        |bytes: &[u8], known: &[u8; 11]| bytes == known || Some(bytes) == known.get(OID_HEADER_BYTES..);
    match (&id, &vendor, &model) {
        (Some(Value::Tag(OID, inner)), None, None) => match &**inner {
            Value::Bytes(bytes) if is_oid(bytes, &BY_CHIP) || is_oid(bytes, &BY_PROVIDER) => Ok(true),
            other => unsupported(place, &format!("a class that is not known here: {other:?}")),
        },
        (None, Some(Value::Text(vendor)), Some(Value::Text(model)))
            if vendor == INTEL_VENDOR && model == INTEL_MODEL =>
        {
            Ok(false)
        }
        _ => unsupported(place, "a class that is neither an SEV-SNP guest's nor a TD's"),
    }
}

fn snp(place: &str, key: Option<Value>, mut values: Map) -> Result<ReferenceDigests, Error> {
    match key {
        Some(Value::Integer(key)) if key == i128::from(SNP_MEASUREMENT) => {}
        other => {
            let what =
                format!("mkey {other:?} is a field of reports that is not the launch measurement (641)");
            return unsupported(place, &what);
        }
    }
    let measurement = digest(place, values.demand(DIGESTS, "digests")?)?;
    values.finish(&[])?;
    Ok(ReferenceDigests::SevSnp { measurement })
}

fn tdx(place: &str, key: Option<Value>, mut values: Map) -> Result<ReferenceDigests, Error> {
    // As an extension, or under a key of its own; both are in the draft.
    let mrtd = match key {
        None => values.take(TEE_MRTEE.into()),
        Some(Value::Integer(83)) => Some(values.demand(DIGESTS, "digests")?),
        Some(other) => return unsupported(place, &format!("mkey {other:?} is not that of tee.mrtee (83)")),
    };
    let mut registers = match values.take(REGISTERS) {
        Some(registers) => Map::of(&format!("{place}.integrity-registers"), registers)?,
        None => Map { place: place.into(), entries: Vec::new() },
    };
    values.finish(&[])?;
    let rule = |value: Option<Value>| match value {
        Some(value) => Ok(Rule::Require(vec![digest(place, value)?])),
        None => {
            let reason = Reason::new("the CoRIM says nothing of it");
            Ok(Rule::Ignore(reason.ok_or_else(|| Error::Malformed("no reason".into()))?))
        }
    };
    let is_empty = mrtd.is_none() && registers.entries.is_empty();
    let mrtd = rule(mrtd)?;
    let [rtmr0, rtmr1, rtmr2, rtmr3] = [0, 1, 2, 3].map(|number| registers.take(number));
    let (rtmr0, rtmr1, rtmr2, rtmr3) = (rule(rtmr0)?, rule(rtmr1)?, rule(rtmr2)?, rule(rtmr3)?);
    registers.finish(&[])?;
    match is_empty {
        true => unsupported(place, "it names no register"),
        false => Ok(ReferenceDigests::Tdx { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 }),
    }
}

/// The one SHA-384 digest in a list, or that stands for one.
fn digest(place: &str, value: Value) -> Result<Hex<48>, Error> {
    let list = array(place, value)?;
    let one = match list.as_slice() {
        [Value::Array(one)] => one.clone(),
        [Value::Integer(_) | Value::Text(_), Value::Bytes(_)] => list,
        _ => return unsupported(place, "not exactly one digest"),
    };
    let [algorithm, Value::Bytes(bytes)] = one.as_slice() else {
        return Err(Error::Malformed(format!("{place}: a digest is an algorithm and bytes")));
    };
    if *algorithm != Value::Integer(SHA_384.into()) && *algorithm != Value::Text("sha-384".into()) {
        return unsupported(place, &format!("a digest by the algorithm {algorithm:?}, not SHA-384 (7)"));
    }
    let bytes = bytes.as_slice().try_into();
    bytes.map(Hex).map_err(|_| Error::Malformed(format!("{place}: not 48 bytes of SHA-384")))
}

/// Gives reference values of one name numbers: in a policy a name is unique.
fn number_twins(values: &mut [ReferenceValue]) {
    let names: Vec<String> = values.iter().map(|value| value.name.clone()).collect();
    for (place, value) in values.iter_mut().enumerate() {
        let is_same = |name: &&String| **name == value.name;
        if names.iter().filter(is_same).count() > 1 {
            let number = names.iter().take(place).filter(is_same).count().saturating_add(1);
            value.name = format!("{} ({number})", value.name);
        }
    }
}
