//! The verbs, one file each. To add one: its file with `Args` and `run`, its `mod`, and one line in the list below.

use crate::exit::{Exit, Failure};
use crate::out::Out;

// Readers that need timeline, tables or plots carry `#[cfg(feature = "full")]`: the recorder build is without them.
#[cfg(feature = "full")]
mod analyze;
#[cfg(feature = "full")]
mod compare;
#[cfg(target_os = "linux")]
mod doctor;
#[cfg(target_os = "linux")]
mod dump;
#[cfg(feature = "full")]
mod export;
#[cfg(feature = "full")]
mod flame;
#[cfg(feature = "full")]
mod flow;
#[cfg(feature = "full")]
mod import;
mod info;
#[cfg(feature = "full")]
mod latency;
#[cfg(feature = "full")]
mod manual;
#[cfg(target_os = "linux")]
mod mark;
#[cfg(feature = "full")]
mod query;
#[cfg(target_os = "linux")]
mod record;
mod recover;
#[cfg(feature = "full")]
mod replay;
#[cfg(feature = "full")]
mod timeline;
#[cfg(feature = "full")]
mod trace;
mod verify;

/// From one line a verb: its place on the command line, and its call. The doc comment of the verb's
/// `Args` is its help.
macro_rules! verbs {
    ($($(#[$meta:meta])* $module:ident => $variant:ident,)*) => {
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
