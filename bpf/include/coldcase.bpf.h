/* What every kernel source shares: its rings, its counters, its settings, and how a program begins and ends.
 *
 * Each source is one object with maps of its own: a flood in one can neither evict nor delay another.
 */
#pragma once

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "events.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Settings, written by the recorder before the load (crates/record/src/kernel/settings.rs). A setting whose name is
 * cc_args_<tracepoint> gets the number of arguments that the running kernel gives that tracepoint. */
const volatile __u32 cc_self_tgid = 0;       /* the recorder, left out of its own capture */
const volatile __u64 cc_group_inverse = 1ULL << 29; /* 2^32 divided by the CPUs that share a ring, rounded up */
const volatile __u64 cc_key = 0;             /* secret of this capture: kernel addresses leave it hashed */
const volatile __u32 cc_wake_shift = 16;     /* wake the consumer each time 2^this more bytes wait */
/* From a CPU's run queue to its preempt count, both per-CPU variables, by the kernel's type information; 0: not known.
 * Their own addresses are not to be had without KALLSYMS_ALL. */
const volatile __s64 cc_preempt_count = 0;

/* Settings that the recorder turns while it records (crates/record/src/kernel/dials.rs: same order). One array, so that
 * one write sets all. An object that reads none has no such map. */
static volatile __u64 cc_dials[2] __attribute__((unused)) SEC(".data.dials") = { 0, 1000000 };
#define cc_row_threshold cc_dials[0]   /* shorter intervals become no row of their own but are summed, in ns */
#define cc_stack_threshold cc_dials[1] /* shorter intervals carry no stack, in ns */

/* Frames of one stack at most: perf's own limit (kernel.perf_event_max_stack). */
#define CC_MAX_FRAMES 127

/* Says that an object sends events of this type, so that its type information has the layout: a test holds it against
 * the definition. */
#define CC_SENDS(type) const struct type *const cc_sends_##type = 0

/* A kernel stack, of x86_64 and aarch64. */
#define CC_THREAD_SIZE 16384

/* One ring per group of CPUs. The recorder makes the rings and sets the number of groups. */
struct cc_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct cc_ring);
} rings SEC(".maps");

/* Per CPU, read each second (crates/record/src/kernel/counters.rs: same order). */
struct cc_counters {
	__u64 emitted;      /* events offered to the ring */
	__u64 ring_full;    /* of these, refused */
	__u64 ring_full_bytes;
	__u64 stack_faults; /* stacks that could not be walked */
	__u64 map_full;     /* things not followed because a map or the allocator had no room */
	__u64 runs;         /* runs of the programs */
	__u64 sampled;      /* of these, timed */
	__u64 sampled_ns;   /* time of the timed ones */
	__u64 rate_limited; /* events left out because there were too many */
	__u64 untraced;     /* things whose end was not traced */
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cc_counters);
} counters SEC(".maps");

/* One run of a program: its counters, and when it began if it is one of those that are timed. */
struct cc_run {
	struct cc_counters *c;
	__u64 began;
	void *ring; /* that of the event that is reserved */
};

/* One of 64 runs is timed: what we cost, without BPF_ENABLE_STATS, which needs CAP_SYS_ADMIN. */
static __always_inline bool cc_begin(struct cc_run *run)
{
	__u32 zero = 0;

	run->c = bpf_map_lookup_elem(&counters, &zero);
	if (!run->c)
		return false;
	run->began = (run->c->runs++ & 63) ? 0 : bpf_ktime_get_ns();
	return true;
}

static __always_inline int cc_end(struct cc_run *run)
{
	if (run->began) {
		run->c->sampled_ns += bpf_ktime_get_ns() - run->began;
		run->c->sampled++;
	}
	return 0;
}

/* The same three where the CPU may be taken away in between and given to another run of the object's programs, as in
 * uprobes: they run on the CPU of a thread that may be preempted. */
static __always_inline bool cc_begin_preemptible(struct cc_run *run)
{
	__u32 zero = 0;

	run->c = bpf_map_lookup_elem(&counters, &zero);
	if (!run->c)
		return false;
	run->began = (__sync_fetch_and_add(&run->c->runs, 1) & 63) ? 0 : bpf_ktime_get_ns();
	return true;
}

static __always_inline int cc_end_preemptible(struct cc_run *run)
{
	if (run->began) {
		__sync_fetch_and_add(&run->c->sampled_ns, bpf_ktime_get_ns() - run->began);
		__sync_fetch_and_add(&run->c->sampled, 1);
	}
	return 0;
}

static __always_inline void cc_map_full_preemptible(struct cc_run *run)
{
	__sync_fetch_and_add(&run->c->map_full, 1);
}

static __always_inline void *cc_ring(void)
{
	/* A division costs more than all the rest here. Exact for 65,536 CPUs. */
	__u32 group = (bpf_get_smp_processor_id() * cc_group_inverse) >> 32;

	return bpf_map_lookup_elem(&rings, &group);
}

static __always_inline void cc_head(struct cc_run *run, struct cc_head *head, __u16 kind)
{
	head->kind = kind;
	head->cpu = bpf_get_smp_processor_id();
	head->seq = run->c->emitted++;
	head->reserved = 0;
}

/* The same where the CPU may be taken away in between, as in an iterator. */
static __always_inline void cc_head_preemptible(struct cc_run *run, struct cc_head *head, __u16 kind)
{
	head->kind = kind;
	head->cpu = bpf_get_smp_processor_id();
	head->seq = __sync_fetch_and_add(&run->c->emitted, 1);
	head->reserved = 0;
}

static __always_inline void cc_refused(struct cc_run *run, __u64 size)
{
	run->c->ring_full++;
	run->c->ring_full_bytes += size;
}

/* Wake-ups are batched: the consumer looks by itself every 100 ms, and is woken when a ring fills faster. */
static __always_inline __u64 cc_wake(void *ring, __u64 size)
{
	__u64 waiting = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);

	return waiting >> cc_wake_shift != (waiting + size) >> cc_wake_shift ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void *cc_room(struct cc_run *run, const struct cc_head *head, __u64 size)
{
	struct cc_head *e;

	run->ring = cc_ring();
	e = run->ring ? bpf_ringbuf_reserve(run->ring, size, 0) : 0;
	if (e)
		*e = *head;
	else
		cc_refused(run, size);
	return e;
}

/* Room in the ring for an event of `size` bytes, its head filled. Null, and counted, when there is none. */
static __always_inline void *cc_reserve(struct cc_run *run, __u16 kind, __u64 size)
{
	struct cc_head head;

	cc_head(run, &head, kind);
	return cc_room(run, &head, size);
}

/* The same where the CPU may be taken away in between, as in an iterator. */
static __always_inline void *cc_reserve_preemptible(struct cc_run *run, __u16 kind, __u64 size)
{
	struct cc_head head;

	cc_head_preemptible(run, &head, kind);
	return cc_room(run, &head, size);
}

/* Hands over what was reserved. */
static __always_inline void cc_submit(struct cc_run *run, void *e, __u64 size)
{
	bpf_ringbuf_submit(e, cc_wake(run->ring, size));
}

/* Hands over an event that stands complete in memory, `size` bytes with its frames. */
static __always_inline void cc_output(struct cc_run *run, void *event, __u64 size)
{
	void *ring = cc_ring();

	if (!ring || bpf_ringbuf_output(ring, event, size, cc_wake(ring, size)))
		cc_refused(run, size);
}

/* The same where the CPU may be taken away in between. */
static __always_inline void cc_output_preemptible(struct cc_run *run, void *event, __u64 size)
{
	void *ring = cc_ring();

	if (ring && !bpf_ringbuf_output(ring, event, size, cc_wake(ring, size)))
		return;
	__sync_fetch_and_add(&run->c->ring_full, 1);
	__sync_fetch_and_add(&run->c->ring_full_bytes, size);
}

/* Walks a stack into `to`; returns the bytes. `bytes` is the room. */
#define cc_frames(run, walk)                                  \
	({                                                    \
		long got = (walk);                            \
		if (got < 0) {                                \
			(run)->c->stack_faults++;             \
			got = 0;                              \
		}                                             \
		got;                                          \
	})

/* The system call that a thread is in, from the registers it entered the kernel with: -1 when it came in by a fault or
 * an interrupt, -2 for a kernel thread. */
static __always_inline __s32 cc_syscall(struct task_struct *task)
{
	struct pt_regs *regs;

	if (task->flags & PF_KTHREAD)
		return -2;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
#if defined(__TARGET_ARCH_x86)
	return regs->orig_ax;
#else
	return regs->syscallno;
#endif
}

/* The number of an address. The verifier allows no arithmetic on a pointer except to subtract another, and the running
 * task is to be had both ways. */
static __always_inline __u64 cc_number(const void *address)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 number = (__u64)address;

	asm volatile("%0 -= %1" : "+r"(number) : "r"(task));
	return number + bpf_get_current_task();
}

#define CC_HARD_IRQ 1
#define CC_SOFT_IRQ 2
#define CC_SOME_IRQ 4 /* one of these, not known which */

/* In which kind of interrupt this CPU is, by its preempt count: 0 in none, CC_SOME_IRQ when the count cannot be had. */
static __always_inline __u32 cc_irq(struct task_struct *current)
{
	__u32 count;

#if defined(__TARGET_ARCH_x86)
	if (!cc_preempt_count || !bpf_core_field_exists(current->se.cfs_rq->rq))
		return CC_SOME_IRQ;
	if (bpf_probe_read_kernel(&count, sizeof(count), (void *)(cc_number(current->se.cfs_rq->rq) + cc_preempt_count)))
		return CC_SOME_IRQ;
#else
	count = current->thread_info.preempt_count;
#endif
	/* HARDIRQ_MASK and NMI_MASK; SOFTIRQ_OFFSET (include/linux/preempt.h). */
	return count & 0x00ff0000 ? CC_HARD_IRQ : count & 0x100 ? CC_SOFT_IRQ : 0;
}

/* Whether the running thread was merely interrupted, and by what (CC_…_IRQ); 0 when it acts itself. Interrupts, and soft
 * interrupts with them, run on a stack of the CPU's own, unless they hit user code: then the thread is in no system
 * call. Kernel threads may be ksoftirqd. A tracepoint's arguments (`ctx`) are on the stack in use. */
static __always_inline __u32 cc_interrupt(void *ctx, struct task_struct *current, __s32 syscall)
{
	__u32 irq;

	if (cc_number(ctx) - (__u64)current->stack < CC_THREAD_SIZE && syscall >= 0)
		return 0;
	irq = cc_irq(current);
	/* A kernel thread is what it seems, unless it is known not to be. */
	if (irq == CC_SOME_IRQ && syscall == -2 && cc_number(ctx) - (__u64)current->stack < CC_THREAD_SIZE)
		return 0;
	return irq;
}

static __always_inline bool cc_interrupted(void *ctx)
{
	struct task_struct *current = bpf_get_current_task_btf();

	return cc_interrupt(ctx, current, cc_syscall(current)) != 0;
}

/* A number that identifies an address of the kernel in this capture without telling it. */
static __always_inline __u64 cc_mixed(__u64 address)
{
	__u64 x = address ^ cc_key;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* The same of a kernel object. */
static __always_inline __u64 cc_identity(const void *object)
{
	return cc_mixed(cc_number(object));
}
