//! `perf script`: a head line for each sample, its frames in lines of their own, and an empty line.
//!
//! As `tools/perf/builtin-script.c` prints it, with or without `pid`, `cpu` and `period`:
//!
//! ```text
//! comm with spaces 123/124 [001] 38652.793676:   10101010 cpu-clock:ppp:
//!     ffffffff8162dea1 __kmalloc+0x191 ([kernel.kallsyms])
//!            d0043 __GI___getdents64+0x13 (/usr/lib/x86_64-linux-gnu/libc.so.6)
//! ```

use std::borrow::Cow;

use super::{DEPTH, Frame, Sample, Unread};

/// Whether text begins like this format: a head line and, behind it, a frame or an empty line.
pub fn is_perf_script(text: &str) -> bool {
    let mut lines = text.lines().filter(|l| !l.starts_with('#')).skip_while(|l| l.is_empty());
    let Some(parts) = lines.next().and_then(head) else { return false };
    let framed = lines.next().is_some_and(|line| line.starts_with(['\t', ' ']) && frame(line.trim()).is_some());
    framed && !parts.event.is_empty()
}

/// The sample of a block: its lines up to the empty one.
///
/// # Errors
/// When the block does not begin like one, or a line in it is no frame.
pub fn sample(block: &str) -> Result<Sample<'_>, Unread> {
    let mut lines = block.lines();
    let mut sample = lines.next().and_then(head).ok_or(Unread::Head)?;
    for line in lines.map(str::trim).filter(|l| !l.is_empty()) {
        if sample.frames.len() == DEPTH {
            return Err(Unread::Deep);
        }
        sample.frames.push(frame(line).ok_or(Unread::Frame)?);
    }
    Ok(sample)
}

/// A sample without its frames.
fn head(line: &str) -> Option<Sample<'_>> {
    // The time is the first word that is seconds and a colon; a name may hold anything, so the words before it are read
    // from their end.
    let (at, time, end) = words(line).find_map(|(at, word)| {
        let (seconds, fraction) = word.strip_suffix(':')?.split_once('.')?;
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
            return None;
        }
        let parts = fraction.parse::<u64>().ok()? * 10u64.pow(9 - fraction.len() as u32);
        Some((at, seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(parts)?, at + word.len()))
    })?;
    let mut before = line[..at].trim_end();
    let mut cpu = None;
    if let Some((rest, last)) = before.strip_suffix(']').and_then(|b| b.rsplit_once('[')) {
        cpu = Some(last.parse().ok()?);
        before = rest.trim_end();
    }
    let (comm, ids) = before.rsplit_once([' ', '\t'])?;
    let (pid, tid) = ids.split_once('/').unwrap_or((ids, ids));
    // Behind it: the period, if it is printed, and the event.
    let event = line[end..].split_whitespace().find(|w| w.ends_with(':')).unwrap_or("");
    Some(Sample {
        time: Some(time),
        pid: Some(pid.parse().ok()?),
        tid: Some(tid.parse().ok()?),
        cpu,
        comm: comm.trim(),
        event: event.trim_end_matches(':'),
        frames: Vec::new(),
        count: 1,
    })
}

/// Words and where they begin.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    line.split_whitespace().map(move |word| (word.as_ptr() as usize - line.as_ptr() as usize, word))
}

/// `address function+0xoffset (module)`; where functions were inlined, `(inlined)` stands in the module's place.
fn frame(line: &str) -> Option<Frame<'_>> {
    let (address, rest) = line.split_once(char::is_whitespace)?;
    let address = u64::from_str_radix(address, 16).ok()?;
    let (name, module) = match rest.trim().rsplit_once(" (") {
        Some((name, module)) => (name.trim(), module.strip_suffix(')')?),
        None => (rest.trim(), ""),
    };
    let name = match name.rsplit_once("+0x") {
        Some((name, offset)) if offset.bytes().all(|b| b.is_ascii_hexdigit()) => name,
        _ => name,
    };
    let module = if matches!(module, "[unknown]" | "inlined") { "" } else { module };
    // Modules of the kernel stand in brackets as well, some of user space do too.
    let bracketed = module.starts_with('[') && !matches!(module, "[vdso]" | "[vsyscall]" | "[heap]" | "[stack]");
    Some(Frame {
        name: (name != "[unknown]" && !name.is_empty()).then_some(Cow::Borrowed(name)),
        module: Cow::Borrowed(module),
        kernel: bracketed || address >> 63 == 1,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BLOCK: &str = "lto cgu.11 77/20503 [001] 38652.783571:   10101010 cpu-clock:ppp: \n\
        \tffffffff8162dea1 __kmalloc+0x191 ([kernel.kallsyms])\n\
        \t    7f0000001234 std::map<int, (anonymous namespace)::T>::at+0xbb (/usr/lib/libc++.so.1)\n\
        \t          a0043 helper (inlined)\n\
        \t    800000000000 [unknown] ([unknown])\n";

    #[test]
    fn a_block_is_a_sample() {
        let s = sample(BLOCK).unwrap();
        assert_eq!((s.time, s.pid, s.tid, s.cpu), (Some(38_652_783_571_000), Some(77), Some(20503), Some(1)));
        assert_eq!((s.comm, s.event, s.count), ("lto cgu.11", "cpu-clock:ppp", 1));
        let frames: Vec<_> = s.frames.iter().map(|f| (f.name.as_deref(), &*f.module, f.kernel)).collect();
        assert_eq!(
            frames,
            [
                (Some("__kmalloc"), "[kernel.kallsyms]", true),
                (Some("std::map<int, (anonymous namespace)::T>::at"), "/usr/lib/libc++.so.1", false),
                (Some("helper"), "", false),
                (None, "", false),
            ]
        );
        assert!(s.is_cpu() && is_perf_script(BLOCK));
    }

    #[test]
    fn heads_come_with_and_without_period_cpu_and_pid() {
        for (line, pid, tid, cpu, event) in [
            ("swapper 0 1.5: cycles: ", 0, 0, None, "cycles"),
            ("a 4/5 100.000000001: 250000 cycles:Pu: ", 4, 5, None, "cycles:Pu"),
            ("x 12.3: 9 [002] 7.25:  sched:sched_switch: prev_comm=x prev_pid=9", 9, 9, Some(2), "sched:sched_switch"),
        ] {
            let line = line.replace("x 12.3:", "x 12.3");
            let s = sample(&line).unwrap();
            assert_eq!((s.pid, s.tid, s.cpu, s.event), (Some(pid), Some(tid), cpu, event), "{line}");
        }
        assert!(!sample("a 4 1.5: sched:sched_switch: x").unwrap().is_cpu());
        assert!(sample("a 4 1.5: 1000 cpu_core/cycles/P: ").unwrap().is_cpu());
    }

    #[test]
    fn other_text_is_none() {
        for text in ["", "no sample", "a 1.5: x", "12 1.5", "a b/c 1.5: cycles:", "a 1 99999999999999999999.1: cycles:"]
        {
            assert!(sample(text).is_err() && !is_perf_script(text), "{text}");
        }
        assert_eq!(sample("a 4 1.5: cycles: \n\tnot hex (x)"), Err(Unread::Frame));
    }
}
