//! The words of SQL statements, and `sql-mask/1`, which takes the literals out of a statement before it is stored.
//!
//! [`tokens`] cuts a statement into its words without knowing its grammar, so that it also works for statements that
//! were cut off, or that no parser knows. The mask is made of it: strings (`'…'`, `E'…'`, `$tag$…$tag$`, …) and numbers
//! become `?`, comments are left out, white space becomes one space. What stays is the shape: keywords, names of tables
//! and columns, parameters (`$1`). A secret that a program writes as a name (`SET app.token TO abc`) cannot be known.

/// The name of this policy in the manifest.
pub const POLICY: &str = "sql-mask/1";

/// Bytes of a masked statement at most.
const BYTES: usize = 256;
const CUT: &str = "…";

/// Whose rules of quoting hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL (Documentation, 4.1 Lexical Structure).
    Postgres,
    /// MySQL and MariaDB (Reference Manual, 11.1 Literal Values and 11.7 Comments), with their default `sql_mode`:
    /// `"…"` is a string, a backslash escapes, names stand in backquotes.
    Mysql,
}

/// What a [`Token`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// White space and control bytes.
    Space,
    /// A comment.
    Comment,
    /// A string with its prefix and quotes.
    String,
    /// A number, and whatever is glued to it.
    Number,
    /// A keyword or an unquoted name.
    Name,
    /// A quoted name, with its quotes.
    Quoted,
    /// A parameter: `$1`, or `?` where it is one.
    Parameter,
    /// One byte of anything else.
    Other,
}

/// A word of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// As it stands in the statement.
    pub text: &'a [u8],
    /// Where it ends depends on a setting of the session or on the version of the server: what follows it may belong to
    /// it.
    pub ambiguous: bool,
}

/// The words of a statement, which may be cut off anywhere. All bytes of it are in one of them.
pub fn tokens(sql: &[u8], dialect: Dialect) -> Tokens<'_> {
    Tokens { sql, at: 0, dialect }
}

/// The statement of Postgres with its literals masked. It may be cut off anywhere.
pub fn mask(sql: &[u8]) -> String {
    let mut out = Vec::new();
    let mut space = false;
    for token in tokens(sql, Dialect::Postgres) {
        if out.len() > BYTES {
            break;
        }
        let text = match token.kind {
            Kind::Space | Kind::Comment => {
                space = true;
                continue;
            }
            Kind::String | Kind::Number => b"?",
            _ => token.text,
        };
        if std::mem::take(&mut space) && !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(text);
        if token.ambiguous {
            out.extend_from_slice(b" ");
            out.extend_from_slice(CUT.as_bytes());
            break;
        }
    }
    let text = String::from_utf8_lossy(&out);
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

/// See [`tokens`].
#[derive(Debug, Clone)]
pub struct Tokens<'a> {
    sql: &'a [u8],
    at: usize,
    dialect: Dialect,
}

/// A byte of a name, behind its first.
fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$') || b >= 0x80
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if self.at >= self.sql.len() {
            return None;
        }
        let (kind, end, ambiguous) = self.token();
        let end = (self.at + end).min(self.sql.len());
        let text = &self.sql[self.at..end];
        self.at = end;
        Some(Token { kind, text, ambiguous })
    }
}

impl Tokens<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.sql.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// The token at hand: its kind, its length (which may lie behind the end), whether it is ambiguous.
    fn token(&self) -> (Kind, usize, bool) {
        let mysql = self.dialect == Dialect::Mysql;
        match (self.peek(0), self.peek(1)) {
            // Vertical tabs are white space since Postgres 16; other control bytes stand in no statement.
            (b, _) if b.is_ascii_whitespace() || b.is_ascii_control() => {
                (Kind::Space, self.run(1, |b| b.is_ascii_whitespace() || b.is_ascii_control()), false)
            }
            (b'-', b'-') if !mysql || !self.peek(2).is_ascii_graphic() => self.line_comment(),
            (b'#', _) if mysql => self.line_comment(),
            (b'/', b'*') => (Kind::Comment, self.comment(), false),
            (b'\'', _) => self.string(0, mysql),
            (b'"', _) if mysql => self.string(0, true),
            (quote @ (b'"' | b'`'), _) if quote == b'"' || mysql => (Kind::Quoted, self.quoted(quote), false),
            (b'$', next) if next.is_ascii_digit() => (Kind::Parameter, self.run(1, |b| b.is_ascii_digit()), false),
            (b'?', _) if mysql => (Kind::Parameter, 1, false),
            (b'$', _) if !mysql => self.dollar(),
            (b, next) if b.is_ascii_digit() || (b == b'.' && next.is_ascii_digit()) => self.number(),
            (b, _) if is_name(b) => self.name(),
            _ => (Kind::Other, 1, false),
        }
    }

    /// How many bytes from here on, the first `from` of them whatever they are, are such.
    fn run(&self, from: usize, such: impl Fn(u8) -> bool) -> usize {
        let mut end = from;
        while self.at + end < self.sql.len() && such(self.peek(end)) {
            end += 1;
        }
        end
    }

    fn line_comment(&self) -> (Kind, usize, bool) {
        (Kind::Comment, self.run(1, |b| b != b'\n' && b != b'\r'), false)
    }

    /// Comments of this kind may hold others in Postgres.
    fn comment(&self) -> usize {
        let (mut depth, mut end) = (1u32, 2);
        while self.at + end < self.sql.len() && depth > 0 {
            match (self.peek(end), self.peek(end + 1)) {
                (b'/', b'*') if self.dialect == Dialect::Postgres => (depth, end) = (depth + 1, end + 2),
                (b'*', b'/') => (depth, end) = (depth - 1, end + 2),
                _ => end += 1,
            }
        }
        end
    }

    /// A string whose quote stands `prefix` bytes ahead. Whether `\'` ends one without a prefix depends on a setting of
    /// the session (`standard_conforming_strings`, `NO_BACKSLASH_ESCAPES`).
    fn string(&self, prefix: usize, escapes: bool) -> (Kind, usize, bool) {
        let quote = self.peek(prefix);
        let mut end = prefix + 1;
        let mut ambiguous = false;
        while self.at + end < self.sql.len() {
            let next = self.peek(end + 1);
            match self.peek(end) {
                b'\\' if escapes => end += 1,
                b'\\' => ambiguous |= next == quote,
                b if b == quote && next == quote => end += 1,
                b if b == quote => break,
                _ => {}
            }
            end += 1;
        }
        (Kind::String, end + 1, ambiguous)
    }

    fn quoted(&self, quote: u8) -> usize {
        let mut end = 1;
        while self.at + end < self.sql.len() {
            match (self.peek(end), self.peek(end + 1)) {
                (a, b) if a == quote && b == quote => end += 2,
                (a, _) if a == quote => break,
                _ => end += 1,
            }
        }
        end + 1
    }

    /// `$tag$…$tag$`, or a `$` of no meaning.
    fn dollar(&self) -> (Kind, usize, bool) {
        let end = self.run(1, |b| is_name(b) && b != b'$');
        if self.peek(end) != b'$' {
            // Cut in the middle of a tag: what would follow is gone as well.
            return (Kind::Other, 1, false);
        }
        let tag = &self.sql[self.at..self.at + end + 1];
        let from = self.at + tag.len();
        let close = self.sql[from..].windows(tag.len()).position(|w| w == tag);
        (Kind::String, close.map_or(self.sql.len(), |at| at + 2 * tag.len()), false)
    }

    /// A number, and whatever is glued to it. A `$` begins what comes next: `1$$…$$` is a number and a string. Behind
    /// letters it depends on the version of Postgres (`1a$$…`, `0x1f$$…`). A name of MySQL may begin with digits.
    fn number(&self) -> (Kind, usize, bool) {
        let glued = |b: u8| (is_name(b) && b != b'$') || b == b'.';
        let mut end = self.run(1, glued);
        while matches!(self.peek(end), b'+' | b'-')
            && matches!(self.peek(end - 1), b'e' | b'E')
            && self.peek(end + 1).is_ascii_digit()
        {
            end = self.run(end + 1, glued);
        }
        let letters = self.sql[self.at..self.at + end].iter().any(|&b| !b.is_ascii_digit() && b != b'.');
        (Kind::Number, end, letters && self.peek(end) == b'$')
    }

    /// A keyword or name; or the prefix of a string.
    fn name(&self) -> (Kind, usize, bool) {
        let end = self.run(1, is_name);
        let name = &self.sql[self.at..self.at + end];
        let mysql = self.dialect == Dialect::Mysql;
        match (name, self.peek(end), self.peek(end + 1)) {
            ([b'e' | b'E'], b'\'', _) if !mysql => self.string(end, true),
            ([b'b' | b'B' | b'x' | b'X' | b'n' | b'N'], b'\'', _) => self.string(end, mysql),
            ([b'u' | b'U'], b'&', b'\'') if !mysql => self.string(end + 1, false),
            _ => (Kind::Name, end, false),
        }
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

    #[test]
    fn the_words_of_mysql_have_other_quotes() {
        let sql = br#"select "a\"b", `c``d`, 'it\'s' # x
 -- y
 , 5--3, ? /* a /* b */ from t"#;
        let words: Vec<_> = tokens(sql, Dialect::Mysql)
            .filter(|t| t.kind != Kind::Space)
            .map(|t| (t.kind, String::from_utf8_lossy(t.text).into_owned()))
            .collect();
        let kinds = |kind| words.iter().filter(|w| w.0 == kind).map(|w| w.1.as_str()).collect::<Vec<_>>();
        assert_eq!(kinds(Kind::String), [r#""a\"b""#, r"'it\'s'"]);
        assert_eq!(kinds(Kind::Quoted), ["`c``d`"]);
        assert_eq!(kinds(Kind::Comment), ["# x", "-- y", "/* a /* b */"]);
        assert_eq!(kinds(Kind::Number), ["5", "3"]);
        assert_eq!(kinds(Kind::Name), ["select", "from", "t"]);
    }

    #[test]
    fn the_words_together_are_the_statement() {
        let sql = b"select $$a, 'b\\' || E'c\\'' /* d /* e */ -- f";
        for end in 0..=sql.len() {
            for dialect in [Dialect::Postgres, Dialect::Mysql] {
                let joined: Vec<u8> = tokens(&sql[..end], dialect).flat_map(|t| t.text.to_vec()).collect();
                assert_eq!(joined, &sql[..end]);
            }
        }
    }
}
