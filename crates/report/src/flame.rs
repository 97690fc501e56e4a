//! `flame.svg`: flame graphs by inferno, on the CPU and off it, with our colours and one small script for both.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use coldcase_model::analysis::{Analysis, Flame};
use coldcase_model::text::visible;
use inferno::flamegraph::color::{Color, PaletteMap};
use inferno::flamegraph::{Options, TextTruncateDirection};

use crate::ReportError;
use crate::text::{count, duration, escape, shorten};

/// Stacks drawn of each graph; the rest is added up per process.
const STACKS: usize = 20_000;
/// Frames narrower than this share (in percent) are not drawn.
const NARROW: f64 = 0.1;
/// Frames of one stack that are drawn.
const DEPTH: usize = 120;
const FRAME: usize = 17;
const WIDE: usize = 1200;

/// A graph, ready to be put into a page or a file.
pub(crate) struct Graph {
    /// `On-CPU: 12,345 samples`.
    pub(crate) title: String,
    /// What is not drawn.
    pub(crate) note: String,
    /// The frames: an `<svg class="frames">` as wide as what it is put into.
    pub(crate) frames: String,
    /// Height in pixels.
    pub(crate) height: usize,
}

/// The graphs that have stacks, on-CPU first.
pub(crate) fn graphs(a: &Analysis) -> Result<Vec<Graph>, ReportError> {
    let mut flames: Vec<&Flame> = a.flames.iter().filter(|f| f.stacks.iter().any(|(_, w)| *w > 0)).collect();
    flames.sort_by_key(|f| (f.kind != "on-cpu", f.kind != "off-cpu"));
    flames.into_iter().map(graph).collect()
}

/// What one graph is called.
fn kind_word(kind: &str) -> String {
    match kind {
        "on-cpu" => "On-CPU".to_owned(),
        "off-cpu" => "Off-CPU".to_owned(),
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

/// The heaviest stacks, and one line for each process with the sum of the others.
fn bounded(flame: &Flame) -> (BTreeMap<String, u64>, usize) {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for (stack, weight) in flame.stacks.iter().filter(|(_, w)| *w > 0) {
        let sum = all.entry(clean_stack(stack)).or_default();
        *sum = sum.saturating_add(*weight);
    }
    let over = all.len().saturating_sub(STACKS);
    if over == 0 {
        return (all, 0);
    }
    let mut order: Vec<(String, u64)> = all.into_iter().collect();
    order.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let rest = order.split_off(STACKS);
    let mut kept: BTreeMap<String, u64> = order.into_iter().collect();
    for (stack, weight) in rest {
        let process = stack.split(';').next().unwrap_or_default();
        let sum = kept.entry(format!("{process};[smaller\u{a0}stacks]")).or_default();
        *sum = sum.saturating_add(weight);
    }
    (kept, over)
}

fn graph(flame: &Flame) -> Result<Graph, ReportError> {
    let (stacks, over) = bounded(flame);
    let total = stacks.values().fold(0u64, |sum, w| sum.saturating_add(*w));
    let nanoseconds = flame.unit == "ns";
    let mut palette = palette(&stacks);
    let mut options = Options::default();
    options.palette_map = Some(&mut palette);
    options.image_width = Some(WIDE);
    options.frame_height = FRAME;
    options.font_size = 12;
    options.font_width = 0.6;
    options.min_width = NARROW;
    options.text_truncate_direction = TextTruncateDirection::Right;
    options.no_javascript = true;
    options.count_name = if nanoseconds { "ms".to_owned() } else { visible(&flame.unit).into_owned() };
    options.factor = if nanoseconds { 1e-6 } else { 1.0 };
    let lines: Vec<String> = stacks.iter().map(|(stack, weight)| format!("{stack} {weight}")).collect();
    let mut svg = Vec::new();
    inferno::flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg).map_err(|e| {
        ReportError::Draw { what: format!("{} flame graph", kind_word(&flame.kind)), why: e.to_string() }
    })?;
    let (frames, height) = take_frames(&String::from_utf8_lossy(&svg), &flame.kind, &flame.unit)?;
    let sum = if nanoseconds { duration(total) } else { format!("{} {}", count(total), visible(&flame.unit)) };
    let mut note = format!("frames under {NARROW}% are not drawn");
    if over > 0 {
        note = format!(
            "{} of {} stacks; the others are summed per process; {note}",
            count(STACKS as u64),
            count((STACKS + over) as u64)
        );
    }
    Ok(Graph { title: format!("{}: {sum}", kind_word(&flame.kind)), note, frames, height })
}

/// Colours by what a frame is: kernel blue, user amber, without a name grey, the process plain. A shade by name keeps
/// neighbours apart.
fn palette(stacks: &BTreeMap<String, u64>) -> PaletteMap {
    let mut map = PaletteMap::default();
    let mut roots: BTreeSet<&str> = BTreeSet::new();
    map.insert("", Color { r: 0xe4, g: 0xe7, b: 0xeb });
    for stack in stacks.keys() {
        let mut frames = stack.split(';');
        roots.extend(frames.next());
        for name in frames {
            map.insert(name, shade(name));
        }
    }
    for root in roots {
        map.insert(root, Color { r: 0xd3, g: 0xd8, b: 0xdf });
    }
    map
}

fn shade(name: &str) -> Color {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let v = (hash >> 32) % 28;
    let (r, g, b) = if name.ends_with("_[k]") {
        (0x86 + v, 0xb2 + v, 0xe0 + v / 2)
    } else if name.starts_with('[') {
        (0xc2 + v / 2, 0xc6 + v / 2, 0xcc + v / 2)
    } else {
        (0xee + v / 4, 0xa6 + v, 0x5a + v)
    };
    Color { r: r as u8, g: g as u8, b: b as u8 }
}

/// Takes the frames out of inferno's picture, moved up to begin at its top.
fn take_frames(svg: &str, kind: &str, unit: &str) -> Result<(String, usize), ReportError> {
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
        "<svg class=\"frames\" data-kind=\"{}\" data-unit=\"{}\" data-total=\"{total}\" data-top=\"{top}\" x=\"0\" y=\"0\" width=\"100%\" height=\"{height}\" xmlns:fg=\"http://github.com/jonhoo/inferno\"><g transform=\"translate(0,-{top})\">",
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
    let mut y = 82;
    for graph in &graphs {
        let right = WIDE - 24;
        body.push_str(&format!(
            "<g class=\"flame\"><text class=\"sub\" x=\"24\" y=\"{}\">{}</text><text class=\"note\" x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text>\
<svg x=\"24\" y=\"{}\" width=\"{}\" height=\"{}\">{}</svg><text class=\"details\" x=\"24\" y=\"{}\"> </text></g>\n",
            y + 14,
            escape(&graph.title),
            y + 14,
            escape(&graph.note),
            y + 24,
            WIDE - 48,
            graph.height,
            graph.frames,
            y + graph.height + 42,
        ));
        y += graph.height + 68;
    }
    if graphs.is_empty() {
        body.push_str("<text class=\"note\" x=\"24\" y=\"96\">No stacks were recorded.</text>");
        y += 40;
    }
    let under = format!("{} · {}", shorten(&visible(&a.bundle.file), 60), shorten(&visible(&a.bundle.host), 40));
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDE}\" height=\"{y}\" viewBox=\"0 0 {WIDE} {y}\">\
<title>Flame graphs</title><style>{STYLE}</style><rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\
<text class=\"title\" x=\"24\" y=\"30\">Flame graphs</text><text class=\"note\" x=\"24\" y=\"50\">{}</text>{}\
<text class=\"button search\" x=\"{}\" y=\"30\" text-anchor=\"end\" role=\"button\" tabindex=\"0\">Search…</text><text class=\"note matched\" x=\"{}\" y=\"50\" text-anchor=\"end\"> </text>\
<text class=\"button reset off\" x=\"{}\" y=\"30\" text-anchor=\"end\" role=\"button\" tabindex=\"0\">Reset zoom</text>\n{body}<script><![CDATA[{SCRIPT}]]></script></svg>\n",
        escape(&under),
        key(24, 68),
        WIDE - 24,
        WIDE - 24,
        WIDE - 110,
    ))
}

/// What the colours mean.
fn key(x: usize, y: usize) -> String {
    let mut out = String::new();
    let mut at = x;
    for (colour, word) in
        [("#f3b166", "user"), ("#91bee7", "kernel"), ("#c8ccd2", "without a name"), ("#d3d8df", "process")]
    {
        out.push_str(&format!(
            "<rect x=\"{at}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text class=\"key\" x=\"{}\" y=\"{}\">{word}</text>",
            y - 10,
            at + 17,
            y
        ));
        at += 40 + word.len() * 7;
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_thread_name_that_ends_in_a_number_is_not_taken_for_a_weight() {
        let flame = Flame {
            kind: "on-cpu".into(),
            unit: "samples".into(),
            stacks: vec![("worker 5".into(), 7), ("worker 9".into(), 3)],
        };
        let graph = graph(&flame).unwrap();
        assert!(graph.frames.contains("worker 5 (7 samples, 70.00%)"), "{}", graph.frames);
        assert_eq!(graph.title, "On-CPU: 10 samples");
    }

    #[test]
    fn kernel_user_and_nameless_frames_have_colours_of_their_own() {
        assert!(shade("do_syscall_64_[k]").b > shade("do_syscall_64_[k]").r);
        assert!(shade("main").r > shade("main").b);
        assert!(shade("[unknown]").r.abs_diff(shade("[unknown]").b) < 16);
    }
}
