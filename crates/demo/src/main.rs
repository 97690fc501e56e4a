//! A small shop (gateway → orders → SQLite) under load, with faults that can be switched on while it runs.
//!
//! The processes are real: HTTP/1.1 over loopback sockets, a pool of named threads in each service, an `SQLite`
//! database that syncs each commit to disk, spans through the OpenTelemetry SDK, a log file and `/metrics`.
#![cfg(target_os = "linux")]
// A program that is run by hand and by tests: its standard output is its interface.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod client;
mod fault;
mod gateway;
mod http1;
mod load;
mod log;
mod metrics;
mod orders;
mod process;
mod running;
mod server;
mod shop;
mod store;
mod telemetry;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A small shop under load, with faults that can be switched on.
#[derive(Parser)]
#[command(name = "coldcase-demo", version)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// The public face: takes requests and asks `orders`
    Gateway(gateway::Options),
    /// Keeps the orders in an `SQLite` file; the faults live here
    Orders(orders::Options),
    /// Sends requests to a gateway and measures the answers
    Load(load::Options),
    /// Starts orders, gateway and load, each as a process, and stops them together
    All(shop::Options),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().verb {
        Verb::Gateway(options) => gateway::run(&options),
        Verb::Orders(options) => orders::run(&options),
        Verb::Load(options) => load::run(&options),
        Verb::All(options) => shop::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coldcase-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
