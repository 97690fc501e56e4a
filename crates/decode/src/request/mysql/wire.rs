//! The packets of the MySQL client/server protocol (MySQL Internals "Client/Server Protocol"; MariaDB Knowledge Base
//! "Client/Server Protocol" where it differs).

use crate::request::frames::{Measure, Sound};
use crate::request::{Side, Transaction, sql};

/// Capabilities (Protocol::CapabilityFlags).
pub(super) mod can {
    pub(crate) const CONNECT_WITH_DB: u32 = 1 << 3;
    pub(crate) const COMPRESS: u32 = 1 << 5;
    pub(crate) const PROTOCOL_41: u32 = 1 << 9;
    pub(crate) const SSL: u32 = 1 << 11;
    pub(crate) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(crate) const AUTH_LENENC: u32 = 1 << 21;
    pub(crate) const DEPRECATE_EOF: u32 = 1 << 24;
    pub(crate) const ZSTD: u32 = 1 << 26;
    pub(crate) const QUERY_ATTRIBUTES: u32 = 1 << 27;
}

/// Status flags (SERVER_STATUS_flags_enum).
pub(super) const IN_TRANSACTION: u16 = 1;
pub(super) const MORE_RESULTS: u16 = 1 << 3;
pub(super) const CURSOR_EXISTS: u16 = 1 << 6;

/// Length of a packet that the next one continues.
pub(super) const FULL: u64 = 0xff_ffff;
/// Bytes before the payload.
pub(super) const HEADER: usize = 4;
/// Wanted of a packet of the server.
pub(super) const WANTED: usize = 512;

/// Commands (enum_server_command; MariaDB's own from 250 on) whose treatment differs.
pub(super) mod command {
    pub(crate) const QUIT: u8 = 1;
    pub(crate) const INIT_DB: u8 = 2;
    pub(crate) const QUERY: u8 = 3;
    pub(crate) const FIELD_LIST: u8 = 4;
    pub(crate) const STATISTICS: u8 = 9;
    pub(crate) const PROCESS_INFO: u8 = 10;
    pub(crate) const CHANGE_USER: u8 = 17;
    pub(crate) const BINLOG_DUMP: u8 = 18;
    pub(crate) const PREPARE: u8 = 22;
    pub(crate) const EXECUTE: u8 = 23;
    pub(crate) const LONG_DATA: u8 = 24;
    pub(crate) const CLOSE: u8 = 25;
    pub(crate) const FETCH: u8 = 28;
    pub(crate) const BINLOG_DUMP_GTID: u8 = 30;
    pub(crate) const BULK_EXECUTE: u8 = 250;
    /// Not one of the protocol: the login.
    pub(crate) const CONNECT: u8 = 255;
}

/// The name of a command; `None` for one that does not exist.
pub(super) fn name(command: u8) -> Option<&'static str> {
    const NAMES: [&str; 32] = [
        "sleep",
        "quit",
        "init db",
        "query",
        "field list",
        "create db",
        "drop db",
        "refresh",
        "shutdown",
        "statistics",
        "process info",
        "connect",
        "process kill",
        "debug",
        "ping",
        "time",
        "delayed insert",
        "change user",
        "binlog dump",
        "table dump",
        "connect out",
        "register slave",
        "prepare",
        "execute",
        "long data",
        "close",
        "reset statement",
        "set option",
        "fetch",
        "daemon",
        "binlog dump gtid",
        "reset connection",
    ];
    match command {
        command::BULK_EXECUTE => Some("bulk execute"),
        254 => Some("multi"),
        c => NAMES.get(usize::from(c)).copied(),
    }
}

/// The length and the sequence number of a packet.
pub(super) fn header(head: &[u8]) -> Option<(u64, u8)> {
    let &[a, b, c, sequence] = head.first_chunk()?;
    Some((u64::from(u32::from_le_bytes([a, b, c, 0])), sequence))
}

/// The measure of a packet of which so many bytes are wanted.
pub(super) fn measure(head: &[u8], keep: usize, sequence_fits: impl Fn(u8) -> bool) -> Measure {
    match header(head) {
        None => Measure::More,
        Some((length, sequence)) if sequence_fits(sequence) => Measure::Size { total: length + HEADER as u64, keep },
        Some(_) => Measure::Bad,
    }
}

/// Wanted of a command.
pub(super) const COMMAND_WANTED: usize = HEADER + sql::LOOKED_AT + 64;

pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A length-encoded integer, and what follows.
pub(super) fn lenenc(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let size = match first {
        0..=0xfa => return Some((u64::from(first), rest)),
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        _ => return None,
    };
    let mut value = [0; 8];
    value[..size].copy_from_slice(rest.get(..size)?);
    Some((u64::from_le_bytes(value), &rest[size..]))
}

/// The text up to its NUL, and what follows.
pub(super) fn cstring(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Affected rows and status of an OK packet, whose first byte is 0 or 0xfe.
pub(super) fn ok(payload: &[u8]) -> Option<(u64, u16)> {
    let (affected, rest) = lenenc(payload.get(1..)?)?;
    let (_, rest) = lenenc(rest)?;
    Some((affected, le16(rest, 0).unwrap_or_default()))
}

/// The code and SQLSTATE of an ERR packet, as the command line client writes them: `1064 (42000)`.
pub(super) fn error(payload: &[u8]) -> String {
    let code = le16(payload, 1).unwrap_or_default();
    match payload.get(3..9) {
        Some([b'#', state @ ..]) => format!("{code} ({})", String::from_utf8_lossy(state)),
        _ => code.to_string(),
    }
}

/// The transaction that a status tells of.
pub(super) fn transaction(status: u16) -> Transaction {
    if status & IN_TRANSACTION == 0 { Transaction::None } else { Transaction::Open }
}

/// What a server says first.
pub(super) struct Greeting {
    pub(super) version: String,
    pub(super) thread: u32,
    pub(super) capabilities: u32,
}

/// Protocol::HandshakeV10.
pub(super) fn greeting(payload: &[u8]) -> Option<Greeting> {
    let (&10, rest) = payload.split_first()? else { return None };
    let (version, rest) = cstring(rest)?;
    if version.is_empty() || !version.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let low = u32::from(le16(rest, 13)?);
    let high = u32::from(le16(rest, 18).unwrap_or_default());
    Some(Greeting {
        version: String::from_utf8_lossy(version).into_owned(),
        thread: le32(rest, 0)?,
        capabilities: low | high << 16,
    })
}

/// What a client answers.
pub(super) struct Login {
    pub(super) capabilities: u32,
    pub(super) user: String,
    pub(super) database: String,
    /// It goes on with TLS.
    pub(super) tls: bool,
}

/// Protocol::HandshakeResponse41, or 320, or Protocol::SSLRequest.
pub(super) fn login(payload: &[u8]) -> Option<Login> {
    let capabilities = match le32(payload, 0) {
        Some(c) if c & can::PROTOCOL_41 != 0 => c,
        _ => u32::from(le16(payload, 0)?),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut login = Login { capabilities, user: String::new(), database: String::new(), tls: false };
    let new = capabilities & can::PROTOCOL_41 != 0;
    if capabilities & can::SSL != 0 && payload.len() <= 32 {
        login.tls = true;
        return Some(login);
    }
    let (user, rest) = cstring(payload.get(if new { 32 } else { 5 }..)?)?;
    login.user = text(user);
    if !new || capabilities & can::CONNECT_WITH_DB == 0 {
        return Some(login);
    }
    let behind = if capabilities & can::AUTH_LENENC != 0 {
        lenenc(rest).and_then(|(n, rest)| rest.get(usize::try_from(n).ok()?..))
    } else if capabilities & can::SECURE_CONNECTION != 0 {
        rest.split_first().and_then(|(&n, rest)| rest.get(usize::from(n)..))
    } else {
        cstring(rest).map(|c| c.1)
    };
    if let Some(rest) = behind {
        login.database = text(cstring(rest).map_or(rest, |c| c.0));
    }
    Some(login)
}

/// The text of a COM_QUERY behind its query attributes, and the attribute `traceparent`.
pub(super) fn query(payload: &[u8], attributes: Option<bool>) -> (&[u8], Option<String>) {
    let text = payload.get(1..).unwrap_or_default();
    match (attributes, text) {
        (Some(false), _) => (text, None),
        (_, [0, 1, rest @ ..]) => (rest, None),
        (Some(true), _) => with_attributes(text).unwrap_or((text, None)),
        (None, _) => (text, None),
    }
}

/// Reads over the attributes (8.0.23: COM_QUERY, CLIENT_QUERY_ATTRIBUTES).
fn with_attributes(text: &[u8]) -> Option<(&[u8], Option<String>)> {
    let (count, rest) = lenenc(text)?;
    let (_, rest) = lenenc(rest)?;
    let count = usize::try_from(count).ok().filter(|&n| n <= 256)?;
    let nulls = rest.get(..count.div_ceil(8))?;
    let mut rest = rest.get(nulls.len() + 1..)?;
    let mut attributes = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = le16(rest, 0)?;
        let (length, behind) = lenenc(&rest[2..])?;
        let length = usize::try_from(length).ok()?;
        attributes.push((kind, behind.get(..length)?));
        rest = &behind[length..];
    }
    let mut parent = None;
    for (i, (kind, name)) in attributes.into_iter().enumerate() {
        if nulls[i / 8] & 1 << (i % 8) != 0 {
            continue;
        }
        // Binary Protocol Value.
        let size = match kind & 0xff {
            1 => 1,
            2 | 13 => 2,
            3 | 4 | 9 => 4,
            5 | 8 => 8,
            7 | 10 | 11 | 12 => {
                let (&n, behind) = rest.split_first()?;
                rest = behind;
                usize::from(n)
            }
            6 => 0,
            _ => {
                let (n, behind) = lenenc(rest)?;
                rest = behind;
                usize::try_from(n).ok()?
            }
        };
        let value = rest.get(..size)?;
        if name.eq_ignore_ascii_case(b"traceparent") {
            parent = sql::traceparent(&[b"traceparent=", value].concat());
        }
        rest = &rest[size..];
    }
    Some((rest, parent))
}

/// Whether bytes begin with a packet of this side, by its whole structure.
pub(super) fn sound(from: Side, bytes: &[u8]) -> Sound {
    let Some((length, sequence)) = header(bytes) else { return Sound::More };
    if length == 0 || length > 60 << 10 {
        return Sound::No;
    }
    let payload = &bytes[HEADER..];
    let whole = payload.get(..length as usize);
    let Some(&first) = payload.first() else { return Sound::More };
    let fits = match from {
        Side::Client if sequence == 0 => client(first, payload, whole, length),
        Side::Client => Some(false),
        Side::Server => server(first, sequence, payload, whole, length),
    };
    match fits {
        Some(true) => Sound::Yes,
        None if whole.is_none() => Sound::More,
        _ => Sound::No,
    }
}

fn printable(text: &[u8]) -> bool {
    text.iter().all(|&b| b >= b' ' && b != 0x7f || matches!(b, b'\t' | b'\n' | b'\r'))
}

fn client(first: u8, payload: &[u8], whole: Option<&[u8]>, length: u64) -> Option<bool> {
    match first {
        command::QUERY | command::PREPARE | command::INIT_DB => {
            let text = if payload.starts_with(&[command::QUERY, 0, 1]) { &payload[3..] } else { &payload[1..] };
            let text = &text[..text.len().min(length as usize)];
            let enough = whole.is_some() || text.len() >= 16;
            if !printable(text) { Some(false) } else { enough.then_some(length > 1) }
        }
        command::EXECUTE => Some(payload.get(5..10)?.ends_with(&[1, 0, 0, 0]) && payload[5] < 16),
        command::CLOSE => Some(length == 5),
        1 | 9 | 14 | 31 => Some(length == 1),
        _ => Some(false),
    }
}

fn server(first: u8, sequence: u8, payload: &[u8], whole: Option<&[u8]>, length: u64) -> Option<bool> {
    match first {
        0xff => Some(payload.get(3..9).map(|s| s[0] == b'#' && s[1..].iter().all(u8::is_ascii_alphanumeric))?),
        0xfe if length == 5 => Some(le16(payload, 3)? & !0x7fff == 0 && sequence > 1),
        0 | 0xfe if (7..100).contains(&length) && (first == 0xfe) == (sequence > 1) => {
            let (_, rest) = lenenc(&whole?[1..])?;
            let (_, rest) = lenenc(rest)?;
            Some(rest.len() >= 4 && (rest.len() == 4 || printable(&rest[4..])))
        }
        // The number of columns, and the first of them.
        1.. if sequence == 1 && length <= 2 => {
            let next = payload.get(length as usize..length as usize + 8)?;
            Some(next[2..] == [0, 2, 3, b'd', b'e', b'f'])
        }
        _ => Some(false),
    }
}
