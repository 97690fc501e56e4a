//! The verbs, one file each. To add one: its file with `Args` and `run`, and one line in the list below.

use crate::exit::{Exit, Failure};
use crate::out::Out;

/// From one line a verb: its module, its place on the command line, and its call. The doc comment of the verb's
/// `Args` is its help.
macro_rules! verbs {
    ($($(#[$meta:meta])* $module:ident => $variant:ident,)*) => {
        $($(#[$meta])* mod $module;)*

        /// What to do.
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum Verb {
            $($(#[$meta])* $variant($module::Args),)*
        }

        impl Verb {
            /// Does it.
            pub(crate) fn run(self, out: &Out) -> Result<Exit, Failure> {
                match self {
                    $($(#[$meta])* Verb::$variant(args) => $module::run(args, out),)*
                }
            }
        }
    };
}

verbs! {
    info => Info,
    verify => Verify,
    recover => Recover,
}
