//! How bad a line is, by the names and numbers that loggers give it.

/// How bad a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are OTLP's
pub enum Severity {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Severity {
    /// All of them, the mildest first.
    pub const ALL: [Severity; 6] =
        [Severity::Trace, Severity::Debug, Severity::Info, Severity::Warn, Severity::Error, Severity::Fatal];

    /// The name in lowercase.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Trace => "trace",
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
            Severity::Fatal => "fatal",
        }
    }

    /// The severity of an OTLP severity number (1 to 24).
    pub fn from_otlp(number: i32) -> Option<Severity> {
        Some(match number {
            1..=4 => Severity::Trace,
            5..=8 => Severity::Debug,
            9..=12 => Severity::Info,
            13..=16 => Severity::Warn,
            17..=20 => Severity::Error,
            21..=24 => Severity::Fatal,
            _ => return None,
        })
    }

    /// The severity of a syslog severity (RFC 5424, table 2): 0 is the worst, 7 the least.
    pub fn from_syslog(number: u8) -> Option<Severity> {
        Some(match number {
            0..=2 => Severity::Fatal,
            3 => Severity::Error,
            4 => Severity::Warn,
            5 | 6 => Severity::Info,
            7 => Severity::Debug,
            _ => return None,
        })
    }

    /// The severity of a level's name, in any case; syslog's names too.
    pub fn from_name(name: &str) -> Option<Severity> {
        const NAMES: [(&str, Severity); 18] = [
            ("trace", Severity::Trace),
            ("debug", Severity::Debug),
            ("dbg", Severity::Debug),
            ("info", Severity::Info),
            ("inf", Severity::Info),
            ("information", Severity::Info),
            ("notice", Severity::Info),
            ("warn", Severity::Warn),
            ("wrn", Severity::Warn),
            ("warning", Severity::Warn),
            ("error", Severity::Error),
            ("err", Severity::Error),
            ("fatal", Severity::Fatal),
            ("critical", Severity::Fatal),
            ("crit", Severity::Fatal),
            ("alert", Severity::Fatal),
            ("emerg", Severity::Fatal),
            ("panic", Severity::Fatal),
        ];
        NAMES.iter().find(|(n, _)| name.eq_ignore_ascii_case(n)).map(|&(_, s)| s)
    }

    /// The severity of a field `level`: a name, or the numbers of bunyan and pino (10 for trace to 60 for fatal).
    pub fn from_level(level: &str) -> Option<Severity> {
        Severity::from_name(level).or(match level {
            "10" => Some(Severity::Trace),
            "20" => Some(Severity::Debug),
            "30" => Some(Severity::Info),
            "40" => Some(Severity::Warn),
            "50" => Some(Severity::Error),
            "60" => Some(Severity::Fatal),
            _ => None,
        })
    }
}
