//! A talk of Mysql, read whole and in pieces.
#![no_main]

mod talk;

use coldcase_decode::request::mysql::{Mysql, probe};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| talk::run(Mysql::new, probe, bytes));
