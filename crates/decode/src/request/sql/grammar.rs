//! A statement printed again from its syntax tree, with `?` for its literals.

use std::ops::ControlFlow;

use coldcase_model::sql::{Dialect, Kind};
use sqlparser::ast::{Expr, InTarget, Query, SetExpr, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut};
use sqlparser::dialect::{MySqlDialect, PostgreSqlDialect};
use sqlparser::parser::Parser;

use super::words::Words;

/// Longest text that is given to the parser, in bytes after lists were made short.
const BYTES: usize = 16 << 10;
/// Most operators, brackets and words of one statement that could be nested in each other: the tree is walked, printed
/// and dropped by recursion.
const NESTED: usize = 200;
/// How deep the parser may nest.
const DEPTH: usize = 24;

/// `None` where the grammar does not know the statement, or it is too large for the parser.
pub(super) fn print(words: &Words<'_>, dialect: Dialect) -> Option<String> {
    let text = text(words)?;
    let mysql = dialect == Dialect::Mysql;
    let dialect: &dyn sqlparser::dialect::Dialect = if mysql { &MySqlDialect {} } else { &PostgreSqlDialect {} };
    let mut parser = Parser::new(dialect).with_recursion_limit(DEPTH).try_with_sql(&text).ok()?;
    let mut statements = parser.parse_statements().ok()?;
    if statements.is_empty() {
        return None;
    }
    let _: ControlFlow<()> = statements.visit(&mut Masks);
    let printed: Vec<String> = statements.iter().map(ToString::to_string).collect();
    // What the tree keeps as plain text (comments on tables, passwords of roles) still has its quotes.
    Some(printed.join("; ").replace("'?'", "?"))
}

/// The words as text, where they are few and flat enough.
fn text(words: &Words<'_>) -> Option<String> {
    let mut out = String::new();
    let (mut nested, mut depth) = (0, 0usize);
    for (i, word) in words.list.iter().enumerate() {
        if !word.glued && !out.is_empty() {
            out.push(' ');
        }
        match words.folded(i) {
            Some(folded) => out.push_str(&folded),
            None => out.push_str(std::str::from_utf8(word.text).ok()?),
        }
        match (word.kind, word.text) {
            // It reads rows from behind the statement.
            (Kind::Name, name) if i == 0 && name.eq_ignore_ascii_case(b"copy") => return None,
            (Kind::Other, b"," | b"." | b";") => {}
            (Kind::Other, b"(" | b"[" | b"{") => (depth, nested) = (depth + 1, nested + 1),
            (Kind::Other, b")" | b"]" | b"}") => depth = depth.saturating_sub(1),
            (Kind::Other, _) => nested += 1,
            (Kind::Name, name) if chains(name) => nested += 1,
            _ => {}
        }
        if nested > NESTED || depth > DEPTH || out.len() > BYTES {
            return None;
        }
    }
    Some(out)
}

/// Words that make the tree deeper each time they come.
fn chains(name: &[u8]) -> bool {
    const WORDS: [&str; 32] = [
        "AND",
        "OR",
        "XOR",
        "NOT",
        "IS",
        "LIKE",
        "ILIKE",
        "RLIKE",
        "REGEXP",
        "SIMILAR",
        "BETWEEN",
        "IN",
        "DIV",
        "MOD",
        "COLLATE",
        "AT",
        "UNION",
        "INTERSECT",
        "EXCEPT",
        "MINUS",
        "CASE",
        "JOIN",
        "WITH",
        "OVERLAPS",
        "OPERATOR",
        "ISNULL",
        "NOTNULL",
        "MEMBER",
        "ANY",
        "INTERVAL",
        "SELECT",
        "EXPLAIN",
    ];
    WORDS.iter().any(|w| name.eq_ignore_ascii_case(w.as_bytes()))
}

/// Puts `?` for literals, and one for a row of the same.
struct Masks;

fn placeholder() -> Value {
    Value::Placeholder("?".into())
}

impl VisitorMut for Masks {
    type Break = ();

    fn post_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        value.value = placeholder();
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr: inner }
                if matches!(**inner, Expr::Value(_)) =>
            {
                let inner = std::mem::replace(
                    &mut **inner,
                    Expr::Wildcard(sqlparser::ast::helpers::attached_token::AttachedToken::empty()),
                );
                *expr = inner;
            }
            Expr::In { target: InTarget::List(list), .. } => list.dedup(),
            Expr::Array(array) => array.elem.dedup(),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Values(values) = &mut *query.body {
            values.rows.dedup_by(|a, b| a.content == b.content);
        }
        ControlFlow::Continue(())
    }
}
