//! Colours of frames by what they are: kernel blue, user amber, without a name grey, whose it is plain, and one for each
//! class of waits. A shade by name keeps neighbours apart.

use std::collections::BTreeSet;

use coldcase_model::analysis::Flame;
use inferno::flamegraph::color::{Color, PaletteMap};

const USER: &str = "#f3b166";
const KERNEL: &str = "#91bee7";
const NAMELESS: &str = "#c8ccd2";
const OWNER: &str = "#d3d8df";
/// Who woke a thread, and how a chain of wake-ups ends.
const WAKER: &str = "#9fd6c2";

/// The classes of waits as their frames are written, with the colour of each.
const CLASSES: [(&str, &str); 17] = [
    ("run queue", "#f28b82"),
    ("throttled (inferred)", "#d9736b"),
    ("disk", "#c3a5e6"),
    ("lock", "#f7d154"),
    ("condition", "#ece0a2"),
    ("thread end", "#dccf9a"),
    ("futex", "#efe6b8"),
    ("network", "#7fcfd8"),
    ("poll", "#b9e3e0"),
    ("pipe", "#a9c99a"),
    ("page fault", "#e8a3cf"),
    ("sleep", "#cfe3a8"),
    ("child process", "#d8c9a3"),
    ("signal", "#e3d7bb"),
    ("stopped", "#b9a79b"),
    ("kernel thread", "#b3bdd9"),
    ("unknown wait", "#e6e1d6"),
];

/// What a chain of wake-ups may end with, as its frames are written.
const ENDS: [&str; 6] = ["hard IRQ", "soft IRQ", "interrupt", "waker not seen", "not woken", "further wakers"];

/// A frame in brackets without them, and with ordinary spaces.
fn bare(frame: &str) -> Option<String> {
    Some(frame.strip_prefix('[')?.strip_suffix(']')?.replace('\u{a0}', " "))
}

fn class(frame: &str) -> Option<(&'static str, &'static str)> {
    let bare = bare(frame)?;
    CLASSES.iter().find(|(name, _)| *name == bare).map(|(name, colour)| (*colour, *name))
}

/// The colours of all frames. The first `owners` frames of each stack say whose it is.
pub(super) fn palette<'a>(stacks: impl Iterator<Item = &'a str>, owners: usize) -> PaletteMap {
    let mut map = PaletteMap::default();
    let (mut plain, mut wakers) = (BTreeSet::new(), BTreeSet::new());
    map.insert("", parse("#e4e7eb"));
    for stack in stacks {
        let mut before = "";
        for (depth, name) in stack.split(';').enumerate() {
            match before {
                _ if depth < owners => plain.insert(name),
                "--" => wakers.insert(name),
                _ => false,
            };
            map.insert(name, shade(name));
            before = name;
        }
    }
    // Colours go by name: who waits and wakes at once is drawn as who waits.
    for (names, colour) in [(wakers, WAKER), (plain, OWNER)] {
        for name in names {
            map.insert(name, parse(colour));
        }
    }
    map
}

/// What the colours of a graph mean: of the classes of waits those that are in it.
pub(super) fn key<'a>(stacks: impl Iterator<Item = &'a str>, by: &str) -> Vec<(&'static str, &'static str)> {
    let owners = Flame::owners(by);
    let (mut classes, mut wakers) = (BTreeSet::new(), false);
    for stack in stacks {
        classes.extend(stack.split(';').nth(owners).and_then(class));
        let mut hops = stack.split(";--;");
        hops.next();
        for hop in hops {
            wakers = true;
            classes.extend(hop.split(';').nth(1).and_then(class));
        }
    }
    let owner = match by {
        "thread" => "process, thread",
        "container" => "container, process",
        _ => "process",
    };
    let mut out = vec![(USER, "user"), (KERNEL, "kernel"), (NAMELESS, "without a name"), (OWNER, owner)];
    if wakers {
        out.push((WAKER, "who woke it, or what"));
    }
    out.extend(CLASSES.iter().map(|(name, colour)| (*colour, *name)).filter(|c| classes.contains(c)));
    out
}

fn shade(name: &str) -> Color {
    if let Some((colour, _)) = class(name) {
        return parse(colour);
    }
    if bare(name).is_some_and(|b| ENDS.contains(&b.as_str())) {
        return parse(WAKER);
    }
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let v = (hash >> 32) % 28;
    let (r, g, b) = if name.ends_with("_[k]") {
        (0x86 + v, 0xb2 + v, 0xe0 + v / 2)
    } else if name.starts_with('[') {
        (0xc2 + v / 2, 0xc6 + v / 2, 0xcc + v / 2)
    } else {
        (0xee + v / 4, 0xa6 + v, 0x5a + v)
    };
    Color { r: r as u8, g: g as u8, b: b as u8 }
}

/// A colour written as `#rrggbb`.
fn parse(hex: &str) -> Color {
    let part = |at| hex.get(at..at + 2).and_then(|h| u8::from_str_radix(h, 16).ok()).unwrap_or(0);
    Color { r: part(1), g: part(3), b: part(5) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_user_and_nameless_frames_have_colours_of_their_own() {
        assert!(shade("do_syscall_64_[k]").b > shade("do_syscall_64_[k]").r);
        assert!(shade("main").r > shade("main").b);
        assert!(shade("[unknown]").r.abs_diff(shade("[unknown]").b) < 16);
    }

    #[test]
    fn a_class_of_waits_has_its_colour_and_is_told_where_it_occurs() {
        let stacks = ["p;[lock];main;--;q;[run\u{a0}queue];f", "p;[disk];g"];
        assert_eq!(shade("[run\u{a0}queue]"), parse("#f28b82"));
        let told: Vec<_> = key(stacks.into_iter(), "process").into_iter().map(|k| k.1).skip(4).collect();
        assert_eq!(told, ["who woke it, or what", "run queue", "disk", "lock"]);
        assert_eq!(key(["p;main"].into_iter(), "process").len(), 4);
    }
}
