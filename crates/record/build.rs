//! Compiles every `bpf/*.bpf.c` with clang, and beside each a twin with empty programs on the same hooks for benchmarks, and
//! writes the lists of objects that `src/kernel/objects.rs` includes: a new kernel source needs no edit here.

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
    let sources = sources(&bpf)?;
    let empty = sources.iter().map(|s| empty_twin(s, &out)).collect::<Result<Vec<_>, _>>()?;
    let mut list = String::new();
    for (name, doc, files) in [
        ("SOURCES", "The kernel sources.", &sources),
        ("EMPTY", "Empty programs on the hooks of each source: what the hooks alone cost.", &empty),
    ] {
        writeln!(list, "/// {doc}\npub static {name}: &[Object] = &[")?;
        for source in files {
            let object = compile(&bpf, source, &out)?;
            let stem = stem(source);
            let source = stem.strip_suffix(TWIN).unwrap_or(&stem);
            writeln!(list, "    Object {{ name: {source:?}, aligned: &Aligned(*include_bytes!({object:?})) }},")?;
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

/// What the file name of an empty twin ends with.
const TWIN: &str = ".empty";

/// Writes `<name>.empty.bpf.c`: an empty program in each section that the source has a program in. Iterators are no hooks.
fn empty_twin(source: &Path, out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let text = std::fs::read_to_string(source)?;
    let sections = text.lines().filter_map(|l| l.strip_prefix("SEC(\"")?.split_once("\")")).map(|(section, _)| section);
    let mut twin = String::from("#include \"kernel.h\"\n#include <bpf/bpf_helpers.h>\n");
    twin.push_str("char LICENSE[] SEC(\"license\") = \"Dual MIT/GPL\";\n");
    for (n, section) in sections.filter(|s| !s.starts_with("iter")).enumerate() {
        writeln!(twin, "SEC(\"{section}\") int empty_{n}(void *ctx) {{ return 0; }}")?;
    }
    let path = out.join(format!("{}{TWIN}.bpf.c", stem(source)));
    std::fs::write(&path, twin)?;
    Ok(path)
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
