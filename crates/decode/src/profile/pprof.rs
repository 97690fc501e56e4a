//! pprof: the profiles of Go and of most language runtimes, a protobuf message, mostly compressed with gzip.
//!
//! `proto/profile.proto` of <https://github.com/google/pprof>. What is not needed here is left out of the messages.

use std::borrow::Cow;
use std::collections::HashMap;

use prost::Message;

use super::{DEPTH, Frame, Sample};

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Stack>,
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
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Stack {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
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
}

/// Why a profile cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PprofError {
    /// It is no such message.
    #[error("no pprof profile: {0}")]
    Protobuf(String),
    /// It measures something else, such as memory.
    #[error("no profile of the CPU: it measures {0}")]
    Other(String),
}

/// A profile of the CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Cpu {
    profile: Profile,
    /// Which of a sample's values is the number of samples, or time that divided by this is one.
    value: usize,
    unit: u64,
}

impl Cpu {
    /// Reads a profile.
    ///
    /// # Errors
    /// When the bytes are no profile, or one of something else than CPU time.
    pub fn read(bytes: &[u8]) -> Result<Cpu, PprofError> {
        let profile = Profile::decode(bytes).map_err(|e| PprofError::Protobuf(e.to_string()))?;
        let text = |at: i64| usize::try_from(at).ok().and_then(|at| profile.string_table.get(at)).map_or("", |s| s);
        if profile.string_table.first().is_none_or(|s| !s.is_empty()) || profile.sample_type.is_empty() {
            return Err(PprofError::Protobuf("no table of strings, or no kind of samples".into()));
        }
        let kinds: Vec<(&str, &str)> = profile.sample_type.iter().map(|t| (text(t.r#type), text(t.unit))).collect();
        let time = kinds.iter().position(|k| matches!(k.0, "cpu" | "wall" | "time") && matches!(k.1, "nanoseconds"));
        let period = profile.period_type.as_ref().map(|t| (text(t.r#type), text(t.unit)));
        let number = kinds.iter().position(|k| *k == ("samples", "count"));
        let on_cpu = kinds.iter().any(|k| k.0 == "cpu") || period.is_some_and(|p| matches!(p.0, "cpu" | "cycles"));
        let (value, unit) = match (number, time) {
            (Some(at), _) if on_cpu => (at, 1),
            (None, Some(at)) if on_cpu && profile.period > 0 => (at, profile.period as u64),
            _ => {
                let names: Vec<String> = kinds.iter().map(|(kind, unit)| format!("{kind} ({unit})")).collect();
                return Err(PprofError::Other(names.join(", ")));
            }
        };
        Ok(Cpu { profile, value, unit })
    }

    /// When it began, in nanoseconds since 1970, and how long it ran; 0 where it does not tell.
    pub fn time(&self) -> (i64, i64) {
        (self.profile.time_nanos.max(0), self.profile.duration_nanos.max(0))
    }

    /// Its stacks in order. A location that is missing is a frame without a name. Stacks are cut at [`DEPTH`] frames.
    pub fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        let p = &self.profile;
        let text = |at: i64| usize::try_from(at).ok().and_then(|at| p.string_table.get(at)).map_or("", |s| s);
        let functions: HashMap<u64, &str> = p.function.iter().map(|f| (f.id, text(f.name))).collect();
        let mappings: HashMap<u64, &str> = p.mapping.iter().map(|m| (m.id, text(m.filename))).collect();
        let locations: HashMap<u64, &Location> = p.location.iter().map(|l| (l.id, l)).collect();
        p.sample.iter().map(move |stack| {
            let mut frames = Vec::new();
            for id in &stack.location_id {
                let location = locations.get(id);
                let module = location.and_then(|l| mappings.get(&l.mapping_id)).copied().unwrap_or("");
                let kernel = module.starts_with("[kernel");
                let lines = location.map_or(&[][..], |l| &l.line);
                // The innermost of inlined functions stands first.
                for line in lines {
                    let name = functions.get(&line.function_id).copied().filter(|n| !n.is_empty());
                    frames.push(Frame { name: name.map(Cow::Borrowed), module: Cow::Borrowed(module), kernel });
                }
                if lines.is_empty() {
                    frames.push(Frame { name: None, module: Cow::Borrowed(module), kernel });
                }
                if frames.len() >= DEPTH {
                    frames.truncate(DEPTH);
                    break;
                }
            }
            let value = stack.value.get(self.value).copied().unwrap_or(0).max(0) as u64;
            let count = if self.unit == 1 { value } else { (value + self.unit / 2) / self.unit };
            Sample { time: None, pid: None, tid: None, cpu: None, comm: "", event: "", frames, count }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn profile(kinds: &[(i64, i64)], period: Option<(i64, i64)>) -> Profile {
        let strings =
            ["", "samples", "count", "cpu", "nanoseconds", "main", "work", "/bin/app", "inuse_space", "bytes"];
        let kind = |&(r#type, unit): &(i64, i64)| ValueType { r#type, unit };
        Profile {
            sample_type: kinds.iter().map(kind).collect(),
            sample: vec![Stack { location_id: vec![2, 1, 9], value: vec![3, 30_000_000] }],
            mapping: vec![Mapping { id: 1, filename: 7 }],
            location: vec![
                Location { id: 1, mapping_id: 1, line: vec![Line { function_id: 1 }] },
                Location { id: 2, mapping_id: 1, line: vec![Line { function_id: 2 }, Line { function_id: 1 }] },
            ],
            function: vec![Function { id: 1, name: 5 }, Function { id: 2, name: 6 }],
            string_table: strings.map(str::to_owned).to_vec(),
            time_nanos: 1_700_000_000_000_000_000,
            duration_nanos: 1_000_000_000,
            period_type: period.as_ref().map(kind),
            period: 10_000_000,
        }
    }

    #[test]
    fn stacks_have_their_names_and_numbers() {
        for kinds in [&[(1, 2), (3, 4)][..], &[(0, 0), (3, 4)]] {
            let cpu = Cpu::read(&profile(kinds, Some((3, 4))).encode_to_vec()).unwrap();
            let sample = cpu.samples().next().unwrap();
            let names: Vec<_> = sample.frames.iter().map(|f| f.name.as_deref()).collect();
            assert_eq!(names, [Some("work"), Some("main"), Some("main"), None]);
            assert_eq!((sample.count, &*sample.frames[0].module), (3, "/bin/app"));
            assert_eq!(cpu.time(), (1_700_000_000_000_000_000, 1_000_000_000));
        }
    }

    #[test]
    fn a_profile_of_memory_is_refused_by_what_it_measures() {
        let e = Cpu::read(&profile(&[(8, 9)], None).encode_to_vec()).unwrap_err();
        assert_eq!(e.to_string(), "no profile of the CPU: it measures inuse_space (bytes)");
        assert!(matches!(Cpu::read(b"\x0a\x02"), Err(PprofError::Protobuf(_))));
        assert!(matches!(Cpu::read(b""), Err(PprofError::Protobuf(_))));
    }
}
