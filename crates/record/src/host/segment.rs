//! Between two files of a flight recording: names for the one that ends, identities for the one that begins.
//!
//! The snapshot is taken just before the change, and what begins meanwhile is kept, so that no task which lives at the
//! change is unknown to the new file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use coldcase_bundle::WriteError;
use coldcase_model::Event;
use coldcase_model::events::{Cgroup, Process, Socket};

use super::containers::Containers;
use super::put;
use super::source::Work;
use super::{cgroups, devices, processes, sockets};
use crate::clock;

/// What is to be done, asked by the session and answered by the host's thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn(Arc<AtomicU8>);

const NOTHING: u8 = 0;
const END: u8 = 1;
const READY: u8 = 2;
const BEGIN: u8 = 3;

impl Turn {
    /// The file ends soon.
    pub(crate) fn end(&self) {
        self.0.store(END, Ordering::Release);
    }

    /// A file was begun.
    pub(crate) fn begin(&self) {
        self.0.store(BEGIN, Ordering::Release);
    }

    /// Whether nothing is being done.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.0.load(Ordering::Acquire), READY | NOTHING)
    }

    /// What is asked for: the end of a file (`Some(true)`), the beginning of one (`Some(false)`), or nothing.
    pub(crate) fn asked(&self) -> Option<bool> {
        match self.0.load(Ordering::Acquire) {
            END => Some(true),
            BEGIN => Some(false),
            _ => None,
        }
    }

    /// What was asked for is done.
    pub(crate) fn answer(&self, end: bool) {
        if end { self.done(END, READY) } else { self.done(BEGIN, NOTHING) }
    }

    /// What is asked changes only when nobody has asked for something else meanwhile.
    fn done(&self, asked: u8, now: u8) {
        let _ = self.0.compare_exchange(asked, now, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// What a file begins with, made ready before it.
#[derive(Debug, Default)]
pub(super) struct Identities {
    pub(super) processes: Vec<Process>,
    sockets: Vec<Socket>,
    cgroups: Vec<Cgroup>,
}

impl Work {
    /// Does what the session asked for.
    pub(super) fn turn(&mut self, turn: &Turn) -> Result<(), WriteError> {
        let Some(end) = turn.asked() else { return Ok(()) };
        let done = if end { self.segment_ends() } else { self.segment_begins() };
        turn.answer(end);
        done
    }

    fn segment_ends(&mut self) -> Result<(), WriteError> {
        self.host.seen.recall.begin();
        let own = self.context.own.pid;
        let pids: Vec<u32> = processes::pids().into_iter().filter(|&pid| pid != own).collect();
        let mut next = Identities::default();
        if self.host.snapshot {
            let wanted = |pid: &&u32| self.filter.wants_process(**pid);
            next.processes = pids.iter().filter(wanted).flat_map(|&pid| processes::of_process(pid)).collect();
            next.sockets = sockets::all(&pids);
            next.sockets.retain(|s| self.filter.wants_process(s.pid));
            next.cgroups = cgroups::all();
        }
        self.next = Some(next);
        Ok(())
    }

    fn segment_begins(&mut self) -> Result<(), WriteError> {
        // Late, or never asked to end: then as at the start.
        if self.next.is_none() {
            self.segment_ends()?;
        }
        let next = self.next.take().unwrap_or_default();
        let kept = self.host.seen.recall.take();
        let rows = self.known.lock().maps.all(clock::boottime().0);
        for row in rows {
            if self.filter.wants_process(row.pid) || !self.context.scope.comms.is_empty() {
                row.push(&mut self.mapped);
            }
        }
        self.write_mappings()?;
        if !self.host.snapshot {
            return Ok(());
        }
        // Containers are met anew in each file.
        self.containers = Containers::default();
        self.put_processes(&next.processes)?;
        let first = next.processes.iter().filter(|p| p.tid == p.pid).map(|p| (p.pid, p)).collect();
        let kept = kept.into_iter().filter(|k| self.filter.wants_process(k.pid()));
        let kept: Vec<Process> = kept.map(|k| k.known(&first)).collect();
        self.put_processes(&kept)?;
        put(&self.context, &next.sockets)?;
        put(&self.context, &next.cgroups)?;
        self.devices = devices::all();
        put(&self.context, &self.devices)
    }
}
