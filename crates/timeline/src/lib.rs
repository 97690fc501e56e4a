//! Aligns clocks, loads streams in parallel into typed columns, resolves entities, merges in order.
