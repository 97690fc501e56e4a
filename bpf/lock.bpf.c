/* Kernel locks: waits that took at least the lock threshold.
 *
 * The hooks are on the slow path of a lock only. They may run with any lock held and in any context, so that a wait that
 * spins is remembered by CPU, where it stays, and one that sleeps by task. Nothing is written before the wait is over and
 * was long enough.
 */
#include "coldcase.bpf.h"

CC_SENDS(cc_lock_contention);

const volatile __u64 cc_lock_threshold = 100000; /* shorter waits are left out, in ns */

/* LCB_F_* of include/trace/events/lock.h. */
#define SPINS 1
#define MUTEX 32

struct wait {
	__u64 lock; /* 0: none */
	__u64 began;
	__u32 flags;
	__u32 reserved;
};

/* A wait that spins can be interrupted by what spins as well, and that by an NMI. */
#define NESTED 4
/* What began so long ago has ended unseen, in ns. */
#define FORGOTTEN 10000000000ULL
struct spins {
	struct wait waits[NESTED];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct spins);
} spinning SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct wait);
} sleeping SEC(".maps");

/* An event with room for its frames. A program of ours does not interrupt itself on a CPU. */
struct contention {
	struct cc_lock_contention e;
	__u64 frames[CC_MAX_FRAMES];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct contention);
} scratch SEC(".maps");

/* Mutexes spin with preemption allowed: they may move to another CPU. */
static __always_inline bool stays(__u32 flags)
{
	return (flags & (SPINS | MUTEX)) == SPINS;
}

SEC("tp_btf/contention_begin")
int contention_begin(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 lock = ctx[0];
	__u32 flags = ctx[1], zero = 0, i;
	struct wait *wait = 0;
	struct spins *spins;
	struct cc_run run;
	__u64 now;

	if (!cc_begin(&run) || task->tgid == cc_self_tgid)
		return 0;
	now = bpf_ktime_get_boot_ns();
	if (stays(flags)) {
		spins = bpf_map_lookup_elem(&spinning, &zero);
		if (spins)
			for (i = 0; i < NESTED && !wait; i++)
				if (!spins->waits[i].lock || now - spins->waits[i].began > FORGOTTEN)
					wait = &spins->waits[i];
	} else if (task->pid) {
		wait = bpf_task_storage_get(&sleeping, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		/* A mutex begins to spin and then to sleep: one wait. */
		if (wait && wait->lock == lock) {
			wait->flags = flags;
			return cc_end(&run);
		}
	}
	if (!wait) {
		run.c->map_full++;
		return cc_end(&run);
	}
	wait->began = now;
	wait->flags = flags;
	wait->lock = lock;
	return cc_end(&run);
}

static __always_inline void emit(struct cc_run *run, struct task_struct *task, struct wait *wait, __s32 result, __u64 now)
{
	__u32 zero = 0;
	struct contention *c = bpf_map_lookup_elem(&scratch, &zero);
	__u64 frames;

	if (!c)
		return;
	cc_head(run, &c->e.head, CC_KIND_LOCK_CONTENTION);
	c->e.time = wait->began;
	c->e.duration = now - wait->began;
	c->e.lock = cc_mixed(wait->lock);
	c->e.tid = task->pid;
	c->e.pid = task->tgid;
	c->e.flags = wait->flags;
	c->e.result = result;
	c->e.cpu = bpf_get_smp_processor_id();
	c->e.reserved = 0;
	frames = cc_frames(run, bpf_get_task_stack(task, c->frames, sizeof(c->frames), 0));
	if (frames > sizeof(c->frames))
		frames = 0;
	c->e.kernel_stack = frames / 8;
	cc_output(run, c, sizeof(c->e) + frames);
}

static __always_inline void end(struct cc_run *run, struct task_struct *task, struct wait *wait, __s32 result)
{
	__u64 now = bpf_ktime_get_boot_ns();

	if (now - wait->began >= cc_lock_threshold)
		emit(run, task, wait, result, now);
	wait->lock = 0;
}

SEC("tp_btf/contention_end")
int contention_end(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 lock = ctx[0];
	struct spins *spins;
	__u32 zero = 0, i;
	struct wait *wait;
	struct cc_run run;

	if (!cc_begin(&run))
		return 0;
	spins = bpf_map_lookup_elem(&spinning, &zero);
	if (spins) {
		for (i = 0; i < NESTED; i++) {
			wait = &spins->waits[i];
			if (wait->lock == lock) {
				end(&run, task, wait, (__s32)ctx[1]);
				return cc_end(&run);
			}
		}
	}
	wait = task->pid ? bpf_task_storage_get(&sleeping, task, 0, 0) : 0;
	if (wait && wait->lock == lock)
		end(&run, task, wait, (__s32)ctx[1]);
	return cc_end(&run);
}
