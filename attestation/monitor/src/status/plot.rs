//! The trust gap over time as an inline drawing: one day, logarithmic, no scripts.

use maud::{Markup, html};

use crate::Histogram;
use crate::gap::{Gap, SLOT_SECONDS};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 34.0;
/// The time that is drawn, in seconds.
const SPAN_SECONDS: u64 = 86_400;
/// Marks of the vertical axis, in milliseconds.
const MARKS: [(u64, &str); 6] =
    [(10, "10 ms"), (100, "100 ms"), (1_000, "1 s"), (10_000, "10 s"), (100_000, "100 s"), (1_000_000, "∞")];

/// Points that are drawn each for itself.
const DOTS_MAX: usize = 24;

/// Which figure of a slot is drawn.
pub(super) type Figure = fn(&crate::gap::Slot) -> &Histogram;

/// p50 and p99 of a figure, per slot of the last day before `now_s`.
pub(super) fn plot(gap: &Gap, figure: Figure, unsettled: fn(&crate::gap::Slot) -> u64, now_s: u64) -> Markup {
    let start = now_s.saturating_sub(SPAN_SECONDS);
    let points = |per_mille: u64| -> Vec<(f64, f64)> {
        gap.slots
            .range(start.saturating_sub(SLOT_SECONDS)..=now_s)
            .filter_map(|(slot_start, slot)| {
                let ms = figure(slot).quantile(per_mille, unsettled(slot))?;
                let at = slot_start.saturating_add(SLOT_SECONDS / 2).saturating_sub(start);
                // What had not ended lies at the upper edge.
                Some((across(at), up(ms.unwrap_or(1_000_000))))
            })
            .collect()
    };
    let (p50, p99) = (points(500), points(990));
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
            aria-label="Median and 99th percentile of the trust gap over the last day" {
            @for (ms, name) in MARKS {
                @let y = up(ms);
                line class="grid" x1=(LEFT) x2=(WIDTH - RIGHT) y1=(y) y2=(y) {}
                text x=(LEFT - 10.0) y=(y + 5.0) text-anchor="end" { (name) }
            }
            @for hours in [24_u64, 18, 12, 6, 0] {
                @let x = across(SPAN_SECONDS.saturating_sub(hours.saturating_mul(3600)));
                text x=(x) y=(HEIGHT - 8.0) text-anchor=(anchor(hours)) {
                    @if hours == 0 { "now" } @else { "−" (hours) " h" }
                }
            }
            (line("p99", "dot99", &p99))
            (line("p50", "dot50", &p50))
        }
    }
}

fn anchor(hours: u64) -> &'static str {
    match hours {
        0 => "end",
        24 => "start",
        _ => "middle",
    }
}

fn line(class: &str, dot: &str, points: &[(f64, f64)]) -> Markup {
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    html! {
        polyline class=(class) points=(path.join(" ")) {}
        // A line of a few points is hardly one.
        @let shown = if points.len() <= DOTS_MAX { points } else { points.last().map_or(&[][..], core::slice::from_ref) };
        @for (x, y) in shown {
            circle class=(dot) cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="3.5" {}
        }
    }
}

/// Where a moment lies, given in seconds after the beginning.
fn across(seconds: u64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * (real(seconds) / real(SPAN_SECONDS)).clamp(0.0, 1.0)
}

/// Where a duration lies, on a logarithmic scale from 5 ms to 1000 s.
fn up(ms: u64) -> f64 {
    let share = (real(ms.max(1)).log10() - 5.0_f64.log10()) / (6.0 - 5.0_f64.log10());
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share.clamp(0.0, 1.0)
}

/// Times and durations here are far below 2³².
fn real(value: u64) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}
