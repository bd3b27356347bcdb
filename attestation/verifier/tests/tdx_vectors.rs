//! Every TDX vector is judged as its `expect.json` says: statuses, facts, windows, event logs.

mod common;
mod tdx_support;

use serde_json::Value;
use tdx_support::{Case, cases, code, verify, verify_log};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::tdx::{self, Binding, EventLog, Quote};
use vouchsafe_verifier::{TrustRoots, UnixSeconds};

#[test]
fn every_appraisal_comes_out_as_expected() {
    let Some(cases) = cases() else { return };
    let mut judged = 0;
    for case in &cases {
        for appraisal in case.appraisals() {
            let what = format!("{} with {}", case.id, appraisal.expect["collateral"]);
            let verified = verify(case.bare_quote(), &appraisal.collateral, appraisal.at)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            let claims = serde_json::to_value(verified.claims()).unwrap();
            check_facts(case, &claims);

            let expected = &appraisal.expect;
            let status = match expected["tcb_status"].as_str().unwrap() {
                "REJECT: NO_TCB_LEVEL" => "NoMatchingLevel",
                status => status,
            };
            assert_eq!(claims["tcb_status"], status, "{what}");
            assert_eq!(claims["advisories"], expected["advisories"], "{what}");
            assert_eq!(claims["qe_status"], expected["qe_status"], "{what}");
            let module = expected["tdx_module"].as_str().unwrap();
            assert_eq!(claims["tdx_module"], module.trim_end_matches(" (tdxModule)"), "{what}");
            assert_eq!(or_null(&claims, "tdx_module_status"), &expected["tdx_module_status"], "{what}");
            if let Some(platform) = expected["platform_level_status"].as_str() {
                assert_eq!(claims["platform_level_status"], platform, "{what}");
            } else {
                assert_eq!(claims["platform_level_status"], "NoMatchingLevel", "{what}");
            }
            assert_eq!(or_null(&claims, "platform_level_date"), &expected["platform_level_date"], "{what}");
            for (ours, theirs) in [
                ("tcb_eval_number", "tcb_eval_number"),
                ("qe_identity_eval", "qe_identity_eval"),
                ("tcb_info_issue", "tcb_info_issue"),
                ("tcb_info_next", "tcb_info_next"),
                ("qe_identity_issue", "qe_identity_issue"),
            ] {
                assert_eq!(claims[ours], expected[theirs], "{what}: {ours}");
            }
            judged += 1;
        }
    }
    assert!(judged >= 13, "only {judged} appraisals");
}

/// The facts of the quote and its PCK certificate.
fn check_facts(case: &Case, claims: &Value) {
    let expect = &case.expect;
    for name in [
        "version",
        "body",
        "qe_vendor",
        "user_data",
        "tee_tcb_svn",
        "mrseam",
        "mrsignerseam",
        "seamattributes",
        "td_attributes",
        "td_attributes_bits",
        "xfam",
        "mrtd",
        "mrconfigid",
        "mrowner",
        "mrownerconfig",
        "rtmr0",
        "rtmr1",
        "rtmr2",
        "rtmr3",
        "report_data",
        "tee_tcb_svn2",
        "mrservicetd",
        "body_type",
    ] {
        let expected = expect.get(name).unwrap_or(&Value::Null);
        assert_eq!(or_null(claims, name), expected, "{}: {name}", case.id);
    }
    let pck = &expect["pck"];
    for name in ["pceid", "pcesvn", "sgx_type", "ppid"] {
        assert_eq!(claims[name], pck[name], "{}: {name}", case.id);
    }
    let fmspc = pck["fmspc"].as_str().unwrap().to_lowercase();
    assert_eq!(claims["fmspc"], fmspc.as_str(), "{}", case.id);
    let components: String = pck["cpusvn_components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| format!("{:02x}", c.as_u64().unwrap()))
        .collect();
    assert_eq!(claims["cpusvn"], components.as_str(), "{}", case.id);
    let ca =
        format!("Intel SGX PCK {} CA", if claims["pck_ca"] == "platform" { "Platform" } else { "Processor" });
    assert_eq!(pck["ca"], ca.as_str(), "{}", case.id);
    assert_eq!(claims["qe_isvsvn"], expect["qe_report"]["isvsvn"], "{}", case.id);
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
fn padding_is_reported_and_anything_else_after_the_quote_refused() {
    let Some(cases) = cases() else { return };
    let mut seen = [0, 0, 0];
    for case in &cases {
        let trailing = Quote::parse(&case.quote).unwrap().trailing();
        assert_eq!(case.expect["trailing_bytes"], trailing.count, "{}", case.id);
        assert_eq!(case.expect["trailing_all_zero"], trailing.all_zero, "{}", case.id);
        let Some(appraisal) = case.appraisals().pop() else { continue };
        let result = verify(&case.quote, &appraisal.collateral, appraisal.at);
        match (trailing.count, trailing.all_zero) {
            (0, _) => seen[0] += 1,
            (count, true) => {
                assert_eq!(result.unwrap().trailing().count, count, "{}", case.id);
                seen[1] += 1;
            }
            (_, false) => {
                assert_eq!(code(result), "tdx_trailing_bytes", "{}", case.id);
                seen[2] += 1;
            }
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
    assert_eq!(claims["event_log"]["events"], events.len());
}
