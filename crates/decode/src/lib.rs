//! Raw payload to typed rows: packets, OTLP, Prometheus, log formats. One file per format; pure.
//!
//! Every decoder takes bytes and returns rows and what could not be read. None panics, whatever the bytes; none
//! allocates more than a small multiple of its input.

pub mod capture;
pub mod exposition;
pub mod log;
pub mod openmetrics;
pub mod otlp;
pub mod packet;
pub mod pcapng;
pub mod profile;
pub mod prometheus;
pub mod prometheus_protobuf;
pub mod remote_write;
pub mod request;
pub mod spans;
pub mod tcp;
