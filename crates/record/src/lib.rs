//! Linux only: loads BPF, drains rings, taps packets, receives OTLP, tails logs, scrapes.
