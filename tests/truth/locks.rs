//! A `std::sync::Mutex` whose holder is known by construction, and a `Condvar`: prints who is who, waits for the end of its input.
//! Built by truth.py with plain `rustc`.
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

extern "C" {
    fn gettid() -> i32;
}

fn say(what: &str) {
    println!("{what} {}", unsafe { gettid() });
}

fn main() {
    let held = Duration::from_millis(60);
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let other = pair.clone();
    if std::env::args().nth(1).as_deref() == Some("condition") {
        say("waker");
        let waiter = std::thread::spawn(move || {
            say("waiter");
            let mut ready = other.0.lock().unwrap();
            while !*ready {
                ready = other.1.wait(ready).unwrap();
            }
        });
        std::thread::sleep(held);
        *pair.0.lock().unwrap() = true;
        pair.1.notify_one();
        waiter.join().unwrap();
    } else {
        say("holder");
        let guard = pair.0.lock().unwrap();
        let waiter = std::thread::spawn(move || {
            say("waiter");
            *other.0.lock().unwrap() = true;
        });
        std::thread::sleep(held);
        drop(guard);
        waiter.join().unwrap();
    }
    say("done");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
