//! Logs: files and globs, followed through rotation and truncation.

mod config;

pub use config::LogsConfig;
