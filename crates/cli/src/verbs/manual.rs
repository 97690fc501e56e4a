//! `coldcase manual`: man pages and shell completions, made from the command line's own definition. Used by `make install`.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::{Exit, Failure};
use crate::out::Out;

/// Write man pages and shell completions into a folder
///
/// The folder gets share/man/man1, share/bash-completion, share/zsh and share/fish, as a PREFIX has them.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Args {
    /// The folder
    #[arg(value_name = "PREFIX")]
    prefix: PathBuf,
}

pub(crate) fn run(args: Args, _: &Out) -> Result<Exit, Failure> {
    let share = args.prefix.join("share");
    let pages = make(&share.join("man/man1"))?;
    clap_mangen::generate_to(crate::Cli::command(), &pages)?;
    for (shell, folder) in [
        (Shell::Bash, "bash-completion/completions"),
        (Shell::Zsh, "zsh/site-functions"),
        (Shell::Fish, "fish/vendor_completions.d"),
    ] {
        let folder = make(&share.join(folder))?;
        let written = clap_complete::generate_to(shell, &mut crate::Cli::command(), "coldcase", &folder)?;
        // Bash looks a completion up by the command's bare name.
        if shell == Shell::Bash {
            std::fs::rename(written, folder.join("coldcase"))?;
        }
    }
    Ok(Exit::Fine)
}

fn make(folder: &Path) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(folder)
        .map_err(|e| Failure::failed(format!("{}: {}", folder.display(), e.to_string().to_lowercase())))?;
    Ok(folder.to_owned())
}
