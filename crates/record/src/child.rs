//! The command that is recorded: `coldcase record -o X -- CMD args`.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use crossbeam_channel::Sender;

use crate::session::Wake;

/// A command that runs while its host is recorded.
pub(crate) struct Child {
    /// Its process.
    pub(crate) pid: u32,
}

/// Which of our standard streams are not the command's to use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// It is read as a log.
    pub(crate) stdin: bool,
    /// The bundle or a result goes there.
    pub(crate) stdout: bool,
}

impl Child {
    /// Starts it with our standard streams, or, where our stdout is taken, with stderr for both, and where our stdin is, with
    /// none. Its end becomes a [`Wake::ChildEnded`].
    pub(crate) fn spawn(argv: &[OsString], taken: Taken, wake: Sender<Wake>) -> std::io::Result<Child> {
        let (program, args) = argv.split_first().ok_or_else(|| std::io::Error::from(ErrorKind::InvalidInput))?;
        let mut command = Command::new(program);
        command.args(args);
        if taken.stdin {
            command.stdin(Stdio::null());
        }
        if taken.stdout {
            command.stdout(std::io::stderr().as_fd().try_clone_to_owned()?);
        }
        let mut child = command.spawn()?;
        let pid = child.id();
        std::thread::Builder::new().name("child".into()).spawn(move || {
            let code = match child.wait() {
                Ok(status) => exit_code(status),
                // Somebody else reaped it: its code is unknown, and 0 would be a lie.
                Err(_) => 255,
            };
            // The session's end of the channel is gone only when it is ending anyway.
            let _ = wake.send(Wake::ChildEnded(code));
        })?;
        Ok(Child { pid })
    }

    /// Sends it a signal. One that has just ended is no error.
    pub(crate) fn signal(&self, number: i32) {
        let Ok(pid) = i32::try_from(self.pid) else { return };
        // SAFETY: kill(2) takes two integers and touches no memory of ours.
        unsafe { libc::kill(pid, number) };
    }
}

/// The code that a shell would report: the command's own, or 128 + n for a signal.
fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// The code for a command that could not be started, as `env(1)` and shells have it.
pub(crate) fn spawn_failure_code(error: &std::io::Error) -> i32 {
    if error.kind() == ErrorKind::NotFound { 127 } else { 126 }
}
