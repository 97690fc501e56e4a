//! Runs of this program's own `record`, one after another: each a process of its own, so that no run warms another.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::Failure;

/// Runs `record` again and again, until one of them fails or somebody interrupts.
pub(crate) struct Again {
    program: PathBuf,
    /// Set by Ctrl-C: the run that goes on ends by it itself, and no other begins.
    interrupted: Arc<AtomicBool>,
}

impl Again {
    pub(crate) fn new() -> Result<Again, Failure> {
        let program =
            std::env::current_exe().map_err(|e| Failure::failed(format!("this program cannot be found: {e}")))?;
        let interrupted = coldcase_record::interrupts().map_err(|e| Failure::failed(format!("signals: {e}")))?;
        Ok(Again { program, interrupted })
    }

    /// One run, to its end. `Err` only where it could not be started.
    pub(crate) fn run(&self, arguments: &[OsString]) -> Result<Ended, Failure> {
        let status = Command::new(&self.program)
            .args(arguments)
            .status()
            .map_err(|e| Failure::failed(format!("{}: {e}", self.program.display())))?;
        Ok(Ended { code: code(status), interrupted: self.interrupted.load(Ordering::SeqCst) })
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code, 128 + n for a signal.
    pub(crate) code: u8,
    /// Whether somebody pressed Ctrl-C meanwhile.
    pub(crate) interrupted: bool,
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// The name of run `n`: where `%d` or `{n}` stands, else before the extension.
pub(crate) fn numbered(name: &Path, n: u32) -> PathBuf {
    let text = name.to_string_lossy();
    let file = name.file_name().unwrap_or_default().to_string_lossy();
    for pattern in ["%d", "{n}"] {
        if file.contains(pattern) {
            return name.with_file_name(file.replace(pattern, &n.to_string()));
        }
    }
    match (name.file_stem(), name.extension()) {
        (Some(stem), Some(extension)) => {
            name.with_file_name(format!("{}-{n}.{}", stem.to_string_lossy(), extension.to_string_lossy()))
        }
        _ => PathBuf::from(format!("{text}-{n}")),
    }
}

/// This command line without some of its options (those with a value), as far as a `--`, and what stands behind that.
pub(crate) fn without(arguments: &[OsString], options: &[&str]) -> (Vec<OsString>, Vec<OsString>) {
    let end = arguments.iter().position(|a| a == "--").unwrap_or(arguments.len());
    let (mut kept, mut skip) = (Vec::new(), false);
    for argument in &arguments[..end] {
        if std::mem::take(&mut skip) {
            continue;
        }
        let text = argument.to_string_lossy();
        let is = |o: &&&str| text == **o;
        if options.iter().any(|o| is(&o)) {
            skip = true;
        } else if !options.iter().any(|o| joined(&text, o)) {
            kept.push(argument.clone());
        }
    }
    (kept, arguments[end..].to_vec())
}

/// Whether an argument is an option with its value: `--name=VALUE`, `-oVALUE`.
fn joined(argument: &str, option: &str) -> bool {
    match option.strip_prefix("--") {
        Some(_) => argument.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')),
        None => argument.starts_with(option) && !argument.starts_with("--"),
    }
}

/// As arguments.
pub(crate) fn arguments<const N: usize>(of: [&OsStr; N]) -> Vec<OsString> {
    of.iter().map(|a| (*a).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_its_number_where_it_is_asked_for_else_before_the_extension() {
        let name = |text: &str| numbered(Path::new(text), 3).display().to_string();
        assert_eq!(name("run.case"), "run-3.case");
        assert_eq!(name("d%d/a-%d.case"), "d%d/a-3.case");
        assert_eq!(name("runs/{n}.case"), "runs/3.case");
        assert_eq!(name("bundle"), "bundle-3");
    }

    #[test]
    fn options_are_taken_out_however_they_are_written_and_the_command_stays() {
        let line = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        for told in ["--repeat 3 -o x", "--repeat=3 --output=x", "-ox --repeat 3", "--output x --repeat 3"] {
            let (kept, command) =
                without(&line(&format!("record --quiet {told} --log a -- sh -o x")), &["--repeat", "--output", "-o"]);
            assert_eq!(kept, line("record --quiet --log a"), "{told}");
            assert_eq!(command, line("-- sh -o x"));
        }
    }
}
