//! CPU profiles of other tools, made into samples, mappings and symbols as the recorder writes them, so that every verb draws
//! and compares them: the text of `perf script`, folded stacks, pprof.
//!
//! Functions get addresses of their own: these formats have names, which is what an address is there for. A profile that
//! does not tell when it was taken ended when its file was last written.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::time::UNIX_EPOCH;

use coldcase_bundle::Writer;
use coldcase_decode::capture::Unpack;
use coldcase_decode::profile::{Frame, Sample, folded, perf_script, pprof};
use coldcase_model::events::{CpuSample, Mapping, Process, Symbol};
use coldcase_model::{Columns, Event, Utc};

use crate::clock::boot;
use crate::format::{Format, Times};
use crate::input::Input;
use crate::{ImportError, Imported};

/// The stream of the samples.
const STREAM: &str = "kernel.cpu_sample";
/// Rows of a batch.
const ROWS: usize = 4096;
/// Samples of a file at most. Folded stacks that are weighed in bytes or nanoseconds have more: they are no samples.
const MOST: u64 = 50_000_000;
/// Bytes of a sample in `perf script`, of a folded line, and of a pprof profile at most.
const LONGEST: u64 = 1 << 20;
const LARGEST: u64 = 256 << 20;
/// What each function takes of the made addresses.
const SLOT: u64 = 16;
/// Room between the made addresses of modules.
const ROOM: u64 = 1 << 32;
/// Where the kernel's begin.
const KERNEL: u64 = 0xffff_8000_0000_0000;
/// Process of stacks that are nobody's.
const NOBODY: u32 = 1;

pub(crate) fn is_perf_script(head: &[u8]) -> bool {
    perf_script::is_perf_script(&String::from_utf8_lossy(head))
}

pub(crate) fn is_folded(head: &[u8]) -> bool {
    std::str::from_utf8(head).is_ok_and(folded::is_folded)
}

/// A whole profile is in the head of a file only where it is small: one that is cut is known by how it begins.
pub(crate) fn is_pprof(head: &[u8]) -> bool {
    // Field 1, a message of up to four bytes: the kinds of samples. No text begins like that.
    head.first() == Some(&0x0a) && head.get(1).is_some_and(|&n| n <= 22 && head.get(2) == Some(&0x08) && n > 0)
}

/// Reads a profile and writes what it holds.
pub(crate) fn import(
    format: Format,
    input: &Input,
    writer: &Writer,
    times: &mut Times<'_>,
) -> Result<Imported, ImportError> {
    let io = |source| ImportError::Io { path: input.name.clone(), source };
    let about = std::fs::metadata(input).map_err(io)?;
    let written = about.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    let written = written.and_then(|d| u64::try_from(d.as_nanos()).ok()).unwrap_or(0);
    let file = BufReader::with_capacity(1 << 20, File::open(input).and_then(Unpack::new).map_err(io)?);
    let mut done = Imported::new(&input.name, format, STREAM);
    let name = input.origin();
    let mut profile = Profile { name, ..Profile::default() };
    match format {
        Format::Pprof => read_pprof(file, &mut profile, &mut done).map_err(io)?,
        Format::PerfScript => read_perf_script(file, &mut profile, &mut done).map_err(io)?,
        _ => read_folded(file, &mut profile, &mut done).map_err(io)?,
    }
    if profile.other > 0 {
        let plural = if profile.other == 1 { "" } else { "s" };
        done.note(&format!("{} sample{plural} of other events than the CPU's left out", profile.other));
    }
    if profile.beyond > 0 {
        let beyond = profile.beyond;
        done.unread(
            &format!("{beyond} samples beyond {MOST} were left out: weights that are no numbers of samples?"),
            0,
        );
    }
    done.items = profile.rows.iter().map(|r| r.count).sum();
    done.messages = profile.write(writer, written, times)?;
    Ok(done)
}

fn read_perf_script(mut file: impl BufRead, profile: &mut Profile, done: &mut Imported) -> std::io::Result<()> {
    let (mut block, mut number, mut begun) = (String::new(), 0u64, 0u64);
    loop {
        let mut line = Vec::new();
        let read = (&mut file).take(LONGEST).read_until(b'\n', &mut line)? as u64;
        number += 1;
        let text = String::from_utf8_lossy(&line);
        let ends = read == 0 || text.trim().is_empty();
        let comment = block.is_empty() && text.starts_with('#');
        if !ends && !comment && (block.len() as u64) < LONGEST {
            if block.is_empty() {
                begun = number;
            }
            block.push_str(&text);
        }
        if ends && !block.is_empty() {
            match perf_script::sample(&block) {
                Ok(sample) if sample.is_cpu() => profile.add(&sample),
                Ok(_) => profile.other += 1,
                Err(why) => done.unread(&format!("line {begun}: {why}"), block.len() as u64),
            }
            done.bytes += block.len() as u64;
            block.clear();
        }
        if read == 0 {
            return Ok(());
        }
    }
}

fn read_folded(mut file: impl BufRead, profile: &mut Profile, done: &mut Imported) -> std::io::Result<()> {
    let mut number = 0u64;
    loop {
        let mut line = Vec::new();
        let read = (&mut file).take(LONGEST).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            return Ok(());
        }
        number += 1;
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        done.bytes += read;
        match folded::sample(&text) {
            Ok(sample) => profile.add(&sample),
            Err(why) => done.unread(&format!("line {number}: {why}"), read),
        }
    }
}

fn read_pprof(file: impl BufRead, profile: &mut Profile, done: &mut Imported) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    match pprof::Cpu::read(&bytes) {
        Ok(cpu) => {
            done.bytes = bytes.len() as u64;
            profile.began = Some(cpu.time()).filter(|t| t.0 > 0);
            cpu.samples().for_each(|sample| profile.add(&sample));
        }
        Err(why) => done.unread(&why.to_string(), bytes.len() as u64),
    }
    Ok(())
}

/// Samples of one stack, thread and time.
struct Row {
    time: Option<u64>,
    pid: u32,
    tid: u32,
    cpu: u16,
    stack: usize,
    count: u64,
}

/// What was read, until all of it is known.
#[derive(Default)]
struct Profile {
    /// The file's, which stands for a process where none is told.
    name: String,
    rows: Vec<Row>,
    total: u64,
    stacks: HashMap<(Vec<u64>, Vec<u64>), usize>,
    /// Names of threads: by thread, the process and the newest name.
    threads: Vec<(u32, u32, String)>,
    known: HashMap<u32, usize>,
    /// Modules by path, with their functions in order.
    modules: Vec<(String, Vec<String>)>,
    addresses: HashMap<(String, String), u64>,
    /// When the tool says that it began, and for how long it ran.
    began: Option<(i64, i64)>,
    other: u64,
    beyond: u64,
}

impl Profile {
    fn add(&mut self, sample: &Sample<'_>) {
        let count = sample.count.min(MOST.saturating_sub(self.total));
        self.beyond = self.beyond.saturating_add(sample.count - count);
        self.total += count;
        if count == 0 {
            return;
        }
        let (pid, tid) = (sample.pid.unwrap_or(NOBODY), sample.tid.unwrap_or(NOBODY));
        let name = if sample.tid.is_some() { sample.comm } else { &self.name };
        match self.known.get(&tid) {
            Some(&at) if self.threads[at].2 != name => self.threads[at].2 = name.to_owned(),
            Some(_) => {}
            None => {
                self.known.insert(tid, self.threads.len());
                self.threads.push((pid, tid, name.to_owned()));
            }
        }
        let inside = sample.frames.iter().take_while(|f| f.kernel).count();
        let (kernel, user) = sample.frames.split_at(inside);
        let kernel = kernel.iter().map(|f| self.address(f, true)).collect();
        let user = user.iter().map(|f| self.address(f, false)).collect();
        let next = self.stacks.len();
        let stack = *self.stacks.entry((kernel, user)).or_insert(next);
        self.rows.push(Row { time: sample.time, pid, tid, cpu: sample.cpu.unwrap_or(0), stack, count });
    }

    /// The made address of a function: in the middle of its slot, so that it holds as an instruction and as where a call
    /// returns to.
    fn address(&mut self, frame: &Frame<'_>, kernel: bool) -> u64 {
        let module = match (kernel, &*frame.module) {
            (true, _) => "[kernel]",
            (false, "") => &self.name,
            (false, module) => module,
        };
        let name = frame.name.as_deref().unwrap_or("[unknown]");
        let key = (module.to_owned(), name.to_owned());
        if let Some(&at) = self.addresses.get(&key) {
            return at;
        }
        let at = self.modules.iter().position(|m| m.0 == module).unwrap_or_else(|| {
            self.modules.push((module.to_owned(), Vec::new()));
            self.modules.len() - 1
        });
        let base = if kernel { KERNEL } else { (at as u64 + 1) * ROOM };
        let functions = &mut self.modules[at].1;
        let address = base + functions.len() as u64 * SLOT + SLOT / 2;
        functions.push(name.to_owned());
        self.addresses.insert(key, address);
        address
    }

    /// Writes it all; gives how many messages have samples.
    fn write(mut self, writer: &Writer, written: u64, times: &mut Times<'_>) -> Result<u64, ImportError> {
        let last = self.rows.iter().filter_map(|r| r.time).max();
        // The tool's clock is none of the world's: its last sample is put at the end of the file.
        let shift = last.map_or(0, |last| written as i64 - last.min(i64::MAX as u64) as i64);
        let (began, lasted) = self.began.unwrap_or((written as i64, 0));
        let at = |time: Option<u64>| match time {
            Some(time) => (time.min(i64::MAX as u64) as i64).saturating_add(shift).max(0),
            None => began,
        };
        self.rows.sort_by_key(|r| r.time);
        let (Some(first), Some(last)) = (self.rows.first(), self.rows.last()) else { return Ok(0) };
        let (from, to) = (at(first.time), at(last.time).max(began.saturating_add(lasted).min(i64::MAX / 2)));
        let to = if last.time.is_some() { at(last.time) } else { to };
        times(Utc(from), Utc(to));
        self.write_names(writer, boot(Utc(from)).0)?;
        let mut stacks: Vec<_> = self.stacks.iter().map(|(stack, &at)| (at, stack)).collect();
        stacks.sort_unstable_by_key(|s| s.0);
        let (mut rows, mut messages) = (Columns::new(&CpuSample::DEF), 0);
        for row in &self.rows {
            let (kernel, user) = stacks[row.stack].1;
            let raw = raw(row, boot(Utc(at(row.time))).0, kernel, user);
            for _ in 0..row.count {
                if rows.push_kernel(&CpuSample::DEF, &raw).is_err() {
                    break;
                }
                if rows.len() == ROWS {
                    writer.append(STREAM, std::mem::replace(&mut rows, Columns::new(&CpuSample::DEF)))?;
                    messages += 1;
                }
            }
        }
        if !rows.is_empty() {
            writer.append(STREAM, rows)?;
            messages += 1;
        }
        Ok(messages)
    }

    /// Processes, mappings and symbols.
    fn write_names(&self, writer: &Writer, time: u64) -> Result<(), ImportError> {
        let mut processes = Columns::new(&Process::DEF);
        let mut mappings = Columns::new(&Mapping::DEF);
        let mut symbols = Columns::new(&Symbol::DEF);
        for (pid, tid, comm) in &self.threads {
            Process { time, tid: *tid, pid: *pid, comm: comm.clone(), ..Process::default() }.push(&mut processes);
        }
        let mut pids: Vec<u32> = self.threads.iter().map(|t| t.0).collect();
        pids.sort_unstable();
        pids.dedup();
        for (at, (path, functions)) in self.modules.iter().enumerate() {
            let kernel = path == "[kernel]";
            let (start, base) = ((at as u64 + 1) * ROOM, if kernel { KERNEL } else { 0 });
            for &pid in pids.iter().filter(|_| !kernel) {
                Mapping { time, pid, start, end: start + ROOM, path: path.clone(), ..Mapping::default() }
                    .push(&mut mappings);
            }
            let module = if kernel { "kernel".to_owned() } else { format!("path:{path}") };
            for (slot, name) in functions.iter().enumerate() {
                let start = base + slot as u64 * SLOT;
                Symbol { time, start, size: SLOT, module: module.clone(), name: name.clone() }.push(&mut symbols);
            }
        }
        for (stream, rows) in [("host.process", processes), ("host.mapping", mappings), ("symbols", symbols)] {
            if !rows.is_empty() {
                writer.append(stream, rows)?;
            }
        }
        Ok(())
    }
}

/// A sample as the kernel's programs lay it out: a head, the fixed part, and the frames.
fn raw(row: &Row, time: u64, kernel: &[u64], user: &[u64]) -> Vec<u8> {
    let mut raw = vec![0; 16];
    raw.extend(time.to_le_bytes());
    raw.extend(row.tid.to_le_bytes());
    raw.extend(row.pid.to_le_bytes());
    raw.extend(row.cpu.to_le_bytes());
    raw.extend(u16::from(!kernel.is_empty()).to_le_bytes());
    raw.extend(0u32.to_le_bytes());
    raw.extend((kernel.len() as u32).to_le_bytes());
    raw.extend((user.len() as u32).to_le_bytes());
    kernel.iter().chain(user).for_each(|f| raw.extend(f.to_le_bytes()));
    raw
}
