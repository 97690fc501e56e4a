//! Waits in futex calls: the facts from which a reader tells who held the lock, in programs whose holder is known.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use coldcase_model::events::OffCpu;

use crate::captured::{Captured, capture, only, tid};

const CENSORED: u32 = 16;
const WOKEN_BY_FUTEX_WAKE: u32 = 512;
const RELEASED: u32 = 1024;
const MUTEX: u32 = 1;
const CONDITION: u32 = 2;
const SEMAPHORE: u32 = 3;

/// A wait of at least 10 ms in a futex call.
#[derive(Debug, Clone, Copy)]
struct Wait {
    args: [u64; 3],
    owner: u32,
    waker: u32,
    flags: u32,
}

impl Wait {
    fn around(&self) -> u32 {
        self.flags >> 11 & 3
    }
}

fn waits(captured: &Captured, tid: u32) -> Vec<Wait> {
    let mut found = Vec::new();
    captured.each::<OffCpu>(|c, rows| {
        for i in 0..rows {
            if c.tid[i] == tid && c.syscall[i] == libc::SYS_futex as i32 && c.duration[i] > 10_000_000 {
                let args = [c.arg0[i], c.arg1[i], c.arg2[i]];
                found.push(Wait { args, owner: c.owner[i], waker: c.waker_tid[i], flags: c.flags[i] });
            }
        }
    });
    found
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/truth")
}

/// The C program of the truth tests, compiled once a test.
fn locks(mode: &str) -> Command {
    let exe = std::env::temp_dir().join(format!("coldcase-locks-{}-{mode}", std::process::id()));
    let cc = Command::new("cc").args(["-O2", "-pthread", "-o"]).arg(&exe).arg(folder().join("locks.c")).status();
    assert!(cc.unwrap().success());
    let mut command = Command::new(exe);
    command.arg(mode);
    command
}

/// Runs until it says `done` or, when that never comes, until its threads stand still. Returns who is who.
fn run(mut command: Command) -> (Child, HashMap<String, u32>) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut who = HashMap::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let (name, tid) = line.split_once(' ').unwrap();
        who.insert(name.to_owned(), tid.parse().unwrap());
        if who.contains_key("done") && (who.len() >= 3) {
            break;
        }
    }
    std::thread::sleep(Duration::from_millis(150));
    (child, who)
}

/// The one long futex wait of `waiter` while the program ran, and who is who.
fn the_wait(command: Command, waiter: &str) -> Option<(Wait, HashMap<String, u32>)> {
    let (captured, (mut child, who)) = capture(&only("sched"), || run(command))?;
    child.kill().unwrap();
    child.wait().unwrap();
    let found = waits(&captured, who[waiter]);
    assert_eq!(found.len(), 1, "{who:?} {found:#?}");
    Some((found[0], who))
}

#[test]
fn the_owner_of_a_mutex_stands_beside_the_wait_and_released_it() {
    let Some((wait, who)) = the_wait(locks("mutex"), "waiter") else { return };
    assert_eq!((wait.owner, wait.waker, wait.around()), (who["holder"], who["holder"], MUTEX), "{wait:?}");
    assert!(wait.flags & RELEASED != 0 && wait.flags & WOKEN_BY_FUTEX_WAKE != 0, "{wait:?}");
    assert_eq!((wait.args[1] & 0x7f, wait.args[2]), (0, 2), "{wait:?}");
}

#[test]
fn the_owner_of_a_mutex_that_inherits_priority_stands_in_its_word() {
    let Some((wait, who)) = the_wait(locks("pi"), "waiter") else { return };
    assert_eq!((wait.owner, wait.waker), (who["holder"], who["holder"]), "{wait:?}");
    assert!(wait.flags & RELEASED != 0, "{wait:?}");
}

#[test]
fn a_condition_variable_has_no_owner_and_is_told_from_a_semaphore() {
    let Some((wait, who)) = the_wait(locks("condition"), "waiter") else { return };
    assert_eq!((wait.owner, wait.waker, wait.around()), (0, who["waker"], CONDITION), "{wait:?}");
    let Some((wait, who)) = the_wait(locks("semaphore"), "waiter") else { return };
    assert_eq!((wait.owner, wait.waker, wait.around()), (0, who["waker"], SEMAPHORE), "{wait:?}");
    assert!(wait.flags & RELEASED != 0, "{wait:?}");
}

#[test]
fn two_threads_in_a_deadlock_are_not_woken_and_name_each_other() {
    let command = locks("deadlock");
    let Some((captured, (mut child, who))) = capture(&only("sched"), || run(command)) else { return };
    child.kill().unwrap();
    child.wait().unwrap();
    for (one, other) in [("first", "second"), ("second", "first")] {
        let found = waits(&captured, who[one]);
        // Before it, it may have waited for the other to have taken its lock.
        let last = found.last().unwrap();
        assert_eq!((last.owner, last.waker, last.around()), (who[other], 0, MUTEX), "{found:?}");
        assert!(last.flags & CENSORED != 0, "{found:?}");
    }
}

#[test]
fn a_lock_of_python_is_a_semaphore_that_its_holder_releases() {
    let mut command = Command::new("python3");
    command.arg(folder().join("locks.py"));
    let Some((wait, who)) = the_wait(command, "waiter") else { return };
    assert_eq!((wait.waker, wait.around()), (who["holder"], SEMAPHORE), "{wait:?}");
    assert!(wait.flags & RELEASED != 0, "{wait:?}");
}

#[test]
fn a_mutex_of_rust_names_no_owner_but_who_released_it() {
    let Some((captured, (waiter, holder))) = capture(&only("sched"), || {
        let mutex = Arc::new(Mutex::new(0xdead_beef_u64));
        let held = mutex.lock().unwrap();
        let waiter = std::thread::spawn({
            let mutex = mutex.clone();
            move || {
                *mutex.lock().unwrap() += 1;
                tid()
            }
        });
        std::thread::sleep(Duration::from_millis(40));
        drop(held);
        (waiter.join().unwrap(), tid())
    }) else {
        return;
    };
    let found = waits(&captured, waiter);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].owner, found[0].waker), (0, holder), "{found:?}");
    assert!(found[0].flags & RELEASED != 0, "{found:?}");
}

#[test]
fn a_condition_variable_of_rust_is_woken_on_its_word_and_has_no_owner() {
    let Some((captured, (waiter, waker))) = capture(&only("sched"), || {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let waiter = std::thread::spawn({
            let pair = pair.clone();
            move || {
                let mut ready = pair.0.lock().unwrap();
                while !*ready {
                    ready = pair.1.wait(ready).unwrap();
                }
                tid()
            }
        });
        std::thread::sleep(Duration::from_millis(40));
        *pair.0.lock().unwrap() = true;
        pair.1.notify_one();
        (waiter.join().unwrap(), tid())
    }) else {
        return;
    };
    let found = waits(&captured, waiter);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].owner, found[0].waker, found[0].flags & RELEASED), (0, waker, RELEASED), "{found:?}");
}
