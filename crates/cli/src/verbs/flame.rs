//! `coldcase flame`: where CPU time went, and where threads waited.

use std::collections::BTreeMap;
use std::path::PathBuf;

use coldcase_analyze::Part;
use coldcase_model::Nanos;
use coldcase_model::analysis::{Analysis, Flame};
use serde_json::json;

use crate::columns::columns;
use crate::exit::{Exit, Failure};
use crate::out::{Out, Style};
use crate::reading::{Document, Reading, documents, name, pages, picture};

/// Show where CPU time went and where threads waited, by function
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase flame incident.case
  coldcase flame incident.case --comm orders --from +10s --svg flame.svg
  coldcase flame incident.case --folded > on-cpu.txt             for other tools: frame;frame;frame weight
  coldcase flame incident.case --folded off-cpu > off-cpu.txt    the same of waiting, weighed in nanoseconds")]
pub(crate) struct Args {
    /// Bundles, each shown by itself
    #[arg(value_name = "BUNDLE", required = true)]
    bundles: Vec<PathBuf>,
    /// Write the flame graphs as SVG to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Replace the SVG file if it is there
    #[arg(long)]
    force: bool,
    /// Print folded stacks of one kind, and nothing else: samples where CPU time went, or nanoseconds of waiting
    #[arg(
        long,
        value_name = "KIND",
        value_enum,
        num_args = 0..=1,
        default_missing_value = "on-cpu",
        conflicts_with_all = ["json", "top"]
    )]
    folded: Option<Kind>,
    /// How many functions and stacks to print
    #[arg(long, value_name = "N", default_value_t = 15)]
    top: usize,
    #[command(flatten)]
    reading: Reading,
}

/// The two kinds of flame graph. Folded stacks do not say of which they are, nor in which unit: one at a time.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Where CPU time went: samples
    OnCpu,
    /// Where threads waited: nanoseconds
    OffCpu,
}

impl Kind {
    /// As the analysis calls it.
    fn name(self) -> &'static str {
        match self {
            Kind::OnCpu => "on-cpu",
            Kind::OffCpu => "off-cpu",
        }
    }
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let all = args.reading.each(&args.bundles, &[Part::Flame], out)?;
    picture(args.svg.as_ref(), args.force, &all, coldcase_report::flame_svg)?;
    if out.json {
        let body = |a: &Analysis| {
            let body = json!({
                "bundle": name(a),
                "flames": a.flames,
                "frames_named": a.quality.frames_named,
                "frames_bogus": a.quality.frames_bogus,
            });
            Document::new("coldcase.flame", body)
        };
        documents(out, &all.iter().map(body).collect::<Vec<_>>())?;
    } else if let Some(kind) = args.folded {
        out.text(&all.iter().map(|a| folded(a, kind, all.len() > 1)).collect::<String>())?;
    } else {
        pages(out, &all, |a| {
            if a.flames.is_empty() {
                return "no CPU samples and no waits were recorded in this scope\n".to_owned();
            }
            a.flames.iter().map(|f| table(f, args.top, out)).collect::<Vec<_>>().join("\n")
        })?;
    }
    Ok(args.reading.exit(&all))
}

/// The stacks of one kind; below the bundle's name, where there are several.
fn folded(a: &Analysis, kind: Kind, several: bool) -> String {
    let root = if several { format!("{};", a.bundle.file.replace([';', '\n'], ":")) } else { String::new() };
    let lines = a.flames.iter().filter(|f| f.kind == kind.name()).flat_map(|f| &f.stacks);
    lines.map(|(stack, weight)| format!("{root}{stack} {weight}\n")).collect()
}

/// Processes and innermost functions by weight.
fn table(flame: &Flame, top: usize, out: &Out) -> String {
    let total: u64 = flame.stacks.iter().map(|s| s.1).sum();
    let (mut processes, mut leaves) = (BTreeMap::<&str, u64>::new(), BTreeMap::<(&str, &str), u64>::new());
    for (stack, weight) in &flame.stacks {
        let process = stack.split(';').next().unwrap_or_default();
        *processes.entry(process).or_default() += weight;
        *leaves.entry((stack.rsplit(';').next().unwrap_or_default(), process)).or_default() += weight;
    }
    let show = |n: u64| if flame.unit == "ns" { Nanos(n).to_string() } else { n.to_string() };
    let share = |n: u64| format!("{:.1}%", n as f64 * 100.0 / total.max(1) as f64);
    let mut processes: Vec<_> = processes.into_iter().collect();
    processes.sort_by(|x, y| y.1.cmp(&x.1).then(x.0.cmp(y.0)));
    let mut leaves: Vec<_> = leaves.into_iter().collect();
    leaves.sort_by(|x, y| y.1.cmp(&x.1).then(x.0.cmp(&y.0)));
    let head = format!("{}: {} {}", flame.kind, show(total), if flame.unit == "ns" { "" } else { &flame.unit });
    let mut text = out.style(Style::Bold, head.trim_end());
    text.push('\n');
    let rows: Vec<Vec<String>> =
        processes.iter().take(top).map(|(p, n)| vec![(*p).to_owned(), show(*n), share(*n)]).collect();
    text.push_str(&columns(&["process", &flame.unit, "share"], &rows));
    text.push('\n');
    let rows: Vec<Vec<String>> = leaves
        .iter()
        .take(top)
        .map(|((f, p), n)| vec![(*f).to_owned(), (*p).to_owned(), show(*n), share(*n)])
        .collect();
    text.push_str(&columns(&["innermost function", "process", &flame.unit, "share"], &rows));
    text
}
