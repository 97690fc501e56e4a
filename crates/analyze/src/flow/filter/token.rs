//! A filter's text cut into words.

use super::FilterError;

/// A piece of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name or a value.
    Word(String),
    /// A value in quotes: never a name.
    Quoted(String),
    /// `==`, `!=`, `<`, `(` and the like.
    Sign(&'static str),
}

/// Longest first: `>=` is not `>` and `=`.
const SIGNS: [&str; 15] = ["==", "!=", ">=", "<=", "&&", "||", ">", "<", "=", "!", "(", ")", "{", "}", ","];

/// The pieces, each with the column where it begins, from 1.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, FilterError> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let column = text[..at].chars().count() + 1;
        let Some(first) = rest.chars().next() else { return Ok(out) };
        if first == '"' {
            let (value, length) =
                quoted(&rest[1..]).ok_or_else(|| FilterError::new(column, "a quote without its end"))?;
            out.push((column, Token::Quoted(value)));
            rest = &rest[1 + length..];
        } else if let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(**s)) {
            out.push((column, Token::Sign(sign)));
            rest = &rest[sign.len()..];
        } else {
            let of_word = |c: char| c.is_alphanumeric() || "_.:/[]%*-@$?&+".contains(c);
            let length = rest.find(|c| !of_word(c)).unwrap_or(rest.len());
            if length == 0 {
                return Err(FilterError::new(column, format!("{first:?} has no meaning here")));
            }
            out.push((column, Token::Word(rest[..length].to_owned())));
            rest = &rest[length..];
        }
    }
}

/// What stands in quotes, and how many bytes that took with the quote behind it.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, at + 1)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}
