//! Empty programs on the hooks of all kernel sources: the middle column of an overhead benchmark.

use libbpf_rs::{Link, ObjectBuilder};

use super::objects::BENCH;
use super::{load, refusal};
use crate::source::{Context, Running, Skip, Source, Started};

/// Programs that do nothing, attached until this is dropped.
pub struct EmptyHooks {
    links: Vec<Link>,
    // The programs live as long as their object.
    _objects: Vec<libbpf_rs::Object>,
}

impl EmptyHooks {
    /// How many hooks are taken; the sampler counts once for each CPU.
    pub fn links(&self) -> usize {
        self.links.len()
    }
}

/// Attaches an empty program to every hook that the kernel sources use, the sampler at `hertz`.
pub fn empty_hooks(hertz: u64) -> Result<EmptyHooks, Skip> {
    if let Some(skip) = refusal::beforehand() {
        return Err(skip);
    }
    let mut hooks = EmptyHooks { links: Vec::new(), _objects: Vec::new() };
    for object in BENCH {
        refusal::listen();
        let open = ObjectBuilder::default().name(object.name).and_then(|b| b.open_memory(object.bytes()));
        let bpf = open.and_then(|o| o.load()).map_err(|e| refusal::skip("load", &e))?;
        for program in bpf.progs_mut() {
            let section = program.section().to_string_lossy();
            if section.starts_with("perf_event") {
                load::attach_sampler(&program, hertz, &mut hooks.links)?;
            } else {
                let link = program.attach().map_err(|e| refusal::skip(&format!("attach {section}"), &e))?;
                hooks.links.push(link);
            }
        }
        hooks._objects.push(bpf);
    }
    Ok(hooks)
}

/// The empty programs as a source that records nothing: `coldcase record --empty-hooks`.
pub struct Empty {
    /// How often the sampler's hook is taken, per second and CPU.
    pub sample_hz: u64,
}

impl Source for Empty {
    fn names(&self) -> Vec<&'static str> {
        vec!["kernel.empty"]
    }

    fn start(self: Box<Self>, _: Context) -> Result<Started, Skip> {
        let hooks = empty_hooks(self.sample_hz)?;
        let remarks = vec![format!("benchmark: {} hooks with empty programs, nothing else is recorded", hooks.links())];
        Ok(Started { running: Box::new(hooks), skipped: Vec::new(), remarks })
    }
}

impl Running for EmptyHooks {
    fn stop(self: Box<Self>) {}
}
