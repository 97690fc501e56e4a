//! Flame, latency and flow: from the timeline to findings and tables.
