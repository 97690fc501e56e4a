//! An entry as a line for people. All captured text in it is made visible.

use std::fmt::Write;

use coldcase_model::field::Unit;
use coldcase_model::quantity::format_size;
use coldcase_model::text::visible;
use coldcase_model::{Boottime, Column, Columns, Event, EventDef, Nanos, catalogue, events, syscall};
use coldcase_timeline::{Awaited, Body, Entry, FutexWait, HolderHow, Packet, Timeline};

use super::{cpu, library, socket};

/// Appends the line of an entry, without its time and stream.
pub(super) fn write(t: &Timeline, entry: &Entry, out: &mut String) {
    let raw = match &entry.body {
        Body::Row { columns, at } => row(t, &entry.stream, columns, *at),
        Body::Span(s) => span(s),
        Body::Record(r) => {
            let severity = r.record.severity.map_or("-", |s| s.name());
            let mut line = format!("{} {severity} {}", r.record.resource.service, r.record.body);
            if let Some(trace) = r.record.trace {
                _ = write!(line, " trace={trace}");
            }
            line
        }
        Body::Metric(m) => metric(m),
        Body::Packet(p) => packet(t, p),
        Body::Line(l) => format!("{}: {}", l.path.rsplit('/').next().unwrap_or(""), l.text()),
        Body::Page { target, samples } => format!("scraped {target}: {samples} samples"),
        Body::Written { samples } => format!("remote write: {samples} samples"),
    };
    out.push_str(&visible(&raw));
}

fn row(t: &Timeline, stream: &str, columns: &Columns, at: usize) -> String {
    let known = match stream {
        s if s == events::OffCpu::DEF.stream => off_cpu(t, columns, at),
        s if s == events::OffCpuSum::DEF.stream => off_cpu_sum(t, columns, at),
        s if s == events::LockContention::DEF.stream => lock_contention(t, columns, at),
        s if s == events::CpuSample::DEF.stream => cpu_sample(t, columns, at),
        s if s == events::BlockIo::DEF.stream => super::io::request(t, columns, at),
        s if s == events::TcpState::DEF.stream => tcp_state(t, columns, at),
        s if s == events::TcpRetransmit::DEF.stream => retransmit(columns, at),
        s if s == events::TcpReset::DEF.stream => socket::reset(t, columns, at),
        s if s == events::TcpInfo::DEF.stream => socket::info(t, columns, at),
        s if s == events::SocketOwner::DEF.stream => socket::owner(t, columns, at),
        s if s == events::PacketDrop::DEF.stream => socket::drop(t, columns, at),
        s if s == events::ThreadCgroup::DEF.stream => cpu::thread_cgroup(t, columns, at),
        s if s == events::CgroupCpu::DEF.stream => cpu::cgroup_cpu(columns, at),
        s if s == events::InterruptSum::DEF.stream => cpu::interrupt_sum(columns, at),
        s if s == events::LongInterrupt::DEF.stream => cpu::long_interrupt(t, columns, at),
        s if s == events::SyscallSum::DEF.stream => cpu::syscall_sum(t, columns, at),
        s if s == events::SlowSyscall::DEF.stream => cpu::slow_syscall(t, columns, at),
        s if s == events::TlsCall::DEF.stream => library::tls_call(t, columns, at),
        s if s == events::Statement::DEF.stream => library::statement(t, columns, at),
        s if s == events::NameLookup::DEF.stream => library::name_lookup(t, columns, at),
        s if s == events::FileCall::DEF.stream => super::io::file_call(t, columns, at),
        s if s == events::Writeback::DEF.stream => super::io::writeback(t, columns, at),
        s if s == events::Task::DEF.stream => super::life::task(columns, at),
        s if s == events::Signal::DEF.stream => super::life::signal(t, columns, at),
        s if s == events::MajorFault::DEF.stream => super::memory::major_fault(t, columns, at),
        s if s == events::Reclaim::DEF.stream => super::memory::reclaim(t, columns, at),
        s if s == events::OomKill::DEF.stream => super::memory::oom_kill(t, columns, at),
        s if s == events::Loss::DEF.stream => loss(columns, at),
        s if s == events::Mark::DEF.stream => mark(columns, at),
        _ => None,
    };
    known.unwrap_or_else(|| plain(catalogue::by_stream(stream), columns, at))
}

/// `name=value` of every field that says something.
fn plain(def: Option<&EventDef>, columns: &Columns, at: usize) -> String {
    let mut out = String::new();
    for (name, column) in columns.names.iter().zip(&columns.columns) {
        let unit = def.and_then(|d| d.fields.iter().find(|f| f.name == *name)).map_or(Unit::None, |f| f.unit);
        if name == "reserved" || matches!(unit, Unit::BootNs | Unit::RealNs) {
            continue;
        }
        let value = match (column, unit, column.int(at)) {
            (_, Unit::DurNs, Some(n)) => Nanos(n as u64).to_string(),
            (_, Unit::Bytes, Some(n)) => format_size(n as u64),
            (_, _, Some(n)) => n.to_string(),
            (Column::F64(v), _, _) => v.get(at).map(f64::to_string).unwrap_or_default(),
            (Column::Ip(v), _, _) => v.get(at).map(|ip| ip.addr().to_string()).unwrap_or_default(),
            (Column::Text(c), _, _) if c.get(at).is_empty() => continue,
            (Column::Text(c), _, _) => c.text(at).into_owned(),
            (Column::Stack(c), _, _) if c.get(at).is_empty() => continue,
            (Column::Stack(c), _, _) => format!("{} frames", c.get(at).len()),
            _ => continue,
        };
        let space = if out.is_empty() { "" } else { " " };
        _ = write!(out, "{space}{name}={value}");
    }
    out
}

/// TASK_* bits as `ps` shows them.
fn state(bits: u32) -> &'static str {
    match bits & 0x7ff {
        0 => "R",
        b if b & 0x400 != 0 && b & 2 != 0 => "I",
        b if b & 2 != 0 => "D",
        b if b & 1 != 0 => "S",
        b if b & 4 != 0 => "T",
        b if b & 8 != 0 => "t",
        b if b & 0x50 != 0 => "X",
        b if b & 0x20 != 0 => "Z",
        _ => "?",
    }
}

fn off_cpu(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::OffCpu::cols(columns).ok()?;
    let at = Boottime(c.time[i]);
    let who = t.processes().describe(c.tid[i], c.pid[i], at);
    let mut out = format!("{who} {} ", Nanos(c.duration[i]));
    let arch = t.bundle().manifest().map_or("x86_64", |m| m.host.arch.as_str());
    if c.flags[i] & 1 != 0 {
        out.push_str("preempted");
    } else {
        out.push_str("off-CPU");
        match c.syscall[i] {
            syscall::none::USER => out.push_str(" in a page fault"),
            syscall::none::KERNEL_THREAD => {}
            n => match syscall::name(arch, n) {
                Some(name) => _ = write!(out, " in {name}"),
                None => _ = write!(out, " in system call {n}"),
            },
        }
        _ = write!(out, " ({})", state(c.state[i]));
        futex(t, &c, i, arch, &mut out);
    }
    if c.waker_tid[i] != 0 {
        _ = write!(out, ", woken by {}", t.processes().describe(c.waker_tid[i], 0, at));
    }
    match c.flags[i] & (4 | 128 | 256) {
        f if f & 128 != 0 => out.push_str(" (hard IRQ)"),
        f if f & 256 != 0 => out.push_str(" (soft IRQ)"),
        0 => {}
        _ => out.push_str(" (interrupt)"),
    }
    if c.run_queue[i] != 0 {
        _ = write!(out, ", run queue {}", Nanos(c.run_queue[i]));
    }
    if c.flags[i] & 16 != 0 {
        out.push_str(", not back when the capture ended");
    }
    if c.flags[i] & 64 != 0 {
        out.push_str(", its return was not traced");
    }
    if c.ran[i] != 0 {
        _ = write!(out, ", CPU time before it {}", Nanos(c.ran[i]));
    }
    let frames = t.symbols().stack(c.pid[i], at, c.kernel_stack.get(i), c.user_stack.get(i));
    innermost(&frames, &mut out);
    Some(out)
}

/// What a futex call waits for, and who holds it.
fn futex(t: &Timeline, c: &<events::OffCpu as Event>::Cols<'_>, i: usize, arch: &str, out: &mut String) {
    let Some(wait) = FutexWait::of(c, i, arch) else { return };
    let what = match wait.awaited {
        Awaited::Mutex => "mutex",
        Awaited::Condition => "condition variable",
        Awaited::Semaphore => "semaphore",
        Awaited::ThreadEnd => "end of a thread",
        Awaited::Unknown => "word",
    };
    _ = write!(out, " for the {what} {:#x}", wait.word);
    let who = |tid| t.processes().describe(tid, c.pid[i], Boottime(c.time[i]));
    match (wait.holder, wait.awaited) {
        (Some((tid, HolderHow::Named)), _) => _ = write!(out, " held by {}", who(tid)),
        (Some((tid, HolderHow::Released)), _) => _ = write!(out, " released by {}", who(tid)),
        (None, Awaited::Mutex) => out.push_str(", holder unknown"),
        (None, _) => {}
    }
}

fn off_cpu_sum(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::OffCpuSum::cols(columns).ok()?;
    let arch = t.bundle().manifest().map_or("x86_64", |m| m.host.arch.as_str());
    let place = match c.syscall[i] {
        syscall::none::USER => "outside system calls".to_owned(),
        syscall::none::KERNEL_THREAD => "as a kernel thread".to_owned(),
        n => syscall::name(arch, n).map_or_else(|| format!("in system call {n}"), |name| format!("in {name}")),
    };
    Some(format!(
        "{} {} times off-CPU {place} ({}), {} in all, run queue {}",
        t.processes().describe(c.tid[i], c.pid[i], Boottime(c.time[i])),
        c.count[i],
        state(c.state[i]),
        Nanos(c.off_cpu[i]),
        Nanos(c.run_queue[i])
    ))
}

fn lock_contention(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::LockContention::cols(columns).ok()?;
    let at = Boottime(c.time[i]);
    let kind = match c.flags[i] {
        f if f & 32 != 0 => "mutex",
        f if f & 16 != 0 => "per-CPU semaphore",
        f if f & 8 != 0 => "real-time mutex",
        f if f & 1 != 0 => "spinlock",
        _ => "semaphore",
    };
    let how = match c.flags[i] & 6 {
        2 => " for reading",
        4 => " for writing",
        _ => "",
    };
    let who = t.processes().describe(c.tid[i], c.pid[i], at);
    let mut out = format!("{who} waited {} for a kernel {kind}{how}, lock {:x}", Nanos(c.duration[i]), c.lock[i]);
    innermost(&t.symbols().stack(c.pid[i], at, c.kernel_stack.get(i), &[]), &mut out);
    Some(out)
}

fn cpu_sample(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::CpuSample::cols(columns).ok()?;
    let at = Boottime(c.time[i]);
    let mut out = format!("{} on CPU {}", t.processes().describe(c.tid[i], c.pid[i], at), c.cpu[i]);
    let frames = t.symbols().stack(c.pid[i], at, c.kernel_stack.get(i), c.user_stack.get(i));
    innermost(&frames, &mut out);
    Some(out)
}

/// The innermost frames of a stack: two of the kernel's, then the program's own, which say where in its code it stood.
pub(super) fn innermost(frames: &[coldcase_timeline::Frame], out: &mut String) {
    const KERNEL: usize = 2;
    const SHOWN: usize = 6;
    let kernel = frames.iter().take_while(|f| &*f.module == "[kernel]").count();
    // Without a user stack the kernel's frames are all there is.
    let kernel_shown = if kernel == frames.len() { SHOWN } else { KERNEL };
    let (inner, own) = frames.split_at(kernel);
    let (inner_shown, own_shown) = (inner.len().min(kernel_shown), own.len().min(SHOWN - KERNEL));
    let mut before = ": ";
    for f in &inner[..inner_shown] {
        _ = write!(out, "{before}{}", f.name);
        before = " < ";
    }
    if inner_shown < inner.len() {
        out.push_str(" < …");
    }
    for f in &own[..own_shown] {
        _ = write!(out, "{before}{}", f.name);
        before = " < ";
    }
    if own_shown < own.len() {
        _ = write!(out, " < … {} more", own.len() - own_shown);
    }
}

pub(super) fn tcp_name(state: u8) -> &'static str {
    const NAMES: [&str; 13] = [
        "-",
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
        "NEW_SYN_RECV",
    ];
    NAMES.get(usize::from(state)).copied().unwrap_or("?")
}

pub(super) fn end(ip: coldcase_model::Ip, port: u16) -> String {
    match ip.addr() {
        std::net::IpAddr::V4(a) => format!("{a}:{port}"),
        std::net::IpAddr::V6(a) => format!("[{a}]:{port}"),
    }
}

fn tcp_state(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::TcpState::cols(columns).ok()?;
    let mut out = format!(
        "{} > {} {} → {}",
        end(c.local_addr[i], c.local_port[i]),
        end(c.remote_addr[i], c.remote_port[i]),
        tcp_name(c.old_state[i]),
        tcp_name(c.new_state[i])
    );
    if c.on_behalf[i] != 0 {
        _ = write!(out, ", by {}", t.processes().describe(c.tid[i], c.pid[i], Boottime(c.time[i])));
    }
    Some(out)
}

fn retransmit(columns: &Columns, i: usize) -> Option<String> {
    let c = events::TcpRetransmit::cols(columns).ok()?;
    let (local, remote) = (end(c.local_addr[i], c.local_port[i]), end(c.remote_addr[i], c.remote_port[i]));
    let what = if c.synack[i] == 1 { "SYN-ACK" } else { "segments" };
    let mut out = format!("{local} > {remote} {} {what} sent again, seq {}", c.segments[i], c.seq[i]);
    _ = write!(out, ", {}", tcp_name(c.state[i]));
    if c.error[i] != 0 {
        _ = write!(out, ", failed with error {}", c.error[i]);
    }
    Some(out)
}

fn loss(columns: &Columns, i: usize) -> Option<String> {
    let c = events::Loss::cols(columns).ok()?;
    (c.count[i] > 0 || c.bytes[i] > 0).then(|| {
        let (source, class, reason) = (c.source.text(i), c.class.text(i), c.reason.text(i));
        format!("LOST {} of {source} ({class}): {reason}", c.count[i])
    })
}

/// Whether nothing happened: a loss counter that stayed at zero, a thread that slept through the whole capture.
pub(super) fn is_no_news(entry: &Entry) -> bool {
    /// Off-CPU before the capture began, and when it ended.
    const THROUGHOUT: u32 = 8 | 16;
    let Body::Row { columns, at } = &entry.body else { return false };
    match &*entry.stream {
        s if s == events::Loss::DEF.stream => loss(columns, *at).is_none(),
        s if s == events::OffCpu::DEF.stream => {
            events::OffCpu::cols(columns).is_ok_and(|c| c.flags[*at] & THROUGHOUT == THROUGHOUT)
        }
        _ => false,
    }
}

fn mark(columns: &Columns, i: usize) -> Option<String> {
    let c = events::Mark::cols(columns).ok()?;
    Some(format!("MARK {} (uid {}, pid {})", c.text.text(i), c.uid[i], c.pid[i]))
}

fn span(s: &coldcase_timeline::SpanRow) -> String {
    let s = &s.span;
    let mut out = format!("{} {} {} {}", s.service(), s.name, Nanos(s.duration()), s.kind.name());
    if s.status.name() == "error" {
        out.push_str(" ERROR");
        if !s.message.is_empty() {
            _ = write!(out, " {:?}", s.message);
        }
    }
    if let Some(thread) = s.thread {
        _ = write!(out, " thread={thread}");
    }
    if let Some(trace) = s.trace {
        _ = write!(out, " trace={trace}");
    }
    if let Some(id) = s.id {
        _ = write!(out, " span={id}");
    }
    out
}

fn metric(m: &coldcase_timeline::MetricRow) -> String {
    let p = &m.point;
    let (value, attributes) = (super::fields::point_text(p), p.attributes.to_string());
    let unit = if p.unit.is_empty() { String::new() } else { format!(" {}", p.unit) };
    let service = &p.resource.service;
    if attributes.is_empty() {
        format!("{service} {} = {value}{unit}", p.name)
    } else {
        format!("{service} {} {{{attributes}}} = {value}{unit}", p.name)
    }
}

/// TCP flags as tcpdump writes them.
pub(super) fn flags(bits: u8) -> String {
    const NAMES: [(u8, &str); 8] =
        [(2, "SYN"), (16, "ACK"), (1, "FIN"), (4, "RST"), (8, "PSH"), (32, "URG"), (64, "ECE"), (128, "CWR")];
    NAMES.iter().filter(|(bit, _)| bits & bit != 0).map(|&(_, name)| name).collect::<Vec<_>>().join("+")
}

fn packet(t: &Timeline, p: &Packet) -> String {
    let Some(h) = p.headers() else {
        return format!("{} {} bytes, not an IP packet", p.interface, p.packet.original);
    };
    let mut out = format!("{} {} > {}", p.interface, end(h.src, h.src_port), end(h.dst, h.dst_port));
    match (h.protocol, h.tcp) {
        (_, Some(tcp)) => {
            _ = write!(out, " tcp {} seq {}", flags(tcp.flags), tcp.seq);
            if tcp.flags & 16 != 0 {
                _ = write!(out, " ack {}", tcp.ack);
            }
            _ = write!(out, " window {}", tcp.window);
        }
        (17, _) => out.push_str(" udp"),
        (1 | 58, _) => out.push_str(" icmp"),
        (n, _) => _ = write!(out, " protocol {n}"),
    }
    _ = write!(out, " length {}", h.payload);
    if h.fragment {
        out.push_str(" fragment");
    }
    let at = t.boot(p.utc);
    let owners = super::filter::owners(t, p, at);
    if owners != [None, None] {
        let name = |pid: Option<u32>| pid.map_or_else(|| "?".into(), |pid| t.processes().label(pid, at));
        _ = write!(out, " ({} > {})", name(owners[0]), name(owners[1]));
    }
    out
}
