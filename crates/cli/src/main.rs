//! The binary `coldcase`: one file a verb under [`verbs`]; here only what all share.

#[cfg(target_os = "linux")]
mod again;
mod args;
mod exit;
mod out;
mod progress;
#[cfg(feature = "full")]
mod reading;
#[cfg(feature = "full")]
mod requests;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::exit::Exit;
use crate::out::Out;
use crate::verbs::Verb;

/// Offline forensics: record what a Linux host does into one file, and explain it elsewhere.
#[derive(Debug, Parser)]
#[command(name = "coldcase", version, propagate_version = true, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  coldcase doctor                                  what can be recorded here, and what is missing
  coldcase record -o incident.case --for 30s       record the whole host for 30 seconds
  coldcase record -o run.case -- ./bench --fast    record while a command runs
  coldcase info incident.case                      what is in a bundle

Exit codes: 0 fine, 1 failed, 2 usage or unreadable input, 3 finished but evidence was lost.")]
struct Cli {
    /// Print results as JSON on stdout
    #[arg(long, global = true)]
    json: bool,
    /// Print nothing but results and errors
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    verb: Verb,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    diagnostics();
    let out = Out::new(cli.json, cli.quiet);
    let exit = match cli.verb.run(&out) {
        Ok(exit) => exit,
        // Whoever read our output has gone (`coldcase timeline … | head`): not a failure.
        Err(failure) if failure.is_broken_pipe() => Exit::Fine,
        Err(failure) => {
            out.failure(&failure);
            failure.exit
        }
    };
    exit.into()
}

/// Diagnostics of our own go to stderr; `COLDCASE_LOG=debug` shows more of them.
fn diagnostics() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("COLDCASE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    // Fails only when a subscriber is set already, which main alone does.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().try_init();
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        <super::Cli as clap::CommandFactory>::command().debug_assert();
    }
}
