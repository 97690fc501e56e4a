//! `cargo run -p xtask -- generate` writes the generated files, `-- check` fails when one is not up to date.

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let root = xtask::root();
    match std::env::args().nth(1).as_deref() {
        Some("generate") => xtask::generate::write(&root),
        Some("check") => {
            let stale = xtask::generate::stale(&root)?;
            if !stale.is_empty() {
                bail!("not up to date: {}\nhint: cargo run -p xtask -- generate", stale.join(", "));
            }
            let wrong = xtask::directions::violations(&root)?;
            if !wrong.is_empty() {
                bail!("{}", wrong.join("\n"));
            }
            Ok(())
        }
        _ => bail!("usage: xtask generate | check"),
    }
}
