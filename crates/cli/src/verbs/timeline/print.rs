//! How entries are printed: a line each for people, or an object each for programs.

use std::io::Write;

use coldcase_model::Utc;
use coldcase_timeline::{Entry, Timeline};

use super::filter::Shown;
use super::of_trace::Request;
use super::{Args, fields};
use crate::exit::Failure;
use crate::out::{Out, Style};

/// Prints lines, until there were enough.
pub(super) struct Printer<'a, W: Write> {
    pub(super) args: &'a Args,
    pub(super) out: &'a Out,
    /// What offsets count from.
    pub(super) start: Utc,
    /// Whether lines name their bundle.
    pub(super) several: bool,
    /// Lines that are still to be printed.
    pub(super) left: u64,
    pub(super) to: &'a mut W,
    /// Objects, not lines for people.
    pub(super) as_json: bool,
    pub(super) json: Vec<u8>,
}

impl<W: Write> Printer<'_, W> {
    /// An entry, and why it is shown.
    pub(super) fn entry(&mut self, t: &Timeline, entry: &Entry, shown: Shown, text: &str) -> Result<(), Failure> {
        let how = match shown {
            Shown::InScope => None,
            Shown::Joined(how) => Some(how),
        };
        self.print(t, entry.utc, &entry.stream, how, text, |text| fields::object(t, entry, how, text))
    }

    /// A request that was seen in packets.
    pub(super) fn request(&mut self, t: &Timeline, r: &Request) -> Result<(), Failure> {
        self.print(t, r.utc, "packets", Some(&r.how), &r.text, |text| fields::request(t, r, text))
    }

    fn print<'t, J: serde::Serialize>(
        &mut self,
        t: &Timeline,
        utc: Utc,
        stream: &str,
        how: Option<&str>,
        text: &'t str,
        object: impl FnOnce(&'t str) -> J,
    ) -> Result<(), Failure> {
        if self.args.grep.as_ref().is_some_and(|g| !g.is_match(text)) {
            return Ok(());
        }
        if self.as_json {
            self.json.clear();
            serde_json::to_writer(&mut self.json, &object(text))?;
            self.json.push(b'\n');
            self.to.write_all(&self.json)?;
        } else {
            let head = head(utc, stream, self.start, self.several.then(|| t.bundle().id()));
            let how = how.map(|how| self.out.style(Style::Dim, &format!(" [{how}]"))).unwrap_or_default();
            writeln!(self.to, "{} {text}{how}", self.out.style(Style::Dim, &head))?;
        }
        self.left -= 1;
        Ok(())
    }
}

/// `+2.318042s kernel.offcpu`, in columns.
pub(super) fn head(utc: Utc, stream: &str, start: Utc, bundle: Option<&str>) -> String {
    let after = i128::from(utc.0) - i128::from(start.0);
    let sign = if after < 0 { '-' } else { '+' };
    let micros = after.unsigned_abs() / 1000;
    let bundle = bundle.map(|b| format!("{b} ")).unwrap_or_default();
    format!("{sign}{}.{:06}s {bundle}{stream:<20}", micros / 1_000_000, micros % 1_000_000)
}
