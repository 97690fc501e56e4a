//! `flame.svg`: flame graphs by inferno, with our colours and one small script for all.

mod colours;

use std::collections::BTreeMap;

use coldcase_model::analysis::{Analysis, Flame, FlameDiff};
use coldcase_model::text::visible;
use inferno::flamegraph::color::PaletteMap;
use inferno::flamegraph::{Options, TextTruncateDirection};

use crate::ReportError;
use crate::text::{count, duration, escape, shorten};

/// Stacks drawn of each graph; the rest is added up per process.
const STACKS: usize = 20_000;
/// Frames narrower than this share (in percent) of a graph are not drawn. Chains of wake-ups are high where they are
/// narrow: a stack for each waker.
fn narrow(kind: &str) -> f64 {
    if kind == "wakeup" { 0.3 } else { 0.1 }
}

/// Frames of one stack that are drawn.
const DEPTH: usize = 120;
const FRAME: usize = 17;
/// Most weight of all stacks together that inferno is given: it subtracts, multiplies and adds them.
const MOST_WEIGHT: u128 = 1 << 60;
const WIDE: usize = 1200;

/// How inferno colours what did not change.
const SAME: &str = "rgb(250,250,250)";

/// A graph, ready to be put into a page or a file.
pub(crate) struct Graph {
    /// `On-CPU: 12,345 samples`.
    pub(crate) title: String,
    /// What is not drawn.
    pub(crate) note: String,
    /// `on-cpu`, `off-cpu`, `wakeup`.
    pub(crate) kind: String,
    /// What the colours mean.
    pub(crate) key: Vec<(&'static str, &'static str)>,
    /// The frames: an `<svg class="frames">` as wide as what it is put into.
    pub(crate) frames: String,
    /// Height in pixels.
    pub(crate) height: usize,
}

/// The graphs that have stacks, on-CPU first; where a window is held against the rest, those of the difference.
pub(crate) fn graphs(a: &Analysis) -> Result<Vec<Graph>, ReportError> {
    let mut flames: Vec<&Flame> = a.flames.iter().filter(|f| f.stacks.iter().any(|(_, w)| *w > 0)).collect();
    if !a.flame_diffs.is_empty() {
        return a.flame_diffs.iter().filter(|d| d.stacks.iter().any(|s| s.window > 0)).map(diff_graph).collect();
    }
    flames.sort_by_key(|f| (f.kind != "on-cpu", f.kind != "off-cpu"));
    flames.into_iter().map(graph).collect()
}

/// What one graph is called.
fn kind_word(kind: &str) -> String {
    match kind {
        "on-cpu" => "On-CPU".to_owned(),
        "off-cpu" => "Off-CPU".to_owned(),
        "wakeup" => "Wake-ups".to_owned(),
        other => visible(other).into_owned(),
    }
}

/// A frame as inferno may read it: no hidden character, and no trailing number, which it would take for a weight.
fn frame(text: &str) -> String {
    let text = visible(text.trim());
    if text.is_empty() {
        return "[unknown]".to_owned();
    }
    // inferno splits weights at ordinary spaces.
    shorten(&text, 300).replace(' ', "\u{a0}")
}

fn clean_stack(stack: &str) -> String {
    let mut frames: Vec<String> = stack.split(';').take(DEPTH).map(frame).collect();
    if stack.split(';').nth(DEPTH).is_some() {
        frames.push("[deeper]".to_owned());
    }
    frames.join(";")
}

/// Weights of a stack: that which is drawn, and what it was in the rest of the recording.
type Weights = (u64, u64);

/// The heaviest stacks, and one line for each process with the sum of the others; what is left of them.
fn bounded<'a>(stacks: impl Iterator<Item = (&'a str, Weights)>) -> (BTreeMap<String, Weights>, usize) {
    fn add(all: &mut BTreeMap<String, Weights>, stack: String, (window, base): Weights) {
        let sum = all.entry(stack).or_default();
        *sum = (sum.0.saturating_add(window), sum.1.saturating_add(base));
    }
    let mut all = BTreeMap::new();
    stacks.for_each(|(stack, weights)| add(&mut all, clean_stack(stack), weights));
    let over = all.len().saturating_sub(STACKS);
    if over == 0 {
        return (all, 0);
    }
    let mut order: Vec<(String, Weights)> = all.into_iter().collect();
    order.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let rest = order.split_off(STACKS);
    let mut kept: BTreeMap<String, Weights> = order.into_iter().collect();
    for (stack, weights) in rest {
        let process = stack.split(';').next().unwrap_or_default();
        add(&mut kept, format!("{process};[smaller\u{a0}stacks]"), weights);
    }
    (kept, over)
}

/// A flame graph.
fn graph(flame: &Flame) -> Result<Graph, ReportError> {
    let (stacks, over) = bounded(flame.stacks.iter().filter(|s| s.1 > 0).map(|(stack, w)| (stack.as_str(), (*w, 0))));
    let mut palette = colours::palette(stacks.keys().map(String::as_str), Flame::owners(&flame.by));
    let scale = scale(&stacks);
    let lines: Vec<String> = stacks.iter().map(|(stack, (w, _))| format!("{stack} {}", w >> scale)).collect();
    let (frames, height) = draw((&flame.kind, &flame.unit, scale), &lines, Some(&mut palette))?;
    let title = format!("{}: {}", kind_word(&flame.kind), sum(&flame.unit, &stacks));
    let key = colours::key(stacks.keys().map(String::as_str), &flame.by);
    Ok(Graph { title, note: note(&flame.kind, over), kind: flame.kind.clone(), key, frames, height })
}

/// A differential flame graph: as wide as in the window, red where more than in the rest of the recording.
fn diff_graph(diff: &FlameDiff) -> Result<Graph, ReportError> {
    let against = format!("in {}, against the other {}", duration(diff.window), duration(diff.base));
    diff_graph_as(diff, &against, ["more per second than in the rest", "less", "the same, or calls what changed"])
}

/// The same of two sides: what it is held against, and the words for more, less and the same.
pub(crate) fn diff_graph_as(diff: &FlameDiff, against: &str, words: [&'static str; 3]) -> Result<Graph, ReportError> {
    let drawn = diff.stacks.iter().filter(|s| s.window > 0);
    let (stacks, over) = bounded(drawn.map(|s| (s.stack.as_str(), (s.window, diff.scaled(s.base)))));
    let scale = scale(&stacks);
    let line = |(stack, (window, base)): (&String, &Weights)| format!("{stack} {} {}", base >> scale, window >> scale);
    let lines: Vec<String> = stacks.iter().map(line).collect();
    let (frames, height) = draw((&diff.kind, &diff.unit, scale), &lines, None)?;
    // inferno gives the change to the innermost frame alone: the others have none to tell, and are to be seen on white.
    let frames = frames.replace("; 0.00%)", ")").replace(SAME, "#eceef1");
    let title = format!("{}: {} {against}", kind_word(&diff.kind), sum(&diff.unit, &stacks));
    let key = ["#ff9696", "#9696ff", "#eceef1"].into_iter().zip(words).collect();
    Ok(Graph { title, note: note(&diff.kind, over), kind: diff.kind.clone(), key, frames, height })
}

/// By how many bits weights are drawn smaller than they are, so that their sum is one that inferno can work with: nanoseconds
/// of a thousand threads reach that in two weeks.
fn scale(stacks: &BTreeMap<String, Weights>) -> u32 {
    let total: u128 = stacks.values().map(|w| u128::from(w.0) + u128::from(w.1)).sum();
    (0..u64::BITS).find(|bits| total >> bits <= MOST_WEIGHT).unwrap_or(u64::BITS - 1)
}

/// All of it, in words.
fn sum(unit: &str, stacks: &BTreeMap<String, Weights>) -> String {
    let total = stacks.values().fold(0u64, |sum, w| sum.saturating_add(w.0));
    if unit == "ns" { duration(total) } else { format!("{} {}", count(total), visible(unit)) }
}

/// What is not drawn.
fn note(kind: &str, over: usize) -> String {
    let narrow = format!("frames under {}% are not drawn", narrow(kind));
    if over == 0 {
        return narrow;
    }
    let (drawn, all) = (count(STACKS as u64), count((STACKS + over) as u64));
    format!("{drawn} of {all} stacks; the others are summed per process; {narrow}")
}

/// The frames of folded lines by inferno, and their height. Without a palette it colours by the difference of weights.
fn draw(
    (kind, unit, scale): (&str, &str, u32),
    lines: &[String],
    palette: Option<&mut PaletteMap>,
) -> Result<(String, usize), ReportError> {
    let nanoseconds = unit == "ns";
    let mut options = Options::default();
    options.palette_map = palette;
    options.image_width = Some(WIDE);
    options.frame_height = FRAME;
    options.font_size = 12;
    options.font_width = 0.6;
    options.min_width = narrow(kind);
    options.text_truncate_direction = TextTruncateDirection::Right;
    options.no_javascript = true;
    options.count_name = if nanoseconds { "ms".to_owned() } else { visible(unit).into_owned() };
    options.factor = if nanoseconds { 1e-6 } else { 1.0 } * 2f64.powi(scale as i32);
    let mut svg = Vec::new();
    inferno::flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)
        .map_err(|e| ReportError::Draw { what: format!("{} flame graph", kind_word(kind)), why: e.to_string() })?;
    take_frames(&String::from_utf8_lossy(&svg), (kind, unit, scale))
}

/// Takes the frames out of inferno's picture, moved up to begin at its top.
fn take_frames(svg: &str, (kind, unit, scale): (&str, &str, u32)) -> Result<(String, usize), ReportError> {
    let broken = || ReportError::Draw { what: "flame graph".to_owned(), why: "no frames in the picture".to_owned() };
    let start = svg.find("<svg id=\"frames\"").ok_or_else(broken)?;
    let end = svg.rfind("</svg></svg>").ok_or_else(broken)?;
    let body = svg.get(start..end).ok_or_else(broken)?;
    let (head, inner) = body.split_once('>').ok_or_else(broken)?;
    let total = head.split("total_samples=\"").nth(1).and_then(|t| t.split('"').next()).ok_or_else(broken)?;
    let tops: Vec<f64> = inner.split("<rect ").skip(1).filter_map(|r| attribute(r, "y")).collect();
    let top = tops.iter().copied().fold(f64::INFINITY, f64::min);
    let height = tops.iter().copied().fold(0.0, f64::max) - top + FRAME as f64;
    if !top.is_finite() {
        return Err(broken());
    }
    let inner = inner.replace('\u{a0}', " ");
    let open = format!(
        "<svg class=\"frames\" data-kind=\"{}\" data-unit=\"{}\" data-scale=\"{scale}\" data-total=\"{total}\" data-top=\"{top}\" x=\"0\" y=\"0\" width=\"100%\" height=\"{height}\" xmlns:fg=\"http://github.com/jonhoo/inferno\"><g transform=\"translate(0,-{top})\">",
        escape(kind),
        escape(unit)
    );
    Ok((format!("{open}{inner}</g></svg>"), height as usize))
}

fn attribute(rect: &str, name: &str) -> Option<f64> {
    rect.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?.parse().ok()
}

/// The script that zooms and searches, for the file and the page.
pub(crate) const SCRIPT: &str = include_str!("assets/flame.js");

const STYLE: &str = "text{font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:12px;fill:#1b1f27}\
.title{font:bold 18px system-ui,sans-serif}.sub{font:bold 14px system-ui,sans-serif}\
.note,.key{font:11.5px system-ui,sans-serif;fill:#5b6472}.button{font:12px system-ui,sans-serif;fill:#0b62bd;cursor:pointer}\
.frames g g{cursor:pointer}.frames g g:hover rect{stroke:#1b1f27;stroke-width:1}.off{display:none}.up{opacity:.55}.hit rect{fill:#d45dd0}";

/// The file: all graphs under each other.
pub(crate) fn svg(a: &Analysis) -> Result<String, ReportError> {
    let graphs = graphs(a)?;
    let mut body = String::new();
    let mut y = 64;
    for graph in &graphs {
        body.push_str(&under_each_other(graph, &mut y));
    }
    if graphs.is_empty() {
        body.push_str("<text class=\"note\" x=\"24\" y=\"78\">No stacks were recorded.</text>");
        y += 40;
    }
    let under = format!("{} · {}", shorten(&visible(&a.bundle.file), 60), shorten(&visible(&a.bundle.host), 40));
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDE}\" height=\"{y}\" viewBox=\"0 0 {WIDE} {y}\">\
<title>Flame graphs</title><style>{STYLE}</style><rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\
<text class=\"title\" x=\"24\" y=\"30\">Flame graphs</text><text class=\"note\" x=\"24\" y=\"50\">{}</text>\
<text class=\"button search\" x=\"{}\" y=\"30\" text-anchor=\"end\" role=\"button\" tabindex=\"0\">Search…</text><text class=\"note matched\" x=\"{}\" y=\"50\" text-anchor=\"end\"> </text>\
<text class=\"button reset off\" x=\"{}\" y=\"30\" text-anchor=\"end\" role=\"button\" tabindex=\"0\">Reset zoom</text>\n{body}<script><![CDATA[{SCRIPT}]]></script></svg>\n",
        escape(&under),
        WIDE - 24,
        WIDE - 24,
        WIDE - 110,
    ))
}

/// One graph with its title, the key to its colours and its read-out, below what is there.
fn under_each_other(graph: &Graph, y: &mut usize) -> String {
    let (key, key_height) = key(&graph.key, 24, *y + 34);
    let top = *y + 26 + key_height;
    let out = format!(
        "<g class=\"flame\"><text class=\"sub\" x=\"24\" y=\"{}\">{}</text><text class=\"note\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>{key}\
<svg x=\"24\" y=\"{top}\" width=\"{}\" height=\"{}\">{}</svg><text class=\"details\" x=\"24\" y=\"{}\"> </text></g>\n",
        *y + 14,
        escape(&graph.title),
        WIDE - 24,
        *y + 14,
        escape(&graph.note),
        WIDE - 48,
        graph.height,
        graph.frames,
        top + graph.height + 18,
    );
    *y = top + graph.height + 44;
    out
}

/// What the colours mean, and how high that is: as many in a line as there is room for.
fn key(colours: &[(&str, &str)], x: usize, y: usize) -> (String, usize) {
    let (mut out, mut at, mut line) = (String::new(), x, 0);
    for (colour, word) in colours {
        let wide = 36 + word.chars().count() * 6;
        if at + wide > WIDE - 24 {
            (at, line) = (x, line + 18);
        }
        out.push_str(&format!(
            "<rect x=\"{at}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text class=\"key\" x=\"{}\" y=\"{}\">{word}</text>",
            y + line - 10,
            at + 17,
            y + line
        ));
        at += wide;
    }
    (out, line + 18)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use coldcase_model::analysis::StackChange;

    #[test]
    fn a_thread_name_that_ends_in_a_number_is_not_taken_for_a_weight() {
        let flame = Flame {
            kind: "on-cpu".into(),
            unit: "samples".into(),
            by: "process".into(),
            stacks: vec![("worker 5".into(), 7), ("worker 9".into(), 3)],
        };
        let graph = graph(&flame).unwrap();
        assert!(graph.frames.contains("worker 5 (7 samples, 70.00%)"), "{}", graph.frames);
        assert_eq!(graph.title, "On-CPU: 10 samples");
    }

    #[test]
    fn a_difference_is_red_where_more_and_blue_where_less() {
        let stack = |stack: &str, base, window| StackChange { stack: stack.into(), base, window, change: 0.0 };
        let diff = FlameDiff {
            kind: "on-cpu".into(),
            unit: "samples".into(),
            by: "process".into(),
            window: 1_000,
            base: 9_000,
            stacks: vec![
                stack("p;more", 0, 50),
                stack("p;less", 900, 10),
                stack("p;same", 90, 10),
                stack("p;gone", 9, 0),
            ],
            functions: Vec::new(),
        };
        let a = Analysis { flame_diffs: vec![diff], ..Analysis::default() };
        let graphs = graphs(&a).unwrap();
        let [graph] = &graphs[..] else { panic!("one graph") };
        let colour = |name: &str| {
            let at = graph.frames.find(&format!("<title>{name} (")).unwrap_or_else(|| panic!("{name}"));
            graph.frames[at..].split("fill=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
        };
        assert_eq!(colour("same"), "#eceef1");
        assert!(colour("more").starts_with("rgb(255,") && colour("less").ends_with(",255)"));
        assert!(!graph.frames.contains("gone"), "it has no width in the window");
    }

    #[test]
    fn weights_that_no_machine_could_count_are_drawn_all_the_same() {
        let stacks = (0..50).map(|i| (format!("p;f{i}"), u64::MAX)).collect();
        let flame = Flame { kind: "off-cpu".into(), unit: "ns".into(), by: "process".into(), stacks };
        graph(&flame).unwrap();
        let stack = |i, base, window| StackChange { stack: format!("p;f{i}"), base, window, change: 0.0 };
        let stacks = (0..50).map(|i| stack(i, u64::MAX * (i % 2), u64::MAX - i)).collect();
        diff_graph(&FlameDiff { unit: "ns".into(), window: u64::MAX, base: 1, stacks, ..FlameDiff::default() })
            .unwrap();
    }
}
