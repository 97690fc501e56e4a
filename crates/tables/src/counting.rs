//! `count(*)` by itself. polars 0.46 answers `SELECT count(*) FROM t` with as many rows as `t` has, because what names no column counts as a constant
//! there (`polars-sql`, `SQLContext::process_select`); of a constant, `count(1)`, it says 1.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Query, Select, SelectItem, SetExpr,
    Statement, Visit, Visitor, visit_expressions,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

/// What a query counts without naming a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    /// Nothing, or polars answers it well.
    Otherwise,
    /// All that is selected: one row. `plain`: each value is a count, and of nothing that is 0.
    Alone { plain: bool },
    /// The same in a query within the query.
    Nested,
}

/// How a query counts. What is no SQL for us is left to polars.
pub(crate) fn of(sql: &str) -> Counting {
    let Ok(statements) = Parser::parse_sql(&GenericDialect {}, sql) else { return Counting::Otherwise };
    let [Statement::Query(query)] = statements.as_slice() else { return Counting::Otherwise };
    let mut within = Within { outer: query, counts: false };
    let _ = query.visit(&mut within);
    let nested = within.counts;
    match query.body.as_ref() {
        _ if nested => Counting::Nested,
        SetExpr::Select(select) if counts_alone(select) => {
            Counting::Alone { plain: select.projection.iter().all(is_plain) }
        }
        body if selects(body).iter().any(|s| counts_alone(s)) => Counting::Nested,
        _ => Counting::Otherwise,
    }
}

/// Whether a query within the outer one counts alone.
struct Within<'a> {
    outer: &'a Query,
    counts: bool,
}

impl Visitor for Within<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.counts |= !std::ptr::eq(query, self.outer) && selects(&query.body).iter().any(|s| counts_alone(s));
        ControlFlow::Continue(())
    }
}

/// The selects of a body: one, or those of a union.
fn selects(body: &SetExpr) -> Vec<&Select> {
    match body {
        SetExpr::Select(select) => vec![select],
        SetExpr::SetOperation { left, right, .. } => [selects(left), selects(right)].concat(),
        _ => Vec::new(),
    }
}

/// Whether it selects counts, and no column.
fn counts_alone(select: &Select) -> bool {
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, _) => !by.is_empty(),
    };
    if grouped || select.distinct.is_some() || select.from.is_empty() {
        return false;
    }
    let mut counts = false;
    for item in &select.projection {
        let Some(expr) = expression(item) else { return false };
        let column = visit_expressions(expr, |e| {
            counts |= is_count(e);
            match e {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_) => ControlFlow::Break(()),
                Expr::Function(f) if f.over.is_some() => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        if column.is_break() {
            return false;
        }
    }
    counts
}

fn expression(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

fn is_plain(item: &SelectItem) -> bool {
    expression(item).is_some_and(is_count)
}

/// `count(*)`, or of nothing.
fn is_count(e: &Expr) -> bool {
    let Expr::Function(Function { name, args, .. }) = e else { return false };
    let all = match args {
        FunctionArguments::None => true,
        FunctionArguments::List(list) => {
            matches!(list.args.as_slice(), [] | [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)])
        }
        FunctionArguments::Subquery(_) => false,
    };
    all && name.to_string().eq_ignore_ascii_case("count")
}

/// The query with `count(*)` for `count(1)`, which means the same: outside of quotes.
pub(crate) fn of_constants(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut quote = None;
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let word = out.chars().next_back().is_some_and(|p| p.is_alphanumeric() || p == '_');
        if quote.is_none()
            && !word
            && let Some(length) = count_of_number(rest)
        {
            out.push_str("count(*)");
            rest = &rest[length..];
            continue;
        }
        match (quote, c) {
            (None, '\'' | '"' | '`') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// The length of `count(1)` at the beginning of a text.
fn count_of_number(text: &str) -> Option<usize> {
    let after = |text: &'_ str| text.len() - text.trim_start().len();
    let name = text.get(..5).filter(|n| n.eq_ignore_ascii_case("count"))?.len();
    let open = name + after(&text[name..]);
    let inside = text[open..].strip_prefix('(').map(|_| open + 1)?;
    let number = inside + after(&text[inside..]);
    let end = number + text[number..].find(|c: char| !c.is_ascii_digit())?;
    let close = end + after(&text[end..]);
    (end > number && text[close..].starts_with(')')).then_some(close + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_alone_are_told_from_others() {
        let alone = |plain| Counting::Alone { plain };
        for (sql, expected) in [
            ("SELECT count(*) FROM t", alone(true)),
            ("SELECT COUNT(*) AS n, count() m FROM t WHERE a > 1", alone(true)),
            ("SELECT 2 * count(*) FROM t", alone(false)),
            ("SELECT count(*), max(a) FROM t", Counting::Otherwise),
            ("SELECT a, count(*) FROM t GROUP BY a", Counting::Otherwise),
            ("SELECT count(a) FROM t", Counting::Otherwise),
            ("SELECT sum(n) FROM (SELECT count(*) AS n FROM t)", Counting::Nested),
            ("WITH c AS (SELECT count(*) AS n FROM t) SELECT n FROM c", Counting::Nested),
            ("SELECT count(*) AS n FROM t UNION ALL SELECT count(*) AS n FROM u", Counting::Nested),
            ("SELECT count(*) FROM (SELECT a FROM t GROUP BY a)", alone(true)),
            ("SELECT 'count(*)' FROM t", Counting::Otherwise),
            ("no SQL", Counting::Otherwise),
        ] {
            assert_eq!(of(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_count_of_a_constant_is_one_of_rows() {
        for (sql, expected) in [
            ("SELECT count(1) FROM t", "SELECT count(*) FROM t"),
            ("SELECT COUNT ( 42 ) FROM t", "SELECT count(*) FROM t"),
            (
                "SELECT 'count(1)', \"count(1)\", discount(1), count(a), count(1",
                "SELECT 'count(1)', \"count(1)\", discount(1), count(a), count(1",
            ),
        ] {
            assert_eq!(of_constants(sql), expected);
        }
    }
}
