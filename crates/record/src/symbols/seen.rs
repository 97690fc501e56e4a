//! The distinct addresses of all stacks of a capture.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use coldcase_model::{Column, Columns};

/// Addresses that are remembered at most; beyond that names are missing, not samples.
const MOST: usize = 1 << 20;

/// A handle to the addresses. Cheap to clone, used from any thread.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    addresses: Arc<Mutex<Addresses>>,
}

#[derive(Debug, Default)]
struct Addresses {
    enabled: bool,
    kernel: HashSet<u64>,
    user: HashSet<(u32, u64)>,
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
            if addresses.enabled && addresses.kernel.len() < MOST {
                addresses.kernel.extend(places.entries.iter().flatten());
            }
            return;
        }
        let (Some(Column::Stack(kernel)), Some(Column::Stack(user)), Some(Column::U32(pids))) =
            (rows.get("kernel_stack"), rows.get("user_stack"), rows.get("pid"))
        else {
            return;
        };
        let mut addresses = self.lock();
        if !addresses.enabled {
            return;
        }
        for stack in &kernel.entries {
            if addresses.kernel.len() < MOST {
                addresses.kernel.extend(lookups(stack));
            }
        }
        let mut done = HashSet::new();
        for (&pid, &id) in pids.iter().zip(&user.ids) {
            if !done.insert((pid, id)) || addresses.user.len() >= MOST {
                continue;
            }
            let Some(stack) = user.entries.get(id as usize) else { continue };
            addresses.user.extend(lookups(stack).map(|a| (pid, a)));
        }
    }

    /// Kernel addresses, and addresses of processes. Empties it.
    pub(crate) fn take(&self) -> (Vec<u64>, Vec<(u32, u64)>) {
        let mut addresses = self.lock();
        let mut kernel: Vec<u64> = addresses.kernel.drain().collect();
        let mut user: Vec<(u32, u64)> = addresses.user.drain().collect();
        kernel.sort_unstable();
        user.sort_unstable();
        (kernel, user)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lookups(stack: &[u64]) -> impl Iterator<Item = u64> + '_ {
    stack.iter().enumerate().map(|(i, &a)| if i == 0 { a } else { a.saturating_sub(1) })
}
