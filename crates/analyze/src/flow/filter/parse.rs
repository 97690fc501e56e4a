//! From the text of a filter to what it asks.

use std::net::IpAddr;

use coldcase_model::quantity::{parse_duration, parse_size};

use super::FilterError;
use super::field::{End, FIELDS, Field, Kind};
use super::token::{Token, tokens};

/// How deep parentheses may stand in one another.
const DEEPEST: usize = 64;

/// A filter.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    Any(Vec<Expr>),
    All(Vec<Expr>),
    Not(Box<Expr>),
    /// The field is there, and a number is not 0.
    Has(Field),
    /// A value of the field is like this.
    Is(Field, Op, Value),
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Equal,
    Greater,
    Less,
    AtLeast,
    AtMost,
    Contains,
}

/// A value in a filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(u64),
    /// From the first to the last.
    Range(u64, u64),
    /// Nanoseconds.
    Time(u64),
    Text(String),
    /// An address and the bits that count.
    Net(IpAddr, u8),
}

pub(super) fn parse(text: &str) -> Result<Expr, FilterError> {
    let tokens = tokens(text)?;
    let end = text.chars().count() + 1;
    let mut parser = Parser { tokens: &tokens, at: 0, end, depth: 0 };
    let expr = parser.any()?;
    match parser.tokens.get(parser.at) {
        None => Ok(expr),
        Some((column, _)) => Err(FilterError::new(*column, "and, or, or the end is expected here")),
    }
}

struct Parser<'a> {
    tokens: &'a [(usize, Token)],
    at: usize,
    /// The column behind the text.
    end: usize,
    depth: usize,
}

impl Parser<'_> {
    fn column(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |t| t.0)
    }

    fn error<T>(&self, what: impl Into<String>) -> Result<T, FilterError> {
        Err(FilterError::new(self.column(), what))
    }

    /// Takes the next piece if it is this word or sign.
    fn take(&mut self, text: &str) -> bool {
        let is = match self.tokens.get(self.at) {
            Some((_, Token::Word(word))) => word.eq_ignore_ascii_case(text),
            Some((_, Token::Sign(sign))) => *sign == text,
            _ => false,
        };
        self.at += usize::from(is);
        is
    }

    fn any(&mut self) -> Result<Expr, FilterError> {
        let mut parts = vec![self.all()?];
        while self.take("or") || self.take("||") {
            parts.push(self.all()?);
        }
        Ok(Expr::Any(parts))
    }

    fn all(&mut self) -> Result<Expr, FilterError> {
        let mut parts = vec![self.one()?];
        while self.take("and") || self.take("&&") {
            parts.push(self.one()?);
        }
        Ok(Expr::All(parts))
    }

    fn one(&mut self) -> Result<Expr, FilterError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.error("too deep");
        }
        let out = if self.take("not") || self.take("!") {
            Ok(Expr::Not(Box::new(self.one()?)))
        } else if self.take("(") {
            let inner = self.any()?;
            if !self.take(")") {
                return self.error("a parenthesis without its end");
            }
            Ok(inner)
        } else {
            self.test()
        };
        self.depth -= 1;
        out
    }

    fn word(&mut self, what: &str) -> Result<(usize, String), FilterError> {
        match self.tokens.get(self.at) {
            Some((column, Token::Word(word) | Token::Quoted(word))) => {
                self.at += 1;
                Ok((*column, word.clone()))
            }
            _ => self.error(format!("{what} is expected here")),
        }
    }

    fn test(&mut self) -> Result<Expr, FilterError> {
        if let Some(test) = self.tcpdump()? {
            return Ok(test);
        }
        let start = self.at;
        let (column, name) = self.word("a field, host, net or port")?;
        let known = FIELDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
        let quoted = matches!(self.tokens.get(start), Some((_, Token::Quoted(_))));
        let Some(&(name, field)) = known.filter(|_| !quoted) else {
            return Err(FilterError::new(column, unknown(&name)));
        };
        if self.take("in") {
            return self.set(name, field);
        }
        let Some((op, not)) = self.operator() else { return Ok(Expr::Has(field)) };
        if field.kind() == Kind::Flag {
            return Err(FilterError::new(column, format!("{name} is there or not: it has no value")));
        }
        let is = Expr::Is(field, op, self.value(name, field)?);
        // As in Wireshark: what is not there is not unequal, and no value may be equal.
        Ok(if not { Expr::All(vec![Expr::Has(field), Expr::Not(Box::new(is))]) } else { is })
    }

    /// `host`, `net`, `port` and `portrange` with `src` and `dst` before them.
    fn tcpdump(&mut self) -> Result<Option<Expr>, FilterError> {
        let before = self.at;
        let transport = self.transport();
        let end = if self.take("src") {
            End::Src
        } else if self.take("dst") {
            End::Dst
        } else {
            End::Any
        };
        let (field, what) = if self.take("port") || self.take("portrange") {
            (Field::Port(end, None), "a port")
        } else if self.take("host") || self.take("net") {
            (Field::Address(end), "an address")
        } else if end != End::Any {
            (Field::Address(end), "host, net, port or an address")
        } else {
            self.at = before;
            return Ok(None);
        };
        let (column, text) = self.word(what)?;
        let value = match field.kind() {
            Kind::Number => port(&text),
            _ => net(&text),
        };
        let value = value.ok_or_else(|| FilterError::new(column, format!("{text:?} is not {what}")))?;
        let is = Expr::Is(field, Op::Equal, value);
        Ok(Some(match transport {
            Some(name) => Expr::All(vec![Expr::Has(Field::Transport(name)), is]),
            None => is,
        }))
    }

    /// The `tcp` of `tcp port 80`.
    fn transport(&mut self) -> Option<&'static str> {
        let Some((_, Token::Word(next))) = self.tokens.get(self.at + 1) else { return None };
        if !["src", "dst", "port", "portrange", "host", "net"].iter().any(|w| next.eq_ignore_ascii_case(w)) {
            return None;
        }
        ["tcp", "udp"].into_iter().find(|name| self.take(name))
    }

    /// `{a, b c}`
    fn set(&mut self, name: &str, field: Field) -> Result<Expr, FilterError> {
        if !self.take("{") {
            return self.error("{ is expected here");
        }
        let mut parts = Vec::new();
        while !self.take("}") {
            parts.push(Expr::Is(field, Op::Equal, self.value(name, field)?));
            self.take(",");
        }
        Ok(Expr::Any(parts))
    }

    /// The operator, and whether it asks for the contrary.
    fn operator(&mut self) -> Option<(Op, bool)> {
        const ALL: [(&str, Op, bool); 14] = [
            ("==", Op::Equal, false),
            ("=", Op::Equal, false),
            ("eq", Op::Equal, false),
            ("!=", Op::Equal, true),
            ("ne", Op::Equal, true),
            (">", Op::Greater, false),
            ("gt", Op::Greater, false),
            ("<", Op::Less, false),
            ("lt", Op::Less, false),
            (">=", Op::AtLeast, false),
            ("ge", Op::AtLeast, false),
            ("<=", Op::AtMost, false),
            ("le", Op::AtMost, false),
            ("contains", Op::Contains, false),
        ];
        ALL.iter().find(|(text, ..)| self.take(text)).map(|&(_, op, not)| (op, not))
    }

    fn value(&mut self, name: &str, field: Field) -> Result<Value, FilterError> {
        let (column, text) = self.word("a value")?;
        let (value, what) = match field.kind() {
            Kind::Flag | Kind::Text => (Some(Value::Text(text.clone())), ""),
            Kind::Address => (net(&text), "an address"),
            Kind::Time => (time(&text), "a time: 5ms, or seconds as 0.005"),
            Kind::Number if matches!(field, Field::Port(..)) => (port(&text), "a port"),
            Kind::Number => (number(&text), "a number"),
        };
        value.ok_or_else(|| FilterError::new(column, format!("{name}: {text:?} is not {what}")))
    }
}

fn number(text: &str) -> Option<Value> {
    let plain = text.parse().ok();
    plain.or_else(|| parse_size(text).ok()).map(Value::Number)
}

fn port(text: &str) -> Option<Value> {
    match text.split_once('-') {
        Some((first, last)) => Some(Value::Range(first.parse().ok()?, last.parse().ok()?)),
        None => text.parse().ok().map(Value::Number),
    }
}

fn time(text: &str) -> Option<Value> {
    if let Ok(seconds) = text.parse::<f64>() {
        let fits = (0.0..=9.0e9).contains(&seconds);
        return fits.then(|| Value::Time((seconds * 1e9).round() as u64));
    }
    parse_duration(text).ok().and_then(|d| u64::try_from(d.as_nanos()).ok()).map(Value::Time)
}

fn net(text: &str) -> Option<Value> {
    let (ip, bits) = match text.split_once('/') {
        Some((ip, bits)) => (ip, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let ip: IpAddr = ip.trim_matches(['[', ']']).parse().ok()?;
    let all = if ip.is_ipv4() { 32 } else { 128 };
    Some(Value::Net(ip, bits.unwrap_or(all))).filter(|_| bits.unwrap_or(all) <= all)
}

/// What to say of a name that is none, with those that look like it.
fn unknown(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    let like = |known: &str| known.contains(last) || (name.len() > 2 && known.starts_with(&name[..2]));
    let some: Vec<&str> = FIELDS.iter().map(|f| f.0).filter(|known| name.is_ascii() && like(known)).take(6).collect();
    match some.is_empty() {
        true => format!("{name:?} is no field"),
        false => format!("{name:?} is no field; there are {}", some.join(", ")),
    }
}
