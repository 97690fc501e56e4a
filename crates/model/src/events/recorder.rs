//! The recorder's own streams: losses, cost, marks, source states, backlog.

crate::event! {
    /// Evidence that was lost, counted.
    host Loss: kind 49, stream "recorder.loss", class Recorder {
        /// Start of the interval in which it was lost.
        time: u64 [BootNs],
        /// Length of the interval.
        duration: u64 [DurNs],
        /// Things lost.
        count: u64 [Count],
        /// Bytes lost, where known.
        bytes: u64 [Bytes],
        /// CPU on which it was lost; -1 when it does not belong to one.
        cpu: i32 [Id],
        /// The source.
        source: String [None],
        /// The signal class.
        class: String [None],
        /// Why: one of the reasons in `coldcase_model::loss::Reason`.
        reason: String [None],
    }
}

crate::event! {
    /// What the recorder cost the host since the row before.
    host Cost: kind 50, stream "recorder.cost", class Recorder {
        /// When it was read: the end of the interval.
        time: u64 [BootNs],
        /// Length of the interval.
        interval: u64 [DurNs],
        /// CPU time in user mode, all threads.
        user: u64 [DurNs],
        /// CPU time in the kernel, all threads.
        system: u64 [DurNs],
        /// Resident memory.
        rss: u64 [Bytes],
        /// Bytes appended to the bundle.
        written: u64 [Bytes],
        /// Events taken in.
        events: u64 [Count],
        /// Time spent inside our BPF programs, estimated from sampled runs.
        bpf: u64 [DurNs],
    }
}

crate::event! {
    /// What was passed on of the OTLP requests taken in (`--otlp-forward`) since the row before. A copy: the evidence is in the
    /// bundle whatever became of it, so nothing of this is a loss.
    host Forward: kind 55, stream "recorder.forward", class Recorder {
        /// When it was read: the end of the interval.
        time: u64 [BootNs],
        /// Length of the interval.
        interval: u64 [DurNs],
        /// Requests that the collector acknowledged.
        forwarded: u64 [Count],
        /// Tries that failed and were to be made again.
        retries: u64 [Count],
        /// Requests that the collector refused for good.
        refused: u64 [Count],
        /// Requests that were given up: no acknowledgement in time.
        given_up: u64 [Count],
        /// Requests that found no room among those that wait.
        no_room: u64 [Count],
        /// Requests that wait at the end of the interval, or are under way.
        waiting: u64 [Count],
        /// The last failure, in words; empty when there was none in the interval.
        failure: String [None],
    }
}

crate::event! {
    /// A note that somebody put on the timeline with `coldcase mark`.
    host Mark: kind 51, stream "recorder.mark", class Recorder {
        /// When it was received.
        time: u64 [BootNs],
        /// User id of who sent it.
        uid: u32 [Id],
        /// Process that sent it.
        pid: u32 [Id],
        /// The note.
        text: String [None],
    }
}

crate::event! {
    /// A source was started, skipped or stopped. The manifest repeats the last state of each; these rows are there
    /// for bundles that were never sealed.
    host SourceState: kind 52, stream "recorder.source", class Recorder {
        /// When.
        time: u64 [BootNs],
        /// The source.
        source: String [None],
        /// `running`, `skipped`, `stopped` or `failed`.
        status: String [None],
        /// Why, in one line; empty when running.
        reason: String [None],
    }
}

crate::event! {
    /// Age of the oldest event of a class that was not yet in the file.
    host Backlog: kind 53, stream "recorder.backlog", class Recorder {
        /// When it was measured.
        time: u64 [BootNs],
        /// The age.
        age: u64 [DurNs],
        /// The signal class.
        class: String [None],
    }
}

crate::event! {
    /// The recorder took in less, or more again, or was held up: a step of its ladder of reductions. From a `down` row on,
    /// what its `step` names is missing from the bundle or summed, until the `up` row with the same words.
    host Step: kind 54, stream "recorder.step", class Recorder {
        /// When: the moment of the step. For a pause, its start.
        time: u64 [BootNs],
        /// Length of a pause or stall; 0 for a step of the ladder, which lasts until its `up` row.
        duration: u64 [DurNs],
        /// What was measured, in `unit`.
        value: u64 [None],
        /// The limit that it was held against, in `unit`.
        limit: u64 [None],
        /// Which way: `down` (less is taken in), `up` (more again), `pause` (the recorder did not run), `detach` (the
        /// watchdog took programs and taps off).
        direction: String [None],
        /// What is reduced, with its source: `kernel.sched: no stacks`.
        step: String [None],
        /// Why: `cpu`, `memory`, `rate`, `backlog`, `eased`, `stopped`, `suspended`, `stalled`.
        why: String [None],
        /// Unit of `value` and `limit`: `ns/s` (CPU time per second of wall time), `bytes`, `events/s`, `bytes/s`, `ns`.
        unit: String [None],
    }
}
