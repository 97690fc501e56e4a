//! What requests waited for that is idleness elsewhere: a timer, a condition, the end of a thread or child, a pipe. Of a thread that had a span open it
//! is time of a request, whoever called it. What waits for devices, locks of programs, peers and CPUs always counts, and is not counted here again.
//!
//! Only intervals with a row of their own are known by thread and time: shorter ones than the recorder's threshold are not here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use coldcase_model::events::OffCpu;
use coldcase_model::{Utc, syscall};
use coldcase_timeline::{Binder, IntoBoot, Timeline};

use super::usage::Service;
use crate::functions::own_function;
use crate::latency::offcpu::Reason;
use crate::waits;

/// Classes of waits that other measures have.
const ELSEWHERE: [&str; 6] = ["disk", "lock", "network", "page fault", "unknown wait", waits::RUN_QUEUE];

/// Stretches of time in which a thread had a span open, boot nanoseconds, ascending and apart; and whose span it was.
type Busy<'a> = HashMap<u32, Vec<(u64, u64, &'a str)>>;

/// Whether a call waits for what may be idleness, and no other measure has it.
fn may_be_idle(call: &str) -> bool {
    syscall::waits(call) && !["recv", "accept"].iter().any(|p| call.starts_with(p))
}

/// Puts what requests of services waited for in the place of what is known of the same calls without their requests: in all services with spans
/// whose thread is known, so that runs have the same measures.
pub(super) fn add(services: &mut BTreeMap<String, Service>, t: &Timeline) {
    let busy = busy(t);
    let with_spans: BTreeSet<&str> = busy.values().flatten().map(|s| s.2).collect();
    for (_, service) in services.iter_mut().filter(|(name, _)| with_spans.contains(name.as_str())) {
        service.waits.retain(|reason, _| !may_be_idle(reason));
    }
    let arch = crate::arch(t);
    for part in t.rows::<OffCpu>() {
        let c = &part.cols;
        for i in 0..part.len() {
            let reason = Reason::of_row(c.syscall[i], c.flags[i]);
            let Some(spans) = busy.get(&c.tid[i]).filter(|_| reason.is_for_others(arch)) else { continue };
            let at = c.time[i].into_boot();
            let wait = waits::wait(t, c, i, &t.symbols().stack(c.pid[i], at, c.kernel_stack.get(i), &[]));
            if ELSEWHERE.contains(&wait.class) {
                continue;
            }
            let (start, end) = (c.time[i], c.time[i].saturating_add(wait.waited));
            let first = spans.partition_point(|s| s.1 <= start);
            let mut name = None;
            for &(from, to, service) in spans[first..].iter().take_while(|s| s.0 < end) {
                let Some(service) = services.get_mut(service) else { continue };
                let name = name.get_or_insert_with(|| {
                    let site = own_function(t, c.pid[i], at, c.user_stack.get(i), &wait.call);
                    site.map_or_else(|| wait.call.clone(), |site| format!("{} in {site}", wait.call))
                });
                let sum = service.waits.entry(name.clone()).or_default();
                *sum = sum.saturating_add(end.min(to) - start.max(from));
            }
        }
    }
}

fn busy(t: &Timeline) -> Busy<'_> {
    let binder = Binder::new(t);
    let mut all: Busy<'_> = HashMap::new();
    for span in t.spans().iter().map(|r| &r.span).filter(|s| s.start > 0 && s.end > s.start) {
        if let Some(tid) = binder.bind(span).tid() {
            let [start, end] = [span.start, span.end].map(|utc| t.boot(Utc(utc)).0);
            all.entry(tid).or_default().push((start, end, span.service()));
        }
    }
    for spans in all.values_mut() {
        spans.sort_unstable();
        // Spans within spans are one stretch.
        spans.dedup_by(|next, kept| {
            let touches = next.0 <= kept.1;
            if touches {
                kept.1 = kept.1.max(next.1);
            }
            touches
        });
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use coldcase_model::events::{Anchor, Process};
    use coldcase_testkit::bundle::Builder;

    use super::*;

    const BOOT: u64 = 1_000_000_000_000;
    const REAL: i64 = 1_700_000_000_000_000_000;
    const MS: u64 = 1_000_000;

    /// A thread 101 of process 100 has a span from 10 to 30 ms after the start, with another in it.
    fn timeline(dir: &std::path::Path, waits: &[(i32, u64, u64)]) -> Timeline {
        let path = dir.join("b.case");
        let anchor = |time: u64| Anchor { time, realtime: REAL + (time - BOOT) as i64, ..Anchor::default() };
        let task = |tid| Process {
            time: BOOT,
            tid,
            pid: 100,
            ppid: 1,
            started: BOOT - 1,
            comm: "shop".into(),
            ..Process::default()
        };
        let span = |id: &str, from: u64, to: u64| {
            let at = |ms: u64| REAL as u64 + ms * MS;
            format!(
                r#"{{"traceId":"{}","spanId":"{id}","name":"GET","kind":2,"startTimeUnixNano":"{}","endTimeUnixNano":"{}",
                "attributes":[{{"key":"thread.id","value":{{"intValue":"101"}}}}]}}"#,
                "ab".repeat(16),
                at(from),
                at(to)
            )
        };
        let request = format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}},
            {{"key":"process.pid","value":{{"intValue":"100"}}}}]}},"scopeSpans":[{{"spans":[{},{}]}}]}}]}}"#,
            span("cdcdcdcdcdcdcdcd", 10, 30),
            span("cececececececece", 12, 20)
        );
        let waits = waits.iter().map(|&(syscall, from, to)| OffCpu {
            time: BOOT + from * MS,
            duration: (to - from) * MS,
            tid: 101,
            pid: 100,
            state: 1,
            syscall,
            ..OffCpu::default()
        });
        Builder::new(&path)
            .unwrap()
            .events([anchor(BOOT), anchor(BOOT + 1_000 * MS)])
            .unwrap()
            .events([task(100), task(101)])
            .unwrap()
            .events(waits)
            .unwrap()
            .raw("otlp.traces.json", request.as_bytes(), BOOT + 40 * MS)
            .unwrap()
            .seal()
            .unwrap();
        Timeline::open(&path, &coldcase_timeline::Options::default()).unwrap()
    }

    #[test]
    fn a_sleep_counts_as_far_as_a_request_runs_on_the_thread() {
        let dir = tempfile::tempdir().unwrap();
        // clock_nanosleep across the span's beginning, within both spans, and after them; recvfrom and fsync have measures of their own.
        let t = timeline(dir.path(), &[(230, 5, 11), (230, 13, 15), (230, 40, 90), (45, 16, 17), (74, 18, 19)]);
        let known = BTreeMap::from([("clock_nanosleep".to_owned(), 58 * MS), ("fsync".to_owned(), MS)]);
        let mut services = BTreeMap::from([("shop".to_owned(), Service { waits: known, ..Service::default() })]);
        add(&mut services, &t);
        let expected = BTreeMap::from([("clock_nanosleep".to_owned(), 3 * MS), ("fsync".to_owned(), MS)]);
        assert_eq!(services["shop"].waits, expected);
    }
}
