//! The status page: one static file, written from the log itself, that needs no scripts.
//!
//! Everything on it was verified by this monitor or measured by its own clock, and each figure says
//! which. Texts from the log are strangers': they are escaped by the template, and the page's policy
//! forbids everything but its own style sheet.

mod plot;

use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::to_base64;

use crate::appraise::Accepted;
use crate::gap::Slot;
use crate::state::{Appraisal, Boot, Image, State, replace};
use crate::{Error, Histogram, Monitor, images};

const STYLE: &str = include_str!("style.css");
/// Boots and alarms on the page. The rest is in the state.
const SHOWN_MAX: usize = 20;
/// A witness whose newest cosignature is older than this is shown as silent, in seconds.
const SILENT_SECONDS: u64 = 60;

/// Writes the page and its figures for other programs into `folder`.
///
/// # Errors
/// [`Error::Io`].
pub fn write(folder: &Path, monitor: &Monitor, source: &str, now_s: u64) -> Result<(), Error> {
    replace(&folder.join("index.html"), page(monitor, source, now_s).as_bytes())?;
    replace(&folder.join("images.json"), images::to_json(monitor.state()).as_bytes())?;
    replace(&folder.join("metrics.prom"), crate::metrics::to_text(monitor, now_s).as_bytes())
}

/// The page's text.
pub fn page(monitor: &Monitor, source: &str, now_s: u64) -> String {
    let trusted = monitor.trusted();
    let quorum = (trusted.quorum().threshold(), trusted.quorum().witnesses().len());
    let unsettled = monitor.probes().waiting();
    render(monitor.state(), trusted.origin(), source, quorum, unsettled, now_s).into_string()
}

pub(crate) fn render(
    state: &State,
    origin: &str,
    source: &str,
    quorum: (usize, usize),
    probes_waiting: u64,
    now_s: u64,
) -> Markup {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        to_base64(&Ring.sha256(STYLE.as_bytes()))
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta http-equiv="refresh" content="30";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                meta name="color-scheme" content="light dark";
                title { @if !state.alarms.is_empty() { "⚠ " } "Log " (origin) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    header {
                        h1 { (origin) }
                        span.soft { "as of " (moment(now_s)) }
                    }
                    (banner(state))
                    (figures(state, quorum, probes_waiting, now_s))
                    (gap(state, now_s))
                    (alarms(state))
                    (witnesses(state, now_s))
                    (boots(state))
                    (images(state))
                    footer {
                        small.soft {
                            "Written by a monitor that read every entry of " code { (source) }
                            ", recomputed the tree and verified every signature. Nothing here is the operator's own report."
                        }
                    }
                }
            }
        }
    }
}

fn banner(state: &State) -> Markup {
    let alarms = state.alarms.len();
    html! {
        @if alarms > 0 {
            div.banner.bad {
                (alarms) @if alarms == 1 { " violation" } @else { " violations" } " found"
                p { "The log, a witness or an enclave did what it must not do. The evidence is kept; see below." }
            }
        } @else if let Some(checkpoint) = &state.checkpoint {
            div.banner.good {
                "All " (grouped(checkpoint.size)) " entries verified"
                p { "One append-only history, every receipt signed by an attested boot, none missing that was due." }
            }
        } @else {
            div.banner { "No checkpoint was verified yet" }
        }
    }
}

fn figures(state: &State, quorum: (usize, usize), probes_waiting: u64, now_s: u64) -> Markup {
    let receipts = state.leaves.get("receipt").copied().unwrap_or(0);
    let missing = state.missing();
    let (k, n) = quorum;
    let time = state.checkpoint.as_ref().and_then(|checkpoint| checkpoint.time);
    html! {
        div.tiles {
            (figure(&grouped(receipts), "receipts in the log"))
            (figure(&grouped(missing.saturating_add(probes_waiting)), "unsettled: signed, not in the log yet"))
            (figure(&grouped(state.checkpoints), "checkpoints verified here"))
            (figure(
                &time.map_or_else(|| "none".into(), |time| ago(now_s, time)),
                &format!("witness time, {k} of {n} witnesses"),
            ))
        }
    }
}

fn figure(value: &str, name: &str) -> Markup {
    html! { div.card { div.figure { (value) } small.soft { (name) } } }
}

fn gap(state: &State, now_s: u64) -> Markup {
    let total = state.gap.total();
    let probed = total.witnessed.count() > 0;
    let drawn: plot::Figure = if probed { |slot| &slot.witnessed } else { |slot| &slot.log };
    let unsettled: fn(&Slot) -> u64 =
        if probed { |slot| slot.probes_unsettled } else { |slot| slot.unsettled };
    let rows: [(&str, &str, &Histogram, u64); 4] = [
        ("asked → answered", "this monitor's own requests and clock, to 1 ms", &total.answered, total.failed),
        (
            "answered → witnessed",
            "this monitor's own requests and clock, to the interval between two looks at the log",
            &total.witnessed,
            total.probes_unsettled,
        ),
        (
            "witnessed → audited",
            "this monitor's clock, to 1 ms: until it had verified the entry",
            &total.audited,
            0,
        ),
        (
            "signed → witnessed, all receipts",
            "the enclave's unattested whole seconds to the witnesses' whole seconds: to 2 s",
            &total.log,
            total.unsettled,
        ),
    ];
    html! {
        section.card {
            h2 { "Trust gap" }
            (plot::plot(&state.gap, drawn, unsettled, now_s))
            div.key {
                span { b.k50 {} "p50" } span { b.k99 {} "p99, unsettled counted as ∞" }
                span {
                    @if probed { "answered → witnessed, own probes, per 10 minutes" }
                    @else { "signed → witnessed, whole seconds, per 10 minutes" }
                }
            }
            div.scroll {
                table {
                    thead { tr { th { "Stage" } th.number { "p50" } th.number { "p99" } th.number { "count" } } }
                    tbody {
                        @for (name, precision, histogram, unsettled) in rows {
                            tr.stage {
                                td { (name) }
                                td.number { (quantile(histogram, 500, unsettled)) }
                                td.number { (quantile(histogram, 990, unsettled)) }
                                td.number { (grouped(histogram.count())) }
                            }
                            tr.precision { td colspan="4" { small.soft { (precision) } } }
                        }
                    }
                }
            }
        }
    }
}

fn alarms(state: &State) -> Markup {
    html! {
        section.card {
            h2 { "Alarms" }
            @if state.alarms.is_empty() {
                p.soft { "None since this monitor began." }
            }
            @for alarm in state.alarms.iter().rev().take(SHOWN_MAX) {
                div.alarm {
                    strong.bad { (alarm.violation.code()) } " " small.soft { (moment(alarm.seen)) }
                    p { (alarm.violation.to_string()) }
                }
            }
            @let hidden = state.alarms.len().saturating_sub(SHOWN_MAX);
            @if hidden > 0 || state.alarms_dropped > 0 {
                p.soft { "and " (hidden) " more in the state, " (state.alarms_dropped) " beyond it" }
            }
        }
    }
}

fn witnesses(state: &State, now_s: u64) -> Markup {
    html! {
        section.card {
            h2 { "Witnesses" }
            div.scroll {
                table {
                    thead { tr { th { "Witness" } th { "State" } th { "Newest" } th.number { "Cosigned" } } }
                    tbody {
                        @for (name, witness) in &state.witnesses {
                            @let silent = witness.time.is_none_or(|time| time.saturating_add(SILENT_SECONDS) < now_s);
                            tr {
                                td { code { (name) } }
                                td {
                                    @if silent { span.warn { "silent" } } @else { span.good { "cosigning" } }
                                }
                                td { (witness.time.map_or_else(|| "never".into(), |time| ago(now_s, time))) }
                                td.number { (grouped(witness.cosigned)) " of " (grouped(witness.seen)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn boots(state: &State) -> Markup {
    let mut boots: Vec<(&String, &Boot)> = state.boots.iter().collect();
    boots.sort_by_key(|(_, boot)| std::cmp::Reverse(boot.index));
    html! {
        section.card {
            h2 { "Boots" }
            @if boots.is_empty() { p.soft { "None in the log." } }
            @for (id, boot) in boots.iter().take(SHOWN_MAX) { (self::boot(id, boot)) }
            @if boots.len() > SHOWN_MAX { p.soft { "and " (boots.len() - SHOWN_MAX) " older ones" } }
        }
    }
}

fn boot(id: &str, boot: &Boot) -> Markup {
    html! {
        div.boot {
            code { (id) }
            dl {
                dt { "Evidence" }
                dd {
                    @match &boot.appraisal {
                        Some(Appraisal::Accepted(accepted)) => {
                            span.good { "accepted" } " · " (accepted.platform)
                            @if accepted.simulated { " · " span.warn { "simulated: no hardware vouches" } }
                        }
                        Some(Appraisal::Refused(code)) => { span.bad { "refused: " (code) } }
                        None => { span.warn { "waiting for endorsements" } }
                    }
                }
                @if let Some(Appraisal::Accepted(accepted)) = &boot.appraisal {
                    dt { "Measurement" } dd { code { (accepted.measurement) } }
                }
                @if let Some(Appraisal::Accepted(Accepted { release: Some(release), .. })) = &boot.appraisal {
                    dt { "Image" } dd { "released as " (release) }
                }
                @if let Some(operator) = &boot.operator { dt { "Operator" } dd { (operator) } }
                @if !boot.models.is_empty() { dt { "Models" } dd { (boot.models.join(", ")) } }
                dt { "Receipts" }
                dd {
                    (grouped(boot.chain.complete())) " without a gap"
                    @if boot.chain.missing() > 0 { ", " span.warn { (grouped(boot.chain.missing())) " missing" } }
                    @if boot.chain.is_closed() { ", closed" }
                }
                dt { "In the log" }
                dd { "since " (moment(boot.first_time)) ", last " (moment(boot.last_time)) }
            }
        }
    }
}

fn images(state: &State) -> Markup {
    html! {
        section.card {
            h2 { "Released images" }
            @if state.images.is_empty() { p.soft { "None in the log under keys that this monitor's policy names." } }
            @for image in state.images.iter().rev().take(SHOWN_MAX) { (self::image(image, state)) }
            @if state.images.len() > SHOWN_MAX {
                p.soft { "and " (state.images.len() - SHOWN_MAX) " older ones in images.json" }
            }
        }
    }
}

fn image(image: &Image, state: &State) -> Markup {
    let manifest = &image.manifest;
    let boots = images::boots_of(state, image.index).count();
    html! {
        div.boot {
            code { (manifest.release) }
            dl {
                dt { "Manifest" } dd { code { (manifest.manifest) } }
                dt { "Released" } dd { (manifest.issued.0) " by its maker's clock, entry " (grouped(image.index)) }
                @for one in manifest.measurements.iter().take(SHOWN_MAX) {
                    dt { (one.name) } dd { code { (one.digests.describe()) } }
                }
                @if manifest.measurements.len() > SHOWN_MAX {
                    dt { "and" } dd { (manifest.measurements.len() - SHOWN_MAX) " more measurements" }
                }
                dt { "Boots" } dd { (grouped(u64::try_from(boots).unwrap_or(u64::MAX))) " in the log" }
            }
        }
    }
}

fn quantile(histogram: &Histogram, per_mille: u64, unsettled: u64) -> String {
    match histogram.quantile(per_mille, unsettled) {
        None => "–".into(),
        Some(None) => "not settled".into(),
        Some(Some(ms)) if ms < 1_000 => format!("{ms} ms"),
        // An upper bound stays one: tenths are rounded up.
        Some(Some(ms)) => format!("{}.{} s", ms.div_ceil(100) / 10, ms.div_ceil(100) % 10),
    }
}

fn moment(seconds: u64) -> String {
    UnixSeconds(seconds).to_string()
}

fn ago(now_s: u64, then_s: u64) -> String {
    match now_s.saturating_sub(then_s) {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

/// A number with narrow spaces between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place) % 3 == 0 {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Violation;

    #[test]
    fn strangers_texts_are_escaped_and_nothing_but_the_style_may_load() {
        let mut state = State::new("log.example+00000000+AA==");
        let why = "<script>alert(1)</script>".to_string();
        state.alarm(Violation::LeafMalformed { index: 3, why }, 7);
        let page =
            render(&state, "<b>log", "https://log.example/\"x", (2, 3), 4, 1_750_000_000).into_string();
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;") && page.contains("&lt;b&gt;log"));
        assert!(page.contains("default-src 'none'; style-src 'sha256-"));
        assert!(!page.contains(" style=\"") && !page.contains("javascript:"));
        assert!(page.contains("1 violation found"));
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(ago(100, 40), "60 s ago");
        assert_eq!(ago(10_000, 0), "2 h ago");
        let mut histogram = Histogram::default();
        assert_eq!(quantile(&histogram, 500, 0), "–");
        histogram.add(1800);
        assert_eq!(quantile(&histogram, 500, 0), "2.1 s", "the upper bound of its bucket");
        assert_eq!(quantile(&histogram, 990, 9), "not settled");
    }
}
