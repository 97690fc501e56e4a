//! The configuration file, overridden by the flags.

use coldcase_record::config::RecordConfig;

use super::{Args, failure};
use crate::args::size;
use crate::exit::Failure;

/// The configuration file, overridden by the flags.
pub(super) fn configure(args: &Args) -> Result<RecordConfig, Failure> {
    let mut config = match &args.config {
        Some(path) => RecordConfig::read(path).map_err(failure)?,
        None => RecordConfig::default(),
    };
    let what = &args.what;
    over(&mut config.output, &args.output);
    over(&mut config.time_limit, &args.time_limit);
    over(&mut config.max_size, &args.max_size);
    over(&mut config.max_cpu, &args.max_cpu);
    over(&mut config.max_memory, &args.max_memory);
    over(&mut config.max_rate, &args.max_rate);
    if let Some(file) = &args.kill_switch {
        config.kill_switch.clone_from(file);
    }
    over_list(&mut config.require, &args.require);
    over_list(&mut config.kernel.refuse, &args.refuse);
    over_list(&mut config.only, &args.only);
    over_list(&mut config.without, &args.without);
    if args.no_symbols {
        config.without.push("symbols".to_owned());
    }
    over_list(&mut config.scope.pids, &what.pid);
    over_list(&mut config.scope.comms, &what.comm);
    over_list(&mut config.scope.cgroups, &what.cgroup);
    over_list(&mut config.scope.containers, &what.container);
    over_list(&mut config.logs.paths, &what.log);
    config.logs.from_start |= what.log_from_start;
    over(&mut config.logs.multiline, &what.log_multiline);
    config.logs.journal |= what.journal;
    over(&mut config.logs.journal_dir, &what.journal_dir);
    over_list(&mut config.logs.syslog, &what.syslog);
    over_list(&mut config.metrics.targets, &what.scrape);
    over_list(&mut config.metrics.files, &what.scrape_file);
    over(&mut config.metrics.ca, &what.scrape_ca);
    config.metrics.insecure |= what.scrape_insecure;
    over(&mut config.metrics.bearer_file, &what.scrape_bearer_file);
    over(&mut config.metrics.basic_auth_file, &what.scrape_basic_auth_file);
    over(&mut config.remote_write.listen, &what.remote_write);
    over_list(&mut config.packets.interfaces, &what.interface);
    over(&mut config.packets.filter, &what.filter);
    config.packets.payload = what.payload.unwrap_or(config.packets.payload);
    config.packets.payload_ports.extend(what.payload_port.iter().copied());
    over(&mut config.otlp.grpc, &what.otlp_grpc);
    over(&mut config.otlp.http, &what.otlp_http);
    over(&mut config.otlp.token, &what.otlp_token);
    over(&mut config.otlp.tls_cert, &what.otlp_tls_cert);
    over(&mut config.otlp.tls_key, &what.otlp_tls_key);
    over_list(&mut config.otlp.forward, &what.otlp_forward);
    config.otlp.ack = what.ack.unwrap_or(config.otlp.ack);
    let (flight, told) = (&mut config.flight, &args.flight);
    over(&mut flight.window, &told.window);
    over(&mut flight.pre, &told.pre);
    flight.post = told.post.unwrap_or(flight.post);
    flight.cooldown = told.cooldown.unwrap_or(flight.cooldown);
    flight.max_dumps = told.max_dumps.unwrap_or(flight.max_dumps);
    flight.disk_floor = told.disk_floor.unwrap_or(flight.disk_floor);
    for rule in &told.trigger {
        let mut rule = rule.clone();
        let alike = flight.triggers.iter().filter(|r| r.kind == rule.kind).count();
        // Short forms have no name of their own: the second of a kind is `log-2`.
        rule.name = (alike > 0).then(|| format!("{}-{}", rule.name(), alike + 1));
        flight.triggers.push(rule);
    }
    if let Some(fault) = config.flight.fault() {
        return Err(Failure::usage(fault));
    }
    config.kernel.sample_hz = what.sample_hz.unwrap_or(config.kernel.sample_hz);
    config.kernel.row_threshold = what.row_threshold.unwrap_or(config.kernel.row_threshold);
    config.kernel.stack_threshold = what.stack_threshold.unwrap_or(config.kernel.stack_threshold);
    config.kernel.syscalls |= what.syscalls;
    config.kernel.syscall_threshold = what.syscall_threshold.unwrap_or(config.kernel.syscall_threshold);
    config.kernel.irq |= what.irq;
    over_list(&mut config.kernel.uprobe, &what.uprobe);
    config.kernel.ring_cpus = what.ring_cpus.unwrap_or(config.kernel.ring_cpus);
    config.kernel.ring_bytes = what.ring_bytes.unwrap_or(config.kernel.ring_bytes);
    match config.fault() {
        Some(fault) => Err(Failure::usage(fault)),
        None => Ok(config),
    }
}

pub(super) fn payload_port(text: &str) -> Result<(u16, u32), String> {
    let parts = text.split_once('=').and_then(|(port, bytes)| Some((port.parse().ok()?, bytes.parse().ok()?)));
    parts.ok_or_else(|| format!("'{text}' is not PORT=BYTES"))
}

/// A ring's size as the kernel takes it: a power of two of at least a page.
pub(super) fn ring_size(text: &str) -> Result<u32, String> {
    let bytes = size(text)?;
    match u32::try_from(bytes) {
        Ok(bytes) if bytes.is_power_of_two() && bytes >= 4096 => Ok(bytes),
        _ => Err(format!("'{text}' is not a power of two from 4KiB to 2GiB")),
    }
}

fn over<T: Clone>(to: &mut Option<T>, from: &Option<T>) {
    if from.is_some() {
        to.clone_from(from);
    }
}

fn over_list<T: Clone>(to: &mut Vec<T>, from: &[T]) {
    if !from.is_empty() {
        *to = from.to_vec();
    }
}
