//! CPU samples of a thread that is busy for a known time.

use std::time::{Duration, Instant};

use coldcase_model::events::CpuSample;

use crate::captured::{capture, only, tid};

#[test]
fn a_busy_thread_is_sampled_in_proportion_to_its_cpu_time() {
    let mut options = only("sample");
    options.sample_hz = 199;
    let Some((captured, (busy, used))) = capture(&options, || {
        let cpu = || {
            let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
        };
        let before = cpu();
        let began = Instant::now();
        let mut x = 1u64;
        while began.elapsed() < Duration::from_millis(1500) {
            for _ in 0..10_000 {
                x = std::hint::black_box(x.wrapping_mul(31).wrapping_add(7));
            }
        }
        (tid(), cpu() - before)
    }) else {
        return;
    };
    let (mut samples, mut in_user, mut with_stack) = (0, 0, 0);
    captured.each::<CpuSample>(|c, rows| {
        for i in (0..rows).filter(|&i| c.tid[i] == busy) {
            samples += 1;
            in_user += usize::from(c.flags[i] & 1 == 0);
            with_stack += usize::from(!c.user_stack.get(i).is_empty());
            assert_eq!(c.kernel_stack.get(i).is_empty(), c.flags[i] & 1 == 0, "a kernel stack, and only in the kernel");
        }
    });
    let expected = used.as_secs_f64() * 199.0;
    let share = samples as f64 / expected;
    assert!((0.7..1.3).contains(&share), "{samples} samples in {used:?}, expected {expected:.0}");
    assert!(in_user * 10 > samples * 8 && with_stack * 10 > samples * 9, "{in_user} {with_stack} of {samples}");
}
