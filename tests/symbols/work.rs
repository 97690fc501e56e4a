// Busy in a function whose name is known, with one inlined into it. usage: work SECONDS
use std::hint::black_box;
use std::time::{Duration, Instant};

mod orders {
    #[inline(always)]
    fn mix_inlined(x: u64) -> u64 {
        x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(x >> 3)
    }

    #[inline(never)]
    pub fn spin_in_rust(n: u64) -> u64 {
        let mut x = n | 1;
        for _ in 0..200_000 {
            x = mix_inlined(std::hint::black_box(x));
        }
        x
    }
}

#[inline(never)]
fn outer_of_rust(end: Instant) -> u64 {
    let mut x = 1;
    while Instant::now() < end {
        x = black_box(orders::spin_in_rust(x));
    }
    black_box(x) + 1
}

fn main() {
    let seconds: f64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(1.0);
    black_box(outer_of_rust(Instant::now() + Duration::from_secs_f64(seconds)));
}
