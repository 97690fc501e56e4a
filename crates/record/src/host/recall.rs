//! Tasks that began or took another name while a snapshot was taken: it may have passed them by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use coldcase_model::events::{Process, Task};
use coldcase_model::{Columns, Event};

/// Tasks that are kept at most between two snapshots and their files; beyond that names are missing.
const MOST: usize = 1 << 17;

/// A handle to what is kept. Cheap to clone, used from any thread; while nobody asked, it keeps nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recall {
    kept: Arc<Mutex<Option<Vec<Kept>>>>,
}

/// A task as the kernel told of it.
#[derive(Debug)]
pub(crate) struct Kept {
    row: Process,
    /// It became another program: what was known of the one before does not hold.
    program: bool,
}

impl Kept {
    /// The row, with what the snapshot knows of its process, or of the one that it was forked from.
    pub(crate) fn known(self, snapshot: &HashMap<u32, &Process>) -> Process {
        let Kept { mut row, program } = self;
        let Some(known) = snapshot.get(&row.pid).or_else(|| snapshot.get(&row.ppid)) else { return row };
        row.uid = known.uid;
        if row.tid == row.pid && !program {
            row.exe.clone_from(&known.exe);
            row.argv.clone_from(&known.argv);
        }
        if row.tid == row.pid {
            row.cgroup.clone_from(&known.cgroup);
        }
        row
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.row.pid
    }
}

impl Recall {
    /// Keeps from now on.
    pub(crate) fn begin(&self) {
        *self.lock() = Some(Vec::new());
    }

    /// What was kept; from now on nothing is.
    pub(crate) fn take(&self) -> Vec<Kept> {
        self.lock().take().unwrap_or_default()
    }

    /// Looks at rows of any stream before they are written.
    pub(crate) fn rows(&self, stream: &str, rows: &Columns) {
        if stream != Task::DEF.stream {
            return;
        }
        let mut kept = self.lock();
        let (Some(kept), Ok(cols)) = (kept.as_mut(), Task::cols(rows)) else { return };
        /// `what`: forks, programs and names are kept, ends are not.
        const EXEC: u32 = 2;
        const EXIT: u32 = 3;
        for row in (0..rows.len()).filter(|&i| cols.what[i] != EXIT) {
            if kept.len() >= MOST {
                return;
            }
            let program = cols.what[row] == EXEC;
            let row = Process {
                time: cols.time[row],
                tid: cols.tid[row],
                pid: cols.pid[row],
                ppid: cols.ppid[row],
                started: cols.started[row],
                comm: cols.comm.text(row).into_owned(),
                ..Process::default()
            };
            kept.push(Kept { row, program });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Vec<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
