//! Plausible rows of some streams, from a seed.

use coldcase_model::events::{Anchor, CpuSample, HostMetric, LogLine, OffCpu, Receipt};
use coldcase_model::{Columns, Event};

use crate::corrupt::Rng;

/// BOOTTIME at which the rows begin: an hour after boot.
pub const BOOT: u64 = 3_600_000_000_000;
/// UTC minus BOOTTIME of the recorded host: it booted on 2025-01-01.
pub const OFFSET: i64 = 1_735_689_600_000_000_000;

/// One anchor at a BOOTTIME.
pub fn anchor(time: u64, reason: &str) -> Columns {
    let mut rows = Columns::new(&Anchor::DEF);
    Anchor {
        time,
        width: 90,
        monotonic: time,
        realtime: time as i64 + OFFSET,
        tai: time as i64 + OFFSET + 37_000_000_000,
        ntp_state: 0,
        ntp_error: 1_000_000,
        reason: reason.to_owned(),
    }
    .push(&mut rows);
    rows
}

/// Off-CPU intervals as a busy two-CPU host makes them: in order of their end, from `threads` threads, without stacks.
pub fn off_cpu(rng: &mut Rng, count: usize, threads: u32, from: u64) -> Columns {
    const SYSCALLS: [i32; 6] = [202, 232, 45, 230, -1, -2];
    let mut rows = Columns::new(&OffCpu::DEF);
    let mut end = from;
    let mut last: Vec<u64> = vec![from; threads as usize];
    for _ in 0..count {
        end += 500 + rng.below(20_000);
        let thread = (rng.below(u64::from(threads)) * rng.below(u64::from(threads)) / u64::from(threads)) as u32;
        let ran = rng.below(15_000);
        let start = last[thread as usize].saturating_add(ran).min(end - 100);
        last[thread as usize] = end;
        let syscall = SYSCALLS[(thread as usize + usize::from(rng.below(10) == 0)) % SYSCALLS.len()];
        let preempted = syscall == -1;
        let run_queue = if preempted { end - start } else { (1_000 + rng.below(4_000)).min(end - start) };
        OffCpu {
            time: start,
            duration: end - start,
            run_queue,
            tid: 1_000 + thread * 7,
            pid: 1_000 + thread / 8 * 56,
            state: if preempted { 0 } else { 1 },
            syscall,
            waker_tid: if preempted { 0 } else { 1_000 + rng.below(u64::from(threads)) as u32 * 7 },
            cpu_out: rng.below(2) as u16,
            cpu_in: rng.below(2) as u16,
            flags: u32::from(preempted),
            ..OffCpu::default()
        }
        .push(&mut rows);
    }
    rows
}

/// CPU samples at 99 Hz on two CPUs with stacks of up to 40 frames. Pushed through the raw form, as the kernel does.
pub fn cpu_samples(rng: &mut Rng, count: usize, from: u64) -> Columns {
    let mut rows = Columns::new(&CpuSample::DEF);
    for i in 0..count {
        let depth = 4 + rng.below(36) as usize;
        let user: Vec<u64> = (0..depth as u64).map(|d| 0x55d0_0000_0000 + d * 0x1240 + rng.below(3) * 16).collect();
        let kernel: Vec<u64> = (0..rng.below(6)).map(|d| 0xffff_ffff_8100_0000 + d * 0x3300).collect();
        let mut raw = vec![0; 16];
        let tid = 1_000 + rng.below(16) as u32 * 7;
        raw.extend_from_slice(&(from + i as u64 * 10_101_010).to_le_bytes());
        raw.extend_from_slice(&tid.to_le_bytes());
        raw.extend_from_slice(&(tid / 56 * 56).to_le_bytes());
        raw.extend_from_slice(&((i % 2) as u16).to_le_bytes());
        raw.extend_from_slice(&u16::from(!kernel.is_empty()).to_le_bytes());
        raw.extend_from_slice(&0u32.to_le_bytes());
        raw.extend_from_slice(&(kernel.len() as u32).to_le_bytes());
        raw.extend_from_slice(&(user.len() as u32).to_le_bytes());
        kernel.iter().chain(&user).for_each(|f| raw.extend_from_slice(&f.to_le_bytes()));
        let pushed = rows.push_kernel(&CpuSample::DEF, &raw);
        assert!(pushed.is_ok(), "{pushed:?}");
    }
    rows
}

/// Log lines, among them one with terminal escapes, HTML and invalid UTF-8.
pub fn log_lines(count: usize, from: u64) -> Columns {
    let mut rows = Columns::new(&LogLine::DEF);
    let mut offset = 0;
    for i in 0..count {
        let mut line = format!("{i} INFO order {} accepted in {} ms", 1000 + i, i % 17).into_bytes();
        if i == 3 {
            line = b"<script>alert(1)</script>\x1b[31m\xff\xfe".to_vec();
        }
        let length = line.len() as u64 + 1;
        LogLine {
            time: from + i as u64 * 1_000_000,
            read: (from + i as u64 * 1_000_000) as i64 + OFFSET,
            offset,
            inode: 4242,
            flags: 0,
            path: "/var/log/shop.log".into(),
            line,
        }
        .push(&mut rows);
        offset += length;
    }
    rows
}

/// Host metrics, one round.
pub fn host_metrics(rng: &mut Rng, time: u64) -> Columns {
    let mut rows = Columns::new(&HostMetric::DEF);
    for cpu in 0..2 {
        for mode in ["user", "system", "idle"] {
            HostMetric {
                time,
                name: "node_cpu_seconds_total".into(),
                labels: format!("cpu=\"{cpu}\",mode=\"{mode}\""),
                value: rng.below(1_000_000) as f64 / 100.0,
            }
            .push(&mut rows);
        }
    }
    rows
}

/// The receipt of a message.
pub fn receipt(time: u64, bytes: usize) -> Receipt {
    Receipt {
        time,
        read: time as i64 + OFFSET,
        bytes: bytes as u64,
        items: 0,
        origin: "127.0.0.1:50000".into(),
        transport: "http".into(),
        content_type: "application/x-protobuf".into(),
        compression: String::new(),
    }
}
