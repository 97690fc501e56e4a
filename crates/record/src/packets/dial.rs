//! How much the taps take in, set from outside of their thread.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::NAME;
use super::filter::Program;
use super::ring;
use crate::reduce::Paused;

/// Shared by the taps, the ladder and the watchdog.
#[derive(Clone, Default)]
pub(super) struct Dial {
    /// Headers only, whatever was asked for.
    pub(super) no_payload: Paused,
    /// No packets.
    pub(super) off: Paused,
    /// The sockets of the open taps, again: the taps' own thread may be stuck with them.
    sockets: Arc<Mutex<Vec<OwnedFd>>>,
}

impl Dial {
    /// Tells which sockets are open.
    pub(super) fn open<'a>(&self, rings: impl Iterator<Item = &'a ring::Ring>) {
        // One that cannot be doubled (out of descriptors) is only out of the watchdog's reach.
        *self.lock() = rings.filter_map(|ring| ring.as_fd().try_clone_to_owned().ok()).collect();
    }

    /// Lets no packet into any tap any more. For good.
    pub(super) fn deafen(&self) -> Vec<String> {
        self.off.set(true);
        let sockets = self.lock();
        let deaf = sockets.iter().filter(|socket| ring::attach(socket, &Program::refuse_all()).is_ok()).count();
        if deaf > 0 { vec![format!("{NAME}: {deaf} taps")] } else { Vec::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
