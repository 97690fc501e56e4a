/* Signals: sent and taken. Floods of the common ones are cut by a budget, so that what stops and kills stays visible. */
#include "coldcase.bpf.h"

CC_SENDS(cc_signal);

/* Rows per CPU and second of the signals that programs send all the time (timers, children, preemption). */
const volatile __u32 cc_signal_rate = 500;

enum { GENERATED = 1, DELIVERED };
#define TO_GROUP 1
#define IGNORED 2
#define HANDLED 4

#define SI_KERNEL 0x80

/* HUP INT QUIT ILL TRAP ABRT BUS FPE KILL SEGV PIPE TERM STKFLT CONT STOP TSTP TTIN TTOU XCPU XFSZ PWR SYS. */
#define RARE ((1 << 1) | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 9) | \
	      (1 << 11) | (1 << 13) | (1 << 15) | (1 << 16) | (1 << 18) | (1 << 19) | (1 << 20) | (1 << 21) |      \
	      (1 << 22) | (1 << 24) | (1 << 25) | (1 << 30) | (1U << 31))

struct budget {
	__u64 second;
	__u64 used;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct budget);
} budgets SEC(".maps");

/* Whether a row of this signal is still within the budget of this second; counted when not. */
static __always_inline bool within_budget(struct cc_run *run, __u32 signal, __u64 now)
{
	__u64 second = now >> 30; /* about */
	struct budget *b;
	__u32 zero = 0;

	if (signal < 32 && RARE >> signal & 1)
		return true;
	b = bpf_map_lookup_elem(&budgets, &zero);
	if (!b)
		return true;
	if (b->second != second) {
		b->second = second;
		b->used = 0;
	}
	if (b->used++ < cc_signal_rate)
		return true;
	run->c->rate_limited++;
	return false;
}

static __always_inline struct cc_signal *begin(struct cc_run *run, __u32 what, __u32 signal, struct kernel_siginfo *info,
					       struct task_struct *task)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct cc_signal *e;

	if (!within_budget(run, signal, now))
		return 0;
	e = cc_reserve(run, CC_KIND_SIGNAL, sizeof(*e));
	if (!e)
		return 0;
	e->time = now;
	e->tid = BPF_CORE_READ(task, pid);
	e->pid = BPF_CORE_READ(task, tgid);
	e->sender_tid = 0;
	e->sender_pid = 0;
	e->what = what;
	e->signal = signal;
	/* SEND_SIG_NOINFO (0) is a kill(2), SEND_SIG_PRIV (1) the kernel itself. */
	e->code = cc_number(info) == 1 ? SI_KERNEL : BPF_CORE_READ(info, si_code);
	e->result = 0;
	e->flags = 0;
	e->reserved = 0;
	BPF_CORE_READ_STR_INTO(&e->comm, task, comm);
	return e;
}

SEC("tp_btf/signal_generate")
int signal_generate(__u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[2];
	__u64 id = bpf_get_current_pid_tgid();
	struct cc_signal *e;
	struct cc_run run;

	if (BPF_CORE_READ(task, tgid) == cc_self_tgid || !cc_begin(&run))
		return 0;
	e = begin(&run, GENERATED, ctx[0], (struct kernel_siginfo *)ctx[1], task);
	if (e) {
		/* A timer or a fault: nobody sent it. */
		if (!cc_interrupted(ctx)) {
			e->sender_tid = (__u32)id;
			e->sender_pid = id >> 32;
		}
		e->flags = (int)ctx[3] ? TO_GROUP : 0;
		e->result = ctx[4];
		cc_submit(&run, e, sizeof(*e));
	}
	return cc_end(&run);
}

/* In the thread that takes it. */
SEC("tp_btf/signal_deliver")
int signal_deliver(__u64 *ctx)
{
	struct k_sigaction *action = (struct k_sigaction *)ctx[2];
	struct task_struct *task = bpf_get_current_task_btf();
	struct cc_signal *e;
	struct cc_run run;
	__u64 handler;

	if (task->tgid == cc_self_tgid || !cc_begin(&run))
		return 0;
	e = begin(&run, DELIVERED, ctx[0], (struct kernel_siginfo *)ctx[1], task);
	if (e) {
		handler = (__u64)BPF_CORE_READ(action, sa.sa_handler);
		e->flags = handler > 1 ? HANDLED : handler ? IGNORED : 0;
		cc_submit(&run, e, sizeof(*e));
	}
	return cc_end(&run);
}
