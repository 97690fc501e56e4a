//! `coldcase doctor`: what can be recorded here, and what is missing.

use std::path::PathBuf;
use std::time::Duration;

use coldcase_model::quantity::format_size;
use coldcase_model::text::visible;
use coldcase_model::time::Nanos;
use coldcase_record::config::RecordConfig;
use coldcase_record::doctor::{self, Check, Diagnosis, Probe};
use coldcase_record::sources;
use serde_json::json;

use crate::args::duration;
use crate::exit::{Exit, Failure};
use crate::out::{Out, Style};

/// Say what can be recorded here, and what is missing
///
/// Starts each source for a moment, into nothing, and says which will run, which will not and why, the missing
/// capability by name and the command that grants it; how much they bring, from a probe of two seconds; the state of the
/// clock, and the space on the disk and how long it lasts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase doctor
  coldcase doctor --require kernel,packets && coldcase record -o b.case --for 1m

Exit codes: 0 every source that needs no flag starts (with --require: those named start), 1 one does not.")]
pub(crate) struct Args {
    /// Judge only by these sources
    #[arg(long, value_name = "SOURCE", value_delimiter = ',')]
    require: Vec<String>,
    /// How long to count what the sources bring; 0s not at all
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    probe: Duration,
    /// Where the bundle would be written
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Settings from a file, as for record
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let mut config = match &args.config {
        Some(path) => RecordConfig::read(path).map_err(super::record::failure)?,
        None => RecordConfig::default(),
    };
    config.require.clone_from(&args.require);
    let found =
        doctor::diagnose(&config, sources::all(&config), &args.folder, args.probe).map_err(super::record::failure)?;
    if let Some(name) = args.require.iter().find(|n| !found.sources.iter().any(|c| is_named(c.name, n))) {
        return Err(Failure::usage(format!("--require: there is no source '{name}'")));
    }
    let fine = found.sources.iter().filter(|c| !c.starts).all(|c| match args.require.is_empty() {
        true => c.unasked,
        // A family that is required does not require what only a flag of its own asks for.
        false => !config.requires(c.name) || (c.unasked && !args.require.iter().any(|n| n == c.name)),
    });
    if out.json {
        out.document(&json!({
            "schema": {"name": "coldcase.doctor", "version": 1}, "ok": fine, "host": found.host, "user": found.user,
            "btf": found.btf, "clock": {"state": found.clock, "error": found.clock_error},
            "disk": {"folder": found.folder, "free": found.disk_free}, "kill_switch": config.is_switched_off(),
            "probe": found.probe, "sources": found.sources,
        }))?;
    } else {
        out.text(&text(&found, &config, out))?;
    }
    Ok(if fine { Exit::Fine } else { Exit::Failed })
}

fn is_named(source: &str, name: &str) -> bool {
    source == name || source.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
}

fn text(d: &Diagnosis, config: &RecordConfig, out: &Out) -> String {
    let mut t = String::new();
    let host = &d.host;
    let btf = if d.btf { "with type information (BTF)" } else { "without type information (BTF): no kernel sources" };
    t.push_str(&format!("{}  {}, {btf}\n", out.style(Style::Bold, &visible(&host.name)), visible(&host.kernel)));
    t.push_str(&format!("user     {}\n", visible(&d.user)));
    t.push_str(&format!("clock    {}, estimated error {}\n", d.clock, Nanos(d.clock_error)));
    t.push_str(&format!("disk     {} free in {}\n", format_size(d.disk_free), visible(&d.folder)));
    if let Some(probe) = &d.probe {
        t.push_str(&format!("rate     {}\n", rate(probe)));
    }
    if config.is_switched_off() {
        let file = config.kill_switch.display().to_string();
        t.push_str(&format!(
            "{}\n",
            out.style(Style::Bad, &format!("kill switch {} is set: record refuses", visible(&file)))
        ));
    }
    t.push('\n');
    for (i, check) in d.sources.iter().enumerate() {
        // One hint for a run of sources that lack the same.
        let last = d.sources.get(i + 1).is_none_or(|next| next.hint != check.hint);
        t.push_str(&line(check, last, out));
    }
    t
}

/// What the probe says of a recording.
fn rate(p: &Probe) -> String {
    let size = format_size(p.bytes_per_minute);
    let lasts = match p.disk_lasts {
        None => String::new(),
        Some(s) if s >= 172_800 => format!("; at that rate the disk is full in {} days", s / 86_400),
        Some(s) => format!("; at that rate the disk is full in {}", Nanos(s.saturating_mul(1_000_000_000))),
    };
    format!("{} events/s, {size} a minute, in a probe of {}{lasts}", p.events_per_second, Nanos(p.duration))
}

fn line(c: &Check, with_hint: bool, out: &Out) -> String {
    let (word, style) = match (c.starts, c.unasked) {
        (true, _) if c.missing.is_empty() => ("ready", Style::Good),
        (true, _) => ("partly", Style::Warn),
        (false, true) => ("not asked", Style::Dim),
        (false, false) => ("no", Style::Bad),
    };
    let mut t = format!("{:<14} {}", c.name, out.style(style, &format!("{word:<9}")));
    if !c.starts {
        t.push_str(&format!(" {}", visible(&c.reason)));
    } else if !c.missing.is_empty() {
        t.push_str(&format!(" not seen without {}: {}", c.missing.join(", "), c.without));
    } else if let Some(rate) = c.events_per_second {
        t.push_str(&format!(" {rate} events/s"));
    }
    t.push('\n');
    if with_hint && !c.hint.is_empty() {
        t.push_str(&format!("{:<24} {} {}\n", "", out.style(Style::Dim, "hint:"), visible(&c.hint)));
    }
    t
}
