//! `report.html`: one page that holds everything, works from a file and asks nothing of any network.

mod flow;
mod latency;
mod logs;
mod metrics;
mod moment;
mod overview;
mod quality;
mod requests;
pub(crate) mod table;
mod traces;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coldcase_model::analysis::Analysis;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::axis::TimeAxis;
use crate::text::{escape, island};
use crate::{ReportError, flame};

const STYLE: &str = include_str!("../assets/report.css");
const THEME: &str = include_str!("../assets/theme.js");
const SCRIPT: &str = include_str!("../assets/report.js");

/// A part of the page.
pub(crate) struct Section {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) body: String,
}

/// What the charts' read-out needs, by the id of the chart.
type Charts = Map<String, Value>;

/// The page.
///
/// # Errors
/// When a picture cannot be drawn.
pub fn page(a: &Analysis) -> Result<String, ReportError> {
    let mut charts = Charts::new();
    let sections = [
        Some(Section { id: "summary", title: "What stands out", body: overview::body(a) }),
        Some(Section { id: "quality", title: "What the evidence is worth", body: quality::body(a) }),
        Some(Section { id: "latency", title: "Latency", body: latency::body(a, &mut charts)? }),
        (a.traces.count > 0).then(|| traces::body(a)).transpose()?.map(|body| Section {
            id: "traces",
            title: "Traces",
            body,
        }),
        Some(Section { id: "flame", title: "Flame graphs", body: flames(a)? }),
        Some(Section { id: "flow", title: "Network", body: flow::body(a)? }),
        (!a.metrics.is_empty()).then(|| metrics::body(a, &mut charts)).transpose()?.map(|body| Section {
            id: "metrics",
            title: "Metrics",
            body,
        }),
        (!a.log_kinds.is_empty()).then(|| Section { id: "logs", title: "Kinds of log lines", body: logs::body(a) }),
        Some(Section { id: "moment", title: "The worst moment", body: moment::body(a) }),
        Some(Section { id: "findings", title: "Findings", body: moment::findings(a) }),
        (!a.tables.is_empty()).then(|| Section { id: "tables", title: "Further tables", body: moment::tables(a) }),
    ];
    let sections: Vec<Section> = sections.into_iter().flatten().collect();
    let axis = TimeAxis::of(a);
    // Numbers only, and as text the ids that this page gave its charts.
    let values = json!({ "start": axis.start.to_string(), "length": axis.length, "charts": charts });
    let file = if a.bundle.file.is_empty() { "unnamed bundle" } else { &a.bundle.file };
    Ok(assemble(file, [&overview::header(a), &overview::footer(a)], &sections, &island(&values.to_string())))
}

/// A page with this name, header and footer (HTML). `values` is what charts tell when they are pointed at: JSON for a script element.
pub(crate) fn assemble(name: &str, [header, footer]: [&str; 2], sections: &[Section], values: &str) -> String {
    let nav: String = sections.iter().map(|s| format!("<a href=\"#{}\">{}</a>", s.id, s.title)).collect();
    let body: String = sections
        .iter()
        .map(|s| {
            format!(
                "<section id=\"{id}\" aria-labelledby=\"h-{id}\"><h2 id=\"h-{id}\">{}</h2>\n{}</section>\n",
                s.title,
                s.body,
                id = s.id
            )
        })
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
<meta name=\"color-scheme\" content=\"light dark\">\n<title>{} – coldcase</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
<script>{THEME}</script>\n<a class=\"skip\" href=\"#summary\">Skip to the summary</a>\n\
<header>{}<button id=\"theme\" type=\"button\">Dark</button></header>\n<nav aria-label=\"Sections\">{nav}</nav>\n\
<main>\n{body}</main>\n<footer>{}</footer>\n\
<script type=\"application/json\" id=\"values\">{values}</script>\n<script>{}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        policy(&[THEME, flame::SCRIPT, SCRIPT]),
        escape(name),
        header,
        footer,
        flame::SCRIPT,
    )
}

/// Nothing from any network, and of scripts only these, by their hashes: text that slipped through could not run.
fn policy(scripts: &[&str]) -> String {
    let hashes: Vec<String> =
        scripts.iter().map(|s| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(s.as_bytes())))).collect();
    format!(
        "default-src 'none'; script-src {}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
        hashes.join(" ")
    )
}

fn flames(a: &Analysis) -> Result<String, ReportError> {
    let hint = "Width is weight, each box calls the one above it. Select a box to zoom, <kbd>Esc</kbd> to go back. \
In wake-ups <code>--</code> parts who waited from who woke it, where that one had waited meanwhile, and so on upwards.";
    Ok(flame_figures(&flame::graphs(a)?, hint))
}

/// Flame graphs with their tools, below a hint (HTML).
pub(crate) fn flame_figures(graphs: &[flame::Graph], hint: &str) -> String {
    if graphs.is_empty() {
        return "<p class=\"none\">No stacks were recorded.</p>".to_owned();
    }
    // Without its script the page shows all of them.
    let kinds: String = graphs
        .iter()
        .enumerate()
        .map(|(i, g)| format!("<button type=\"button\" aria-pressed=\"{}\">{}</button>", i == 0, escape(&g.title)))
        .collect();
    let mut out = format!(
        "<p class=\"hint\">{hint}</p>\
<div class=\"kinds\" role=\"group\" aria-label=\"Which flame graph\">{kinds}</div>\
<div class=\"tools\"><input class=\"search\" type=\"search\" placeholder=\"Search frames (regular expression)\" aria-label=\"Search frames\">\
<button class=\"reset off\" type=\"button\">Reset zoom</button><span class=\"matched\" role=\"status\"> </span></div>\n"
    );
    for graph in graphs {
        let key: String = graph
            .key
            .iter()
            .map(|(colour, word)| format!("<span><i style=\"background:{colour}\"></i>{}</span>", escape(word)))
            .collect();
        out.push_str(&format!(
            "<figure class=\"flame\" data-kind=\"{}\"><figcaption><b>{}</b> <span class=\"hint\">{}</span></figcaption><p class=\"key\">{key}</p>\
<svg class=\"fluid\" width=\"100%\" height=\"{}\" role=\"img\" aria-label=\"{}\">{}</svg><p class=\"details\"> </p></figure>\n",
            escape(&graph.kind),
            escape(&graph.title),
            escape(&graph.note),
            graph.height,
            escape(&graph.title),
            graph.frames
        ));
    }
    out
}
