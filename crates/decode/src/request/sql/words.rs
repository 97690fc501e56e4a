//! The words of a statement: literals masked, lists that look alike made one.

use coldcase_model::sql::{Dialect, Kind, tokens};

/// A word that is part of the statement's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a [u8],
    /// No white space stood before it.
    pub(super) glued: bool,
}

impl Word<'_> {
    fn is(&self, byte: u8) -> bool {
        self.kind == Kind::Other && self.text == [byte]
    }

    fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Name && self.text.eq_ignore_ascii_case(word.as_bytes())
    }

    /// A literal or a parameter.
    fn is_value(&self) -> bool {
        matches!(self.kind, Kind::String | Kind::Number | Kind::Parameter)
    }
}

/// The words of a statement.
#[derive(Debug)]
pub(super) struct Words<'a> {
    pub(super) list: Vec<Word<'a>>,
    /// What followed could not be told apart from a literal, and is left out.
    pub(super) torn: bool,
    dialect: Dialect,
}

/// Cuts a statement into words; literals of one kind are equal from here on.
pub(super) fn of(sql: &[u8], dialect: Dialect) -> Words<'_> {
    let mut list: Vec<Word<'_>> = Vec::new();
    let (mut glued, mut torn) = (true, false);
    for token in tokens(sql, dialect) {
        match token.kind {
            Kind::Space | Kind::Comment => {
                glued = false;
                continue;
            }
            Kind::String => list.push(Word { kind: Kind::String, text: b"'?'", glued }),
            kind => list.push(Word { kind, text: token.text, glued }),
        }
        glued = true;
        if token.ambiguous {
            torn = true;
            break;
        }
    }
    while list.last().is_some_and(|w| w.is(b';')) {
        list.pop();
    }
    let mut words = Words { list, torn, dialect };
    words.collapse();
    words
}

impl Words<'_> {
    /// `IN (1, 2, 3)` becomes `IN (1)`, `(1, 'a'), (2, 'b')` becomes `(1, 'a')`: the lists of literals that programs
    /// make as long as they need. Done here, so that long ones cost no parsing.
    fn collapse(&mut self) {
        let mut out: Vec<Word<'_>> = Vec::with_capacity(self.list.len());
        let mut at = 0;
        while at < self.list.len() {
            let Some(end) = self.flat_list(at) else {
                out.push(self.list[at]);
                at += 1;
                continue;
            };
            let behind_in = at > 0 && self.list[at - 1].is_word("in");
            if behind_in {
                out.extend([self.list[at], self.list[at + 1], self.list[end - 1]]);
                at = end;
                continue;
            }
            out.extend_from_slice(&self.list[at..end]);
            let mut next = end;
            while self.list.get(next).is_some_and(|w| w.is(b','))
                && let Some(behind) = self.flat_list(next + 1)
                && self.alike(at..end, next + 1..behind)
            {
                next = behind;
            }
            at = next;
        }
        self.list = out;
    }

    /// The end of a list `(value, value, …)` that begins at `at`.
    fn flat_list(&self, at: usize) -> Option<usize> {
        if !self.list.get(at)?.is(b'(') {
            return None;
        }
        let mut at = at + 1;
        loop {
            if self.list.get(at)?.is(b'-') {
                at += 1;
            }
            let word = self.list.get(at)?;
            let word_value = ["null", "true", "false", "default"].iter().any(|v| word.is_word(v));
            if !word.is_value() && !word_value {
                return None;
            }
            match self.list.get(at + 1)? {
                w if w.is(b',') => at += 2,
                w if w.is(b')') => return Some(at + 2),
                _ => return None,
            }
        }
    }

    /// Whether two flat lists have as many values.
    fn alike(&self, a: std::ops::Range<usize>, b: std::ops::Range<usize>) -> bool {
        let values = |r: std::ops::Range<usize>| self.list[r].iter().filter(|w| w.is(b',')).count();
        values(a) == values(b)
    }

    /// Leaves out the last word, which may be half of one.
    pub(super) fn drop_last(&mut self) {
        self.list.pop();
    }

    /// The words with one rule of spacing, so that how a program spaces them does not matter.
    pub(super) fn print(&self) -> String {
        let mut out = String::new();
        let mut before: Option<&Word<'_>> = None;
        for (i, word) in self.list.iter().enumerate() {
            let sign = word.is(b'-') && self.list.get(i + 1).is_some_and(|w| w.kind == Kind::Number);
            if sign && before.is_none_or(|b| b.kind == Kind::Other && !b.is(b')')) {
                continue;
            }
            let operator = |w: &Word<'_>| w.kind == Kind::Other && !b"(),.;[]".contains(&w.text[0]);
            let space = before.is_some_and(|b| {
                let tight =
                    word.is(b',') || word.is(b')') || word.is(b'.') || word.is(b';') || b.is(b'(') || b.is(b'.');
                let one_operator = operator(b) && operator(word) && word.glued;
                let call = word.is(b'(') && word.glued && b.kind == Kind::Name && !is_keyword(b.text);
                let square = word.is(b'[') || word.is(b']') || b.is(b'[');
                !(tight || one_operator || call || square)
            });
            if space {
                out.push(' ');
            }
            out.push_str(&self.spelled(word, i));
            before = Some(word);
        }
        out
    }

    fn spelled(&self, word: &Word<'_>, at: usize) -> String {
        let text = String::from_utf8_lossy(word.text);
        match word.kind {
            Kind::String | Kind::Number | Kind::Parameter => "?".into(),
            Kind::Name if is_keyword(word.text) => {
                let behind_equals = at > 0 && (self.list[at - 1].is(b'=') || self.list[at - 1].is(b','));
                let value = ["null", "true", "false"].iter().any(|v| word.is_word(v));
                if behind_equals && value { "?".into() } else { text.to_ascii_uppercase() }
            }
            Kind::Name => self.folded(at).unwrap_or_else(|| text.into_owned()),
            _ => text.into_owned(),
        }
    }

    /// The name at `at` in the case that it is compared in, where that is another than it is written in: Postgres folds
    /// all unquoted names, MySQL those of functions.
    pub(super) fn folded(&self, at: usize) -> Option<String> {
        let word = self.list.get(at)?;
        let call = || self.list.get(at + 1).is_some_and(|w| w.is(b'('));
        if word.kind != Kind::Name || !(self.dialect == Dialect::Postgres || call()) {
            return None;
        }
        Some(String::from_utf8_lossy(word.text).to_ascii_lowercase())
    }
}

/// Words that are written in capitals.
const KEYWORDS: &str = "ADD ALL ALTER ANALYZE AND AS ASC BEGIN BETWEEN BY CALL CASE CHECKPOINT CLOSE COLUMN COMMIT CONFLICT COPY \
    CREATE CROSS CURSOR DATABASE DEALLOCATE DECLARE DEFAULT DELETE DESC DISCARD DISTINCT DO DROP DUPLICATE ELSE \
    END EXCEPT EXECUTE EXISTS EXPLAIN FALSE FETCH FOR FOREIGN FROM FULL GRANT GROUP HAVING IF IN INDEX INNER \
    INSERT INTERSECT INTO IS JOIN KEY LATERAL LEFT LIKE LIMIT LISTEN LOAD LOCK NATURAL NOT NOTHING NOTIFY NULL \
    OFFSET ON OR ORDER OUTER OVER PARTITION PREPARE PRIMARY REFRESH RELEASE REPLACE RESET RETURNING REVOKE RIGHT \
    ROLLBACK ROW SAVEPOINT SELECT SET SHOW START TABLE THEN TO TRANSACTION TRUE TRUNCATE UNION UNIQUE UNLISTEN \
    UPDATE USE USING VACUUM VALUES VIEW WHEN WHERE WITH";

fn is_keyword(name: &[u8]) -> bool {
    KEYWORDS.split(' ').any(|k| name.eq_ignore_ascii_case(k.as_bytes()))
}
