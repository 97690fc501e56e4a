//! Uprobes: which files have the functions of a target, and attaching to them.
//!
//! A uprobe belongs to a file, not to a process: whoever maps the file, now or later, is seen. The files are those that
//! running processes have mapped, found in their own mount namespaces, and those that are installed in the usual places.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use libbpf_rs::{ErrorKind, Link, OpenObject, ProgramAttachType, ProgramMut, UprobeOpts};

use super::probed::{FileId, is_ours};
use super::refusal;
use crate::caps::{self, Cap};
use crate::config::Uprobe;
use crate::host::maps;
use crate::source::Skip;

/// All processes.
const ANYONE: i32 = -1;

/// The function that a program is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    /// Its name, as the file exports it.
    pub(super) function: String,
    /// At its return.
    pub(super) at_return: bool,
}

impl Probe {
    /// By the section of the program: `uprobe/SSL_read`, `uretprobe/SSL_read`. `None` for other programs.
    pub(super) fn of(section: &str) -> Option<Probe> {
        let (kind, function) = section.split_once('/')?;
        let at_return = match kind {
            "uprobe" => false,
            "uretprobe" => true,
            _ => return None,
        };
        Some(Probe { function: function.to_owned(), at_return })
    }
}

/// A file that may have the functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) id: FileId,
    /// Where the recorder finds it.
    pub(super) path: PathBuf,
}

/// The result of a search.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) found: Vec<File>,
    /// Processes whose mappings could not be read.
    pub(super) unreadable: u32,
}

/// The files that were come across, each once: `None` for those that are not of this machine.
type Candidates = BTreeMap<FileId, Option<PathBuf>>;

fn add(files: &mut Candidates, id: FileId, path: PathBuf) {
    if files.contains_key(&id) {
        return;
    }
    // One that cannot be read by this path may be by another: its process may just have ended.
    if let Ok(ours) = is_ours(&path) {
        files.insert(id, ours.then_some(path));
    }
}

impl Uprobe {
    /// The target of an object, if it is about one.
    pub(super) fn of(object: &str) -> Option<Uprobe> {
        Uprobe::ALL.into_iter().find(|u| u.name() == object)
    }

    /// Whether a file of this name has its functions.
    fn is_in(self, file: &str) -> bool {
        match self {
            // Packages that bring their own give it a name with a hash: libssl-1a2b3c.so.3. NSS' libssl3.so is another library.
            Uprobe::Libssl => file.starts_with("libssl.so") || (file.starts_with("libssl-") && file.contains(".so")),
            Uprobe::Postgres => matches!(file, "postgres" | "postmaster"),
            Uprobe::Libc => {
                file == "libc.so.6"
                    || (file.starts_with("libc-2.") && file.ends_with(".so"))
                    || file.starts_with("ld-musl-")
            }
        }
    }

    /// Where it is when installed: folders, `*` for any name in between.
    fn places(self) -> &'static [&'static str] {
        match self {
            Uprobe::Libssl | Uprobe::Libc => {
                &["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/lib/*-linux-*", "/usr/lib/*-linux-*", "/usr/local/lib"]
            }
            Uprobe::Postgres => {
                &["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin"]
            }
        }
    }

    /// The files that have its functions.
    pub(super) fn files(self) -> Found {
        let mut files = Candidates::new();
        let unreadable = self.mapped(&mut files);
        for path in self.places().iter().flat_map(|place| glob::glob(&format!("{place}/*")).into_iter().flatten()) {
            let Ok(path) = path else { continue };
            let named = path.file_name().is_some_and(|n| self.is_in(&n.to_string_lossy()));
            if let (true, Ok(meta)) = (named, std::fs::metadata(&path))
                && meta.is_file()
            {
                add(&mut files, FileId::of(&path, &meta), path);
            }
        }
        let found = files.into_iter().filter_map(|(id, path)| Some(File { id, path: path? })).collect();
        Found { found, unreadable }
    }

    /// Those that running processes have mapped. Says how many processes could not be looked at.
    fn mapped(self, files: &mut Candidates) -> u32 {
        let mut unreadable = 0;
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok()) {
            let executable = match maps::executable_files(pid) {
                Ok(executable) => executable,
                Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                    unreadable += 1;
                    continue;
                }
                // It ended meanwhile.
                Err(_) => continue,
            };
            for file in executable {
                let path = file.path.strip_suffix(" (deleted)").unwrap_or(&file.path);
                let name = path.rsplit('/').next().unwrap_or_default();
                if self.is_in(name)
                    && let Some((id, path)) = reachable(pid, path, &file)
                {
                    add(files, id, path);
                }
            }
        }
        unreadable
    }

    /// Why nothing of it can be recorded.
    pub(super) fn missing(self, found: &Found) -> Skip {
        let what = match self {
            Uprobe::Libssl => "no running process has libssl, and none is installed",
            Uprobe::Postgres => "no postgres is running, and none is installed in the usual places",
            Uprobe::Libc => "no running process has a C library that can be read, and none is installed",
        };
        let lacking = caps::missing(&[Cap::SysPtrace]);
        match (found.found.len(), found.unreadable) {
            (0, 0) => Skip::new(what, "start it before the recording"),
            (0, n) => {
                let hint = if lacking.is_empty() { String::new() } else { caps::grant(&lacking) };
                Skip::new(format!("{what}; {n} processes could not be looked at"), hint)
            }
            (n, _) => Skip::new(format!("none of {n} files has the functions of {}", self.name()), ""),
        }
    }
}

/// The file behind a mapping, by a path that the recorder can open: its own, where that leads to the same file, which then
/// outlasts the process; in the mount namespace of the process; where another file has taken its place there, or none,
/// as the mapping itself.
fn reachable(pid: u32, path: &str, file: &maps::ExecutableFile) -> Option<(FileId, PathBuf)> {
    let of = |path: PathBuf| Some((FileId::of(&path, &std::fs::metadata(&path).ok()?), path));
    let in_namespace = of(PathBuf::from(format!("/proc/{pid}/root{path}")));
    match in_namespace.filter(|(id, _)| id.inode == file.inode) {
        Some(found) => of(PathBuf::from(path)).filter(|own| own.0 == found.0).or(Some(found)),
        None => of(PathBuf::from(format!("/proc/{pid}/map_files/{:x}-{:x}", file.start, file.end))),
    }
}

impl File {
    /// Whether its path still leads to it.
    pub(super) fn is_there(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|meta| FileId::of(&self.path, &meta) == self.id)
    }
}

/// Attaches the programs of an object to the functions of a file. A function that the file does not have is left out:
/// not every version has all.
pub(super) fn attach(bpf: &libbpf_rs::Object, file: &File) -> Result<Vec<Link>, Skip> {
    let mut links = Vec::new();
    for program in bpf.progs_mut() {
        let section = program.section().to_string_lossy();
        let Some(probe) = Probe::of(&section) else { continue };
        match attach_one(&program, &probe, &file.path) {
            Ok(link) => links.push(link),
            Err(e) if is_absent(&e, &file.path) => {
                tracing::debug!("{} has no function {}", file.path.display(), probe.function);
            }
            Err(e) => return Err(refused(&format!("attach {section} in {}", file.path.display()), &e)),
        }
    }
    Ok(links)
}

/// Since Linux 6.6 by a link that needs no more rights than to load the program; before by a perf event, for which the
/// kernel wants CAP_SYS_ADMIN.
fn attach_one(program: &ProgramMut<'_>, probe: &Probe, path: &Path) -> Result<Link, libbpf_rs::Error> {
    let linked = program.attach_uprobe_multi(ANYONE, path, &probe.function, probe.at_return, false);
    linked.or_else(|e| match e.kind() {
        ErrorKind::NotFound => Err(e),
        _ => {
            let func_name = Some(probe.function.clone());
            let options = UprobeOpts { retprobe: probe.at_return, func_name, ..UprobeOpts::default() };
            program.attach_uprobe_with_opts(ANYONE, path, 0, options)
        }
    })
}

/// Lets the programs of an object that is about to be loaded attach in either way.
pub(super) fn prepare(open: &mut OpenObject) {
    for mut program in open.progs_mut() {
        if Probe::of(&program.section().to_string_lossy()).is_some() {
            program.set_attach_type(ProgramAttachType::TraceUprobeMulti);
        }
    }
}

/// Why a function cannot be attached to.
fn refused(what: &str, error: &libbpf_rs::Error) -> Skip {
    let lacking = caps::missing(&[Cap::SysAdmin]);
    if error.kind() == ErrorKind::PermissionDenied && !lacking.is_empty() {
        let reason = format!("no permission to {what} (before Linux 6.6 that takes CAP_SYS_ADMIN)");
        return Skip::new(reason, caps::grant(&lacking));
    }
    refusal::skip(what, error)
}

/// The file has no such function, or is gone by now.
fn is_absent(error: &libbpf_rs::Error, path: &Path) -> bool {
    error.kind() == ErrorKind::NotFound || !path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_known_by_its_section() {
        let probe = |function: &str, at_return| Some(Probe { function: function.to_owned(), at_return });
        assert_eq!(Probe::of("uprobe/SSL_read"), probe("SSL_read", false));
        assert_eq!(Probe::of("uretprobe/SSL_read"), probe("SSL_read", true));
        assert_eq!(Probe::of("tp_btf/sched_switch"), None);
        assert_eq!(Probe::of("perf_event"), None);
    }

    #[test]
    fn files_are_known_by_their_names() {
        let is = |u: Uprobe, names: &[&str]| names.iter().map(|n| u.is_in(n)).collect::<Vec<_>>();
        let names = ["libssl.so.3", "libssl.so.1.1", "libssl-81ffa89e.so.3", "libssl3.so", "libc.so.6", "libc-2.31.so"];
        assert_eq!(is(Uprobe::Libssl, &names), [true, true, true, false, false, false]);
        assert_eq!(is(Uprobe::Libc, &names), [false, false, false, false, true, true]);
        assert_eq!(is(Uprobe::Postgres, &["postgres", "postgres.conf"]), [true, false]);
    }

    #[test]
    fn our_own_c_library_is_found_once() {
        let found = Uprobe::Libc.files().found;
        let mut ids: Vec<_> = found.iter().map(|f| f.id).collect();
        ids.dedup();
        assert_eq!(ids.len(), found.len());
        let ours = maps::executable_files(std::process::id()).unwrap_or_default();
        let Some(ours) = ours.iter().find(|f| f.path.rsplit('/').next().is_some_and(|n| Uprobe::Libc.is_in(n))) else {
            eprintln!("skipped: this test has no C library of its own");
            return;
        };
        assert!(found.iter().any(|f| f.id.inode == ours.inode), "{found:?}");
    }
}
