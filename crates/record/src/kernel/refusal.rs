//! Why a kernel source cannot run, in words that name the capability or the kernel feature.

use std::cell::RefCell;
use std::sync::Once;

use libbpf_rs::{ErrorKind, PrintLevel};

use crate::caps::{self, Cap};
use crate::source::Skip;

thread_local! {
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what libbpf says about failures of the calling thread, instead of letting it print.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        libbpf_rs::set_print(Some((PrintLevel::Warn, |_, text| {
            SAID.with_borrow_mut(|said| {
                said.extend(text.lines().map(|l| l.trim().trim_start_matches("libbpf: ").to_owned()));
                let surplus = said.len().saturating_sub(200);
                said.drain(..surplus);
            });
        })));
    });
    SAID.with_borrow_mut(Vec::clear);
}

/// The skip for a failure of `what` (`load`, `attach sched_switch`).
pub(super) fn skip(what: &str, error: &libbpf_rs::Error) -> Skip {
    let missing = caps::missing(&[Cap::Bpf, Cap::Perfmon]);
    if error.kind() == ErrorKind::PermissionDenied && !missing.is_empty() {
        let names = caps::names(&missing);
        return Skip::new(format!("no permission to {what} BPF programs ({names} missing)"), caps::grant(&missing));
    }
    if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Skip::new(
            "this kernel has no type information (/sys/kernel/btf/vmlinux)",
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y",
        );
    }
    let said = SAID.with_borrow(|said| said.iter().find(|l| tells(l)).cloned());
    let detail = said.map_or_else(|| error.to_string(), |s| format!("{error}: {s}"));
    Skip::new(format!("the kernel refuses to {what} ({})", detail.replace('\n', " ")), "")
}

/// Whether a line of libbpf's says what is wrong rather than that something is.
fn tells(line: &str) -> bool {
    line.contains("failed to find")
        || line.contains("unknown func")
        || line.contains("not found")
        || line.contains("R0")
}

/// The skip before anything is tried, when it is clear that nothing can be loaded.
pub(super) fn beforehand() -> Option<Skip> {
    let missing = caps::missing(&[Cap::Bpf, Cap::Perfmon]);
    if missing.is_empty() {
        return None;
    }
    let names = caps::names(&missing);
    Some(Skip::new(format!("no permission to load BPF programs ({names} missing)"), caps::grant(&missing)))
}

/// The skip for what a test wants refused.
pub(super) fn asked(what: &str) -> Skip {
    Skip::new(format!("refused, as asked: {what}"), "")
}
