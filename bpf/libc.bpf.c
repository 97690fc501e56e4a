/* Look-ups of host names: getaddrinfo of the C library. Opt-in (--uprobe libc). */
#include "uprobe.bpf.h"

CC_SENDS(cc_name_lookup);

#define NAME_CUT 4
#define NAME_UNREAD 8

#define NAME_BYTES 256 /* with its zero: a name of DNS has 253 at most */

struct lookup {
	/* The row as it is told: the name follows it at once. */
	struct cc_name_lookup e;
	char name[NAME_BYTES];
	__u64 sp; /* stack pointer at the entry; 0 in none */
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct lookup);
} lookups SEC(".maps");

static __always_inline void tell(struct cc_run *run, struct lookup *l, struct task_struct *task, __s32 result,
				 __u32 flags)
{
	__u32 length = l->e.name;

	l->sp = 0;
	l->e.duration = bpf_ktime_get_boot_ns() - l->e.time;
	l->e.result = result;
	l->e.flags |= flags;
	l->e.tid = task->pid;
	l->e.pid = task->tgid;
	__builtin_memcpy(l->e.comm, task->comm, sizeof(l->e.comm));
	if (length > NAME_BYTES)
		length = 0;
	cc_head_preemptible(run, &l->e.head, CC_KIND_NAME_LOOKUP);
	cc_output_preemptible(run, l, sizeof(l->e) + length);
}

SEC("uprobe/getaddrinfo")
int getaddrinfo_entry(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const char *name = (const char *)CC_ARG1(regs);
	struct lookup *l;
	struct cc_run run;
	long got;

	if (cc_is_left_out(task, regs) || !cc_begin_preemptible(&run))
		return 0;
	l = bpf_task_storage_get(&lookups, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!l) {
		cc_map_full_preemptible(&run);
		return cc_end_preemptible(&run);
	}
	if (cc_is_nested(l->sp, CC_SP(regs)))
		return cc_end_preemptible(&run);
	l->e.time = bpf_ktime_get_boot_ns();
	l->e.flags = 0;
	l->e.name = 0;
	l->e.reserved = 0;
	l->sp = CC_SP(regs);
	if (name) {
		got = bpf_probe_read_user_str(l->name, NAME_BYTES, name);
		if (got < 0)
			l->e.flags |= NAME_UNREAD;
		else if (got > 0)
			l->e.name = got - 1;
		/* Filled to the last byte: it may have ended there, or not. */
		if (got == NAME_BYTES)
			l->e.flags |= NAME_CUT;
	}
	return cc_end_preemptible(&run);
}

SEC("uretprobe/getaddrinfo")
int getaddrinfo_return(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct lookup *l;
	struct cc_run run;

	if (cc_is_left_out(task, regs) || !cc_begin_preemptible(&run))
		return 0;
	l = bpf_task_storage_get(&lookups, task, 0, 0);
	if (l && cc_is_return_of(l->sp, CC_SP(regs)))
		tell(&run, l, task, CC_RESULT(regs), 0);
	return cc_end_preemptible(&run);
}

SEC("tp_btf/sched_process_exit")
int process_exit(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct lookup *l = bpf_task_storage_get(&lookups, task, 0, 0);
	struct cc_run run;

	if (!l || !l->sp || !cc_begin_preemptible(&run))
		return 0;
	tell(&run, l, task, 0, CC_THREAD_ENDED);
	return cc_end_preemptible(&run);
}

/* Once the programs are detached: what still runs. */
SEC("iter/task")
int end_lookups(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct lookup *l;
	struct cc_run run;

	l = task ? bpf_task_storage_get(&lookups, task, 0, 0) : 0;
	if (!l || !l->sp || !cc_begin_preemptible(&run))
		return 0;
	tell(&run, l, task, 0, CC_CENSORED);
	return cc_end_preemptible(&run);
}
