//! Folded stacks, one a line: frames from the outermost to the innermost with `;` between them, a space, and the number of
//! samples. As `stackcollapse-perf.pl`, inferno and bpftrace's scripts write them, and as `flamegraph.pl` reads them.

use std::borrow::Cow;

use super::{DEPTH, Frame, Sample, Unread};

/// Whether text begins like this format: every whole line is a stack, and some stack has two frames.
pub fn is_folded(text: &str) -> bool {
    let whole = text.rfind('\n').map_or(text, |at| &text[..at]);
    let mut lines = whole.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).peekable();
    let some = lines.peek().is_some();
    let mut deep = false;
    let all = lines.all(|line| sample(line).inspect(|s| deep |= s.frames.len() > 1).is_ok());
    some && all && deep
}

/// The samples of a line. A frame may tell where it is from: `_[k]` of the kernel, `_[j]` made at run time, `_[i]` inlined
/// (`stackcollapse-perf.pl --all`).
///
/// # Errors
/// When it does not end in a whole number, or is too deep.
pub fn sample(line: &str) -> Result<Sample<'_>, Unread> {
    let (stack, count) = line.trim_end().rsplit_once(' ').ok_or(Unread::Count)?;
    let count = count.parse().map_err(|_| Unread::Count)?;
    let stack = stack.trim();
    if stack.is_empty() {
        return Err(Unread::Count);
    }
    if stack.bytes().filter(|&b| b == b';').count() >= DEPTH {
        return Err(Unread::Deep);
    }
    let frames = stack.rsplit(';').map(|name| {
        let (name, kernel) = match name.strip_suffix("_[k]") {
            Some(name) => (name, true),
            None => (name.strip_suffix("_[j]").or(name.strip_suffix("_[i]")).unwrap_or(name), false),
        };
        let name = (!matches!(name, "" | "[unknown]")).then_some(Cow::Borrowed(name));
        Frame { name, module: Cow::Borrowed(""), kernel }
    });
    Ok(Sample { time: None, pid: None, tid: None, cpu: None, comm: "", event: "", frames: frames.collect(), count })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_is_a_stack_and_its_samples() {
        let s = sample("main;do it;sys_read_[k] 42").unwrap();
        let frames: Vec<_> = s.frames.iter().map(|f| (f.name.as_deref(), f.kernel)).collect();
        assert_eq!(frames, [(Some("sys_read"), true), (Some("do it"), false), (Some("main"), false)]);
        assert_eq!(s.count, 42);
    }

    #[test]
    fn text_that_is_something_else_is_not_taken_for_it() {
        assert!(is_folded("a;b 1\na;c 2\n"));
        assert!(is_folded("a;b 1\na;c 2\na;cut of"));
        for text in ["", "GET / 200\n", "a;b 1\nsomething else\n", "a;b x\n", "a;b 1.5\n", "a;b -1\n"] {
            assert!(!is_folded(text), "{text}");
        }
    }
}
