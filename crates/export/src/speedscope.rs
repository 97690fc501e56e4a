//! speedscope: the stacks of each thread in the order of time, for <https://www.speedscope.app>.
//!
//! A file of its own format (<https://www.speedscope.app/file-format-schema.json>): `sampled` profiles, one of the CPU samples of a
//! thread (weights are samples) and one of its waits (weights are nanoseconds), over a list of frames that all share.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use coldcase_timeline::{Frame, Timeline};
use serde::Serialize;

use crate::stacks::{Seen, Stacks};

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Profiles.
    pub profiles: u64,
    /// CPU samples in them.
    pub samples: u64,
    /// Nanoseconds off the CPU in them.
    pub off_cpu: u64,
}

#[derive(Serialize)]
struct Profile {
    r#type: &'static str,
    name: String,
    unit: &'static str,
    #[serde(rename = "startValue")]
    start: u64,
    #[serde(rename = "endValue")]
    end: u64,
    /// Frames of each sample, outermost first.
    samples: Vec<Vec<u32>>,
    weights: Vec<u64>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
}

#[derive(Default)]
struct Frames {
    list: Vec<(String, String)>,
    numbers: HashMap<(String, String), u32>,
    /// By stack, process, and what was waited for.
    stacks: HashMap<(u32, u32, Option<&'static str>), Vec<u32>>,
}

impl Frames {
    fn number(&mut self, name: &str, file: &str) -> u32 {
        let key = (name.to_owned(), file.to_owned());
        let next = self.list.len() as u32;
        let number = *self.numbers.entry(key.clone()).or_insert(next);
        if number == next {
            self.list.push(key);
        }
        number
    }

    /// The frames of what was seen, outermost first: a wait ends in what was waited for.
    fn of(&mut self, t: &Timeline, stacks: &Stacks, s: &Seen) -> Vec<u32> {
        // One stack of one process has the same names throughout but for a new program: told by its first time.
        if let Some(known) = self.stacks.get(&(s.stack, s.pid, s.class)) {
            return known.clone();
        }
        let (kernel, user) = &stacks.stacks[s.stack as usize];
        let frames: Vec<Frame> = t.symbols().stack(s.pid, s.time, kernel, user);
        let mut out: Vec<u32> = frames.iter().rev().map(|f| self.number(&f.name, &f.module)).collect();
        if let Some(class) = s.class {
            out.push(self.number(&format!("[{class}]"), ""));
        } else if out.is_empty() {
            out.push(self.number("[no stack]", ""));
        }
        self.stacks.insert((s.stack, s.pid, s.class), out.clone());
        out
    }
}

/// Writes what was seen.
///
/// # Errors
/// When it cannot be written to `out`.
pub fn write<W: Write>(t: &Timeline, stacks: &Stacks, name: &str, mut out: W) -> io::Result<Written> {
    let mut frames = Frames::default();
    let mut profiles: BTreeMap<(u32, u32, bool), Profile> = BTreeMap::new();
    let mut written = Written::default();
    for s in &stacks.seen {
        let off = s.class.is_some();
        let weight = if off { s.ns } else { s.times };
        let of = frames.of(t, stacks, s);
        let profile = profiles.entry((s.pid, s.tid, off)).or_insert_with(|| Profile {
            r#type: "sampled",
            name: format!(
                "{} {}",
                t.processes().describe(s.tid, s.pid, s.time),
                if off { "off-CPU" } else { "on-CPU" }
            ),
            unit: if off { "nanoseconds" } else { "none" },
            start: 0,
            end: 0,
            samples: Vec::new(),
            weights: Vec::new(),
        });
        profile.end += weight;
        *(if off { &mut written.off_cpu } else { &mut written.samples }) += weight;
        match (profile.samples.last(), profile.weights.last_mut()) {
            // The same again in time's order is one block.
            (Some(last), Some(sum)) if *last == of => *sum += weight,
            _ => {
                profile.samples.push(of);
                profile.weights.push(weight);
            }
        }
    }
    written.profiles = profiles.len() as u64;
    let shared: Vec<Named<'_>> = frames
        .list
        .iter()
        .map(|(name, file)| Named { name, file: Some(file.as_str()).filter(|f| !f.is_empty()) })
        .collect();
    let document = serde_json::json!({
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": concat!("coldcase ", env!("CARGO_PKG_VERSION")),
        "name": name,
        "activeProfileIndex": 0,
        "shared": { "frames": shared },
        "profiles": profiles.into_values().collect::<Vec<_>>(),
    });
    serde_json::to_writer(&mut out, &document)?;
    out.write_all(b"\n")?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_one_name_in_two_files_are_two() {
        let mut frames = Frames::default();
        let [a, b, again] = ["orders", "gateway", "orders"].map(|file| frames.number("main", file));
        assert!(a != b && a == again);
        assert_eq!(frames.list.len(), 2);
    }
}
