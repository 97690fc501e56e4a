//! What steers a replay from outside: signals, and lines on stdin.

use std::io::BufRead;

use coldcase_replay::control::Shared;
use coldcase_replay::{Control, Stop};
use crossbeam_channel::{Receiver, Sender};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Words that may wait to be heard.
const WORDS: usize = 64;

/// The controls of a replay.
pub(super) struct Steering {
    receive: Receiver<Control>,
    /// Kept, so that a replay that is paused waits instead of ending.
    send: Sender<Control>,
    stop: Stop,
    status: Shared,
}

impl Steering {
    /// Ends on a signal; `steps`: each line on stdin lets one event go, and its end, or `q`, ends the replay.
    pub(super) fn start(steps: bool) -> std::io::Result<Steering> {
        let stop = Stop::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the second of them finds the flag set by the first, and ends at once.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.flag())?;
            signal_hook::flag::register(signal, stop.flag())?;
        }
        let (send, receive) = crossbeam_channel::bounded(WORDS);
        if steps {
            let send = send.clone();
            std::thread::Builder::new().name("cc-replay-steps".into()).spawn(move || read_steps(&send))?;
        }
        Ok(Steering { receive, send, stop, status: Shared::default() })
    }

    pub(super) fn control(&self) -> &Receiver<Control> {
        &self.receive
    }

    /// Where others may say something to it.
    pub(super) fn sender(&self) -> Sender<Control> {
        self.send.clone()
    }

    pub(super) fn stop(&self) -> &Stop {
        &self.stop
    }

    pub(super) fn status(&self) -> &Shared {
        &self.status
    }
}

fn read_steps(to: &Sender<Control>) {
    for line in std::io::stdin().lock().lines() {
        let word = match line {
            Ok(line) if matches!(line.trim(), "q" | "quit") => Control::Quit,
            Ok(_) => Control::Step,
            Err(_) => break,
        };
        // Nobody listens when the replay is over.
        if to.send(word).is_err() {
            return;
        }
    }
    // It is over by now, or ends.
    let _ = to.send(Control::Quit);
}
