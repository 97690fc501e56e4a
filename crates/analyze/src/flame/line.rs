//! Stacks as folded lines: whose they are, the class of a wait, and the frames.

use coldcase_model::Boottime;
use coldcase_timeline::{Frame, Timeline};

use super::Frames;
use crate::latency::offcpu::Reason;
use crate::scope::GroupBy;
use crate::wait_class::OffCpuPart;

/// What stands for the frames of an interval too short to have been given a stack.
const NO_STACK: &str = "[no stack]";
/// Where a process stands that is in no container.
const HOST: &str = "[host]";

/// Which frames of a stack are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    All,
    User,
}

/// Names what stacks are made of.
pub(super) struct Namer<'a> {
    timeline: &'a Timeline,
    arch: &'a str,
    by: GroupBy,
}

impl<'a> Namer<'a> {
    pub(super) fn new(timeline: &'a Timeline, arch: &'a str, by: GroupBy) -> Namer<'a> {
        Namer { timeline, arch, by }
    }

    /// The first frames of a stack: whose it is.
    pub(super) fn owner(&self, (pid, tid): (u32, u32), at: Boottime) -> String {
        let process = crate::process_name(self.timeline, pid, at);
        match self.by {
            GroupBy::Process => frame_text(&process),
            GroupBy::Thread => {
                let thread = match self.timeline.processes().thread(tid, at) {
                    "" => format!("thread {tid}"),
                    name => format!("{name}[{tid}]"),
                };
                format!("{};{}", frame_text(&process), frame_text(&thread))
            }
            GroupBy::Container => {
                let process = self.timeline.processes().get(pid, at);
                let container = process.and_then(|p| p.container.as_ref()).map(|c| c.label());
                let label = self.timeline.processes().label(pid, at);
                let name = if process.is_some() { format!("{label}[{pid}]") } else { format!("pid {pid}") };
                format!("{};{}", container.map_or_else(|| HOST.to_owned(), |c| frame_text(&c)), frame_text(&name))
            }
        }
    }

    /// A thread that woke another, in one frame: by its process, unless threads are told apart. Pid 0: not known.
    pub(super) fn waker(&self, (pid, tid): (u32, u32), at: Boottime) -> String {
        match self.by {
            _ if pid == 0 => format!("thread {tid}"),
            GroupBy::Thread => frame_text(&self.timeline.processes().describe(tid, pid, at)),
            GroupBy::Process | GroupBy::Container => frame_text(&crate::process_name(self.timeline, pid, at)),
        }
    }

    /// Appends the class of a wait and the frames of a stack, and tells how many have a name.
    pub(super) fn push_stack(
        &self,
        out: &mut String,
        (pid, at): (u32, Boottime),
        (kernel, user): (&[u64], &[u64]),
        off: Option<OffCpuPart>,
        shown: Shown,
    ) -> Frames {
        let (stack, dropped) = self.timeline.symbols().stack_and_dropped(pid, at, kernel, user);
        push_frames(out, &stack, off, self.arch, shown);
        let named = stack.iter().filter(|f| f.named).count() as u64;
        Frames { seen: stack.len() as u64, named, bogus: dropped as u64 }
    }
}

fn is_kernel(frame: &Frame) -> bool {
    &*frame.module == "[kernel]"
}

/// `…;[class];outermost;…;innermost`, kernel frames with `_[k]`, inlined ones with `_[i]`.
fn push_frames(out: &mut String, stack: &[Frame], off: Option<OffCpuPart>, arch: &str, shown: Shown) {
    if let Some(part) = off {
        let class = part.class(arch, stack.iter().filter(|f| is_kernel(f)).map(|f| &*f.name));
        out.push(';');
        out.push_str(class.frame());
        // The system call is then all that is known of where it waited.
        if let OffCpuPart::Waited(number, ..) = part
            && stack.is_empty()
            && number >= 0
        {
            out.push_str(&format!(";{NO_STACK};{}", Reason::of(number).name(arch)));
        }
    }
    for frame in stack.iter().rev().filter(|f| shown == Shown::All || !is_kernel(f)) {
        out.push(';');
        let name = frame_text(&frame.name);
        match (frame.named, is_kernel(frame)) {
            (true, true) => out.push_str(&format!("{name}_[k]")),
            (true, false) => {
                out.push_str(&name);
                // As perf's folded stacks mark them.
                if frame.inlined {
                    out.push_str("_[i]");
                }
            }
            (false, true) => out.push_str(&format!("[{name}]_[k]")),
            (false, false) => out.push_str(&format!("[{}]", name.trim_matches(['[', ']']))),
        }
    }
}

/// A frame's name without what separates frames.
fn frame_text(name: &str) -> String {
    name.replace([';', '\n'], ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, module: &str, named: bool) -> Frame {
        Frame { name: name.into(), module: module.into(), named, inlined: false }
    }

    fn line(stack: &[Frame], off: Option<OffCpuPart>) -> String {
        let mut out = "orders[7]".to_owned();
        push_frames(&mut out, stack, off, "x86_64", Shown::All);
        out
    }

    #[test]
    fn a_stack_is_folded_root_first_with_kernel_frames_marked() {
        let stack = [
            frame("do_fsync", "[kernel]", true),
            frame("fsync", "libc.so.6", true),
            frame("orders+0x12", "orders", false),
            frame("operator; weird", "orders", true),
        ];
        assert_eq!(line(&stack, None), "orders[7];operator: weird;[orders+0x12];fsync;do_fsync_[k]");
        let fsync = Some(OffCpuPart::waited(74, 2));
        assert_eq!(line(&stack[..2], fsync), "orders[7];[disk];fsync;do_fsync_[k]");
        assert_eq!(line(&[], fsync), "orders[7];[disk];[no stack];fsync");
        let mut waker = "orders[7]".to_owned();
        push_frames(&mut waker, &stack[..2], fsync, "x86_64", Shown::User);
        assert_eq!(waker, "orders[7];[disk];fsync", "the class is told by the frames that are left out, too");
        assert_eq!(line(&[], Some(OffCpuPart::RunQueue)), "orders[7];[run queue]");
    }
}
