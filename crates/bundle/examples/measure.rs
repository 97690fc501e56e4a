//! Measures the bundle on generated rows: bytes per row, rows per second in and out, one thread.
//! `cargo run -p coldcase-bundle --example measure [BUNDLE…]`: of generated rows, or of the rows of bundles.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;

use coldcase_bundle::{BatchBody, Bundle, Identity, Writer, WriterOptions, internals};
use coldcase_model::events::{CpuSample, OffCpu, Task};
use coldcase_model::{Columns, Event};
use coldcase_testkit::corrupt::Rng;
use coldcase_testkit::{bundle, rows};

/// Samples without stacks: one timestamp each.
fn samples(count: usize) -> Columns {
    let mut rng = Rng(5);
    let mut out = Columns::new(&CpuSample::DEF);
    for i in 0..count {
        let tid = 1_000 + (rng.below(40) * rng.below(40) / 40) as u32 * 7;
        let time = rows::BOOT + i as u64 * 10_101_010 + rng.below(3_000);
        CpuSample { time, tid, pid: tid / 56 * 56, cpu: (i % 2) as u16, ..CpuSample::default() }.push(&mut out);
    }
    out
}

fn tasks(count: usize) -> Columns {
    let mut rng = Rng(6);
    let mut out = Columns::new(&Task::DEF);
    let mut time = rows::BOOT;
    for i in 0..count {
        time += rng.below(400_000);
        let pid = 5_000 + i as u32 / 3;
        let what = [1, 2, 3][i % 3];
        let started = time / 10_000_000 * 10_000_000;
        let comm = coldcase_model::Comm(*b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        Task { time, what, tid: pid, pid, ppid: 4_000, started, cgroup: 1, comm, ..Task::default() }.push(&mut out);
    }
    out
}

fn measure(stream: &str, all: &Columns) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.case");
    let n = all.len();
    // As the recorder appends: some hundred rows at a time.
    let pieces: Vec<Columns> = (0..n).step_by(1000).map(|at| all.slice(at..(at + 1000).min(n))).collect();
    let start = Instant::now();
    let writer = Writer::create(&path, true, WriterOptions::default()).unwrap();
    pieces.into_iter().for_each(|p| writer.append(stream, p).unwrap());
    writer.seal(bundle::manifest()).unwrap();
    let written = start.elapsed();
    let opened = Bundle::open(&path).unwrap();
    let start = Instant::now();
    let mut rows = 0;
    for chunk in opened.chunks() {
        rows += opened.read_chunk(chunk.index, &|_| true).unwrap().len();
    }
    let read = start.elapsed();
    let batch = all.slice(0..8192.min(n));
    let start = Instant::now();
    let mut bytes = Vec::new();
    for _ in 0..50 {
        bytes = internals::encode_batch(stream, 0, &batch, &Identity).unwrap();
    }
    let encoded = start.elapsed() / 50;
    let start = Instant::now();
    for _ in 0..50 {
        internals::decode(&bytes).unwrap();
    }
    let decoded = start.elapsed() / 50;
    let rate = |d: std::time::Duration, n: usize| n as f64 / d.as_secs_f64() / 1e6;
    println!(
        "{stream:18} {:6.2} B/row, {:3} chunks; writer {:5.1} M rows/s, reader {:5.1}; codec alone: encode {:5.1}, decode {:6.1}, {:5.2} B/row before zstd; {rows} batches",
        opened.len() as f64 / n as f64,
        opened.chunks().len(),
        rate(written, n),
        rate(read, n),
        rate(encoded, batch.len()),
        rate(decoded, batch.len()),
        bytes.len() as f64 / batch.len() as f64,
    );
    columns(stream, &batch);
}

/// What each column takes after zstd, alone.
fn columns(stream: &str, batch: &Columns) {
    for (name, column) in batch.names.iter().zip(&batch.columns) {
        let one = Columns::from_parts(vec![name.clone()], vec![column.clone()]).unwrap();
        let bytes = internals::encode_batch(stream, 0, &one, &Identity).unwrap();
        let packed = zstd::bulk::compress(&bytes, 3).unwrap().len();
        println!("    {name:14} {:5.2}", packed as f64 / batch.len() as f64);
    }
}

/// Measures the rows that a bundle holds, stream by stream.
fn of_bundle(path: &std::path::Path) {
    let opened = Bundle::open(path).unwrap();
    let mut rows: std::collections::BTreeMap<String, Columns> = std::collections::BTreeMap::new();
    let mut events = 0;
    let mut read = std::time::Duration::ZERO;
    for chunk in opened.chunks() {
        let at = Instant::now();
        let batches = opened.read_chunk(chunk.index, &|_| true).unwrap();
        read += at.elapsed();
        for batch in batches {
            if let BatchBody::Columns(columns) = batch.body {
                events += columns.len();
                match rows.get_mut(&*batch.stream) {
                    Some(all) => all.append(columns).unwrap(),
                    None => drop(rows.insert(batch.stream.to_string(), columns)),
                }
            }
        }
    }
    println!(
        "{}: {events} rows in {} chunks of {} bytes, read at {:.1} M rows/s",
        path.display(),
        opened.chunks().len(),
        opened.len(),
        events as f64 / read.as_secs_f64() / 1e6
    );
    for (stream, rows) in rows.iter().filter(|(_, r)| r.len() > 1000) {
        measure(stream, &rows.slice(0..rows.len()));
    }
}

fn main() {
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    if !paths.is_empty() {
        return paths.iter().for_each(|p| of_bundle(std::path::Path::new(p)));
    }
    measure(OffCpu::DEF.stream, &rows::off_cpu(&mut Rng(4), 1_000_000, 60, rows::BOOT));
    measure(CpuSample::DEF.stream, &samples(1_000_000));
    measure(Task::DEF.stream, &tasks(1_000_000));
}
