//! Every TDX vector is judged as its `expect.json` says: statuses, facts, windows, event logs.

mod common;
mod tdx_support;

use serde_json::Value;
use tdx_support::{cases, code, verify, verify_log};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::tdx::{self, Binding, EventLog, Quote};
use vouchsafe_verifier::{TrustRoots, UnixSeconds};

#[test]
fn every_appraisal_comes_out_as_expected() {
    let Some(cases) = cases() else { return };
    let (mut judged, mut compared) = (0, 0);
    for case in &cases {
        for appraisal in case.appraisals() {
            let what = format!("{} with {}", case.id, appraisal.expect["collateral"]);
            let verified = verify(&case.quote, &appraisal.collateral, appraisal.at)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            let claims = serde_json::to_value(verified.claims()).unwrap();
            compared += compare(&what, "", &case.expect, &claims);
            compared += compare(&what, "", &appraisal.expect, &claims);
            judged += 1;
        }
    }
    assert!(judged >= 13, "only {judged} appraisals");
    assert!(compared >= 60 * judged, "only {compared} facts");
}

/// What `expect.json` says about a case and not of its evidence: where it is from, what other programs said,
/// and what is held against the verdict elsewhere.
const NOT_CLAIMS: [&str; 16] = [
    "appraisals",
    "checks",
    "collateral",
    "collateral_provenance",
    "event_log",
    "file_len",
    "id",
    "kind",
    "other_files",
    "peer_dcap_qvl_0_7_1",
    "peer_dcap_qvl_allow_debug",
    "quote_len",
    "sha256",
    "source",
    "verdict",
    "verify_at_unix",
];

/// Holds every fact of `expected`, nested ones too, against the claim of that name.
fn compare(what: &str, within: &str, expected: &Value, claims: &Value) -> usize {
    let mut compared = 0;
    for (name, fact) in expected.as_object().unwrap() {
        if NOT_CLAIMS.contains(&name.as_str()) {
            continue;
        }
        let claim = or_null(claims, name);
        let path = format!("{within}{name}");
        if fact.is_object() {
            compared += compare(what, &format!("{path}."), fact, claim);
        } else {
            assert_eq!(claim, &in_our_words(&path, fact), "{what}: {path}");
            compared += 1;
        }
    }
    compared
}

/// Where claims say the same in other words: RFC 3339 in one form, hexadecimal in lower case, a status where
/// Intel's library has an error.
fn in_our_words(path: &str, fact: &Value) -> Value {
    let Some(text) = fact.as_str() else {
        // No level, so no level's status.
        return if path == "platform_level_status" { "NoMatchingLevel".into() } else { fact.clone() };
    };
    match path {
        "pck.not_before" | "pck.not_after" | "valid_from" | "valid_until" => {
            text.replace(' ', "T").replace("+00:00", "Z").into()
        }
        "pck.fmspc" => text.to_lowercase().into(),
        "tcb_status" if text == "REJECT: NO_TCB_LEVEL" => "NoMatchingLevel".into(),
        "tdx_module" => text.trim_end_matches(" (tdxModule)").into(),
        _ => fact.clone(),
    }
}

fn or_null<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

#[test]
fn outside_its_window_every_appraisal_is_an_expiry_error() {
    let Some(cases) = cases() else { return };
    for case in &cases {
        for appraisal in case.appraisals() {
            let what = format!("{} with {}", case.id, appraisal.expect["collateral"]);
            let (from, until) = (appraisal.date("valid_from"), appraisal.date("valid_until"));
            let at = |moment| code(verify(case.bare_quote(), &appraisal.collateral, moment));
            let verified = verify(case.bare_quote(), &appraisal.collateral, appraisal.at).unwrap();
            let window = verified.collateral_window();
            assert_eq!((window.issued, window.next_update), (from, until), "{what}");

            assert_eq!((at(from), at(until)), ("accepted", "accepted"), "{what}");
            let (early, late) = (at(UnixSeconds(from.0 - 1)), at(UnixSeconds(until.0 + 1)));
            let not_yet = [
                "tdx_tcb_info_not_yet_valid",
                "tdx_qe_identity_not_yet_valid",
                "tdx_crl_future",
                "tdx_certificate_not_yet_valid",
            ];
            let expired = [
                "tdx_tcb_info_expired",
                "tdx_qe_identity_expired",
                "tdx_crl_stale",
                "tdx_certificate_expired",
            ];
            assert!(not_yet.contains(&early), "{what}: {early}");
            assert!(expired.contains(&late), "{what}: {late}");
        }
    }
}

#[test]
fn what_follows_a_quote_is_reported() {
    let Some(cases) = cases() else { return };
    let mut seen = [0, 0, 0];
    for case in &cases {
        let trailing = Quote::parse(&case.quote).unwrap().trailing();
        assert_eq!(case.expect["trailing_bytes"], trailing.count, "{}", case.id);
        assert_eq!(case.expect["trailing_all_zero"], trailing.all_zero, "{}", case.id);
        match (trailing.count, trailing.all_zero) {
            (0, _) => seen[0] += 1,
            (_, true) => seen[1] += 1,
            (_, false) => seen[2] += 1,
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn without_collateral_nothing_verifies() {
    let Some(cases) = cases() else { return };
    let roots = TrustRoots::vendor_pinned();
    for case in &cases {
        // 2026-05-01, within the validity of every PCK certificate.
        let at = UnixSeconds(1_777_593_600);
        let result = tdx::verify(case.bare_quote(), None, None, &roots, at, &Ring);
        assert_eq!(code(result), "tdx_collateral_missing", "{}", case.id);
    }
}

#[test]
fn event_logs_replay_as_expected() {
    let Some(cases) = cases() else { return };
    let mut logs = 0;
    for case in &cases {
        let expected = match case.expect.get("event_log") {
            None => continue,
            Some(Value::Array(logs)) => logs.clone(),
            Some(log) => vec![log.clone()],
        };
        for expect in expected {
            let bytes = case.file(expect["file"].as_str().unwrap());
            let quote = Quote::parse(&case.quote).unwrap();
            let result = EventLog::parse(&bytes).unwrap().replay(&quote.report().rtmr, &Ring);
            let matches = expect["matches"].as_object().unwrap();
            if matches.values().all(|value| value == true) {
                let log = result.unwrap_or_else(|error| panic!("{}: {error}", case.id));
                assert_eq!(expect["events"], log.events().len(), "{}", case.id);
            } else {
                let error = result.unwrap_err();
                assert_eq!(error.code(), "tdx_event_log_replay", "{}", case.id);
            }
            logs += 1;
        }
    }
    assert_eq!(logs, 4);
}

#[test]
fn the_verdict_tells_which_event_contents_are_proved() {
    let Some(case) = tdx_support::case("v4-gcp-cos113-ccel") else { return };
    let appraisal = case.appraisal();
    let log = case.file("ccel_data.bin");
    let verified = verify_log(case.bare_quote(), Some(&log), &appraisal.collateral, appraisal.at).unwrap();
    let events = verified.event_log().unwrap().events();

    let with = |binding| events.iter().filter(move |event| event.binding() == binding);
    let command_line = with(Binding::TextAfterLabel).next_back().unwrap();
    assert!(command_line.unverified_content().starts_with(b"kernel_cmdline: "));
    assert!(command_line.bound_content().unwrap().starts_with(b"/syslinux/vmlinuz.A init="));
    assert!(
        with(Binding::Content).any(|event| event.bound_content() == Some(b"Exit Boot Services Invocation"))
    );
    assert!(with(Binding::VariableValue).count() >= 3);
    assert!(with(Binding::DigestOnly).all(|event| event.bound_content().is_none()));
    assert!(with(Binding::DigestOnly).count() >= 5, "images and tables are known by digest only");

    let claims = serde_json::to_value(verified.claims()).unwrap();
    let claimed = &claims["event_log"];
    assert_eq!(claimed["events"], events.len());
    // The contents that are claimed are those that are bound, and no others.
    let contents = claimed["contents"].as_array().unwrap();
    assert_eq!(claimed["content_bound"], contents.len());
    for claim in contents {
        let event = &events[usize::try_from(claim["event"].as_u64().unwrap()).unwrap()];
        let bound = event.bound_content().unwrap();
        assert_eq!(claim["bound"], event.binding().as_str());
        assert_eq!(claim["len"], bound.len());
        if let Some(text) = claim["text"].as_str() {
            assert_eq!(text.as_bytes(), bound);
        }
    }
    let texts: Vec<&str> = contents.iter().filter_map(|claim| claim["text"].as_str()).collect();
    assert!(texts.iter().any(|text| text.starts_with("/syslinux/vmlinuz.A init=")), "{texts:?}");
}
