//! The end of a recording: sources stopped in order, the last rows, the manifest, the seal.

use std::ffi::OsString;

use coldcase_bundle::WriteError;
use coldcase_model::manifest::{ChildEntry, Manifest};
use coldcase_model::sql;
use crossbeam_channel::Receiver;

use super::{Plan, Session, Wake};
use crate::child::Child;
use crate::config::Uprobe;
use crate::flight::Flight;
use crate::source::{Intake, Remark};
use crate::summary::{Ended, Summary};
use crate::{clock, host_entry, mask};

impl Session<'_> {
    /// The recording cannot start: takes back what was begun.
    pub(super) fn abandon(mut self) {
        self.stop.stop();
        while let Some((running, _)) = self.running.pop() {
            running.stop();
        }
        let path = self.path.take();
        // The bundle holds nothing, and an empty file in the way of the next try helps nobody.
        let _ = self.writer.seal(Manifest::default());
        if let Some(path) = path {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Ends it and seals the bundle.
    pub(super) fn finish(mut self, ended: Ended, wakes: &Receiver<Wake>) -> Result<Summary, WriteError> {
        let elapsed = self.started.elapsed();
        self.poll_sources();
        self.stop.stop();
        self.roster.stopped();
        let intakes: Vec<Intake> = self.running.iter().map(|(_, i)| i.clone()).collect();
        // The sampler first, the receivers last: as they came, backwards.
        while let Some((mut running, _)) = self.running.pop() {
            for (name, reason) in running.failures() {
                self.roster.failed(name, &reason);
            }
            running.stop();
        }
        let remarks: Vec<Remark> = intakes.iter().flat_map(Intake::take_remarks).collect();
        for remark in &remarks {
            match remark.warning {
                true => self.observer.warning(&remark.text),
                false => self.observer.remark(&remark.text),
            }
        }
        let rows = self.roster.take_rows();
        self.append(rows);
        self.write_losses(true);
        let events = intakes.iter().map(Intake::events).sum();
        let bpf = intakes.iter().map(Intake::bpf).sum();
        let cost = self.cost.read(self.writer.stats().bytes_written, events, bpf);
        self.append([cost]);
        self.anchor("end");
        let manifest = self.manifest(ended);
        let counter = self.writer.clone();
        let manifest = self.writer.clone().seal(manifest)?;
        let flight = self.flight.take().map(|f| self.flight_end(f, wakes));
        let bytes = counter.stats().bytes_written;
        Ok(Summary {
            bundle: self.path.filter(|_| flight.is_none()),
            bytes,
            started: self.started_at,
            elapsed,
            events,
            ended,
            child_code: self.child_code,
            reductions: self.steps.told,
            left_out: self.steps.left_out,
            manifest,
            flight,
            remarks: remarks.into_iter().map(|r| r.text).collect(),
        })
    }

    fn manifest(&self, ended: Ended) -> Manifest {
        Manifest {
            sources: self.roster.entries(),
            losses: self.losses.totals(),
            clock: clock::ntp_words(self.ntp_state).to_owned(),
            ended: ended.words().to_owned(),
            flight: self.flight.as_ref().map(Flight::entry),
            child: self.child_code.map(|exit_code| ChildEntry { command: masked(&self.child_argv), exit_code }),
            ..self.preface.clone()
        }
    }
}

/// Waits for a command that runs on after its recording, and passes signals on to it.
pub(super) fn outlive(child: &Child, wakes: &Receiver<Wake>) -> i32 {
    for wake in wakes {
        match wake {
            Wake::ChildEnded(code) => return code,
            Wake::Signal { number, sent: true } => child.signal(number),
            _ => {}
        }
    }
    255
}

/// What is known of the manifest before anything was recorded.
pub(super) fn preface(plan: &Plan) -> Manifest {
    let packets = &plan.config.packets;
    let headers_only = packets.payload == 0 && packets.payload_ports.is_empty();
    let mut policies = vec![mask::POLICY.to_owned()];
    policies.extend(plan.config.kernel.uprobe.contains(&Uprobe::Postgres).then(|| sql::POLICY.to_owned()));
    policies.extend(headers_only.then(|| "packet-headers/1".to_owned()));
    Manifest {
        tool: concat!("coldcase ", env!("CARGO_PKG_VERSION")).to_owned(),
        host: host_entry::read(),
        command: mask::mask(&plan.command),
        user: host_entry::user(),
        policies,
        ..Manifest::default()
    }
}

fn masked(argv: &[OsString]) -> Vec<String> {
    mask::mask(&argv.iter().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>())
}
