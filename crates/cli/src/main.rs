//! The binary `coldcase`.

fn main() {}
