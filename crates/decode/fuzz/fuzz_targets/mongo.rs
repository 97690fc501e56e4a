//! A talk of Mongo, read whole and in pieces.
#![no_main]

mod talk;

use coldcase_decode::request::mongo::{Mongo, probe};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| talk::run(Mongo::new, probe, bytes));
