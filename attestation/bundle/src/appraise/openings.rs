//! Request, response and execution against the commitments in the receipt.

use vouchsafe_receipt::stream::{self, Head};
use vouchsafe_receipt::{Envelope, ExecutionRecord, Opening, ResponseOpening};
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::{from_base64url, to_hex};
use vouchsafe_verifier::strict_json::{self, Limits};

use super::checks::{Checks, check};
use super::receipt::{Finished, Records, Signed};
use crate::policy::Rule;
use crate::verdict::Step;
use crate::{Answer, codes};

const RECORD_LIMITS: Limits = Limits { bytes_max: 1 << 20, depth_max: 32 };
const RECORD_VERSION: u64 = 1;

/// Opens the request commitment.
pub(super) fn request(checks: &mut Checks<'_>, answer: &Answer<'_>, signed: &Signed, crypto: &dyn Crypto) {
    const RULE: &str = "openings.request";
    let opening = answer.opening.and_then(|opening| opening.request.as_ref());
    match (answer.request, opening) {
        (Some(body), Some(opening)) => {
            let seen = opening.commit(body, crypto);
            let holds = checks.demand(
                check(Step::Request, RULE, codes::REQUEST_MISMATCH),
                seen == signed.request,
                format!("commitment {}", to_hex(&signed.request)),
                format!("commitment {} of the request given", to_hex(&seen)),
            );
            if holds {
                let text = format!("The answer is to this request: {} {}.", opening.method, opening.path);
                checks.prove(Step::Request, "request", text);
            }
        }
        (Some(_), None) => checks.skip(
            check(Step::Request, RULE, codes::REQUEST_OPENING_MISSING),
            "an opening of the request",
            "none, so that the request given can't be matched",
        ),
        (None, _) => {
            let rule = &checks.document().openings.request;
            not_given(checks, Step::Request, RULE, codes::REQUEST_NOT_GIVEN, rule, "the request");
        }
    }
}

/// Opens the response commitment; gives the HTTP status where that succeeds.
pub(super) fn response(
    checks: &mut Checks<'_>,
    answer: &Answer<'_>,
    signed: &Signed,
    records: Option<&Records>,
    crypto: &dyn Crypto,
) -> Option<u16> {
    const RULE: &str = "openings.response";
    let Some(body) = answer.response else {
        let rule = &checks.document().openings.response;
        not_given(checks, Step::Response, RULE, codes::RESPONSE_NOT_GIVEN, rule, "the response");
        return None;
    };
    let Some(finished) = &signed.finished else {
        prefix(checks, body, records, crypto);
        return None;
    };
    let Some(opening) = answer.opening.and_then(|opening| opening.response.as_ref()) else {
        checks.skip(
            check(Step::Response, RULE, codes::RESPONSE_OPENING_MISSING),
            "an opening of the response",
            "none, so that the response given can't be matched",
        );
        return None;
    };
    match opening.is_stream() {
        false => whole(checks, body, opening, finished, crypto),
        true => events(checks, body, opening, finished, records, crypto),
    }
}

/// Opens the execution commitment and holds the record against the policy.
pub(super) fn execution(
    checks: &mut Checks<'_>,
    opening: Option<&Opening>,
    finished: Option<&Finished>,
    crypto: &dyn Crypto,
) {
    const RULE: &str = "openings.execution";
    let record = match (opening.and_then(|opening| opening.execution.as_ref()), finished) {
        (Some(opening), Some(finished)) => {
            let seen = opening.commit(crypto);
            let holds = checks.demand(
                check(Step::Execution, RULE, codes::EXECUTION_MISMATCH),
                seen == finished.execution,
                format!("commitment {}", to_hex(&finished.execution)),
                format!("commitment {} of the record given", to_hex(&seen)),
            );
            if !holds {
                return;
            }
            read_record(checks, &opening.record)
        }
        _ => {
            let rule = &checks.document().openings.execution;
            let code = codes::EXECUTION_OPENING_MISSING;
            not_given(checks, Step::Execution, RULE, code, rule, "the execution record");
            None
        }
    };
    parameters(checks, record.as_ref());
    checks.execution = record;
}

/// Something that nobody showed: fine unless the policy demands it.
fn not_given(
    checks: &mut Checks<'_>,
    step: Step,
    rule_name: &'static str,
    code: &'static str,
    rule: &Rule<crate::policy::Demanded>,
    what: &str,
) {
    let check = check(step, rule_name, code);
    match rule {
        Rule::Require(_) => checks.skip(check, what, "not given"),
        Rule::Ignore(reason) => checks.ignore(check, reason.as_str(), "not given"),
    }
    let text = format!("What {what} was: it was not shown to the verifier, only committed to.");
    checks.leave_unproved(code, text);
}

fn whole(
    checks: &mut Checks<'_>,
    body: &[u8],
    opening: &ResponseOpening,
    finished: &Finished,
    crypto: &dyn Crypto,
) -> Option<u16> {
    let seen = opening.commit(body, crypto);
    let holds = checks.demand(
        check(Step::Response, "openings.response", codes::RESPONSE_MISMATCH),
        seen == finished.response,
        format!("commitment {}", to_hex(&finished.response)),
        format!("commitment {} of the response given", to_hex(&seen)),
    );
    if holds {
        let text = format!("The answer is these {} bytes, status {}.", body.len(), opening.status);
        checks.prove(Step::Response, "response", text);
    }
    holds.then_some(opening.status)
}

fn events(
    checks: &mut Checks<'_>,
    body: &[u8],
    opening: &ResponseOpening,
    finished: &Finished,
    records: Option<&Records>,
    crypto: &dyn Crypto,
) -> Option<u16> {
    // The start record may travel in the stream itself. It needs no verification of its own here: the
    // receipt's commitment covers the chain, and the chain begins with the start record's bytes.
    let in_stream = || start_in(body);
    let Some(start) = records.map(|records| records.start.clone()).or_else(in_stream) else {
        checks.skip(
            check(Step::Response, "openings.response", codes::STREAM_START_MISSING),
            "the stream's start record, in the bundle or in the text",
            "none, so that the events given can't be matched",
        );
        return None;
    };
    if !is_plain(checks, body) {
        return None;
    }
    let head =
        stream::data_payloads(body).fold(Head::begin(&start, crypto), |head, data| head.extend(data, crypto));
    let seen = opening.commit(&head.committed(), crypto);
    let holds = checks.demand(
        check(Step::Response, "openings.response", codes::RESPONSE_MISMATCH),
        seen == finished.response,
        format!("commitment {}", to_hex(&finished.response)),
        format!("commitment {} of the {} events given", to_hex(&seen), head.events),
    );
    if holds {
        let text = format!("The answer is these {} streamed events, status {}.", head.events, opening.status);
        checks.prove(Step::Response, "response", text);
    }
    holds.then_some(opening.status)
}

/// A stream that was cut off: the events up to the last signed head are proved, no more.
fn prefix(checks: &mut Checks<'_>, body: &[u8], records: Option<&Records>, crypto: &dyn Crypto) {
    const RULE: &str = "openings.response";
    let Some((start, signed)) = records.and_then(|records| Some((&records.start, records.head.as_ref()?)))
    else {
        return checks.skip(
            check(Step::Response, RULE, codes::STREAM_HEAD_MISSING),
            "a signed head of the stream",
            "none, so that no event is covered",
        );
    };
    if !is_plain(checks, body) {
        return;
    }
    let count = usize::try_from(signed.events).unwrap_or(usize::MAX);
    let payloads = stream::data_payloads(body);
    let head = payloads.take(count).fold(Head::begin(start, crypto), |head, data| head.extend(data, crypto));
    let holds = checks.demand(
        check(Step::Response, RULE, codes::RESPONSE_MISMATCH),
        head.events == signed.events && head.value == signed.head.0,
        format!("{} events with head {}", signed.events, signed.head),
        format!("{} events with head {}", head.events, to_hex(&head.value)),
    );
    if holds {
        let text = format!("The answer begins with the first {} of these streamed events.", signed.events);
        checks.prove(Step::Response, "response_prefix", text);
    }
}

/// Only in plain framing is what the chain covers what every reader of server-sent events sees.
fn is_plain(checks: &mut Checks<'_>, body: &[u8]) -> bool {
    let check = check(Step::Response, "response_framing", codes::RESPONSE_MISMATCH);
    let is_plain = stream::is_plain(body);
    let seen = if is_plain { "such lines only" } else { "other lines, or several of data in one event" };
    checks.demand(check, is_plain, "server-sent events of one data line each, and comments", seen)
}

fn start_in(body: &[u8]) -> Option<Envelope> {
    let text = stream::comments(body, stream::START_COMMENT).next()?;
    Envelope::from_json(&from_base64url(core::str::from_utf8(text).ok()?)?).ok()
}

fn read_record(checks: &mut Checks<'_>, text: &str) -> Option<ExecutionRecord> {
    let malformed = check(Step::Execution, "execution_record", codes::EXECUTION_MALFORMED);
    let expected = format!("a record of version {RECORD_VERSION}");
    match strict_json::read::<ExecutionRecord>(text.as_bytes(), RECORD_LIMITS) {
        Ok(record) if record.version == RECORD_VERSION => {
            let text = format!(
                "The parameters in force and the token counts are those of the record ({}).",
                record.operation
            );
            checks.prove(Step::Execution, "execution", text);
            Some(record)
        }
        Ok(record) => {
            checks.fail(malformed, expected, format!("version {}", record.version));
            None
        }
        Err(error) => {
            checks.fail(malformed, expected, error.to_string());
            None
        }
    }
}

fn parameters(checks: &mut Checks<'_>, record: Option<&ExecutionRecord>) {
    const RULE: &str = "parameters.values";
    let mismatch = check(Step::Execution, RULE, codes::PARAMETER_MISMATCH);
    let values = match &checks.document().parameters.values {
        Rule::Ignore(reason) => return checks.ignore(mismatch, reason.as_str(), "any"),
        Rule::Require(values) => values,
    };
    let Some(record) = record else {
        let missing = check(Step::Execution, RULE, codes::EXECUTION_OPENING_MISSING);
        return checks.skip(missing, "the execution record", "not given, or not readable");
    };
    for (name, wanted) in values {
        let seen = record.parameters.get(name);
        let text = seen.map_or_else(|| String::from("absent"), ToString::to_string);
        let holds = seen.is_some_and(|seen| equal(seen, wanted));
        checks.demand(mismatch, holds, format!("{name} {wanted}"), format!("{name} {text}"));
    }
}

/// Equality of JSON values in which 0 and 0.0 are one number.
fn equal(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    let (a_is_float, b_is_float) = (a.is_f64(), b.is_f64());
    match (a.as_f64(), b.as_f64()) {
        // Two integers are compared as such: not every one of them is a float.
        (Some(a), Some(b)) if a_is_float || b_is_float => a == b,
        _ => a == b,
    }
}
