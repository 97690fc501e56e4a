//! A talk of Postgres, read whole and in pieces.
#![no_main]

mod talk;

use coldcase_decode::request::postgres::{Postgres, probe};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| talk::run(Postgres::new, probe, bytes));
