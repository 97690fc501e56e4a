//! Where output goes: results on stdout, all else on stderr; colour only on a terminal.

use std::io::{IsTerminal, Write};

use coldcase_model::text::visible;
use serde::Serialize;

use crate::exit::Failure;

/// The way in which this run prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    /// Results as JSON.
    pub(crate) json: bool,
    /// Nothing but results and errors.
    pub(crate) quiet: bool,
    colour_out: bool,
    colour_err: bool,
}

/// What a piece of text means, which decides how it looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A heading.
    Bold,
    /// Of minor weight.
    Dim,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "31",
        }
    }
}

impl Out {
    pub(crate) fn new(json: bool, quiet: bool) -> Out {
        // https://no-color.org
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Out {
            json,
            quiet,
            colour_out: wanted && std::io::stdout().is_terminal(),
            colour_err: wanted && std::io::stderr().is_terminal(),
        }
    }

    /// Prints a result as it is, on stdout.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// Prints a result as one JSON document, on stdout.
    pub(crate) fn document<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        // A document may be larger than what it is made of: it is never held as text.
        let mut stdout = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
        serde_json::to_writer_pretty(&mut stdout, value)?;
        stdout.write_all(b"\n")?;
        Ok(stdout.flush()?)
    }

    /// Width and colour of a page on stdout: as wide as `COLUMNS` says, else the terminal, else 100.
    #[cfg_attr(not(feature = "full"), allow(dead_code))]
    pub(crate) fn page(&self) -> (usize, bool) {
        let told = std::env::var("COLUMNS").ok().and_then(|w| w.parse().ok());
        let seen = || console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
        (told.or_else(seen).unwrap_or(100), self.colour_out)
    }

    /// The text in the style for stdout. Captured text is made [`visible`] before it comes here.
    pub(crate) fn style(&self, style: Style, text: &str) -> String {
        paint(self.colour_out, style, text)
    }

    /// A remark on stderr, unless quiet, of one line or several. It may hold captured text: it is made visible.
    pub(crate) fn remark(&self, text: &str) {
        if !self.quiet {
            text.lines().for_each(|line| self.err(&visible(line)));
        }
    }

    /// A warning on stderr, even when quiet: something is not as it was asked for.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn warning(&self, text: &str) {
        self.err(&format!("{} {}", paint(self.colour_err, Style::Warn, "warning:"), visible(text)));
    }

    /// A warning for each module whose debug file was asked for in vain.
    #[cfg(feature = "full")]
    pub(crate) fn not_fetched(&self, modules: &[String]) {
        modules.iter().for_each(|module| self.warning(&format!("no debug file of {module}")));
    }

    /// A failure on stderr, with its hint.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.err(&format!("{} {}", paint(self.colour_err, Style::Bad, "error:"), visible(&failure.line)));
        if let Some(hint) = &failure.hint {
            self.err(&format!("{} {}", paint(self.colour_err, Style::Dim, "hint:"), visible(hint)));
        }
    }

    fn err(&self, line: &str) {
        // When stderr is gone there is nobody left to tell.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

fn paint(on: bool, style: Style, text: &str) -> String {
    if on { format!("\x1b[{}m{text}\x1b[0m", style.code()) } else { text.to_owned() }
}
