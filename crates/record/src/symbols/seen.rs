//! The distinct addresses of the stacks that were captured since they were last looked up.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use coldcase_model::{Column, Columns};

use crate::host::Recall;

/// Addresses that wait at most; beyond that names are missing, not samples.
const MOST: usize = 1 << 20;

/// A handle to the addresses. Cheap to clone, used from any thread.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    addresses: Arc<Mutex<Addresses>>,
    /// Tasks that the kernel tells of while a snapshot is taken.
    pub(crate) recall: Recall,
}

#[derive(Debug, Default)]
struct Addresses {
    enabled: bool,
    batch: Batch,
}

/// Addresses as they were taken.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Of the kernel.
    pub(crate) kernel: HashSet<u64>,
    /// Of processes, with the time at which each was seen.
    pub(crate) user: HashMap<(u32, u64), u64>,
    /// Stacks whose addresses found no room.
    pub(crate) dropped: u64,
}

impl Seen {
    /// Collects from now on, or not.
    pub(crate) fn enable(&self, enabled: bool) {
        self.lock().enabled = enabled;
    }

    /// Takes the addresses of rows with stacks. Each is the one to look up: a return address stands behind its call,
    /// which can be the last instruction of its function.
    pub(crate) fn rows(&self, rows: &Columns) {
        if let Some(Column::Stack(places)) = rows.get("location") {
            let mut addresses = self.lock();
            if addresses.enabled && addresses.batch.kernel.len() < MOST {
                addresses.batch.kernel.extend(places.entries.iter().flatten());
            }
            return;
        }
        let stacks = |name| match rows.get(name) {
            Some(Column::Stack(c)) => Some(c),
            _ => None,
        };
        let (kernel, user) = (stacks("kernel_stack"), stacks("user_stack"));
        if kernel.is_none() && user.is_none() {
            return;
        }
        let mut addresses = self.lock();
        if !addresses.enabled {
            return;
        }
        let batch = &mut addresses.batch;
        for stack in kernel.iter().flat_map(|c| &c.entries) {
            if batch.kernel.len() < MOST {
                batch.kernel.extend(lookups(stack));
            } else {
                batch.dropped += 1;
            }
        }
        let (Some(user), Some(Column::U32(pids)), Some(Column::U64(times))) = (user, rows.get("pid"), rows.get("time"))
        else {
            return;
        };
        let mut done = HashSet::new();
        for ((&pid, &id), &time) in pids.iter().zip(&user.ids).zip(times) {
            if !done.insert((pid, id)) {
                continue;
            }
            let Some(stack) = user.entries.get(id as usize) else { continue };
            if batch.user.len() < MOST {
                batch.user.extend(lookups(stack).map(|a| ((pid, a), time)));
            } else {
                batch.dropped += 1;
            }
        }
    }

    /// What came since the last call.
    pub(crate) fn take(&self) -> Batch {
        std::mem::take(&mut self.lock().batch)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lookups(stack: &[u64]) -> impl Iterator<Item = u64> + '_ {
    stack.iter().enumerate().map(|(i, &a)| if i == 0 { a } else { a.saturating_sub(1) })
}
