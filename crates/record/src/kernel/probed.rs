//! Files that uprobes are put on: which are the same, and which are of this machine.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use object::elf;

/// `f_type` of overlayfs.
const OVERLAYFS: i64 = 0x794c_7630;

/// What tells a file from others. The kernel puts a uprobe on the inode that holds the bytes. Each mount of overlayfs, and so
/// each container, shows the same inode of the image below as a device of its own: there the device is left out, and
/// length and times make up for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileId {
    pub(super) inode: u64,
    of: Where,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Where {
    Device(u64),
    /// Bytes, and nanoseconds of the last change of the contents and of the inode.
    Overlay(u64, i128, i128),
}

impl FileId {
    /// Of the file at this path, which has these properties.
    pub(super) fn of(path: &Path, meta: &Metadata) -> FileId {
        let overlay = rustix::fs::statfs(path).is_ok_and(|s| s.f_type == OVERLAYFS);
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        let of = match overlay {
            true => {
                Where::Overlay(meta.size(), ns(meta.mtime(), meta.mtime_nsec()), ns(meta.ctime(), meta.ctime_nsec()))
            }
            false => Where::Device(meta.dev()),
        };
        FileId { inode: meta.ino(), of }
    }
}

/// Whether a file is an ELF file of this machine: registers and addresses of a 32-bit library are others.
pub(super) fn is_ours(path: &Path) -> std::io::Result<bool> {
    let mut head = [0; 20];
    match File::open(path)?.read_exact(&mut head) {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| is_head_of_ours(&head)),
    }
}

/// The same, by the first bytes.
fn is_head_of_ours(head: &[u8; 20]) -> bool {
    let machine = if cfg!(target_arch = "x86_64") { elf::EM_X86_64 } else { elf::EM_AARCH64 };
    head.starts_with(&elf::ELFMAG)
        && head[4] == elf::ELFCLASS64
        && head[5] == elf::ELFDATA2LSB
        && u16::from_le_bytes([head[18], head[19]]) == machine
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::process::Command;

    fn id(path: &Path) -> FileId {
        FileId::of(path, &std::fs::metadata(path).unwrap())
    }

    #[test]
    fn files_of_other_machines_and_scripts_are_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libc.so.6");
        let mut head = [0; 20];
        std::fs::File::open("/proc/self/exe").unwrap().read_exact(&mut head).unwrap();
        let is = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            is_ours(&path).unwrap()
        };
        assert!(is(&head));
        let changed = |at: usize, to: u8| {
            let mut other = head;
            other[at] = to;
            other
        };
        // 32 bits, big-endian, i386.
        assert!(!is(&changed(4, elf::ELFCLASS32)) && !is(&changed(5, elf::ELFDATA2MSB)) && !is(&changed(18, 3)));
        assert!(!is(b"#!/bin/sh\nexec /opt/postgres\n") && !is(b"\x7fELF") && !is(b""));
        assert!(is_ours(Path::new("/no/such/file")).is_err());
    }

    #[test]
    fn a_file_is_known_by_its_inode_and_device() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other, link] = ["one", "other", "link"].map(|n| folder.path().join(n));
        std::fs::write(&one, "a").unwrap();
        std::fs::write(&other, "a").unwrap();
        std::fs::hard_link(&one, &link).unwrap();
        assert_eq!(id(&one), id(&link));
        assert_ne!(id(&one), id(&other));
    }

    /// Two mounts of overlayfs over the same folder, as two containers of an image have them; unmounted when dropped.
    struct Containers(tempfile::TempDir);

    impl Containers {
        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn start() -> Option<Containers> {
            let containers = Containers(tempfile::tempdir().unwrap());
            for name in ["image", "a", "a-upper", "a-work", "b", "b-upper", "b-work"] {
                std::fs::create_dir(containers.path(name)).unwrap();
            }
            for file in ["libssl.so.3", "libssl.so.1.1"] {
                std::fs::write(containers.path("image").join(file), file).unwrap();
            }
            let mounted = ["a", "b"].iter().all(|name| {
                let [lower, upper, work] = ["image".into(), format!("{name}-upper"), format!("{name}-work")]
                    .map(|n: String| containers.path(&n).display().to_string());
                let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
                let mut mount = Command::new("mount");
                mount.args(["-t", "overlay", "overlay", "-o", &options]).arg(containers.path(name));
                mount.stderr(std::process::Stdio::null()).status().is_ok_and(|s| s.success())
            });
            mounted.then_some(containers)
        }
    }

    impl Drop for Containers {
        fn drop(&mut self) {
            for name in ["a", "b"] {
                let mut unmount = Command::new("umount");
                _ = unmount.arg(self.path(name)).stderr(std::process::Stdio::null()).status();
            }
        }
    }

    #[test]
    fn containers_of_one_image_have_one_file() {
        let Some(containers) = Containers::start() else {
            eprintln!("skipped: overlayfs cannot be mounted here");
            return;
        };
        let [a, b] = ["a", "b"].map(|name| containers.path(name).join("libssl.so.3"));
        assert_ne!(std::fs::metadata(&a).unwrap().dev(), std::fs::metadata(&b).unwrap().dev());
        assert_eq!(id(&a), id(&b));
        assert_ne!(id(&a), id(&containers.path("a").join("libssl.so.1.1")));
        // Changed in one container, it is a file of its own.
        std::fs::write(&b, "another").unwrap();
        assert_ne!(id(&a), id(&b));
    }
}
