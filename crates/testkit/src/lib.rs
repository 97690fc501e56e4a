//! Test support: bundle builders and corrupters. Not published.
