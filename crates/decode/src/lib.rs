//! Raw payload to typed rows: packets, OTLP, Prometheus, log formats. One file per format; pure.
