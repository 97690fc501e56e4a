//! A statement of SQL: the first byte chooses the dialect, and whether it is cut off.
#![no_main]

use coldcase_decode::request::sql::{Dialect, fingerprint, traceparent};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((&kind, sql)) = bytes.split_first() {
        let dialect = if kind & 1 == 0 { Dialect::Postgres } else { Dialect::Mysql };
        let made = fingerprint(sql, dialect, kind & 2 != 0);
        assert!(made.text.len() <= coldcase_decode::request::DETAIL);
        traceparent(sql);
    }
});
