/* Scheduler: every off-CPU interval of every thread; those below the row threshold as sums.
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
CC_SENDS(cc_off_cpu_sum);
CC_SENDS(cc_thread_cgroup);

const volatile __u32 cc_args_sched_switch = 4;

#define PREEMPTED 1
#define KTHREAD 2
#define WOKEN_BY_INTERRUPT 4
#define BEFORE_CAPTURE 8
#define CENSORED 16
#define NEW_THREAD 32
#define RETURN_UNSEEN 64
#define WOKEN_BY_HARD_IRQ 128
#define WOKEN_BY_SOFT_IRQ 256
#define WOKEN_BY_FUTEX_WAKE 512
#define RELEASED 1024
#define AROUND_SHIFT 11
#define TELLS_CPU_TIME 8192
#define STACK_OF_BEFORE 16384
/* What is known of the wake-up: of no meaning before there was one. */
#define OF_WAKE (WOKEN_BY_INTERRUPT | WOKEN_BY_HARD_IRQ | WOKEN_BY_SOFT_IRQ | WOKEN_BY_FUTEX_WAKE | RELEASED)

/* Intervals from this length on tell the CPU time, and one each so often in any case. */
#define TELL_FROM 1000000
#define TELL_EVERY 100000000

/* A thread that was off the CPU for less than BRIEF and now waits in the same place again has its user stack from the last
 * time, if that is no longer ago than KEEP. */
#define BRIEF 100000
#define KEEP 10000000

/* The root of every hierarchy has this id; of a v1 hierarchy it may not be to be had. */
#define ROOT_CGROUP 1
#define USER64_CS 0x33
#if defined(__TARGET_ARCH_x86)
#define FUTEX 202
#else
#define FUTEX 98
#endif
/* Bytes between two frames at most: larger than any but a broken one. */
#define MAX_FRAME (1 << 20)

/* Sums of the intervals in one system call and state. The switches of a thread add, an iterator takes: neither waits for
 * the other. `key` is what they agree by: system call (16 bits), state (16), count (32); 0 when free. */
struct sum {
	__u64 key;
	__u64 off_cpu;
	__u64 run_queue;
};
/* A power of two. When there is no room, an interval becomes a row after all. */
#define SUMS 8

struct thread {
	__u64 out;      /* when it was switched out; 0 while it runs */
	__u64 woken;    /* when it was last woken */
	__u32 waker;
	__u32 wake;     /* flags of the wake-up: written by the waker, hence not among the others */
	__u32 state;
	__s32 syscall;
	__u32 flags;
	__u32 owner;
	__u16 cpu;
	__u16 brief;    /* whether the interval before was */
	__u32 user_bytes;
	__u64 sp;       /* where it stood when its user stack was walked, and when */
	__u64 bp;
	__u64 walked;
	__u64 args[3];
	__u64 ran;      /* at the switch-out */
	__u64 delayed;
	__u64 ran_told;
	__u64 delayed_told;
	__u64 told;     /* when */
	__u64 summed;   /* when the sums were taken last, or the first of them ended */
	struct sum sum[SUMS];
	__u64 group;    /* the scheduler's group it was last seen in: only compared */
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

static __always_inline void take_cpu_time(__u64 *ran, __u64 *delayed, struct thread *t, __u64 now)
{
	/* An iterator may take it at the same moment as a switch. */
	*ran = t->ran - __sync_lock_test_and_set(&t->ran_told, t->ran);
	*delayed = t->delayed - __sync_lock_test_and_set(&t->delayed_told, t->delayed);
	t->told = now;
}

static __always_inline void tell_cpu_time(__u32 *flags, __u64 *ran, __u64 *delayed, struct thread *t, __u64 now)
{
	*ran = 0;
	*delayed = 0;
	if (now - t->out < TELL_FROM && now - t->told < TELL_EVERY)
		return;
	*flags |= TELLS_CPU_TIME;
	take_cpu_time(ran, delayed, t, now);
}

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
	e->flags = t->flags;
	e->owner = t->owner;
	e->kernel_stack = 0;
	e->user_stack = 0;
	e->arg0 = t->args[0];
	e->arg1 = t->args[1];
	e->arg2 = t->args[2];
	tell_cpu_time(&e->flags, &e->ran, &e->delayed, t, now);
	if (!t->state) {
		e->run_queue = e->duration;
		e->waker_tid = t->flags & NEW_THREAD ? t->waker : 0;
	} else if (t->woken) {
		/* The wake-up can come between the thread's decision to sleep and the switch. */
		e->run_queue = t->woken > t->out ? now - t->woken : e->duration;
		e->waker_tid = t->waker;
		e->flags |= t->wake;
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

	e = cc_reserve(run, CC_KIND_OFF_CPU, sizeof(*e));
	if (!e)
		return;
	fill(e, t, task, now);
	cc_submit(run, e, sizeof(*e));
}

static __always_inline void take_sum(struct cc_run *run, struct thread *t, struct sum *s, struct task_struct *task,
				     __u64 now, bool tells)
{
	struct cc_off_cpu_sum *e;
	__u64 key, off_cpu, run_queue;

	if (!s->key)
		return;
	key = __sync_lock_test_and_set(&s->key, 0);
	off_cpu = __sync_lock_test_and_set(&s->off_cpu, 0);
	run_queue = __sync_lock_test_and_set(&s->run_queue, 0);
	e = cc_reserve_preemptible(run, CC_KIND_OFF_CPU_SUM, sizeof(*e));
	if (!e)
		return;
	e->time = t->summed;
	e->duration = now - t->summed;
	e->off_cpu = off_cpu;
	e->run_queue = run_queue;
	e->ran = 0;
	e->delayed = 0;
	if (tells)
		take_cpu_time(&e->ran, &e->delayed, t, now);
	e->tid = task->pid;
	e->pid = task->tgid;
	e->count = (__u32)key;
	e->state = (__u16)(key >> 32);
	e->syscall = (__s16)(key >> 48);
	e->reserved = 0;
	cc_submit(run, e, sizeof(*e));
}

/* Takes the sums of a thread, and its CPU time with them unless it is just adding to it. */
static __noinline void take_sums(struct cc_run *run, struct thread *t, struct task_struct *task, __u64 now)
{
	bool tells = t->out || !task->on_cpu;
	__u32 i;

	if (!t->summed)
		return;
	for (i = 0; i < SUMS; i++) {
		struct sum *s = &t->sum[i];

		if (!s->key)
			continue;
		take_sum(run, t, s, task, now, tells);
		tells = false;
	}
	t->summed = now;
}

/* Adds an interval to the sums of its thread. False when there is no room for its kind. */
static __always_inline bool sum(struct thread *t, __u64 now)
{
	__u64 key = (__u64)(__u16)t->syscall << 48 | (__u64)(__u16)t->state << 32;
	__u64 run_queue = !t->state ? now - t->out : !t->woken ? 0 : t->woken > t->out ? now - t->woken : now - t->out;
	__u32 i;

	for (i = 0; i < SUMS; i++) {
		struct sum *s = &t->sum[i];
		__u64 old = s->key;

		if (old && (old ^ key) >> 32)
			continue;
		/* Taken in between: then it is free. */
		if (__sync_val_compare_and_swap(&s->key, old, (old ? old : key) + 1) != old &&
		    __sync_val_compare_and_swap(&s->key, 0, key + 1))
			continue;
		__sync_fetch_and_add(&s->off_cpu, now - t->out);
		if (run_queue)
			__sync_fetch_and_add(&s->run_queue, run_queue);
		if (!t->summed)
			t->summed = now;
		return true;
	}
	return false;
}

static __always_inline void emit(struct cc_run *run, struct thread *t, struct task_struct *task, __u64 now)
{
	if (now - t->out < cc_row_threshold && !(t->flags & (BEFORE_CAPTURE | CENSORED)) && sum(t, now))
		return;
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
 * there costs nothing, and what lies behind would be no frame. Yet this is the dearest part of a switch, so threads that
 * switch often do not pay for it each time. */
static __always_inline void walk_user(struct thread *t, struct task_struct *task, __u64 now)
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
	if (!ip) {
		t->user_bytes = 0;
		return;
	}
	if (t->brief && t->user_bytes && t->user[0] == ip && t->sp == below && t->bp == at && now - t->walked < KEEP) {
		t->flags |= STACK_OF_BEFORE;
		return;
	}
	t->walked = now;
	t->sp = below;
	t->bp = at;
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

#define FUTEX_COMMAND 0x7f
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define FUTEX_LOCK_PI 6
#define FUTEX_WAIT_BITSET 9
#define FUTEX_LOCK_PI2 13
/* WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, UNLOCK_PI, WAKE_BITSET */
#define FUTEX_WAKES (1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 10)
#define FUTEX_WAITERS 0x80000000
#define FUTEX_TID_MASK 0x3fffffff
#define MANY 65536

#define A_MUTEX 1
#define A_CONDITION 2
#define A_SEMAPHORE 3

/* How glibc lays out what a futex is part of (sysdeps/nptl/bits). Nothing of it leaves the kernel but the owner and which
 * of the three it is, and that only where all of it fits: it is the program's memory, and may be something else. */
struct glibc_mutex {
	__u32 lock;
	__u32 count;
	__u32 owner;
	__u32 users;
	__u32 kind;
};
struct glibc_condition {
	__u64 sequence;
	__u64 first;
	__u32 references[2];
	__u32 size[2];
	__u32 original_size;
	__u32 waiters;
	__u32 signals[2];
};
struct glibc_semaphore {
	__u32 value;
	__u32 waiters;
	__u32 private;
};

static __always_inline bool futex_is_condition(__u64 word)
{
	struct glibc_condition c;
	__u32 which = word & 4 ? 1 : 0;

	if (bpf_probe_read_user(&c, sizeof(c), (void *)(word - 40 - 4 * which)))
		return false;
	/* At least one waits, in a group that was opened; bits below the counts are flags. */
	return c.waiters >> 3 && c.waiters >> 3 < MANY && c.sequence >> 1 && c.first >> 1 <= c.sequence >> 1 &&
	       (c.sequence >> 1) - (c.first >> 1) < MANY && c.size[0] < MANY && c.size[1] < MANY &&
	       c.original_size >> 2 < MANY;
}

/* Who holds what the current thread is about to wait for, as far as the word or what is around it tells. */
static __always_inline void look_at_futex(struct thread *t)
{
	__u64 word = t->args[0];
	__u32 command = t->args[1] & FUTEX_COMMAND;
	__u32 expected = t->args[2];
	__u32 around = 0, value;

	if (command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2) {
		if (!bpf_probe_read_user(&value, sizeof(value), (void *)word))
			t->owner = value & FUTEX_TID_MASK;
	} else if (command == FUTEX_WAIT && expected & FUTEX_WAITERS) {
		t->owner = expected & FUTEX_TID_MASK;
	} else if ((command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET) && expected == 2) {
		struct glibc_mutex m;

		if (!bpf_probe_read_user(&m, sizeof(m), (void *)word) && m.lock == 2 && m.owner &&
		    m.owner <= 1 << 22 && m.users && m.users < MANY && !(m.kind & ~0x1ff)) {
			t->owner = m.owner;
			around = A_MUTEX;
		}
	} else if (command == FUTEX_WAIT_BITSET && !expected) {
		struct glibc_semaphore s;

		if (futex_is_condition(word))
			around = A_CONDITION;
		else if (!(word & 7) && !bpf_probe_read_user(&s, sizeof(s), (void *)word) && s.waiters &&
			 s.waiters < MANY && !(s.private & ~128))
			around = A_SEMAPHORE;
	}
	t->flags |= around << AROUND_SHIFT;
}

static __always_inline void arguments(__u64 *args, struct task_struct *task)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

#if defined(__TARGET_ARCH_x86)
	args[0] = regs->di;
	args[1] = regs->si;
	args[2] = regs->dx;
#else
	args[0] = regs->orig_x0;
	args[1] = regs->regs[1];
	args[2] = regs->regs[2];
#endif
}

static __always_inline void read_cpu_time(struct thread *t, struct task_struct *task)
{
	t->ran = task->se.sum_exec_runtime;
	if (bpf_core_field_exists(task->sched_info.run_delay))
		t->delayed = task->sched_info.run_delay;
}

/* Tells in which cgroup the CPU controller counts a thread, when it is another than before: what a quota limits. The
 * cgroup of the v2 hierarchy would not do, since with v1 the CPU controller has a hierarchy of its own. */
static __always_inline void regroup(struct cc_run *run, struct thread *t, struct task_struct *task, __u64 now)
{
	struct task_group *group;
	struct cc_thread_cgroup *e;
	__u64 id;

	/* A kernel without CONFIG_CGROUP_SCHED. */
	if (!bpf_core_field_exists(task->sched_task_group))
		return;
	group = task->sched_task_group;
	if ((__u64)group == t->group)
		return;
	id = BPF_CORE_READ(group, css.parent) ? BPF_CORE_READ(group, css.cgroup, kn, id) : ROOT_CGROUP;
	/* Where most threads of a host without containers are, and stay: the reader takes it for granted. */
	if (id == ROOT_CGROUP && !t->group)
		goto out;
	e = cc_reserve(run, CC_KIND_THREAD_CGROUP, sizeof(*e));
	/* The next switch tries again. */
	if (!e)
		return;
	e->time = now;
	e->cgroup = id;
	e->tid = task->pid;
	e->pid = task->tgid;
	cc_submit(run, e, sizeof(*e));
out:
	t->group = (__u64)group;
}

static __always_inline void switched_out(struct cc_run *run, struct task_struct *task, bool preempted, __u32 state,
					 __u64 now)
{
	struct thread *t = bpf_task_storage_get(&threads, task, 0, 0);

	if (!t)
		return;
	/* Some switches are not traced: on Linux 6.18 ftrace misses the same ones, some in a thousand. The thread came back
	 * unseen: after its wake-up it waited for as long as the kernel charged it since it left. */
	if (t->out) {
		__u64 back = t->woken > t->out ? t->woken : t->out;

		if (bpf_core_field_exists(task->sched_info.run_delay))
			back += task->sched_info.run_delay - t->delayed;
		t->flags |= RETURN_UNSEEN;
		emit_without_stacks(run, t, task, back < now ? back : now);
		t->woken = 0;
	}
	read_cpu_time(t, task);
	if (state & TASK_DEAD) {
		t->out = now;
		take_sums(run, t, task, now);
		t->out = 0;
		return;
	}
	t->out = now;
	/* A preempted thread is runnable, whatever state it was about to take. */
	t->state = preempted ? 0 : state;
	t->flags = t->state ? 0 : PREEMPTED;
	t->cpu = bpf_get_smp_processor_id();
	t->syscall = cc_syscall(task);
	t->owner = 0;
	if (t->state && t->syscall >= 0) {
		arguments(t->args, task);
		if (t->syscall == FUTEX)
			look_at_futex(t);
	} else {
		t->args[0] = t->args[1] = t->args[2] = 0;
	}
	regroup(run, t, task, now);
	if (task->flags & PF_KTHREAD)
		t->flags |= KTHREAD;
	else
		walk_user(t, task, now);
}

static __always_inline void switched_in(struct cc_run *run, struct task_struct *task, __u64 now)
{
	struct thread *t = bpf_task_storage_get(&threads, task, 0, 0);

	if (!t)
		return;
	if (t->out) {
		emit(run, t, task, now);
		t->brief = now - t->out < BRIEF;
	}
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

/* Whether the thread that wakes does it by a futex call, and on the word that the woken one waits on. */
static __always_inline __u32 woken_by_futex(struct task_struct *current, struct task_struct *woken)
{
	__u64 mine[3], its[3];

	arguments(mine, current);
	if (!(FUTEX_WAKES >> (mine[1] & 31) & 1))
		return 0;
	if (woken->tgid != current->tgid || cc_syscall(woken) != FUTEX)
		return WOKEN_BY_FUTEX_WAKE;
	arguments(its, woken);
	return its[0] == mine[0] ? WOKEN_BY_FUTEX_WAKE | RELEASED : WOKEN_BY_FUTEX_WAKE;
}

static __always_inline __u32 how_woken(void *ctx, struct task_struct *woken)
{
	struct task_struct *current = bpf_get_current_task_btf();
	__s32 syscall = cc_syscall(current);
	__u32 irq = cc_interrupt(ctx, current, syscall);

	if (irq)
		return WOKEN_BY_INTERRUPT | (irq == CC_HARD_IRQ ? WOKEN_BY_HARD_IRQ : 0) |
		       (irq == CC_SOFT_IRQ ? WOKEN_BY_SOFT_IRQ : 0);
	return syscall == FUTEX ? woken_by_futex(current, woken) : 0;
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
		t->wake = how_woken(ctx, task);
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
		if (t->state && t->syscall >= 0)
			arguments(t->args, task);
		read_cpu_time(t, task);
		t->ran_told = t->ran;
		t->delayed_told = t->delayed;
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
	if (t)
		take_sums(&run, t, task, bpf_ktime_get_boot_ns());
	return cc_end(&run);
}

/* Several times in two seconds, once there was a row threshold. */
SEC("iter/task")
int flush_sums(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread *t;
	struct cc_run run;
	__u32 zero = 0;

	if (!task)
		return 0;
	/* Not cc_begin: its counters are not for programs that may be interrupted by others of theirs. */
	run.c = bpf_map_lookup_elem(&counters, &zero);
	t = run.c ? bpf_task_storage_get(&threads, task, 0, 0) : 0;
	if (t)
		take_sums(&run, t, task, bpf_ktime_get_boot_ns());
	return 0;
}
