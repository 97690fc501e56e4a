//! Compiles every `bpf/*.bpf.c` and `bpf/bench/*.bpf.c` with clang, and writes the list of objects that
//! `src/kernel/objects.rs` includes: a new kernel source needs no edit here.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::var("CARGO_CFG_TARGET_OS")? != "linux" {
        return Ok(());
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let bpf = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../bpf").canonicalize()?;
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rerun-if-changed={}", bpf.display());
    let mut list = String::new();
    for (name, folder) in [("SOURCES", bpf.clone()), ("BENCH", bpf.join("bench"))] {
        writeln!(list, "/// The objects of {}.\npub static {name}: &[Object] = &[", folder.display())?;
        for source in sources(&folder)? {
            let object = compile(&bpf, &source, &out)?;
            let stem = stem(&source);
            writeln!(list, "    Object {{ name: {stem:?}, aligned: &Aligned(*include_bytes!({object:?})) }},")?;
        }
        writeln!(list, "];")?;
    }
    std::fs::write(out.join("objects.rs"), list)?;
    Ok(())
}

/// `/x/sched.bpf.c` → `sched`.
fn stem(source: &Path) -> String {
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(".bpf.c").unwrap_or(&name).to_string()
}

fn sources(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".bpf.c") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn compile(bpf: &Path, source: &Path, out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let object = out.join(format!("{}.bpf.o", stem(source)));
    let arch = match std::env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        other => return Err(format!("no kernel sources for {other}").into()),
    };
    // The headers of the libbpf that is linked in, not the system's.
    let libbpf = std::env::var("DEP_BPF_INCLUDE")?;
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".into());
    let mut command = Command::new(&clang);
    // v3 instructions (5.1) come with clang 14's default set; -g is what CO-RE relocations live in.
    command.args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror", "-fno-ident"]);
    command.arg(format!("-D__TARGET_ARCH_{arch}")).arg("-I").arg(bpf.join("include")).arg("-I").arg(libbpf);
    command.arg(format!("-fdebug-prefix-map={}=.", bpf.display()));
    command.arg("-c").arg(source).arg("-o").arg(&object);
    let output = command.output().map_err(|e| {
        format!("{clang} cannot be run ({e}): the kernel sources need it. hint: apt install clang (or set CLANG)")
    })?;
    if !output.status.success() {
        return Err(format!("{}:\n{}", source.display(), String::from_utf8_lossy(&output.stderr)).into());
    }
    strip(&object);
    Ok(object)
}

/// Drops DWARF; BTF stays. Only size is at stake, so that a machine without llvm-strip builds as well.
fn strip(object: &Path) {
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".into());
    let beside = clang.replace("clang", "llvm-strip");
    for tool in [beside.as_str(), "llvm-strip", "llvm-strip-14"] {
        if Command::new(tool).arg("-g").arg(object).output().is_ok_and(|o| o.status.success()) {
            return;
        }
    }
}
