//! Which argument of a system call tells the file that it is about.

use coldcase_model::syscall;

/// What tells it; as `bpf/syscall.bpf.c` reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    /// The argument of this index is a path.
    Path(u8),
    /// Two are: what there was, and what it became.
    Paths(u8, u8),
    /// The argument of this index is a descriptor.
    Descriptor(u8),
    /// The argument of this index is a path, and the result a descriptor of it.
    Opened(u8),
}

/// Numbers of system calls that the table of `bpf/syscall.bpf.c` holds.
const CALLS: usize = 512;

/// The calls that take paths. Not `execve`: when it returns, the memory that held its path is gone.
const BY_PATH: &[(&str, File)] = &[
    ("open", File::Opened(0)),
    ("creat", File::Opened(0)),
    ("openat", File::Opened(1)),
    ("openat2", File::Opened(1)),
    ("open_tree", File::Opened(1)),
    ("stat", File::Path(0)),
    ("lstat", File::Path(0)),
    ("newfstatat", File::Path(1)),
    ("statx", File::Path(1)),
    ("statfs", File::Path(0)),
    ("access", File::Path(0)),
    ("faccessat", File::Path(1)),
    ("faccessat2", File::Path(1)),
    ("readlink", File::Path(0)),
    ("readlinkat", File::Path(1)),
    ("truncate", File::Path(0)),
    ("chdir", File::Path(0)),
    ("mkdir", File::Path(0)),
    ("mkdirat", File::Path(1)),
    ("mknod", File::Path(0)),
    ("mknodat", File::Path(1)),
    ("rmdir", File::Path(0)),
    ("unlink", File::Path(0)),
    ("unlinkat", File::Path(1)),
    ("rename", File::Paths(0, 1)),
    ("renameat", File::Paths(1, 3)),
    ("renameat2", File::Paths(1, 3)),
    ("link", File::Paths(0, 1)),
    ("linkat", File::Paths(1, 3)),
    ("symlink", File::Paths(0, 1)),
    ("symlinkat", File::Paths(0, 2)),
    ("mount", File::Paths(0, 1)),
    ("umount2", File::Path(0)),
    ("chmod", File::Path(0)),
    ("fchmodat", File::Path(1)),
    ("chown", File::Path(0)),
    ("lchown", File::Path(0)),
    ("fchownat", File::Path(1)),
    ("utime", File::Path(0)),
    ("utimes", File::Path(0)),
    ("utimensat", File::Path(1)),
    ("setxattr", File::Path(0)),
    ("getxattr", File::Path(0)),
    ("listxattr", File::Path(0)),
    ("removexattr", File::Path(0)),
    ("inotify_add_watch", File::Path(1)),
];

/// The calls whose first argument is a descriptor that may be of a file.
const BY_DESCRIPTOR: &[&str] = &[
    "read",
    "write",
    "pread64",
    "pwrite64",
    "readv",
    "writev",
    "preadv",
    "pwritev",
    "preadv2",
    "pwritev2",
    "fstat",
    "lseek",
    "ioctl",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "syncfs",
    "ftruncate",
    "fallocate",
    "flock",
    "fcntl",
    "getdents",
    "getdents64",
    "fchdir",
    "fchmod",
    "fchown",
    "fstatfs",
    "fadvise64",
    "readahead",
    "sendfile",
    "splice",
    "copy_file_range",
];

impl File {
    fn byte(self) -> u8 {
        match self {
            File::Path(index) => 1 | index << 2,
            File::Paths(index, second) => 1 | index << 2 | (second + 1) << 4,
            File::Descriptor(index) => 2 | index << 2,
            File::Opened(index) => 3 | index << 2,
        }
    }
}

fn of(name: &str) -> Option<File> {
    let by_path = BY_PATH.iter().find(|(n, _)| *n == name).map(|&(_, file)| file);
    by_path.or_else(|| BY_DESCRIPTOR.contains(&name).then_some(File::Descriptor(0)))
}

/// The table of the programs, by the numbers of an architecture (`uname -m`).
pub(super) fn table(arch: &str) -> Vec<u8> {
    let name = |number: usize| syscall::name(arch, i32::try_from(number).ok()?);
    (0..CALLS).map(|number| name(number).and_then(of).map_or(0, File::byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_a_system_call() {
        let known: Vec<&str> = (0..CALLS).filter_map(|n| syscall::name("x86_64", n as i32)).collect();
        for name in BY_PATH.iter().map(|(name, _)| name).chain(BY_DESCRIPTOR) {
            assert!(known.contains(name), "{name}");
        }
    }

    #[test]
    fn an_architecture_has_its_own_numbers() {
        let (here, there) = (table("x86_64"), table("aarch64"));
        assert_eq!((here[257], there[56]), (File::Opened(1).byte(), File::Opened(1).byte()));
        assert_eq!((here[316], here[39]), (File::Paths(1, 3).byte(), 0));
    }
}
