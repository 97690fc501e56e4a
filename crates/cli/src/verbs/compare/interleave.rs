//! Records two commands in turns: both sides see the same hours, and whatever else the machine does meanwhile.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::again::{Again, arguments};
use crate::exit::Failure;
use crate::out::Out;

/// What is recorded.
pub(super) struct Plan<'a> {
    /// The base's command, and the head's, for a shell.
    pub(super) commands: &'a [OsString],
    pub(super) folder: &'a Path,
    pub(super) runs: u32,
    pub(super) config: Option<&'a Path>,
    pub(super) force: bool,
}

/// Records and returns the bundles of both sides. Who goes first changes from round to round, so that neither is always the one that comes
/// after the other.
pub(super) fn record(plan: &Plan<'_>, out: &Out) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Failure> {
    std::fs::create_dir_all(plan.folder).map_err(|e| Failure::failed(format!("{}: {e}", plan.folder.display())))?;
    let again = Again::new()?;
    let [base, head] = plan.commands else { return Err(Failure::usage("--interleave: two commands")) };
    let sides = [("base", base), ("head", head)];
    let bundle = |side: &str, n: u32| plan.folder.join(format!("{side}-{n}.case"));
    for n in 1..=plan.runs {
        let order = if n % 2 == 1 { [0, 1] } else { [1, 0] };
        for (side, command) in order.map(|i| sides[i]) {
            let name = bundle(side, n);
            out.remark(&format!("run {n} of {}: {}", plan.runs, name.display()));
            one(plan, &again, &name, command)?;
        }
    }
    let of = |side: &str| (1..=plan.runs).map(|n| bundle(side, n)).collect();
    Ok((of("base"), of("head")))
}

/// One recording of one command. Its output goes to stderr: stdout is the comparison's.
fn one(plan: &Plan<'_>, again: &Again, name: &Path, command: &OsString) -> Result<(), Failure> {
    let mut line = arguments(["record".as_ref(), "--quiet".as_ref(), "--output".as_ref(), name.as_os_str()]);
    if plan.force {
        line.push("--force".into());
    }
    if let Some(config) = plan.config {
        line.extend(arguments(["--config".as_ref(), config.as_os_str()]));
    }
    line.extend(arguments(["--".as_ref(), "sh".as_ref(), "-c".as_ref()]));
    let mut script = OsString::from("exec 1>&2\n");
    script.push(command);
    line.push(script);
    let ended = again.run(&line)?;
    if ended.code == 0 && !ended.interrupted {
        return Ok(());
    }
    let why = match (ended.interrupted, ended.code) {
        (true, _) => "was interrupted".to_owned(),
        (false, 125) => "could not be recorded".to_owned(),
        (false, code) => format!("ended with {code}: a run that failed is no sample"),
    };
    Err(Failure::usage(format!("{}: its command {why}", name.display()))
        .hint("coldcase record -o x.case -- sh -c 'COMMAND' shows more"))
}
