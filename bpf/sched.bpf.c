/* Scheduler: every off-CPU interval of every thread.
 *
 * State stands in task storage, which is made where no run-queue lock is held (at fork, and by an iterator for the
 * threads that are there already): at a switch it is only looked up. A thread without it is not followed: the idle
 * tasks, the recorder, and those for which there was no memory (counted).
 *
 * The stacks: the kernel stack is walked at the switch that brings the thread back, and only when the interval was
 * long enough: it still stands as the thread left it. A user stack can only be walked while its thread is the
 * current one, so that is done at the switch that takes it off.
 */
#include "coldcase.bpf.h"

CC_SENDS(cc_off_cpu);

const volatile __u32 cc_args_sched_switch = 4;

#define PREEMPTED 1
#define KTHREAD 2
#define WOKEN_BY_INTERRUPT 4
#define BEFORE_CAPTURE 8
#define CENSORED 16
#define NEW_THREAD 32
#define RETURN_UNSEEN 64

#define USER64_CS 0x33
/* Bytes between two frames at most: larger than any but a broken one. */
#define MAX_FRAME (1 << 20)

struct thread {
	__u64 out;      /* when it was switched out; 0 while it runs */
	__u64 woken;    /* when it was last woken */
	__u32 waker;
	__u32 state;
	__s32 syscall;
	__u32 flags;
	__u16 cpu;
	__u16 reserved;
	__u32 user_bytes;
	__u64 user[CC_MAX_FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread);
} threads SEC(".maps");

/* An event with room for its frames. Filled under the run-queue lock or in the iterator, one at a time on a CPU. */
struct interval {
	struct cc_off_cpu e;
	__u64 frames[2 * CC_MAX_FRAMES];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct interval);
} scratch SEC(".maps");

static __always_inline void fill(struct cc_off_cpu *e, struct thread *t, struct task_struct *task, __u64 now)
{
	e->time = t->out;
	e->duration = now - t->out;
	e->tid = task->pid;
	e->pid = task->tgid;
	e->state = t->state;
	e->syscall = t->syscall;
	e->cpu_out = t->cpu;
	e->cpu_in = bpf_get_smp_processor_id();
	e->flags = t->flags & ~WOKEN_BY_INTERRUPT;
	e->reserved = 0;
	e->kernel_stack = 0;
	e->user_stack = 0;
	if (!t->state) {
		e->run_queue = e->duration;
		e->waker_tid = t->flags & NEW_THREAD ? t->waker : 0;
	} else if (t->woken) {
		/* The wake-up can come between the thread's decision to sleep and the switch. */
		e->run_queue = t->woken > t->out ? now - t->woken : e->duration;
		e->waker_tid = t->waker;
		e->flags = t->flags;
	} else {
		e->run_queue = 0;
		e->waker_tid = 0;
	}
}

/* An interval that is long enough to carry its stacks. */
static __always_inline void emit_with_stacks(struct cc_run *run, struct thread *t, struct task_struct *task, __u64 now)
{
	__u32 zero = 0;
	struct interval *i = bpf_map_lookup_elem(&scratch, &zero);
	__u64 kernel, user;

	if (!i)
		return;
	cc_head(run, &i->e.head, CC_KIND_OFF_CPU);
	fill(&i->e, t, task, now);
	kernel = cc_frames(run, bpf_get_task_stack(task, i->frames, sizeof(t->user), 0));
	if (kernel > sizeof(t->user))
		kernel = 0;
	i->e.kernel_stack = kernel / 8;
	user = t->user_bytes;
	if (user > sizeof(t->user))
		user = 0;
	if (user)
		bpf_probe_read_kernel((void *)i->frames + kernel, user, t->user);
	i->e.user_stack = user / 8;
	cc_output(run, i, sizeof(i->e) + kernel + user);
}

static __always_inline void emit_without_stacks(struct cc_run *run, struct thread *t, struct task_struct *task,
						__u64 now)
{
	struct cc_off_cpu *e;
	struct cc_head head;
	void *ring;

	cc_head(run, &head, CC_KIND_OFF_CPU);
	ring = cc_ring();
	e = ring ? bpf_ringbuf_reserve(ring, sizeof(*e), 0) : 0;
	if (!e) {
		cc_refused(run, sizeof(*e));
		return;
	}
	e->head = head;
	fill(e, t, task, now);
	bpf_ringbuf_submit(e, cc_wake(ring, sizeof(*e)));
}

static __always_inline void emit(struct cc_run *run, struct thread *t, struct task_struct *task, __u64 now)
{
	if (now - t->out >= cc_stack_threshold)
		emit_with_stacks(run, t, task, now);
	else
		emit_without_stacks(run, t, task, now);
}

/* The user stack of the current thread, by its frame pointers.
 *
 * Every switch pays for this, for the sake of the few intervals that become long: so it must be cheap. The kernel's own
 * walk (bpf_get_stack) takes 440 ns here, most of it in the fault on which it ends where a register that is no frame
 * pointer is taken for one. A frame pointer that does not stand a little above the one before it is none: stopping
 * there costs nothing, and what lies behind would be no frame. */
static __always_inline void walk_user(struct thread *t, struct task_struct *task)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct {
		__u64 next;
		__u64 back;
	} frame;
	__u64 ip, at, below;
	__u32 depth;

#if defined(__TARGET_ARCH_x86)
	ip = regs->ip;
	at = regs->bp;
	below = regs->sp;
	/* 32-bit programs have other frames. */
	if (regs->cs != USER64_CS)
		at = 0;
#else
	ip = regs->pc;
	at = regs->regs[29];
	below = regs->sp;
#endif
	if (!ip)
		return;
	t->user[0] = ip;
	for (depth = 1; depth < CC_MAX_FRAMES; depth++) {
		if (at < below || at - below > MAX_FRAME || at & 7)
			break;
		if (bpf_probe_read_user(&frame, sizeof(frame), (void *)at) || !frame.back)
			break;
		t->user[depth] = frame.back;
		below = at + sizeof(frame);
		at = frame.next;
	}
	t->user_bytes = depth * sizeof(__u64);
}

static __always_inline void switched_out(struct cc_run *run, struct task_struct *task, bool preempted, __u32 state,
					 __u64 now)
{
	struct thread *t = bpf_task_storage_get(&threads, task, 0, 0);

	if (!t)
		return;
	/* Some switches are not traced: on Linux 6.18 ftrace misses the same ones, some in a thousand. The thread came back
	 * unseen: its interval reaches to its wake-up, the last moment at which it surely did not run. */
	if (t->out) {
		t->flags |= RETURN_UNSEEN;
		emit_without_stacks(run, t, task, t->woken > t->out ? t->woken : t->out);
		t->woken = 0;
	}
	if (state & TASK_DEAD) {
		t->out = 0;
		return;
	}
	t->out = now;
	/* A preempted thread is runnable, whatever state it was about to take. */
	t->state = preempted ? 0 : state;
	t->flags = t->state ? 0 : PREEMPTED;
	t->cpu = bpf_get_smp_processor_id();
	t->syscall = cc_syscall(task);
	t->user_bytes = 0;
	if (task->flags & PF_KTHREAD)
		t->flags |= KTHREAD;
	else
		walk_user(t, task);
}

static __always_inline void switched_in(struct cc_run *run, struct task_struct *task, __u64 now)
{
	struct thread *t = bpf_task_storage_get(&threads, task, 0, 0);

	if (!t)
		return;
	if (t->out)
		emit(run, t, task, now);
	t->out = 0;
	t->woken = 0;
	t->flags = 0;
}

SEC("tp_btf/sched_switch")
int sched_switch(__u64 *ctx)
{
	bool preempted = ctx[0];
	struct task_struct *prev = (struct task_struct *)ctx[1];
	struct task_struct *next = (struct task_struct *)ctx[2];
	struct cc_run run;
	__u64 now;

	if (!cc_begin(&run))
		return 0;
	now = bpf_ktime_get_boot_ns();
	if (prev->pid)
		/* Before 5.18 the state was not handed over. */
		switched_out(&run, prev, preempted, cc_args_sched_switch >= 4 ? (__u32)ctx[3] : prev->__state, now);
	if (next->pid)
		switched_in(&run, next, now);
	return cc_end(&run);
}

/* In the waker's context. The last one before a thread is switched in is the one that ended its sleep: there is none
 * for a thread that is awake. */
SEC("tp_btf/sched_waking")
int sched_waking(__u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct thread *t;
	struct cc_run run;

	if (!cc_begin(&run))
		return 0;
	t = bpf_task_storage_get(&threads, task, 0, 0);
	if (t) {
		t->woken = bpf_ktime_get_boot_ns();
		t->waker = (__u32)bpf_get_current_pid_tgid();
		if (cc_interrupted(ctx))
			t->flags |= WOKEN_BY_INTERRUPT;
		else
			t->flags &= ~WOKEN_BY_INTERRUPT;
	}
	return cc_end(&run);
}

static __always_inline struct thread *follow(struct cc_run *run, struct task_struct *task)
{
	struct thread *t;

	if (task->tgid == cc_self_tgid || !task->pid)
		return 0;
	t = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		run->c->map_full++;
	return t;
}

SEC("tp_btf/sched_process_fork")
int sched_process_fork(__u64 *ctx)
{
	struct task_struct *child = (struct task_struct *)ctx[1];
	struct thread *t;
	struct cc_run run;

	if (!cc_begin(&run))
		return 0;
	t = follow(&run, child);
	if (t) {
		t->out = bpf_ktime_get_boot_ns();
		t->waker = (__u32)bpf_get_current_pid_tgid();
		t->cpu = bpf_get_smp_processor_id();
		t->syscall = child->flags & PF_KTHREAD ? -2 : -1;
		t->flags = NEW_THREAD | (child->flags & PF_KTHREAD ? KTHREAD : 0);
	}
	return cc_end(&run);
}

/* Once all programs are attached: threads that sleep already. */
SEC("iter/task")
int begin_threads(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread *t;
	struct cc_run run;

	if (!task || !cc_begin(&run))
		return 0;
	t = follow(&run, task);
	if (t && !t->out) {
		t->state = task->__state;
		t->syscall = cc_syscall(task);
		t->flags = BEFORE_CAPTURE | (task->flags & PF_KTHREAD ? KTHREAD : 0);
		t->out = bpf_ktime_get_boot_ns();
		/* It may have come back on a CPU meanwhile. */
		if (task->on_cpu || (t->state & TASK_DEAD))
			t->out = 0;
	}
	return cc_end(&run);
}

/* Once all programs are detached: threads that still sleep. */
SEC("iter/task")
int end_threads(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread *t;
	struct cc_run run;

	if (!task || !cc_begin(&run))
		return 0;
	t = bpf_task_storage_get(&threads, task, 0, 0);
	if (t && t->out && !task->on_cpu) {
		if (t->state && task->__state)
			t->woken = 0;
		t->flags |= CENSORED;
		emit(&run, t, task, bpf_ktime_get_boot_ns());
		t->out = 0;
	}
	return cc_end(&run);
}
