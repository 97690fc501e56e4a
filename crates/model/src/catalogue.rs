//! The catalogue: every kind of event, every raw stream, and the class each belongs to. One line a kind.

use crate::event::{Event, EventDef};
use crate::events::*;

/// A signal class: what shares chunks in the bundle, a ring in the kernel, and a line in the loss ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names are DESIGN's
pub enum Class {
    /// The recorder's own: anchors, losses, marks, cost, identities.
    Recorder,
    /// Scheduler intervals.
    Sched,
    /// CPU samples.
    Sample,
    /// Waits for locks inside the kernel.
    Lock,
    /// Block I/O.
    Block,
    /// TCP state changes and retransmits.
    Tcp,
    /// Packets that the kernel dropped.
    Drop,
    /// Sockets: their owners, and what TCP knows of each.
    Socket,
    /// Signals.
    Signal,
    /// Major faults, reclaim, OOM kills.
    Memory,
    /// Slow file calls and writeback.
    File,
    /// Tasks: fork, exec, exit, rename; and the snapshots of processes, sockets, mappings, cgroups.
    Task,
    /// Interrupts.
    Irq,
    /// System calls.
    Syscall,
    /// Statements of Postgres.
    Postgres,
    /// Look-ups of names by the C library.
    Libc,
    /// Calls into TLS libraries.
    Libssl,
    /// Packets.
    Packet,
    /// OTLP requests.
    Otlp,
    /// Log lines.
    Log,
    /// Scrapes and host metrics.
    Metric,
    /// Symbol slices.
    Symbol,
}

impl Class {
    /// All classes, in the order in which they are drained and written.
    pub const ALL: [Class; 22] = [
        Class::Recorder,
        Class::Task,
        Class::Signal,
        Class::Memory,
        Class::Tcp,
        Class::Socket,
        Class::Drop,
        Class::File,
        Class::Block,
        Class::Lock,
        Class::Sample,
        Class::Sched,
        Class::Postgres,
        Class::Libc,
        Class::Libssl,
        Class::Irq,
        Class::Syscall,
        Class::Packet,
        Class::Otlp,
        Class::Log,
        Class::Metric,
        Class::Symbol,
    ];

    /// The name in snake case, as in JSON and in the loss ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Recorder => "recorder",
            Class::Sched => "sched",
            Class::Sample => "sample",
            Class::Lock => "lock",
            Class::Block => "block",
            Class::Tcp => "tcp",
            Class::Drop => "drop",
            Class::Socket => "socket",
            Class::Signal => "signal",
            Class::Memory => "memory",
            Class::File => "file",
            Class::Task => "task",
            Class::Irq => "irq",
            Class::Syscall => "syscall",
            Class::Postgres => "postgres",
            Class::Libc => "libc",
            Class::Libssl => "libssl",
            Class::Packet => "packet",
            Class::Otlp => "otlp",
            Class::Log => "log",
            Class::Metric => "metric",
            Class::Symbol => "symbol",
        }
    }
}

/// Every kind of event, by number.
pub const CATALOGUE: &[EventDef] = &[
    OffCpu::DEF,
    CpuSample::DEF,
    BlockIo::DEF,
    TcpState::DEF,
    TcpRetransmit::DEF,
    TcpReset::DEF,
    TcpInfo::DEF,
    SocketOwner::DEF,
    PacketDrop::DEF,
    EnumName::DEF,
    Task::DEF,
    Exec::DEF,
    OffCpuSum::DEF,
    LockContention::DEF,
    RingCount::DEF,
    Process::DEF,
    Socket::DEF,
    Nat::DEF,
    Mapping::DEF,
    Cgroup::DEF,
    Container::DEF,
    Device::DEF,
    FileCall::DEF,
    Writeback::DEF,
    Signal::DEF,
    MajorFault::DEF,
    Reclaim::DEF,
    OomKill::DEF,
    HostMetric::DEF,
    LogLine::DEF,
    Receipt::DEF,
    Scrape::DEF,
    Anchor::DEF,
    Loss::DEF,
    Cost::DEF,
    Mark::DEF,
    SourceState::DEF,
    Symbol::DEF,
    SymbolModule::DEF,
    Backlog::DEF,
    Step::DEF,
    ThreadCgroup::DEF,
    CgroupCpu::DEF,
    InterruptSum::DEF,
    LongInterrupt::DEF,
    SyscallSum::DEF,
    SlowSyscall::DEF,
    Trigger::DEF,
    TlsCall::DEF,
    Statement::DEF,
    NameLookup::DEF,
    Forward::DEF,
];

/// A stream whose messages are bytes as their source spoke them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawStream {
    /// The stream's name.
    pub stream: &'static str,
    /// Its class.
    pub class: Class,
    /// The stream of [`Receipt`] rows that says when each message was received: row n belongs to message n.
    pub receipts: &'static str,
    /// MCAP `message_encoding`.
    pub message_encoding: &'static str,
    /// What the bytes are.
    pub doc: &'static str,
}

/// The raw streams. A message's number in its stream is its MCAP `sequence`.
pub const RAW_STREAMS: &[RawStream] = &[
    RawStream {
        stream: "packets",
        class: Class::Packet,
        receipts: "packets.receipts",
        message_encoding: "pcapng",
        doc: "Each message is a whole pcapng section: section header, interface descriptions, enhanced packet blocks.",
    },
    RawStream {
        stream: "otlp.traces",
        class: Class::Otlp,
        receipts: "otlp.traces.receipts",
        message_encoding: "protobuf",
        doc: "An ExportTraceServiceRequest as it arrived, after transport decompression.",
    },
    RawStream {
        stream: "otlp.metrics",
        class: Class::Otlp,
        receipts: "otlp.metrics.receipts",
        message_encoding: "protobuf",
        doc: "An ExportMetricsServiceRequest as it arrived, after transport decompression.",
    },
    RawStream {
        stream: "otlp.logs",
        class: Class::Otlp,
        receipts: "otlp.logs.receipts",
        message_encoding: "protobuf",
        doc: "An ExportLogsServiceRequest as it arrived, after transport decompression.",
    },
    RawStream {
        stream: "otlp.traces.json",
        class: Class::Otlp,
        receipts: "otlp.traces.json.receipts",
        message_encoding: "json",
        doc: "An ExportTraceServiceRequest in OTLP/JSON, as it arrived.",
    },
    RawStream {
        stream: "otlp.metrics.json",
        class: Class::Otlp,
        receipts: "otlp.metrics.json.receipts",
        message_encoding: "json",
        doc: "An ExportMetricsServiceRequest in OTLP/JSON, as it arrived.",
    },
    RawStream {
        stream: "otlp.logs.json",
        class: Class::Otlp,
        receipts: "otlp.logs.json.receipts",
        message_encoding: "json",
        doc: "An ExportLogsServiceRequest in OTLP/JSON, as it arrived.",
    },
    RawStream {
        stream: "metrics.pages",
        class: Class::Metric,
        receipts: "metrics.pages.receipts",
        message_encoding: "prometheus",
        doc: "A scraped page as it arrived; the receipt's content type says which exposition format.",
    },
    RawStream {
        stream: "otlp.profiles",
        class: Class::Otlp,
        receipts: "otlp.profiles.receipts",
        message_encoding: "protobuf",
        doc: "An ExportProfilesServiceRequest (v1development) as it arrived, after transport decompression. Kept, not read.",
    },
    RawStream {
        stream: "otlp.profiles.json",
        class: Class::Otlp,
        receipts: "otlp.profiles.json.receipts",
        message_encoding: "json",
        doc: "An ExportProfilesServiceRequest (v1development) in OTLP/JSON, as it arrived. Kept, not read.",
    },
    RawStream {
        stream: "jaeger.traces",
        class: Class::Otlp,
        receipts: "jaeger.traces.receipts",
        message_encoding: "json",
        doc: "Traces in the JSON of Jaeger's query API: `{\"data\":[…]}`, imported; the elements stand as they were.",
    },
    RawStream {
        stream: "zipkin.spans",
        class: Class::Otlp,
        receipts: "zipkin.spans.receipts",
        message_encoding: "json",
        doc: "Spans in the JSON of Zipkin's API, version 2: a list of spans or of traces, imported; the elements stand as they were.",
    },
    RawStream {
        stream: "prometheus.remote_write",
        class: Class::Metric,
        receipts: "prometheus.remote_write.receipts",
        message_encoding: "protobuf",
        doc: "A prometheus.WriteRequest (Remote-Write 1.0) as it arrived, after snappy decompression.",
    },
    RawStream {
        stream: "prometheus.remote_write.v2",
        class: Class::Metric,
        receipts: "prometheus.remote_write.v2.receipts",
        message_encoding: "protobuf",
        doc: "An io.prometheus.write.v2.Request (Remote-Write 2.0) as it arrived, after snappy decompression.",
    },
];

/// The raw streams that spans are decoded from.
pub const SPAN_STREAMS: [&str; 4] = ["otlp.traces", "otlp.traces.json", "jaeger.traces", "zipkin.spans"];

/// The definition of a kind, if this build knows it.
pub fn by_kind(kind: u16) -> Option<&'static EventDef> {
    CATALOGUE.iter().find(|d| d.kind == kind)
}

/// The definition of the kind that a stream carries, if this build knows it.
pub fn by_stream(stream: &str) -> Option<&'static EventDef> {
    if stream.ends_with(".receipts") {
        return CATALOGUE.iter().find(|d| d.kind == Receipt::DEF.kind);
    }
    CATALOGUE.iter().find(|d| d.stream == stream)
}

/// The raw stream of a name.
pub fn raw_stream(stream: &str) -> Option<&'static RawStream> {
    RAW_STREAMS.iter().find(|r| r.stream == stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{KernelHead, Layout};
    use crate::field::FieldType;

    #[test]
    fn kinds_and_streams_are_unique() {
        let mut kinds: Vec<_> = CATALOGUE.iter().map(|d| d.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), CATALOGUE.len());
        let mut streams: Vec<_> =
            CATALOGUE.iter().map(|d| d.stream).chain(RAW_STREAMS.iter().map(|r| r.stream)).collect();
        streams.sort_unstable();
        streams.dedup();
        assert_eq!(streams.len(), CATALOGUE.len() + RAW_STREAMS.len());
    }

    #[test]
    fn kernel_layouts_have_no_hidden_padding() {
        for def in CATALOGUE {
            let Layout::Kernel { size } = def.layout else { continue };
            let mut at = std::mem::size_of::<KernelHead>();
            for field in def.fields {
                assert_eq!(field.offset, at, "{}.{}: add an explicit reserved field before it", def.name, field.name);
                at +=
                    field.ty.kernel_size().unwrap_or_else(|| panic!("{}.{}: not a kernel type", def.name, field.name));
            }
            assert_eq!(size, at, "{}: trailing padding", def.name);
            assert_eq!(size % 8, 0, "{}: stack frames must stand aligned", def.name);
        }
    }

    #[test]
    fn every_field_and_kind_is_documented_and_has_a_time() {
        for def in CATALOGUE {
            assert!(!def.doc.trim().is_empty(), "{}", def.name);
            for f in def.fields {
                assert!(!f.doc.trim().is_empty(), "{}.{}", def.name, f.name);
            }
            assert!(def.time_field().is_some(), "{} has no time", def.name);
            assert!(def.fields.iter().filter(|f| f.ty == FieldType::Stack).count() <= 2);
        }
    }
}
