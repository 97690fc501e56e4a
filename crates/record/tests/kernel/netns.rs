//! A network namespace of a test's own, and the kernel's counters in it.

use std::process::Command;

/// Runs this test again in a network namespace of its own: what others do does not count there.
pub(crate) fn in_own_namespace(test: &str) -> bool {
    const INSIDE: &str = "COLDCASE_TEST_NETNS";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let me = std::env::current_exe().unwrap();
    let run =
        Command::new("unshare").arg("-n").arg(me).args([test, "--exact", "--nocapture"]).env(INSIDE, "1").output();
    match run {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            eprint!("{text}");
            let refused = text.contains("unshare failed");
            assert!(output.status.success() || refused, "{}", String::from_utf8_lossy(&output.stdout));
            if refused {
                eprintln!("skipped: no network namespace can be made");
            }
        }
        Err(e) => eprintln!("skipped: unshare: {e}"),
    }
    false
}

/// Sets the loopback up. `false` where there is no `ip`.
pub(crate) fn up() -> bool {
    Command::new("ip").args(["link", "set", "lo", "up"]).status().is_ok_and(|s| s.success())
}

/// Runs nft with these words. `false` where it is missing or refuses.
pub(crate) fn nft(command: &str) -> bool {
    Command::new("nft").args(command.split(' ')).status().is_ok_and(|s| s.success())
}

/// Inode number of this network namespace.
pub(crate) fn own() -> u32 {
    let link = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    link.to_str().unwrap().trim_start_matches("net:[").trim_end_matches(']').parse().unwrap()
}

/// A counter of this network namespace, such as RetransSegs of Tcp in `/proc/net/snmp`.
pub(crate) fn counter(file: &str, group: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
    let mut lines = text.lines().filter(|l| l.split(':').next() == Some(group));
    let at = lines.next().unwrap().split(' ').position(|w| w == name).unwrap();
    lines.next().unwrap().split(' ').nth(at).unwrap().parse().unwrap()
}
