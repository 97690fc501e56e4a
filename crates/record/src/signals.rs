//! Signals: the first asks the recording to end, a second one ends the program at once.

use std::thread::JoinHandle;

use crossbeam_channel::Sender;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::{Handle, SignalsInfo};

use crate::session::Wake;

/// The signals that end a recording.
const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Watches for signals until dropped.
pub(crate) struct SignalWatch {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl SignalWatch {
    /// Installs the handlers. Each first signal of a kind becomes a [`Wake::Signal`]; the second of any kind exits
    /// with 128 + n: the bundle is then unsealed, and readable up to its last chunk.
    pub(crate) fn start(wake: Sender<Wake>) -> std::io::Result<SignalWatch> {
        let mut signals = SignalsInfo::<WithOrigin>::new(ENDING)?;
        let handle = signals.handle();
        let thread = std::thread::Builder::new().name("signals".into()).spawn(move || {
            let mut seen = 0;
            for origin in signals.forever() {
                seen += 1;
                if seen > 1 {
                    std::process::exit(128 + origin.signal);
                }
                // The session's end of the channel is gone only when it is ending anyway.
                let _ = wake.send(Wake::Signal { number: origin.signal, sent: origin.process.is_some() });
            }
        })?;
        Ok(SignalWatch { handle, thread: Some(thread) })
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}
