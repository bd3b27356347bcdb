//! From a policy's reference values to a CoRIM.

use corim::builder::{ComidBuilder, CorimBuilder};
use corim::cbor::value::Value;
use corim::types::common::{ClassIdChoice, MeasuredElement, TagIdChoice};
use corim::types::corim::{CorimId, ProfileChoice};
use corim::types::environment::{ClassMap, EnvironmentMap};
use corim::types::measurement::{
    Digest, IntegrityRegisterId, IntegrityRegisters, MeasurementMap, MeasurementValuesMap,
};
use corim::types::triples::ReferenceTriple;
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::{PlatformName, ReferenceDigests, ReferenceValue, Rule, SnpSigningKey};
use vouchsafe_verifier::encoding::Hex;

use super::{
    BY_CHIP, BY_PROVIDER, Error, INTEL_MODEL, INTEL_PROFILE, INTEL_VENDOR, SHA_384, SNP_MEASUREMENT,
    SNP_PROFILE, TEE_MRTEE,
};

/// Most combinations of a TDX image's alternative registers.
const ALTERNATIVES_MAX: usize = 64;

/// The policy's reference values as one CoRIM, in deterministic CBOR: those of these names, or all of them where none
/// is named. How each was computed has no place in it.
///
/// # Errors
/// [`Error::Unrepresentable`]: what is revoked, has a beginning without an end, or other dates or another platform
/// than the first; or [`Error::Malformed`] where there is nothing.
pub fn export(policy: &Policy, names: &[String]) -> Result<Vec<u8>, Error> {
    let document = policy.document();
    let nothing = || Error::Malformed("there is no reference value to write".into());
    let Rule::Require(all) = &document.measurements else { return Err(nothing()) };
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|value| value.name != **name)) {
        let what = "the policy has no reference value of that name".into();
        return Err(Error::Unrepresentable { name: unknown.clone(), what });
    }
    let chosen = |value: &&ReferenceValue| names.is_empty() || names.contains(&value.name);
    let values: Vec<&ReferenceValue> = all.iter().filter(chosen).collect();
    let first = values.first().ok_or_else(nothing)?;
    let platform = first.digests.platform();
    let mut corim = CorimBuilder::new(CorimId::Text(document.name.clone())).set_profile(match platform {
        PlatformName::SevSnp => ProfileChoice::Uri(SNP_PROFILE.into()),
        _ => ProfileChoice::Oid(INTEL_PROFILE.into()),
    });
    if let Some((from, until)) = validity(first)? {
        corim = corim.set_validity(from, until).map_err(|error| unrepresentable(first, error.to_string()))?;
    }
    for value in &values {
        if value.digests.platform() != platform {
            let what = format!(
                "it is not of {}, as {:?} is: name those of one platform",
                platform.as_str(),
                first.name
            );
            return Err(unrepresentable(value, what));
        }
        if validity(value)? != validity(first)? {
            let what = format!("a CoRIM has one validity, and {:?} has another", first.name);
            return Err(unrepresentable(value, what));
        }
        let mut comid = ComidBuilder::new(TagIdChoice::Text(value.name.clone()));
        for triple in triples(value, &document.platform.snp.signing_keys)? {
            comid = comid.add_reference_triple(triple);
        }
        let failed = |error: corim::BuilderError| unrepresentable(value, error.to_string());
        corim = corim.add_comid_tag(comid.build().map_err(failed)?).map_err(failed)?;
    }
    corim.build_bytes().map_err(|error| unrepresentable(first, error.to_string()))
}

fn unrepresentable(value: &ReferenceValue, what: impl Into<String>) -> Error {
    Error::Unrepresentable { name: value.name.clone(), what: what.into() }
}

/// From and until when, the latter included, in Unix seconds.
fn validity(value: &ReferenceValue) -> Result<Option<(Option<i64>, i64)>, Error> {
    if value.revoked.is_some() {
        return Err(unrepresentable(value, "it is revoked, which a CoRIM can't say"));
    }
    let seconds = |at: u64| i64::try_from(at).map_err(|_| unrepresentable(value, "a moment too far away"));
    let from = value.valid_from.map(|from| seconds(from.0.0)).transpose()?;
    match value.valid_until {
        Some(until) => Ok(Some((from, seconds(until.0.0.saturating_sub(1))?))),
        None if from.is_some() => {
            Err(unrepresentable(value, "it begins and does not end, which a CoRIM can't say"))
        }
        None => Ok(None),
    }
}

fn triples(value: &ReferenceValue, keys: &Rule<Vec<SnpSigningKey>>) -> Result<Vec<ReferenceTriple>, Error> {
    let digest = |bytes: &[u8; 48]| Digest::new(SHA_384, bytes.to_vec());
    match &value.digests {
        ReferenceDigests::SevSnp { measurement } => {
            let accepts = |key| keys.required().is_none_or(|keys: &Vec<_>| keys.contains(&key));
            let classes = [(SnpSigningKey::Vcek, BY_CHIP), (SnpSigningKey::Vlek, BY_PROVIDER)].into_iter();
            let classes = classes.filter(|(key, _)| accepts(*key));
            let mut values = MeasurementValuesMap::new();
            values.digests = Some(vec![digest(&measurement.0)]);
            let measured = MeasurementMap {
                mkey: Some(MeasuredElement::Uint(SNP_MEASUREMENT)),
                mval: values,
                authorized_by: None,
            };
            let of = |class: [u8; 11]| {
                let class =
                    ClassMap { class_id: Some(ClassIdChoice::Oid(class.into())), ..ClassMap::default() };
                ReferenceTriple::new(environment(class), vec![measured.clone()])
            };
            Ok(classes.map(|(_, class)| of(class)).collect())
        }
        ReferenceDigests::Tdx { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 } => {
            let all = combinations(value, [mrtd, rtmr0, rtmr1, rtmr2, rtmr3])?;
            Ok(all.into_iter().map(|[mrtd, rtmrs @ ..]| td(mrtd, rtmrs)).collect())
        }
        _ => Err(unrepresentable(value, "a platform that has no form here")),
    }
}

fn environment(class: ClassMap) -> EnvironmentMap {
    EnvironmentMap { class: Some(class), instance: None, group: None }
}

type Register = Option<[u8; 48]>;

/// One TD: its MRTD and RTMRs, of which those that do not count are left out.
fn td(mrtd: Register, rtmrs: [Register; 4]) -> ReferenceTriple {
    let mut values = MeasurementValuesMap::new();
    if let Some(mrtd) = mrtd {
        let digest = Value::Array(vec![Value::Integer(SHA_384.into()), Value::Bytes(mrtd.to_vec())]);
        values.extra_entries.insert(TEE_MRTEE, Value::Array(vec![digest]));
    }
    let registers = (0..).zip(rtmrs).filter_map(|(number, register)| {
        Some((IntegrityRegisterId::Uint(number), vec![Digest::new(SHA_384, register?.to_vec())]))
    });
    let registers = IntegrityRegisters(registers.collect());
    values.integrity_registers = Some(registers).filter(|registers| !registers.0.is_empty());
    let measured = MeasurementMap { mkey: None, mval: values, authorized_by: None };
    ReferenceTriple::new(environment(ClassMap::new(INTEL_VENDOR, INTEL_MODEL)), vec![measured])
}

/// Every combination of the registers' alternatives.
fn combinations(
    value: &ReferenceValue,
    rules: [&Rule<Vec<Hex<48>>>; 5],
) -> Result<Vec<[Register; 5]>, Error> {
    let mut all: Vec<[Register; 5]> = vec![[None; 5]];
    for (place, rule) in rules.into_iter().enumerate() {
        let Rule::Require(digests) = rule else { continue };
        let with = |row: &[Register; 5], digest: &Hex<48>| {
            let mut row = *row;
            row[place] = Some(digest.0);
            row
        };
        all = all.iter().flat_map(|row| digests.iter().map(move |digest| with(row, digest))).collect();
        if all.len() > ALTERNATIVES_MAX {
            return Err(unrepresentable(
                value,
                format!("more than {ALTERNATIVES_MAX} combinations of registers"),
            ));
        }
    }
    if all.is_empty() || all.iter().any(|row| row.iter().all(Option::is_none)) {
        return Err(unrepresentable(value, "it names no register"));
    }
    Ok(all)
}
