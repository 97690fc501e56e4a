//! `coldcase latency`: how long things took.

use std::path::PathBuf;

use coldcase_analyze::Part;
use coldcase_model::Nanos;
use coldcase_model::analysis::{Analysis, CpuCgroup, Latency, MetricExemplar};
use coldcase_model::text::visible;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::out::{Out, Style};
use crate::reading::{Document, Reading, documents, name, pages, picture};
use crate::requests;
use coldcase_model::columns::columns;

/// Show how long spans, block I/O, connects, files, faults, locks, the run queue and waits took
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase latency incident.case
  coldcase latency incident.case --service orders --from +10s
  coldcase latency incident.case --db
  coldcase latency incident.case --json | jq '.latencies[] | select(.group == \"span\")'")]
pub(crate) struct Args {
    /// Bundles, each shown by itself
    #[arg(value_name = "BUNDLE", required = true)]
    bundles: Vec<PathBuf>,
    /// Write the heat maps as SVG to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Replace the SVG file if it is there
    #[arg(long)]
    force: bool,
    /// Show databases instead, from the requests in packets: statements, connections, transactions left open, statements
    /// in loops. Takes capture files too
    #[arg(long, conflicts_with = "svg")]
    db: bool,
    /// How many of each group to print
    #[arg(long, value_name = "N", default_value_t = 15)]
    top: usize,
    #[command(flatten)]
    reading: Reading,
}

/// Groups in the order of printing, with what they are called.
const GROUPS: [(&str, &str); 13] = [
    ("span", "spans"),
    ("block", "block devices"),
    ("connect", "connects"),
    ("file", "slow syncs and removals of files"),
    ("fault", "waits for pages from disk (major faults; the wait is inferred)"),
    ("lock", "locks of programs (futex waits, by the word in memory)"),
    ("kernel_lock", "locks of the kernel (waits from the lock threshold on)"),
    ("statement", "statements of Postgres"),
    ("name_lookup", "look-ups of host names"),
    ("tls", "TLS handshakes"),
    ("run_queue", "run queue"),
    ("off_cpu", "waits off the CPU"),
    ("syscall", "system calls (quantiles to within a quarter of a power of two)"),
];

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    if args.db {
        return databases(&args, out);
    }
    let all = args.reading.each(&args.bundles, &[Part::Latency], out)?;
    picture(args.svg.as_ref(), args.force, &all, coldcase_report::latency_svg)?;
    if out.json {
        let body = |a: &Analysis| {
            let body = json!({
                "bundle": name(a),
                "latencies": a.latencies,
                "waits": a.waits,
                "cpu_cgroups": a.cpu_cgroups,
                "exemplars": a.exemplars,
            });
            Document::new("coldcase.latency", body)
        };
        documents(out, &all.iter().map(body).collect::<Vec<_>>())?;
    } else {
        pages(out, &all, |a| page(a, args.top, out))?;
    }
    Ok(args.reading.exit(&all))
}

/// `--db`.
fn databases(args: &Args, out: &Out) -> Result<Exit, Failure> {
    let mut all = Vec::with_capacity(args.bundles.len());
    for file in &args.bundles {
        let analysis = args.reading.flow(file, out)?;
        for problem in &analysis.quality.problems {
            out.warning(&format!("{}: {problem}", file.display()));
        }
        all.push(analysis);
    }
    if out.json {
        let body = |a: &Analysis| {
            let body = json!({
                "bundle": name(a),
                "databases": a.flow.databases,
                "statements": requests::statements(&a.flow),
                "repeated": a.flow.repeated,
                "requests_note": requests::NOTE,
            });
            Document::new("coldcase.latency_db", body)
        };
        documents(out, &all.iter().map(body).collect::<Vec<_>>())?;
    } else {
        pages(out, &all, |a| requests::databases(&a.flow, args.top, out))?;
    }
    Ok(args.reading.exit(&all))
}

fn page(a: &Analysis, top: usize, out: &Out) -> String {
    if a.latencies.is_empty() && a.exemplars.is_empty() {
        return "no spans, block I/O, connects or waits were recorded in this scope\n".to_owned();
    }
    let tables = GROUPS.iter().filter_map(|(group, title)| {
        let of: Vec<&Latency> = a.latencies.iter().filter(|l| l.group == *group).collect();
        (!of.is_empty()).then(|| table(&of, title, top, out))
    });
    let mut tables: Vec<String> = tables.collect();
    tables.extend(cgroups(&a.cpu_cgroups, top, out));
    tables.extend(exemplars(&a.exemplars, top, out));
    tables.join("\n")
}

fn table(latencies: &[&Latency], title: &str, top: usize, out: &Out) -> String {
    let shown = latencies.iter().take(top);
    let rows: Vec<Vec<String>> = shown
        .map(|l| {
            let errors = l.errors.map_or_else(|| "-".to_owned(), |e| e.to_string());
            let mut row = vec![l.name.clone(), l.count.to_string(), errors];
            row.extend([l.p50, l.p90, l.p99, l.p999, l.max, l.total].map(|n| Nanos(n).to_string()));
            row
        })
        .collect();
    let mut text = out.style(Style::Bold, title);
    text.push('\n');
    text.push_str(&columns(&["name", "count", "errors", "p50", "p90", "p99", "p99.9", "max", "total"], &rows));
    if latencies.len() > top {
        text.push_str(&format!("and {} more (--top)\n", latencies.len() - top));
    }
    text
}

/// Exemplars of metrics with the spans that they name, the slowest first.
fn exemplars(all: &[MetricExemplar], top: usize, out: &Out) -> Option<String> {
    if all.is_empty() {
        return None;
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .take(top)
        .map(|e| {
            let span = if e.span_name.is_empty() { "-".into() } else { format!("{} {}", e.service, e.span_name) };
            let took = e.duration.map_or_else(|| "-".to_owned(), |d| Nanos(d).to_string());
            vec![e.name.clone(), e.value.to_string(), span, took, e.trace.clone(), e.joined.clone()]
        })
        .collect();
    let mut text = out.style(Style::Bold, "exemplars of metrics (joined by span id, by trace id alone, or not)");
    text.push('\n');
    text.push_str(&columns(&["metric", "value", "span", "took", "trace", "joined by"], &rows));
    if all.len() > top {
        text.push_str(&format!("and {} more (--top)\n", all.len() - top));
    }
    Some(text)
}

/// How long threads queued and were throttled, by cgroup; nothing where all are in the root.
fn cgroups(groups: &[CpuCgroup], top: usize, out: &Out) -> Option<String> {
    if groups.iter().all(|g| g.path == "/") {
        return None;
    }
    let time = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| Nanos(n).to_string());
    let rows: Vec<Vec<String>> = groups
        .iter()
        .take(top)
        .map(|g| {
            let quota = match g.quota {
                0 => "-".to_owned(),
                quota => format!("{} each {}", Nanos(quota), Nanos(g.period)),
            };
            vec![
                visible(&g.path).into_owned(),
                g.threads.to_string(),
                quota,
                time(g.on_cpu),
                Nanos(g.run_queue).to_string(),
                time((g.quota > 0).then_some(g.throttled)),
                time((g.quota > 0).then_some(g.throttled_cpu)),
                time(g.counted),
                g.migrations.to_string(),
            ]
        })
        .collect();
    let mut text = out.style(Style::Bold, "CPU cgroups (throttled: inferred from switches, quota and period)");
    text.push('\n');
    let head =
        ["path", "threads", "quota", "on CPU", "run queue", "throttled", "by CPU", "cpu.stat says", "migrations"];
    text.push_str(&columns(&head, &rows));
    if groups.len() > top {
        text.push_str(&format!("and {} more (--top)\n", groups.len() - top));
    }
    Some(text)
}
