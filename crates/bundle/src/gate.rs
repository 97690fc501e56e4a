//! The choke point for captured text: every byte of it passes here before it is written.

use std::borrow::Cow;

/// What captured text passes before it is written. Called once per distinct value of a text field in a batch, and
/// once per raw message (with an empty field name).
pub trait Gate: Send + Sync {
    /// The bytes to write in place of `bytes`.
    fn pass<'a>(&self, stream: &str, field: &str, bytes: &'a [u8]) -> Cow<'a, [u8]>;
    /// The policy's name for the manifest, if it is more than the identity.
    fn policy(&self) -> Option<String>;
}

/// Lets everything pass unchanged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity;

impl Gate for Identity {
    fn pass<'a>(&self, _stream: &str, _field: &str, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(bytes)
    }

    fn policy(&self) -> Option<String> {
        None
    }
}
