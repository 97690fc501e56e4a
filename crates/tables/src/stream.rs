//! The table of a stream of columns: its fields as recorded, and what names them.

use std::collections::HashMap;
use std::sync::Arc;

use coldcase_model::field::FieldType;
use coldcase_model::{Boottime, EventDef, syscall};
use coldcase_timeline::{Segment, Timeline};
use polars::prelude::*;

use crate::frame::{Ask, Frame};

/// A column that is derived from others of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Derived {
    /// `process`: what the process of `pid` is called at the time.
    Process,
    /// `thread`: the name of the thread `tid` at the time.
    Thread,
    /// `syscall_name`: the name of `syscall`.
    Syscall,
    /// `waker`: the name of the thread `waker_tid` at the time.
    Waker,
}

const DERIVED: [(&str, &str, Derived); 4] = [
    ("process", "pid", Derived::Process),
    ("thread", "tid", Derived::Thread),
    ("syscall_name", "syscall", Derived::Syscall),
    ("waker", "waker_tid", Derived::Waker),
];

fn derived(def: &EventDef) -> impl Iterator<Item = (&'static str, Derived)> {
    DERIVED
        .iter()
        .filter(|(name, of, _)| {
            let has = |field: &str| def.fields.iter().any(|f| f.name == field);
            has(of) && !has(name)
        })
        .map(|&(name, _, d)| (name, d))
}

/// The rows of the segments as a frame of what is asked.
pub(crate) fn frame(t: &Timeline, def: &EventDef, segments: &[Segment], ask: Ask<'_>) -> PolarsResult<DataFrame> {
    let mut out = Frame::new(ask);
    out.put("row", || segments.iter().flat_map(|s| (0..s.len()).map(|i| s.row(i))).collect::<Vec<u64>>());
    let times = || ints(segments, def.time_field().map_or("time", |i| def.fields[i].name)).map(|n| n as u64);
    out.put("utc", || times().map(|b| t.utc_of(b).0).collect::<Vec<i64>>());
    for f in def.fields.iter().filter(|f| f.name != "reserved") {
        let n = f.name;
        match f.ty {
            // 8 and 16 bits are types that polars leaves out unless built with them.
            FieldType::U8 | FieldType::U16 | FieldType::U32 => {
                out.put(n, || ints(segments, n).map(|v| v as u32).collect::<Vec<u32>>());
            }
            FieldType::U64 => out.put(n, || ints(segments, n).map(|v| v as u64).collect::<Vec<u64>>()),
            FieldType::I32 => out.put(n, || ints(segments, n).map(|v| v as i32).collect::<Vec<i32>>()),
            FieldType::I64 => out.put(n, || ints(segments, n).map(|v| v as i64).collect::<Vec<i64>>()),
            FieldType::F64 => out.put(n, || floats(segments, n)),
            FieldType::Ip => out.put(n, || ips(segments, n)),
            FieldType::Comm | FieldType::Text => out.put(n, || texts(segments, n)),
            FieldType::Stack => out.put(n, || stacks(t, segments, n)),
        }
    }
    for (name, d) in derived(def) {
        out.put(name, || names(t, segments, d, times()));
    }
    out.finish()
}

/// The integers of a field; zeros for rows of an older bundle without it.
fn ints<'a>(segments: &'a [Segment], name: &'a str) -> impl Iterator<Item = i128> + 'a {
    segments.iter().flat_map(move |s| {
        let column = s.columns.get(name);
        (0..s.len()).map(move |i| column.and_then(|c| c.int(i)).unwrap_or(0))
    })
}

fn floats(segments: &[Segment], name: &str) -> Vec<f64> {
    let mut out = Vec::new();
    for s in segments {
        match s.columns.get(name) {
            Some(coldcase_model::Column::F64(v)) => out.extend_from_slice(v),
            _ => out.resize(out.len() + s.len(), f64::NAN),
        }
    }
    out
}

fn ips(segments: &[Segment], name: &str) -> StringChunked {
    let mut out = StringChunkedBuilder::new("".into(), 0);
    for s in segments {
        match s.columns.get(name) {
            Some(coldcase_model::Column::Ip(v)) => {
                v.iter().for_each(|ip| out.append_option((ip.0 != [0; 16]).then(|| ip.addr().to_string())));
            }
            _ => (0..s.len()).for_each(|_| out.append_null()),
        }
    }
    out.finish()
}

fn texts(segments: &[Segment], name: &str) -> StringChunked {
    let mut out = StringChunkedBuilder::new("".into(), 0);
    for s in segments {
        match s.columns.get(name) {
            Some(coldcase_model::Column::Text(c)) => (0..s.len()).for_each(|i| out.append_value(c.text(i))),
            _ => (0..s.len()).for_each(|_| out.append_null()),
        }
    }
    out.finish()
}

/// Stacks as folded text: functions from the outermost to the innermost, separated by `;`. Null where there is none.
fn stacks(t: &Timeline, segments: &[Segment], name: &str) -> StringChunked {
    let kernel = name == "kernel_stack";
    let mut out = StringChunkedBuilder::new("".into(), 0);
    let mut known: HashMap<(u32, u32), String> = HashMap::new();
    for s in segments {
        known.clear();
        let Some(coldcase_model::Column::Stack(c)) = s.columns.get(name) else {
            (0..s.len()).for_each(|_| out.append_null());
            continue;
        };
        let number = |name: &str, i| s.columns.get(name).and_then(|c| c.int(i)).unwrap_or(0);
        for i in 0..s.len() {
            let frames = c.get(i);
            if frames.is_empty() {
                out.append_null();
                continue;
            }
            let pid = if kernel { 0 } else { number("pid", i) as u32 };
            // Within one batch a process's mappings hardly change; the address still names its own function.
            let text = known.entry((pid, c.ids[i])).or_insert_with(|| {
                let at = Boottime(number("time", i) as u64);
                let named = match kernel {
                    true => t.symbols().stack(pid, at, frames, &[]),
                    false => t.symbols().stack(pid, at, &[], frames),
                };
                named.iter().rev().map(|f| f.name.replace(';', ":")).collect::<Vec<_>>().join(";")
            });
            out.append_value(&**text);
        }
    }
    out.finish()
}

fn names(t: &Timeline, segments: &[Segment], what: Derived, times: impl Iterator<Item = u64>) -> StringChunked {
    let field = match what {
        Derived::Process => "pid",
        Derived::Thread => "tid",
        Derived::Syscall => "syscall",
        Derived::Waker => "waker_tid",
    };
    let arch = t.bundle().manifest().map_or("x86_64", |m| m.host.arch.as_str());
    let mut out = StringChunkedBuilder::new("".into(), 0);
    for (number, time) in ints(segments, field).zip(times) {
        let at = Boottime(time);
        let id = u32::try_from(number).unwrap_or(0);
        let name: Option<Arc<str>> = match what {
            Derived::Process => (id != 0).then(|| t.processes().label(id, at)),
            Derived::Thread | Derived::Waker => {
                Some(t.processes().thread(id, at)).filter(|n| id != 0 && !n.is_empty()).map(Arc::from)
            }
            Derived::Syscall => syscall::name(arch, number as i32).map(Arc::from),
        };
        out.append_option(name.as_deref());
    }
    out.finish()
}
