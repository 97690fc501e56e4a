//! `coldcase flame`: where CPU time went, where threads waited, and who woke them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use coldcase_analyze::{GroupBy, Options, Part};
use coldcase_model::Nanos;
use coldcase_model::analysis::{Analysis, Flame, FlameDiff};
use coldcase_model::text::visible;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::out::{Out, Style};
use crate::reading::{Document, Reading, documents, name, pages, picture};
use coldcase_model::columns::columns;

/// Show where CPU time went, where threads waited, and who woke them, by function
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase flame incident.case
  coldcase flame incident.case --comm orders --from +10s --svg flame.svg
  coldcase flame incident.case --by thread                       or container; processes otherwise
  coldcase flame incident.case --diff --from +10s --to +20s      what is different there, against the rest
  coldcase flame incident.case --folded > on-cpu.txt             for other tools: frame;frame;frame weight
  coldcase flame incident.case --folded off-cpu > off-cpu.txt    the same of waiting, weighed in nanoseconds
  coldcase flame incident.case --folded wakeup > wakeup.txt      waits with who ended them: frame;frame;--;waker;frame

Waiting is told by its class: [run queue], [throttled (inferred)], [disk], [lock] (mutexes, semaphores), [condition] (variables), \
[futex] (not known to be either), [thread end], [network], [poll], [pipe], [page fault], [sleep], [child process], [signal], \
[stopped], [kernel thread], [unknown wait].")]
pub(crate) struct Args {
    /// Bundles, each shown by itself
    #[arg(value_name = "BUNDLE", required = true)]
    bundles: Vec<PathBuf>,
    /// What stacks begin with
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = By::Process)]
    by: By,
    /// Hold the window (--from, --to) against the rest of the recording, by weight per second of wall time
    #[arg(long)]
    diff: bool,
    /// Write the flame graphs as SVG to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Replace the SVG file if it is there
    #[arg(long)]
    force: bool,
    /// Print folded stacks of one kind, and nothing else: samples where CPU time went, or nanoseconds of waiting. With
    /// --diff two weights, as difffolded.pl prints them: of the rest, scaled to the window's length, and of the window
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

/// The kinds of flame graph. Folded stacks do not say of which they are, nor in which unit: one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Where CPU time went: samples
    OnCpu,
    /// Where threads waited: nanoseconds
    OffCpu,
    /// Where threads waited, who woke them, and where those had waited: nanoseconds
    Wakeup,
}

impl Kind {
    /// As the analysis calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::OnCpu => "on-cpu",
            Kind::OffCpu => "off-cpu",
            Kind::Wakeup => "wakeup",
        }
    }
}

/// What stacks begin with.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum By {
    /// The process
    Process,
    /// The process, then the thread
    Thread,
    /// The container, then the process
    Container,
}

impl From<By> for GroupBy {
    fn from(by: By) -> GroupBy {
        match by {
            By::Process => GroupBy::Process,
            By::Thread => GroupBy::Thread,
            By::Container => GroupBy::Container,
        }
    }
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let options = Options { parts: vec![Part::Flame], by: args.by.into(), diff: args.diff, ..Options::default() };
    let all = args.reading.each_as(&args.bundles, &options, out)?;
    picture(args.svg.as_ref(), args.force, &all, coldcase_report::flame_svg)?;
    if out.json {
        documents(out, &all.iter().map(document).collect::<Vec<_>>())?;
    } else if let Some(kind) = args.folded {
        out.text(&all.iter().map(|a| folded(a, kind, args.diff, all.len() > 1)).collect::<String>())?;
    } else {
        pages(out, &all, |a| page(a, args.diff, args.top, out))?;
    }
    Ok(args.reading.exit(&all))
}

fn document(a: &Analysis) -> Document<'_, serde_json::Value> {
    let mut body = json!({
        "bundle": name(a),
        "flames": a.flames,
        "frames_named": a.quality.frames_named,
        "frames_bogus": a.quality.frames_bogus,
    });
    if !a.flame_diffs.is_empty() {
        body["diffs"] = json!(a.flame_diffs);
    }
    Document::new("coldcase.flame", body)
}

fn page(a: &Analysis, diff: bool, top: usize, out: &Out) -> String {
    let tables: Vec<String> = match diff {
        true => a.flame_diffs.iter().map(|d| changes(d, top, out)).collect(),
        false => a.flames.iter().map(|f| table(f, top, out)).collect(),
    };
    match tables.is_empty() {
        true => "no CPU samples and no waits were recorded in this scope\n".to_owned(),
        false => tables.join("\n"),
    }
}

/// The stacks of one kind; below the bundle's name, where there are several.
pub(crate) fn folded(a: &Analysis, kind: Kind, diff: bool, several: bool) -> String {
    let root = if several { format!("{};", a.bundle.file.replace([';', '\n'], ":")) } else { String::new() };
    if diff {
        let diffs = a.flame_diffs.iter().filter(|d| d.kind == kind.name());
        let lines = diffs.flat_map(|d| d.stacks.iter().map(move |s| (s, d.scaled(s.base))));
        return lines.map(|(s, base)| format!("{root}{} {base} {}\n", visible(&s.stack), s.window)).collect();
    }
    let lines = a.flames.iter().filter(|f| f.kind == kind.name()).flat_map(|f| &f.stacks);
    lines.map(|(stack, weight)| format!("{root}{} {weight}\n", visible(stack))).collect()
}

/// The functions that changed most.
fn changes(diff: &FlameDiff, top: usize, out: &Out) -> String {
    let ns = diff.unit == "ns";
    let rate = |r: f64| match ns {
        // A float becomes an integer as near as it can.
        true => format!("{}/s", Nanos(r.abs().round() as u64)),
        false => format!("{:.2}/s", r.abs()),
    };
    let signed = |r: f64| format!("{}{}", if r < 0.0 { "-" } else { "+" }, rate(r));
    let head = format!(
        "{}: {} against the other {} of the recording, by {} per second",
        diff.kind,
        Nanos(diff.window),
        Nanos(diff.base),
        if ns { "time" } else { &diff.unit }
    );
    let rows: Vec<Vec<String>> = diff
        .functions
        .iter()
        .take(top)
        .map(|f| {
            let owner = f.owner.replace(';', " ");
            let own = if f.own_change == 0.0 { "-".to_owned() } else { signed(f.own_change) };
            vec![f.function.clone(), owner, rate(f.base), rate(f.window), signed(f.change), own]
        })
        .collect();
    let mut text = out.style(Style::Bold, &head);
    text.push('\n');
    if rows.is_empty() {
        text.push_str("nothing changed\n");
    } else {
        text.push_str(&columns(&["function", &diff.by, "before and after", "window", "change", "of its own"], &rows));
    }
    text
}

/// The heaviest of what weighs, of equals in the order of names.
fn heaviest<K: Ord>(weights: BTreeMap<K, u64>, top: usize) -> Vec<(K, u64)> {
    let mut all: Vec<_> = weights.into_iter().collect();
    all.sort_by(|x, y| y.1.cmp(&x.1).then_with(|| x.0.cmp(&y.0)));
    all.truncate(top);
    all
}

/// Sums by what stacks begin with, by what was waited for, and by the innermost function or the chain of wakers.
fn table(flame: &Flame, top: usize, out: &Out) -> String {
    let total = flame.stacks.iter().fold(0u64, |sum, s| sum.saturating_add(s.1));
    let show = |n: u64| if flame.unit == "ns" { Nanos(n).to_string() } else { n.to_string() };
    let share = |n: u64| format!("{:.1}%", n as f64 * 100.0 / total.max(1) as f64);
    // By container, its processes together.
    let owners = if flame.by == "thread" { 2 } else { 1 };
    let frames = Flame::owners(&flame.by);
    let mut groups = BTreeMap::<String, u64>::new();
    let mut classes = BTreeMap::<&str, u64>::new();
    let mut last = BTreeMap::<Vec<String>, u64>::new();
    for (stack, weight) in &flame.stacks {
        let parts: Vec<&str> = stack.split(';').collect();
        let owner = parts.iter().take(owners).copied().collect::<Vec<_>>().join(" ");
        let key = match flame.kind.as_str() {
            "wakeup" => vec![chain(&parts, frames)],
            _ => vec![(*parts.last().unwrap_or(&"")).to_owned(), owner.clone()],
        };
        for sum in [groups.entry(owner).or_default(), last.entry(key).or_default()] {
            *sum = sum.saturating_add(*weight);
        }
        if let Some(class) = parts.get(frames) {
            let sum = classes.entry(class.trim_matches(['[', ']'])).or_default();
            *sum = sum.saturating_add(*weight);
        }
    }
    let head = format!("{}: {} {}", flame.kind, show(total), if flame.unit == "ns" { "" } else { &flame.unit });
    let mut text = out.style(Style::Bold, head.trim_end());
    text.push('\n');
    let rows = |of: Vec<(Vec<String>, u64)>| -> Vec<Vec<String>> {
        of.into_iter().map(|(names, n)| [names, vec![show(n), share(n)]].concat()).collect()
    };
    let groups = heaviest(groups, top).into_iter().map(|(owner, n)| (vec![owner], n)).collect();
    text.push_str(&columns(&[&flame.by, &flame.unit, "share"], &rows(groups)));
    if flame.kind == "off-cpu" {
        let classes = heaviest(classes, top).into_iter().map(|(class, n)| (vec![class.to_owned()], n)).collect();
        text.push('\n');
        text.push_str(&columns(&["waited for", &flame.unit, "share"], &rows(classes)));
    }
    let heads: &[&str] = match flame.kind.as_str() {
        "wakeup" => &["who waited (for what) < who woke it (after waiting for what)", &flame.unit, "share"],
        _ => &["innermost function", &flame.by, &flame.unit, "share"],
    };
    text.push('\n');
    text.push_str(&columns(heads, &rows(heaviest(last, top))));
    text
}

/// A chain of wake-ups without its functions: `gateway[3] (lock) < orders[7] (sleep) < hard IRQ`.
fn chain(parts: &[&str], owners: usize) -> String {
    let mut owners = owners;
    let hops = parts.split(|frame| *frame == "--").map(|hop| {
        let (who, rest) = hop.split_at(owners.min(hop.len()));
        // Of a waker one frame tells who it is.
        owners = 1;
        match rest.first() {
            Some(class) => format!("{} ({})", who.join(" "), class.trim_matches(['[', ']'])),
            None => match who {
                [end] if end.starts_with('[') => end.trim_matches(['[', ']']).to_owned(),
                who => who.join(" "),
            },
        }
    });
    hops.collect::<Vec<_>>().join(" < ")
}

#[cfg(test)]
mod tests {
    use super::chain;

    #[test]
    fn a_chain_is_told_without_its_functions() {
        let of = |line: &str, owners| chain(&line.split(';').collect::<Vec<_>>(), owners);
        let line = "a[1];[lock];main;futex;--;b[2];[sleep];nap;--;[hard IRQ]";
        assert_eq!(of(line, 1), "a[1] (lock) < b[2] (sleep) < hard IRQ");
        assert_eq!(of("a[1];t[3];[disk];[no stack];fsync;--;b[2]", 2), "a[1] t[3] (disk) < b[2]");
        assert_eq!(of("a[1]", 2), "a[1]");
    }
}
