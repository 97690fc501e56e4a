//! Route templates: what the targets of one kind of request share.

use super::DETAIL;

/// A run of letters and digits at least this long that holds a digit is a token: a session, a hash in base 64.
const TOKEN: usize = 20;
/// Likewise, of hexadecimal digits only.
const HEX: usize = 8;

/// The path of a target with its variable parts replaced: `{n}` a number, `{uuid}`, `{hex}` of 8 digits and more,
/// `{token}` other long names with digits in them. Scheme, authority and query string are dropped.
pub fn template(target: &str) -> String {
    let path = path(target);
    let mut out = String::with_capacity(path.len().min(DETAIL));
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        push_segment(&mut out, segment);
        if out.len() >= DETAIL {
            break;
        }
    }
    bounded(&out)
}

/// The path of a target in origin or absolute form (RFC 9112 3.2), without query and fragment.
fn path(target: &str) -> &str {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    }
}

/// The authority of a target in absolute form.
pub fn authority(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    (!scheme.contains(['/', '?'])).then(|| rest.split(['/', '?', '#']).next().unwrap_or_default())
}

/// A text cut to [`DETAIL`] bytes, at a character.
pub fn bounded(text: &str) -> String {
    let mut end = text.len().min(DETAIL);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn push_segment(out: &mut String, segment: &str) {
    if is_uuid(segment) {
        out.push_str("{uuid}");
        return;
    }
    // A long token may hold '-' and '_' itself (RFC 4648 5).
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if segment.len() >= TOKEN && segment.chars().all(plain) && is_mixed(segment) {
        out.push_str("{token}");
        return;
    }
    let mut rest = segment;
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if word == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            push_word(out, &rest[..word]);
            rest = &rest[word..];
        }
    }
}

fn push_word(out: &mut String, word: &str) {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let by = if digits == word.len() {
        "{n}"
    } else if digits > 0 && word.len() >= HEX && word.bytes().all(|b| b.is_ascii_hexdigit()) {
        "{hex}"
    } else if digits > 0 && word.len() >= TOKEN {
        "{token}"
    } else {
        word
    };
    out.push_str(by);
}

/// Looks random: digits, capital and small letters, changing often.
fn is_mixed(segment: &str) -> bool {
    let class = |b: u8| match b {
        b'0'..=b'9' => 1,
        b'A'..=b'Z' => 2,
        b'a'..=b'z' => 3,
        _ => 0,
    };
    let bytes = segment.as_bytes();
    let changes = bytes.windows(2).filter(|w| class(w[0]) != class(w[1]) && class(w[0]) * class(w[1]) != 0).count();
    bytes.iter().any(u8::is_ascii_digit) && changes >= segment.len() / 4
}

fn is_uuid(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_parts_are_replaced_and_the_rest_stays() {
        for (target, want) in [
            ("/", "/"),
            ("*", "*"),
            ("/api/v1/users/42/orders/7?x=1#y", "/api/v1/users/{n}/orders/{n}"),
            ("http://example.org:80/a/1", "/a/{n}"),
            ("http://example.org?q", "/"),
            ("/login?next=http://x/", "/login"),
            ("/o/123e4567-e89b-12d3-a456-426614174000", "/o/{uuid}"),
            ("/static/app.3f2a9c1b77.js", "/static/app.{hex}.js"),
            ("/d/2024-01-02/order-17", "/d/{n}-{n}-{n}/order-{n}"),
            ("/s/eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "/s/{token}"),
            ("/reset/dGhpcy1pcy1h_IHRva2VuMTIz", "/reset/{token}"),
            ("/some-long-page-name-of-2024-in-words", "/some-long-page-name-of-{n}-in-words"),
            ("/facade/decade/added", "/facade/decade/added"),
            ("/caf\u{e9}/\u{4e2d}1", "/caf\u{e9}/\u{4e2d}{n}"),
        ] {
            assert_eq!(template(target), want, "{target}");
        }
        assert_eq!(authority("http://a:80/x"), Some("a:80"));
        assert_eq!(authority("/x?http://a"), None);
    }

    #[test]
    fn a_long_target_is_cut_at_a_character() {
        assert_eq!(template(&"/\u{4e2d}".repeat(1000)).len(), DETAIL);
        assert_eq!(bounded(&"\u{4e2d}".repeat(1000)).len(), 1023);
    }
}
