//! pprof: CPU samples and waits as one profile, for `go tool pprof`, Pyroscope, Grafana and the like.
//!
//! `proto/profile.proto` of <https://github.com/google/pprof>, compressed with gzip. What is not needed here is left out of the
//! messages. Addresses are file offsets: each mapping begins at 0, so that build-id and address lead to the code.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};

use coldcase_timeline::decode::otlp::TraceId;
use coldcase_timeline::{Frame, Timeline};
use flate2::{Compression, GzBuilder};
use prost::Message;

use crate::stacks::{Seen, Stacks, Working};

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, repeated, tag = "13")]
    comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
    #[prost(int64, tag = "3")]
    num: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "3")]
    memory_limit: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(int64, tag = "6")]
    build_id: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
    #[prost(bool, tag = "10")]
    has_inline_frames: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Different stacks: samples of the profile.
    pub stacks: u64,
    /// CPU samples.
    pub samples: u64,
    /// CPU time that they stand for; `None` where the rate of sampling is not known.
    pub cpu: Option<u64>,
    /// Waits.
    pub waits: u64,
    /// Nanoseconds off the CPU.
    pub off_cpu: u64,
    /// Bytes before compression.
    pub bytes: u64,
}

/// What the kernel's mapping is called, as `perf` does.
const KERNEL: &str = "[kernel.kallsyms]";

/// Samples a second and CPU that the recorder takes unless it is told otherwise.
pub const DEFAULT_HZ: u64 = 99;

/// How often a second and CPU samples were taken, by the recorder's command line; `None` where that does not tell.
fn rate(t: &Timeline) -> Option<u64> {
    let manifest = t.bundle().manifest()?;
    let words: Vec<&str> = manifest.command.iter().map(String::as_str).flat_map(str::split_whitespace).collect();
    if words.get(1) != Some(&"record") {
        return None;
    }
    let told = words.iter().enumerate().find_map(|(i, w)| match w.strip_prefix("--sample-hz")? {
        "" => words.get(i + 1).copied(),
        value => value.strip_prefix('='),
    });
    match told {
        Some(hz) => hz.parse().ok().filter(|&hz| hz > 0),
        // A configuration may say otherwise, and is not in the bundle.
        None => (!words.iter().any(|w| w.starts_with("--config"))).then_some(DEFAULT_HZ),
    }
}

struct Making<'a> {
    t: &'a Timeline,
    profile: Profile,
    strings: HashMap<String, i64>,
    functions: HashMap<(i64, i64), u64>,
    /// By module, or what stands for one.
    mappings: HashMap<(i64, i64), u64>,
    locations: HashMap<(u64, u64, Vec<u64>), u64>,
}

/// What samples of the profile differ by.
type Key = (u32, u32, u32, Option<&'static str>, Option<TraceId>);

/// Writes what was seen.
///
/// # Errors
/// When it cannot be written to `out`.
pub fn write<W: Write>(t: &Timeline, stacks: &Stacks, working: &Working, out: W) -> io::Result<Written> {
    let mut making = Making {
        t,
        profile: Profile::default(),
        strings: HashMap::new(),
        functions: HashMap::new(),
        mappings: HashMap::new(),
        locations: HashMap::new(),
    };
    making.string("");
    let period = rate(t).map(|hz| 1_000_000_000 / hz);
    let mut written = Written { cpu: period.map(|_| 0), ..Written::default() };
    making.head(period);
    let mut sums: BTreeMap<Key, (Seen, u64, u64)> = BTreeMap::new();
    for s in &stacks.seen {
        let key = (s.stack, s.pid, s.tid, s.class, working.at(s.tid, s.time));
        let (_, times, ns) = sums.entry(key).or_insert((*s, 0, 0));
        *times += s.times;
        *ns += s.ns;
    }
    for ((.., trace), (seen, times, ns)) in sums {
        let on_cpu = seen.class.is_none();
        let cpu = period.filter(|_| on_cpu).map(|p| p.saturating_mul(times));
        let (samples, waits) = if on_cpu { (times, 0) } else { (0, times) };
        written.samples += samples;
        written.waits += waits;
        written.off_cpu += ns;
        written.cpu = written.cpu.map(|sum| sum.saturating_add(cpu.unwrap_or(0)));
        let values = [Some(samples), period.map(|_| cpu.unwrap_or(0)), Some(waits), Some(ns)];
        let value = values.into_iter().flatten().map(|n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
        making.sample(stacks, &seen, trace, value);
    }
    written.stacks = making.profile.sample.len() as u64;
    making.programs_first();
    let bytes = making.profile.encode_to_vec();
    written.bytes = bytes.len() as u64;
    // Without a time of its own in the head: the same bytes each time.
    let mut gz = GzBuilder::new().mtime(0).write(out, Compression::default());
    gz.write_all(&bytes)?;
    gz.finish()?.flush()?;
    Ok(written)
}

impl Making<'_> {
    fn string(&mut self, text: &str) -> i64 {
        if let Some(at) = self.strings.get(text) {
            return *at;
        }
        let at = self.profile.string_table.len() as i64;
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), at);
        at
    }

    fn value_type(&mut self, name: &str, unit: &str) -> ValueType {
        ValueType { r#type: self.string(name), unit: self.string(unit) }
    }

    fn head(&mut self, period: Option<u64>) {
        let types = [
            Some(("samples", "count")),
            period.map(|_| ("cpu", "nanoseconds")),
            Some(("waits", "count")),
            Some(("delay", "nanoseconds")),
        ];
        self.profile.sample_type =
            types.into_iter().flatten().map(|(name, unit)| self.value_type(name, unit)).collect();
        if let Some(period) = period {
            self.profile.period_type = Some(self.value_type("cpu", "nanoseconds"));
            self.profile.period = i64::try_from(period).unwrap_or(i64::MAX);
        }
        self.profile.default_sample_type = self.string(if period.is_some() { "cpu" } else { "samples" });
        let (from, to) = self.t.window();
        let (start, end) = (from.unwrap_or(self.t.start()), to.unwrap_or(self.t.end()));
        self.profile.time_nanos = start.0;
        self.profile.duration_nanos = end.0.saturating_sub(start.0).max(0);
        let comment = format!("bundle {}, exported by coldcase {}", self.t.bundle().id(), env!("CARGO_PKG_VERSION"));
        self.profile.comment = vec![self.string(&comment)];
    }

    /// Readers name a profile after its first mapping: a program is that, rather than a library or the kernel.
    fn programs_first(&mut self) {
        let file = |path: &str| path.rsplit('/').next().unwrap_or("").to_owned();
        let programs: HashSet<String> = self.t.processes().all().map(|p| file(&p.exe)).collect();
        let strings = &self.profile.string_table;
        let rank = |m: &Mapping| match usize::try_from(m.filename).ok().and_then(|at| strings.get(at)) {
            Some(name) if programs.contains(name) => 0,
            Some(name) if name == KERNEL => 2,
            _ => 1,
        };
        self.profile.mapping.sort_by_key(rank);
    }

    fn sample(&mut self, stacks: &Stacks, s: &Seen, trace: Option<TraceId>, value: Vec<i64>) {
        let (kernel, user) = &stacks.stacks[s.stack as usize];
        let mut location_id = Vec::with_capacity(kernel.len() + user.len() + 1);
        if kernel.is_empty() && user.is_empty() {
            // A stack is never empty: readers leave samples without one out.
            let name = s.class.map_or_else(|| "[no stack]".to_owned(), |class| format!("[{class}]"));
            let frame = Frame { name: name.as_str().into(), module: "".into(), named: true, inlined: false };
            location_id.push(self.location(0, 0, &[frame]));
        }
        for (n, &addr) in kernel.iter().enumerate() {
            let mut frames = Vec::new();
            self.t.symbols().kernel(addr, n == 0, &mut frames);
            let mapping = self.mapping(KERNEL, "");
            location_id.push(self.location(mapping, addr, &frames));
        }
        for (n, &addr) in user.iter().enumerate() {
            let mut frames = Vec::new();
            self.t.symbols().user(s.pid, s.time, addr, n == 0, &mut frames);
            if frames.is_empty() {
                // In no mapping: no frame.
                continue;
            }
            let place = self.t.symbols().place(s.pid, s.time, addr, n == 0);
            let (mapping, at) = match place {
                Some(place) => (self.mapping(place.name, place.build_id.unwrap_or("")), place.offset),
                None => (self.mapping(&frames[0].module.clone(), ""), addr),
            };
            location_id.push(self.location(mapping, at, &frames));
        }
        let mut label = Vec::new();
        let comm = self.t.processes().label(s.pid, s.time);
        let thread = self.t.processes().thread(s.tid, s.time).to_owned();
        let trace = trace.map(|t| t.to_string());
        let texts = [
            ("comm", Some(&*comm)),
            ("thread", Some(thread.as_str()).filter(|t| !t.is_empty())),
            ("reason", s.class),
            ("trace_id", trace.as_deref()),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                label.push(Label { key: self.string(key), str: self.string(text), num: 0 });
            }
        }
        for (key, number) in [("pid", s.pid), ("tid", s.tid)] {
            label.push(Label { key: self.string(key), str: 0, num: i64::from(number) });
        }
        self.profile.sample.push(Sample { location_id, value, label });
    }

    fn mapping(&mut self, name: &str, build_id: &str) -> u64 {
        let (filename, build_id) = (self.string(name), self.string(build_id));
        let next = self.profile.mapping.len() as u64 + 1;
        let id = *self.mappings.entry((filename, build_id)).or_insert(next);
        if id == next {
            let (memory_limit, has_functions, has_inline_frames) = (u64::MAX, true, true);
            self.profile.mapping.push(Mapping {
                id,
                memory_limit,
                filename,
                build_id,
                has_functions,
                has_inline_frames,
            });
        }
        id
    }

    /// A location: the functions at an address, innermost first.
    fn location(&mut self, mapping_id: u64, address: u64, frames: &[Frame]) -> u64 {
        let functions: Vec<u64> = frames.iter().map(|f| self.function(f)).collect();
        let next = self.profile.location.len() as u64 + 1;
        let id = *self.locations.entry((mapping_id, address, functions.clone())).or_insert(next);
        if id == next {
            let line = functions.into_iter().map(|function_id| Line { function_id }).collect();
            self.profile.location.push(Location { id, mapping_id, address, line });
        }
        id
    }

    fn function(&mut self, frame: &Frame) -> u64 {
        let (name, filename) = (self.string(&frame.name), self.string(&frame.module));
        let next = self.profile.function.len() as u64 + 1;
        let id = *self.functions.entry((name, filename)).or_insert(next);
        if id == next {
            self.profile.function.push(Function { id, name, system_name: name, filename });
        }
        id
    }
}
