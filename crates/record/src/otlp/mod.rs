//! OTLP: a receiver for gRPC and HTTP whose requests are stored byte for byte.

mod config;

pub use config::OtlpConfig;
