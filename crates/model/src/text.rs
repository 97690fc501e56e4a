//! Captured text is hostile: how it is made safe to show on a terminal.

use std::borrow::Cow;

/// The text with control characters (terminal escapes, backspaces, newlines, bidirectional overrides) made visible
/// as `\x1b` or `\u{202e}`. Tabs become a space. Safe for a terminal line; HTML needs its own escaping on top.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\t' => out.push(' '),
            c if is_hidden(c) && (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if is_hidden(c) => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether a character shows nothing by itself, or changes how its neighbours show.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{00ad}'
                | '\u{061c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{fffe}'..='\u{ffff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn terminal_escapes_and_direction_overrides_become_visible() {
        assert_eq!(visible("a\x1b[31mred\tb\u{202e}c\r\n"), "a\\x1b[31mred b\\u{202e}c\\x0d\\x0a");
        assert_eq!(visible("\u{ad}\u{ffff}"), "\\xad\\u{ffff}");
        assert_eq!(visible("plain ünïcode"), "plain ünïcode");
    }
}
