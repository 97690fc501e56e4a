//! The verbs, one file each. To add one: its file with `Args` and `run`, and one line in the list below.

use crate::exit::{Exit, Failure};
use crate::out::Out;

/// From one line a verb: its module, its place on the command line, and its call. The doc comment of the verb's
/// `Args` is its help.
macro_rules! verbs {
    ($($(#[$meta:meta])* $module:ident => $variant:ident,)*) => {
        $($(#[$meta])* mod $module;)*

        /// What to do. Parsed once: the size of its variants does not matter.
        #[allow(clippy::large_enum_variant)]
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

// Readers that need timeline, tables or plots carry `#[cfg(feature = "full")]`: the recorder build is without them.
verbs! {
    #[cfg(target_os = "linux")]
    record => Record,
    #[cfg(target_os = "linux")]
    doctor => Doctor,
    #[cfg(target_os = "linux")]
    dump => Dump,
    #[cfg(target_os = "linux")]
    mark => Mark,
    #[cfg(feature = "full")]
    import => Import,
    info => Info,
    verify => Verify,
    recover => Recover,
    #[cfg(feature = "full")]
    timeline => Timeline,
    #[cfg(feature = "full")]
    export => Export,
    #[cfg(feature = "full")]
    replay => Replay,
    #[cfg(feature = "full")]
    analyze => Analyze,
    #[cfg(feature = "full")]
    flame => Flame,
    #[cfg(feature = "full")]
    latency => Latency,
    #[cfg(feature = "full")]
    trace => Trace,
    #[cfg(feature = "full")]
    flow => Flow,
    #[cfg(feature = "full")]
    query => Query,
    #[cfg(feature = "full")]
    compare => Compare,
    #[cfg(feature = "full")]
    manual => Manual,
}
