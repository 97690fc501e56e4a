//! Latency on the page: heat maps with a read-out, and the table of all series.

use coldcase_model::analysis::{Analysis, Latency};
use serde_json::{Value, json};

use super::Charts;
use super::table::{blank, code, fault, left_out, maybe, table, tally, time, words};
use crate::ReportError;
use crate::axis::TimeAxis;
use crate::latency::{chosen, group_word, occupied, panel_svg, plot_box, range};
use crate::text::{count, duration, escape, offset, shorten};

/// Rows that are folded away.
const ROWS: usize = 200;
/// Groups in their order, and how many of each are shown at once.
const GROUPS: [(&str, usize); 13] = [
    ("span", 10),
    ("statement", 6),
    ("name_lookup", 3),
    ("tls", 3),
    ("block", 4),
    ("connect", 4),
    ("file", 3),
    ("fault", 2),
    ("lock", 4),
    ("kernel_lock", 2),
    ("run_queue", 3),
    ("off_cpu", 5),
    ("syscall", 3),
];
/// Rows of waits.
const WAITS: usize = 25;

/// The section.
pub(crate) fn body(a: &Analysis, charts: &mut Charts) -> Result<String, ReportError> {
    if a.latencies.iter().all(|l| l.count == 0) {
        return Ok("<p class=\"none\">Nothing with a duration was recorded.</p>".to_owned());
    }
    let mut out = String::from(
        "<p class=\"hint\">Each column is a slice of time, each row a duration on a logarithmic scale; the colour is the number of events. \
Lines: p50 and p99. The pale band is the worst moment; blue lines are marks.</p>\n",
    );
    out.push_str(&marks(a));
    out.push_str(&series_table(a));
    let panels = chosen(a);
    for (i, l) in panels.iter().enumerate() {
        let id = format!("heat{i}");
        charts.insert(id.clone(), values(a, l));
        out.push_str(&format!(
            "<figure class=\"time\" data-chart=\"{id}\"><figcaption><b>{}</b> <span>{}</span> <span class=\"right\">{} · p50 {} · p99 {}</span></figcaption>\
<div class=\"scroll\"><div class=\"chart\">{}</div></div></figure>\n",
            escape(&shorten(&l.name, 120)),
            escape(group_word(&l.group)),
            count(l.count),
            duration(l.p50),
            duration(l.p99),
            panel_svg(a, l)?
        ));
    }
    if let Some(text) = left_out(
        panels.len(),
        a.latencies.iter().filter(|l| l.count > 0).count(),
        "series as heat maps; the table has more",
    ) {
        out.push_str(&format!("<p class=\"hint\">{text}</p>\n"));
    }
    out.push_str(&waits(a));
    Ok(out)
}

fn marks(a: &Analysis) -> String {
    let all = &a.bundle.marks;
    if all.is_empty() {
        return String::new();
    }
    let items: String = all
        .iter()
        .take(50)
        .map(|m| format!("<li><b>{}</b> {}</li>", offset(m.time, a.bundle.first), escape(&shorten(&m.text, 200))))
        .collect();
    let more = left_out(50.min(all.len()), all.len(), "marks").map(|t| format!("<li>{t}</li>")).unwrap_or_default();
    format!("<ul class=\"marks\" aria-label=\"Marks\">{items}{more}</ul>\n")
}

/// The first of each group at once, all others folded away.
fn series_table(a: &Analysis) -> String {
    let order = |l: &Latency| GROUPS.iter().position(|g| g.0 == l.group).unwrap_or(GROUPS.len());
    let mut all: Vec<&Latency> = a.latencies.iter().filter(|l| l.count > 0).collect();
    all.sort_by(|x, y| order(x).cmp(&order(y)).then(y.total.cmp(&x.total)).then_with(|| x.name.cmp(&y.name)));
    let mut seen = [0usize; GROUPS.len() + 1];
    let (first, rest): (Vec<&Latency>, Vec<&Latency>) = all.into_iter().partition(|l| {
        let group = order(l);
        seen[group] += 1;
        seen[group] <= GROUPS.get(group).map_or(2, |g| g.1)
    });
    let mut out = rows("Latency series", &first, None);
    if !rest.is_empty() {
        let shown = rest.len().min(ROWS);
        let left = left_out(first.len() + shown, first.len() + rest.len(), "series");
        out.push_str(&format!(
            "<details><summary>{} more series</summary>\n{}</details>\n",
            count(shown as u64),
            rows("More latency series", &rest[..shown], left)
        ));
    }
    out
}

fn rows(caption: &str, series: &[&Latency], left: Option<String>) -> String {
    let rows = series
        .iter()
        .map(|l| {
            let slowest = l.exemplars.first().map_or_else(blank, |e| code(&e.evidence.to_string()));
            vec![
                words(group_word(&l.group)),
                words(&l.name),
                tally(l.count),
                maybe(l.errors, fault),
                time(l.p50),
                time(l.p90),
                time(l.p99),
                time(l.p999),
                time(l.max),
                time(l.total),
                slowest,
            ]
        })
        .collect();
    let columns = [
        "kind",
        "name",
        "#count",
        "#failed",
        "#p50",
        "#p90",
        "#p99",
        "#p99.9",
        "#max",
        "#total",
        "slowest, as evidence",
    ];
    table(caption, &columns, rows, left)
}

fn waits(a: &Analysis) -> String {
    if a.waits.is_empty() {
        return String::new();
    }
    let mut all: Vec<_> = a.waits.iter().collect();
    all.sort_by(|x, y| {
        (x.idle, !x.service, y.total, &x.process, &x.reason).cmp(&(y.idle, !y.service, x.total, &y.process, &y.reason))
    });
    let rows = all
        .iter()
        .take(WAITS)
        .map(|w| {
            let state = if w.idle {
                "nothing to do"
            } else if w.service {
                "waiting, a service"
            } else {
                "waiting"
            };
            let evidence = w.evidence.first().map_or_else(blank, |e| code(&e.to_string()));
            vec![
                words(&w.process),
                words(&w.reason),
                words(state),
                tally(w.count),
                time(w.total),
                time(w.max),
                evidence,
            ]
        })
        .collect();
    format!(
        "<h3>What threads waited for</h3>\n{}",
        table(
            "Waits",
            &["process", "in", "state", "#count", "#total", "#longest", "longest, as evidence"],
            rows,
            left_out(WAITS.min(all.len()), all.len(), "reasons")
        )
    )
}

/// What the read-out of a heat map needs: numbers only.
fn values(a: &Analysis, l: &Latency) -> Value {
    let axis = TimeAxis::of(a);
    let Some((first, end)) = occupied(&l.heat) else {
        return json!({ "box": plot_box() });
    };
    let (low, high) = range(&l.heat, first, end);
    let columns: Vec<Vec<[u64; 2]>> = l
        .heat
        .columns
        .iter()
        .map(|c| c.iter().enumerate().filter(|(_, n)| **n > 0).map(|(y, n)| [y as u64, *n]).collect())
        .collect();
    json!({
        "box": plot_box(),
        "from": l.heat.start.saturating_sub(axis.start),
        "step": l.heat.step,
        "low": low,
        "high": high,
        "bounds": l.heat.bounds,
        "columns": columns,
    })
}
