//! A talk of Kafka, read whole and in pieces.
#![no_main]

mod talk;

use coldcase_decode::request::kafka::{Kafka, probe};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| talk::run(Kafka::new, probe, bytes));
