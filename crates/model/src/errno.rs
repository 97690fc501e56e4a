//! Names of errnos that sockets and disks end with. Numbers are those of Linux on x86_64 and aarch64.

/// The name of an errno, `ECONNREFUSED`; `errno N` where it has none here.
pub fn name(errno: u32) -> String {
    const NAMES: [(u32, &str); 19] = [
        (1, "EPERM"),
        (5, "EIO"),
        (11, "EAGAIN"),
        (12, "ENOMEM"),
        (13, "EACCES"),
        (22, "EINVAL"),
        (28, "ENOSPC"),
        (32, "EPIPE"),
        (71, "EPROTO"),
        (92, "ENOPROTOOPT"),
        (99, "EADDRNOTAVAIL"),
        (101, "ENETUNREACH"),
        (103, "ECONNABORTED"),
        (104, "ECONNRESET"),
        (105, "ENOBUFS"),
        (110, "ETIMEDOUT"),
        (111, "ECONNREFUSED"),
        (112, "EHOSTDOWN"),
        (113, "EHOSTUNREACH"),
    ];
    let found = NAMES.iter().find(|(number, _)| *number == errno);
    found.map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn errnos_have_the_names_that_programs_print() {
        assert_eq!((super::name(111), super::name(4000)), ("ECONNREFUSED".to_owned(), "errno 4000".to_owned()));
    }
}
