//! Programs that not every kernel has the tracepoint for: those whose section begins with `?` in the source.

use libbpf_rs::OpenObject;
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::Typedef;

use crate::source::Skip;

/// Lets the optional programs of an object load whose tracepoint this kernel or one of its modules has. Refuses an
/// object of which nothing is left.
pub(super) fn choose(open: &mut OpenObject, kernel: Option<&Btf<'_>>) -> Result<(), Skip> {
    let (mut any, mut missing) = (false, Vec::new());
    for mut program in open.progs_mut() {
        if program.autoload() {
            any = true;
            continue;
        }
        let section = program.section().to_string_lossy().into_owned();
        let tracepoint = section.rsplit('/').next().unwrap_or_default();
        if has(tracepoint, kernel) {
            program.set_autoload(true);
            any = true;
        } else {
            missing.push(tracepoint.to_owned());
        }
    }
    if !missing.is_empty() {
        tracing::debug!("this kernel has no tracepoint {}", missing.join(", "));
    }
    match any {
        true => Ok(()),
        false => Err(Skip::new(format!("this kernel has none of its tracepoints ({})", missing.join(", ")), "")),
    }
}

/// Whether the kernel has a tracepoint, or a module that is loaded.
fn has(tracepoint: &str, kernel: Option<&Btf<'_>>) -> bool {
    let name = format!("btf_trace_{tracepoint}");
    let built_in: Option<Typedef<'_>> = kernel.and_then(|k| k.type_by_name(&name));
    built_in.is_some() || in_a_module(&name)
}

/// The type information of a module has the names of its tracepoints among its strings.
fn in_a_module(name: &str) -> bool {
    let name = format!("\0{name}\0");
    let Ok(entries) = std::fs::read_dir("/sys/kernel/btf") else { return false };
    entries.flatten().filter(|e| e.file_name() != "vmlinux").any(|e| {
        let bytes = std::fs::read(e.path()).unwrap_or_default();
        bytes.windows(name.len()).any(|w| w == name.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracepoint_that_is_there_is_told_from_one_that_is_not() {
        let Ok(kernel) = Btf::from_vmlinux() else {
            eprintln!("skipped: this kernel has no BTF");
            return;
        };
        assert!(has("sched_switch", Some(&kernel)) && !has("no_such_tracepoint", Some(&kernel)));
    }
}
