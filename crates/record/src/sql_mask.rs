//! `sql-mask/1`: takes the literals out of SQL statements before they are stored.
//!
//! Strings (`'…'`, `E'…'`, `$tag$…$tag$`, …) and numbers become `?`, comments are left out, white space becomes one space. What
//! stays is the shape: keywords, names of tables and columns, parameters (`$1`). Written for Postgres; a secret that a
//! program writes as a name (`SET app.token TO abc`) cannot be known.

/// The name of this policy in the manifest.
pub const POLICY: &str = "sql-mask/1";

/// Bytes of a masked statement at most.
const BYTES: usize = 256;
const CUT: &str = "…";

/// The statement with its literals masked. It may be cut off anywhere.
pub fn mask(sql: &[u8]) -> String {
    let mut masker = Masker { sql, at: 0, out: Vec::new(), space: false };
    while masker.at < sql.len() && masker.out.len() <= BYTES && masker.token() {}
    let text = String::from_utf8_lossy(&masker.out);
    // With and without its end it is the same statement.
    bounded(text.trim_end_matches([';', ' ']))
}

fn bounded(text: &str) -> String {
    if text.len() <= BYTES {
        return text.to_owned();
    }
    let end = (0..=BYTES - CUT.len()).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    format!("{}{CUT}", &text[..end])
}

struct Masker<'a> {
    sql: &'a [u8],
    at: usize,
    out: Vec<u8>,
    /// White space or a comment stood before what comes next.
    space: bool,
}

/// A byte of a name, behind its first.
fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$') || b >= 0x80
}

impl Masker<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.sql.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Takes a token; false when what follows cannot be told apart.
    fn token(&mut self) -> bool {
        match (self.peek(0), self.peek(1)) {
            // Vertical tabs are white space since Postgres 16; other control bytes stand in no statement.
            (b, _) if b.is_ascii_whitespace() || b.is_ascii_control() => self.skip(1),
            (b'-', b'-') => {
                let rest = &self.sql[self.at..];
                self.skip(rest.iter().position(|&b| b == b'\n' || b == b'\r').unwrap_or(rest.len()));
            }
            (b'/', b'*') => self.comment(),
            (b'\'', _) => return self.string(0, false),
            (b'"', _) => self.quoted_name(),
            (b'$', next) if next.is_ascii_digit() => {
                let end = self.run(1, |b| b.is_ascii_digit());
                self.copy(end);
            }
            (b'$', _) => self.dollar(),
            (b, next) if b.is_ascii_digit() || (b == b'.' && next.is_ascii_digit()) => return self.number(),
            (b, _) if is_name(b) => return self.name(),
            _ => self.copy(1),
        }
        true
    }

    /// How many bytes from here on, the first `from` of them whatever they are, are such.
    fn run(&self, from: usize, such: impl Fn(u8) -> bool) -> usize {
        let mut end = from;
        while self.at + end < self.sql.len() && such(self.peek(end)) {
            end += 1;
        }
        end
    }

    fn skip(&mut self, bytes: usize) {
        self.at += bytes;
        self.space = true;
    }

    fn put(&mut self, bytes: &[u8]) {
        if std::mem::take(&mut self.space) && !self.out.is_empty() {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(bytes);
    }

    fn copy(&mut self, bytes: usize) {
        let end = (self.at + bytes).min(self.sql.len());
        let sql = self.sql;
        self.put(&sql[self.at..end]);
        self.at = end;
    }

    fn masked(&mut self, end: usize) {
        self.at = end.min(self.sql.len());
        self.put(b"?");
    }

    /// Comments of this kind may hold others.
    fn comment(&mut self) {
        let mut depth = 0u32;
        while self.at < self.sql.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => (depth, self.at) = (depth + 1, self.at + 2),
                (b'*', b'/') => (depth, self.at) = (depth - 1, self.at + 2),
                _ => self.at += 1,
            }
            if depth == 0 {
                break;
            }
        }
        self.space = true;
    }

    /// A string whose quote stands `prefix` bytes ahead. Whether `\'` ends one without a prefix depends on a setting of the
    /// session (`standard_conforming_strings`): the rest of the statement is left out then.
    fn string(&mut self, prefix: usize, escapes: bool) -> bool {
        let mut end = self.at + prefix + 1;
        let mut ambiguous = false;
        while let Some(&b) = self.sql.get(end) {
            let next = self.sql.get(end + 1);
            match b {
                b'\\' if escapes => end += 1,
                b'\\' => ambiguous |= next == Some(&b'\''),
                b'\'' if next == Some(&b'\'') => end += 1,
                b'\'' => break,
                _ => {}
            }
            end += 1;
        }
        self.masked(end + 1);
        if ambiguous {
            self.leave_out();
        }
        !ambiguous
    }

    /// A quoted name, as it is.
    fn quoted_name(&mut self) {
        let mut end = 1;
        while self.at + end < self.sql.len() {
            match (self.peek(end), self.peek(end + 1)) {
                (b'"', b'"') => end += 2,
                (b'"', _) => break,
                _ => end += 1,
            }
        }
        self.copy(end + 1);
    }

    /// `$tag$…$tag$`, or a `$` of no meaning.
    fn dollar(&mut self) {
        let end = self.run(1, |b| is_name(b) && b != b'$');
        if self.peek(end) != b'$' {
            // Cut in the middle of a tag: what would follow is gone as well.
            return self.copy(1);
        }
        let tag = &self.sql[self.at..self.at + end + 1];
        let from = self.at + tag.len();
        let close = self.sql[from..].windows(tag.len()).position(|w| w == tag);
        self.masked(close.map_or(self.sql.len(), |at| from + at + tag.len()));
    }

    /// A number, and whatever is glued to it. A `$` begins what comes next: `1$$…$$` is a number and a string. Behind
    /// letters it depends on the version of Postgres (`1a$$…`, `0x1f$$…`): the rest of the statement is left out then.
    fn number(&mut self) -> bool {
        let glued = |b: u8| (is_name(b) && b != b'$') || b == b'.';
        let mut end = self.run(1, glued);
        while matches!(self.peek(end), b'+' | b'-')
            && matches!(self.peek(end - 1), b'e' | b'E')
            && self.peek(end + 1).is_ascii_digit()
        {
            end = self.run(end + 1, glued);
        }
        let letters = self.sql[self.at..self.at + end].iter().any(|&b| !b.is_ascii_digit() && b != b'.');
        let ambiguous = letters && self.peek(end) == b'$';
        self.masked(self.at + end);
        if ambiguous {
            self.leave_out();
        }
        !ambiguous
    }

    /// Leaves out the rest of the statement.
    fn leave_out(&mut self) {
        self.at = self.sql.len();
        self.space = true;
        self.put(CUT.as_bytes());
    }

    /// A keyword or name; or the prefix of a string.
    fn name(&mut self) -> bool {
        let end = self.run(1, is_name);
        let name = &self.sql[self.at..self.at + end];
        match (name, self.peek(end), self.peek(end + 1)) {
            ([b'e' | b'E'], b'\'', _) => return self.string(end, true),
            ([b'b' | b'B' | b'x' | b'X' | b'n' | b'N'], b'\'', _) => return self.string(end, false),
            ([b'u' | b'U'], b'&', b'\'') => return self.string(end + 1, false),
            _ => self.copy(end),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_masked_and_the_shape_stays() {
        let cases: [(&str, &str); 23] = [
            ("select pg_sleep(0.2)", "select pg_sleep(?)"),
            ("SELECT * FROM t1 WHERE a='it''s' AND b = -12.5e-3;", "SELECT * FROM t1 WHERE a=? AND b = -?"),
            ("insert into \"Odd \"\"name\" values ($1, 0xff, .5)", "insert into \"Odd \"\"name\" values ($1, ?, ?)"),
            ("select E'a\\'b' , e'\\\\', x", "select ? , ?, x"),
            ("select U&'d\\0061t', B'101', N'x'", "select ?, ?, ?"),
            ("select $$a'b$$, $q$ $$ $q$, $1", "select ?, ?, $1"),
            ("select 1 -- secret 'x\n, 2", "select ? , ?"),
            ("select /* a /* b */ c */ x", "select x"),
            ("  a\n\t b  ", "a b"),
            ("select 'cut in the mid", "select ?"),
            ("select $tag$cut", "select ?"),
            ("select /* cut", "select"),
            ("select 12345abc, a1b2", "select ?, a1b2"),
            ("select 'a\\' , 'hidden'", "select ? …"),
            ("select 1$$my secret$$, x", "select ??, x"),
            ("select 1.5$q$ $$ $q$, $1$$secret$$, 1$2", "select ??, $1?, ?$2"),
            ("select a$$b$$, c", "select a$$b$$, c"),
            ("select 1a$$ 'x' $$, hidden", "select ? …"),
            ("select 0x1f$$hidden$$", "select ? …"),
            ("select\x0b1\x0b, \x01\x1fx\x7f y", "select ? , x y"),
            ("\x0bselect 'a'\x0b", "select ?"),
            ("alter user x password 'hunter2'", "alter user x password ?"),
            ("", ""),
        ];
        for (sql, masked) in cases {
            assert_eq!(mask(sql.as_bytes()), masked, "{sql}");
        }
    }

    #[test]
    fn a_long_statement_is_cut_between_characters() {
        let masked = mask("sélect ü ".repeat(100).as_bytes());
        assert!(masked.len() <= BYTES && masked.ends_with('…'), "{masked}");
    }

    #[test]
    fn no_literal_survives_wherever_the_text_is_cut() {
        let sql = "select 'SECRETa', E'\\'SECRETb', $x$SECRETc$x$, 7312345, \"n\" /* SECRETd */ from t -- SECRETe\n where a=U&'SECRETf' or 1$$SECRET a$$ or 1$q$SECRET a$q$";
        for end in 0..=sql.len() {
            let masked = mask(&sql.as_bytes()[..end]);
            assert!(!masked.contains("SECRET") && !masked.contains('7'), "{masked}");
        }
    }

    #[test]
    fn garbage_is_survived() {
        let pieces: [&[u8]; 14] =
            [b"'", b"\\", b"$", b"$a$", b"\"", b"/*", b"*/", b"--", b"\n", b"1", b"e", b"\xff", b"U&'", b"."];
        let mut state = 7u64;
        for _ in 0..20_000 {
            let mut sql = Vec::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                sql.extend_from_slice(pieces[(state >> 33) as usize % pieces.len()]);
            }
            assert!(mask(&sql).len() <= BYTES + 2);
        }
    }
}
