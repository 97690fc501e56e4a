//! Progress bars: on stderr, only on a terminal, never when quiet.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::out::Out;

/// A bar over `total` steps of what `label` says. Hidden where nobody could see it.
#[cfg_attr(not(feature = "full"), allow(dead_code))]
pub(crate) fn bar(out: &Out, total: u64, label: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), target(out));
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(label);
    bar
}

/// A line that the caller rewrites: a spinner, the text, nothing else.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) fn line(out: &Out) -> ProgressBar {
    let line = ProgressBar::with_draw_target(None, target(out));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        line.set_style(style);
    }
    line.enable_steady_tick(Duration::from_millis(250));
    line
}

fn target(out: &Out) -> ProgressDrawTarget {
    // The stderr target hides itself when stderr is not a terminal.
    if out.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() }
}
