//! Code generation and repository checks.
fn main() {}
