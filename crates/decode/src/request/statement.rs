//! SQL statements as requests show them, and those that were prepared.

use super::sql::{self, Fingerprints, Made};
use super::{DETAIL, Request, missing};

/// A statement, kept for when it is executed.
#[derive(Debug, Default, Clone)]
pub(super) struct Statement {
    pub(super) key: String,
    detail: String,
    traceparent: Option<String>,
    missing: u8,
}

impl Statement {
    /// The statement of a text; `cut` says that its end is not there.
    pub(super) fn of(prints: &mut Fingerprints, text: &[u8], cut: bool) -> Statement {
        let print = prints.of(text, cut);
        Statement {
            key: print.text,
            detail: clipped(&String::from_utf8_lossy(&text[..text.len().min(DETAIL)])),
            traceparent: sql::traceparent(text),
            missing: if print.made == Made::Grammar { 0 } else { missing::KEY },
        }
    }

    /// The request is of this statement; what is done with it stands before its key where that is not to run it.
    pub(super) fn describe(&self, request: &mut Request, done: &str) {
        request.key = clipped(&format!("{done}{}", self.key));
        request.detail.clone_from(&self.detail);
        request.missing |= self.missing;
        if self.traceparent.is_some() {
            request.traceparent.clone_from(&self.traceparent);
        }
    }
}

/// The request is of a statement that was prepared where the capture did not see it.
pub(super) fn unknown(request: &mut Request, done: &str, name: &str) {
    request.key = clipped(&format!("{done}statement {name}"));
    request.missing |= missing::START;
}

/// The text, at most [`DETAIL`] bytes of it.
pub(super) fn clipped(text: &str) -> String {
    let mut end = text.len().min(DETAIL);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
