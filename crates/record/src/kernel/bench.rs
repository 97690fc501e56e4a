//! Empty programs on the hooks of all kernel sources: the middle column of an overhead benchmark.

use libbpf_rs::btf::Btf;
use libbpf_rs::{Link, ObjectBuilder};

use super::objects::{EMPTY, Object};
use super::{Kernel, load, optional, refusal, uprobe};
use crate::config::Uprobe;
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

/// Attaches an empty program to every hook of the kernel sources that are `wanted` by name (`sched`), the sampler at `hertz`.
/// A source whose hooks this kernel lacks is left out, as the source itself would be.
pub fn empty_hooks(hertz: u64, wanted: impl Fn(&str) -> bool) -> Result<EmptyHooks, Skip> {
    if let Some(skip) = refusal::beforehand() {
        return Err(skip);
    }
    let mut hooks = EmptyHooks { links: Vec::new(), _objects: Vec::new() };
    let mut refused = None;
    for object in EMPTY.iter().filter(|o| wanted(o.name)) {
        match attach(object, hertz) {
            Ok((bpf, links)) => {
                hooks.links.extend(links);
                hooks._objects.push(bpf);
            }
            Err(skip) => refused = Some(skip),
        }
    }
    match refused {
        Some(skip) if hooks.links.is_empty() => Err(skip),
        _ => Ok(hooks),
    }
}

fn attach(object: &Object, hertz: u64) -> Result<(libbpf_rs::Object, Vec<Link>), Skip> {
    refusal::listen();
    let open = ObjectBuilder::default().name(object.name).and_then(|b| b.open_memory(object.bytes()));
    let mut open = open.map_err(|e| refusal::skip("load", &e))?;
    optional::choose(&mut open, Btf::from_vmlinux().ok().as_ref())?;
    uprobe::prepare(&mut open);
    let bpf = open.load().map_err(|e| refusal::skip("load", &e))?;
    let mut links = Vec::new();
    for program in bpf.progs_mut() {
        let section = program.section().to_string_lossy();
        if section.starts_with("perf_event") {
            load::attach_sampler(object.name, &program, hertz, &mut links)?;
        } else if uprobe::Probe::of(&section).is_some() {
            // On the functions of files, below.
        } else if program.autoload() {
            links.push(program.attach().map_err(|e| refusal::skip(&format!("attach {section}"), &e))?);
        }
    }
    if let Some(target) = Uprobe::of(object.name) {
        // What is left out when it records is left out here.
        links.extend(target.files().found.iter().filter_map(|file| uprobe::attach(&bpf, file).ok()).flatten());
    }
    Ok((bpf, links))
}

/// The empty programs as a source that records nothing: `coldcase record --empty-hooks`.
pub struct Empty {
    sample_hz: u64,
    only: Vec<&'static str>,
}

impl Empty {
    /// On the hooks that `kernel` would take.
    pub fn twin(kernel: &Kernel) -> Empty {
        Empty { sample_hz: kernel.options.sample_hz, only: kernel.options.only.clone() }
    }
}

impl Source for Empty {
    fn names(&self) -> Vec<&'static str> {
        vec!["kernel.empty"]
    }

    fn start(self: Box<Self>, _: Context) -> Result<Started, Skip> {
        let hooks = empty_hooks(self.sample_hz, |name| self.only.contains(&name))?;
        let remarks = vec![format!("benchmark: {} hooks with empty programs, nothing else is recorded", hooks.links())];
        Ok(Started { running: Box::new(hooks), skipped: Vec::new(), remarks })
    }
}

impl Running for EmptyHooks {
    fn stop(self: Box<Self>) {}
}
