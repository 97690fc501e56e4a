//! Writes the settings of an object (`const volatile` in `bpf/include/coldcase.bpf.h`) before it is loaded.

use libbpf_rs::btf::types::{DataSec, FuncProto, Ptr, Typedef, Var};
use libbpf_rs::btf::{Btf, ReferencesType};
use libbpf_rs::{OpenMapMut, OpenObject};

use super::call_files;
use super::objects::Object;

/// What the programs are told.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    values: Vec<(&'static str, u64)>,
    call_files: Vec<u8>,
}

impl Settings {
    /// Of these names and values. A name that an object does not have is no error: not every one uses all.
    pub(super) fn new(values: Vec<(&'static str, u64)>) -> Settings {
        Settings { values, call_files: call_files::table(std::env::consts::ARCH) }
    }

    /// Writes them into the object's `.rodata`.
    pub(super) fn write(&self, object: &Object, open: &mut OpenObject, kernel: Option<&Btf<'_>>) {
        let Some(btf) = object.btf() else { return };
        let Some(section) = btf.type_by_name::<DataSec<'_>>(".rodata") else { return };
        let Some(mut map) = open.maps_mut().find(|m| m.name().to_string_lossy().ends_with(".rodata")) else { return };
        for variable in section.iter() {
            let Some(named) = btf.type_by_id::<Var<'_>>(variable.ty) else { continue };
            let name = named.name().unwrap_or_default().to_string_lossy();
            let offset = variable.offset as usize;
            if name == "cc_call_files" {
                put(&mut map, offset, variable.size, &self.call_files);
            } else if let Some(value) = self.value(&name, kernel) {
                // Little endian, as everywhere BPF objects of ours run: the low bytes come first.
                put(&mut map, offset, variable.size.min(8), &value.to_ne_bytes());
            }
        }
    }

    fn value(&self, name: &str, kernel: Option<&Btf<'_>>) -> Option<u64> {
        match name.strip_prefix("cc_args_") {
            Some(tracepoint) => arguments(kernel?, tracepoint),
            None if name == "cc_preempt_count" => preempt_count(kernel?),
            None => self.values.iter().find(|(n, _)| *n == name).map(|&(_, v)| v),
        }
    }
}

fn put(map: &mut OpenMapMut<'_>, offset: usize, size: usize, bytes: &[u8]) {
    let slot = map.initial_value_mut().and_then(|v| v.get_mut(offset..offset + size));
    if let (Some(slot), Some(bytes)) = (slot, bytes.get(..size)) {
        slot.copy_from_slice(bytes);
    }
}

/// How many arguments the running kernel gives a tracepoint: they were added over the years (sched_switch got the
/// state in 5.18). `btf_trace_<name>` is a pointer to a function whose first argument is the tracer's own.
fn arguments(kernel: &Btf<'_>, tracepoint: &str) -> Option<u64> {
    let typedef: Typedef<'_> = kernel.type_by_name(&format!("btf_trace_{tracepoint}"))?;
    let pointer = Ptr::try_from(typedef.referenced_type()).ok()?;
    let function = FuncProto::try_from(pointer.referenced_type()).ok()?;
    Some(function.iter().count().saturating_sub(1) as u64)
}

/// From a CPU's run queue to its preempt count, both variables of the per-CPU section, modulo 2^64. From Linux 6.2 to 6.14
/// the count is no variable of its own: `None`.
fn preempt_count(kernel: &Btf<'_>) -> Option<u64> {
    let section: DataSec<'_> = kernel.type_by_name(".data..percpu")?;
    let offset = |name: &str| {
        let named = |id| kernel.type_by_id::<Var<'_>>(id).is_some_and(|v| v.name().is_some_and(|n| n == name));
        section.iter().find(|v| named(v.ty)).map(|v| u64::from(v.offset))
    };
    Some(offset("__preempt_count")?.wrapping_sub(offset("runqueues")?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_arguments_of_a_tracepoint_are_counted() {
        let Ok(kernel) = Btf::from_vmlinux() else {
            eprintln!("skipped: this kernel has no BTF");
            return;
        };
        assert_eq!(arguments(&kernel, "sched_process_fork"), Some(2));
        assert!(matches!(arguments(&kernel, "sched_switch"), Some(3 | 4)));
        assert_eq!(arguments(&kernel, "no_such_tracepoint"), None);
    }
}
