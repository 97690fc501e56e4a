//! The thread that names: each second it looks up the addresses that were new, so that a recording that is killed has
//! the names of all but its last seconds; and at the end what is left, within a bound of time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coldcase_bundle::WriteError;
use coldcase_model::Class;
use coldcase_model::events::{SourceState, Symbol, SymbolModule};
use coldcase_model::loss::Reason;

use super::elf::{self, State};
use super::kernel::Kallsyms;
use super::module::{Look, ModuleNames};
use super::seen::{Batch, Seen};
use super::{Named, SYMBOLS, jit, vdso};
use crate::clock;
use crate::host::known::Known;
use crate::host::maps::Module;
use crate::host::{Turn, put};
use crate::source::Context;

/// Looking up names at the end takes this long at most: the seal must not wait for a gigabyte of symbols.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// How far behind others this thread stands.
const NICE: i32 = 5;
/// Rounds in which an address that no mapping holds is looked at again: its mapping may be on its way.
const TRIES: u8 = 3;
/// Different addresses that are looked up in all.
const MOST: usize = 1 << 20;

/// Everything that is named.
pub(crate) struct Namer {
    context: Context,
    seen: Seen,
    known: Known,
    kernel: ModuleNames,
    kallsyms: Kallsyms,
    files: HashMap<Arc<Module>, ModuleNames>,
    /// By pid and the beginning of its program: pids are reused.
    made: HashMap<(u32, u64), ModuleNames>,
    /// Process, address, time seen, tries.
    unmapped: Vec<(u32, u64, u64, u8)>,
    addresses: usize,
    rows: Vec<Symbol>,
    /// What was told, to be told again in the next file of a flight recording.
    told: Option<Told>,
}

/// Rows that were written.
#[derive(Default)]
struct Told {
    names: Vec<Symbol>,
    modules: Vec<SymbolModule>,
}

impl Namer {
    pub(crate) fn new(context: Context, seen: Seen, known: Known, again: bool) -> Namer {
        for reason in [Reason::MapFull, Reason::OutOfTime] {
            context.losses.watch(SYMBOLS, Class::Symbol, reason);
        }
        Namer {
            context,
            seen,
            known,
            kernel: ModuleNames::new("kernel".into(), String::new()),
            kallsyms: Kallsyms::default(),
            files: HashMap::new(),
            made: HashMap::new(),
            unmapped: Vec::new(),
            addresses: 0,
            rows: Vec::new(),
            told: again.then(Told::default),
        }
    }

    /// Until `stop`, which is set once all that was seen is in `seen` and its mappings are in `known`.
    pub(crate) fn run(mut self, stop: &AtomicBool, turn: &Turn) -> Result<(), WriteError> {
        // Only this thread: whoever works on this host goes first, but on a full one a kill must not find us without names.
        let _ = rustix::process::setpriority_process(None, NICE);
        loop {
            let last = stop.load(Ordering::Acquire);
            let asked = turn.asked();
            if asked == Some(false) {
                self.tell_again()?;
            }
            let end = Instant::now() + PATIENCE;
            self.round(last || asked == Some(true), end)?;
            if let Some(end) = asked {
                turn.answer(end);
            }
            if last {
                return self.leave();
            }
            std::thread::park_timeout(ROUND);
        }
    }

    /// A file was begun: the names in those before are told again, for it is to be complete of itself.
    fn tell_again(&self) -> Result<(), WriteError> {
        let Some(told) = &self.told else { return Ok(()) };
        put(&self.context, &told.names)?;
        put(&self.context, &told.modules)
    }

    fn round(&mut self, last: bool, end: Instant) -> Result<(), WriteError> {
        let batch = self.seen.take();
        self.context.losses.add(SYMBOLS, Class::Symbol, Reason::MapFull, batch.dropped, 0);
        self.sort(batch);
        self.name_made(last, end);
        self.name_files(last, end)?;
        // Last, since the kernel's list is long, and stays.
        if last || self.kernel.is_due(Instant::now()) {
            self.name_kernel(last);
        }
        write(&self.context, &mut self.told, &mut self.rows)?;
        let all = self.files.values_mut().chain(self.made.values_mut()).chain([&mut self.kernel]);
        let mut reports: Vec<SymbolModule> = all.filter_map(ModuleNames::report).collect();
        reports.sort_by(|a, b| (&a.module, &a.path).cmp(&(&b.module, &b.path)));
        put(&self.context, &reports)?;
        if let Some(told) = &mut self.told {
            told.modules.retain(|t| !reports.iter().any(|r| (&r.module, &r.path) == (&t.module, &t.path)));
            told.modules.extend(reports);
        }
        let waiting = self.files.iter().filter(|(_, names)| names.waiting() > 0).map(|(module, _)| module.clone());
        self.known.lock().tidy(clock::boottime().0, waiting);
        Ok(())
    }

    /// Addresses to their modules.
    fn sort(&mut self, batch: Batch) {
        for address in batch.kernel {
            self.addresses += usize::from(self.addresses < MOST && self.kernel.see(address, 0));
        }
        let again = std::mem::take(&mut self.unmapped);
        let new = batch.user.into_iter().map(|((pid, address), time)| (pid, address, time, 0));
        let (mut full, known) = (0, self.known.clone());
        let known = known.lock();
        for (pid, address, time, tries) in again.into_iter().chain(new) {
            if self.addresses >= MOST {
                full += 1;
                continue;
            }
            let is_new = match known.maps.find(pid, address, time) {
                Some((module, offset)) if module.is_file() || module.path == vdso::PATH => {
                    let names =
                        self.files.entry(module).or_insert_with_key(|m| ModuleNames::new(m.key(), m.path.clone()));
                    names.see(offset, time)
                }
                Some(_) => {
                    let key = (pid, known.maps.began(pid, time));
                    let new = || ModuleNames::new(format!("jit:{pid}"), String::new());
                    self.made.entry(key).or_insert_with(new).see(address, time)
                }
                None => {
                    if tries < TRIES {
                        self.unmapped.push((pid, address, time, tries + 1));
                    }
                    false
                }
            };
            self.addresses += usize::from(is_new);
        }
        drop(known);
        self.context.losses.add(SYMBOLS, Class::Symbol, Reason::MapFull, full, 0);
    }

    fn name_kernel(&mut self, last: bool) {
        let (wanted, began) = (self.kernel.wanted(), Instant::now());
        if wanted.is_empty() {
            return;
        }
        let found = self.kallsyms.names(&wanted, last);
        let state = if found.held == 0 && !found.put_off { "no-symbols" } else { "kallsyms" };
        let look = Look { keep: found.put_off, ..look(found.named, found.held, state, began) };
        self.kernel.found(look, &mut self.rows);
    }

    /// Files with most new addresses first: when the time is over, little is missing.
    fn name_files(&mut self, last: bool, end: Instant) -> Result<(), WriteError> {
        let now = Instant::now();
        let mut due: Vec<_> =
            self.files.iter_mut().filter(|(_, names)| names.is_due(now) || last && names.waiting() > 0).collect();
        due.sort_by_key(|(module, names)| (std::cmp::Reverse(names.waiting()), (*module).clone()));
        for (module, names) in due {
            let (wanted, began) = (names.wanted(), Instant::now());
            if module.path == vdso::PATH {
                let named = vdso::names(&wanted);
                let held =
                    wanted.iter().filter(|&&w| named.iter().any(|n| n.start <= w && w < n.start + n.size)).count();
                names.found(look(named, held, "vdso", began), &mut self.rows);
                continue;
            }
            if began >= end {
                names.unavailable(State::OutOfTime.name());
                continue;
            }
            let file = self.known.lock().held.get(module);
            let Some(file) = file else {
                names.unavailable(State::Gone.name());
                continue;
            };
            let found = elf::names(&file, &module.build_id, &wanted, end);
            let unfinished = found.state == State::OutOfTime;
            let look =
                Look { keep: unfinished, bias: found.bias, ..look(found.named, found.held, found.state.name(), began) };
            names.found(look, &mut self.rows);
            write(&self.context, &mut self.told, &mut self.rows)?;
        }
        Ok(())
    }

    /// Code made at run time: names may come later than the addresses, and change.
    fn name_made(&mut self, last: bool, end: Instant) {
        for (&(pid, began_at), names) in &mut self.made {
            let mut owner = pid;
            let map = {
                let mut known = self.known.lock();
                // A child that only forked has its parent's code, and may write no map of its own.
                while known.jit.state(owner).is_none() {
                    match known.maps.parent(owner, began_at) {
                        Some(parent) if parent != owner => owner = parent,
                        _ => break,
                    }
                }
                let grew = known.jit.state(owner);
                if grew == Some(true) {
                    names.renew();
                }
                match grew {
                    None => {
                        if names.waiting() > 0 {
                            names.unavailable("no-perf-map");
                        }
                        None
                    }
                    Some(_) if names.is_due(Instant::now()) || last && names.waiting() > 0 => known.jit.read(owner),
                    Some(_) => None,
                }
            };
            let Some(map) = map else { continue };
            let (wanted, began) = (names.wanted(), Instant::now());
            let named = jit::names(&map, &wanted, end);
            let held = |w: &&u64| named.iter().any(|n| n.start <= **w && **w < n.start.saturating_add(n.size));
            let held = wanted.iter().filter(held).count();
            let look = Look { keep: true, seen: true, ..look(named, held, "perf-map", began) };
            names.found(look, &mut self.rows);
        }
    }

    /// Says what there was no time for.
    fn leave(self) -> Result<(), WriteError> {
        let waiting = self.files.values().chain([&self.kernel]);
        let late: usize = waiting.filter(|n| n.is_out_of_time()).map(ModuleNames::waiting).sum();
        if late == 0 {
            return Ok(());
        }
        self.context.losses.add(SYMBOLS, Class::Symbol, Reason::OutOfTime, late as u64, 0);
        let reason =
            format!("{late} addresses have no names: looking them up would have taken longer than {PATIENCE:?}");
        tracing::warn!("{reason}");
        let state =
            SourceState { time: clock::boottime().0, source: SYMBOLS.to_owned(), status: "failed".to_owned(), reason };
        put(&self.context, &[state])
    }
}

fn look(named: std::collections::BTreeSet<Named>, held: usize, state: &'static str, began: Instant) -> Look {
    Look { named, held, state, bias: 0, keep: false, seen: false, took: began.elapsed() }
}

/// Writes names that were found, and remembers them where they are told again.
fn write(context: &Context, told: &mut Option<Told>, rows: &mut Vec<Symbol>) -> Result<(), WriteError> {
    put(context, rows)?;
    match told {
        Some(told) => told.names.append(rows),
        None => rows.clear(),
    }
    Ok(())
}
