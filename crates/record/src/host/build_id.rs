//! GNU build-ids of mapped files, remembered by device and inode: a host maps libc a thousand times.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};

/// What identifies a file: device (as in `/proc/PID/maps`) and inode.
pub(crate) type FileKey = (u64, u64);

/// Files that were looked into.
#[derive(Debug, Default)]
pub(crate) struct BuildIds {
    known: HashMap<FileKey, String>,
}

/// The largest part of a file that is read to find its notes.
const HEAD: usize = 1 << 20;

impl BuildIds {
    /// The build-id of a file mapped by `pid` at `path`, in hex; empty when it has none or cannot be read.
    pub(crate) fn of(&mut self, key: FileKey, pid: u32, path: &str) -> String {
        if !path.starts_with('/') || key.1 == 0 {
            return String::new();
        }
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let found = read(&in_root(pid, path)).unwrap_or_default();
        self.known.insert(key, found.clone());
        found
    }
}

/// The path as it is in the mount namespace of a process.
pub(crate) fn in_root(pid: u32, path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root{}", path.trim_end_matches(" (deleted)")))
}

/// The build-id of an ELF file in hex. `None` when it is not one, has none, or cannot be read.
pub(crate) fn read(path: &Path) -> Option<String> {
    of_file(&super::held::regular(path)?)
}

/// The same of an open file.
pub(crate) fn of_file(file: &std::fs::File) -> Option<String> {
    use std::os::unix::fs::FileExt;
    let mut head = vec![0; 4096];
    let read = file.read_at(&mut head, 0).ok()?;
    head.truncate(read);
    if !head.starts_with(&elf::ELFMAG) {
        return None;
    }
    // Notes stand near the front of what linkers write.
    if let Some(id) = in_elf(&head) {
        return Some(id);
    }
    head.resize(HEAD, 0);
    let read = file.read_at(&mut head, 0).ok()?;
    head.truncate(read);
    in_elf(&head)
}

fn in_elf(bytes: &[u8]) -> Option<String> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    for segment in header.program_headers(endian, bytes).ok()? {
        let Ok(Some(mut notes)) = segment.notes(endian, bytes) else { continue };
        while let Ok(Some(note)) = notes.next() {
            if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
                return Some(hex(note.desc()));
            }
        }
    }
    None
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_build_id_of_a_program_is_what_readelf_says() {
        let path = Path::new("/bin/ls");
        let Ok(output) = std::process::Command::new("readelf").arg("-n").arg(path).output() else {
            eprintln!("skipped: no readelf");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let Some(expected) = text.lines().find_map(|l| l.trim().strip_prefix("Build ID: ")) else {
            eprintln!("skipped: {} has no build-id", path.display());
            return;
        };
        assert_eq!(read(path).unwrap(), expected);
    }

    #[test]
    fn what_is_no_elf_has_no_build_id() {
        assert_eq!(read(Path::new("/etc/passwd")), None);
        assert_eq!(read(Path::new("/dev/zero")), None);
        assert_eq!(in_elf(b"\x7fELF"), None);
    }
}
