//! A talk of Redis, read whole and in pieces.
#![no_main]

mod talk;

use coldcase_decode::request::redis::{Redis, probe};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| talk::run(Redis::new, probe, bytes));
