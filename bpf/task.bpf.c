/* Tasks: fork, exec, exit and rename. */
#include "coldcase.bpf.h"

CC_SENDS(cc_task);
CC_SENDS(cc_exec);

enum { FORK = 1, EXEC, EXIT, RENAME };
#define KTHREAD 2

/* The pid of a process as it knows itself, and the namespace in which that is its pid. */
static __always_inline void inside(struct task_struct *task, struct cc_task *e)
{
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	unsigned int level = BPF_CORE_READ(pid, level);
	struct upid *at = (void *)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid);

	/* Deeper ones the kernel does not allow (MAX_PID_NS_LEVEL). */
	if (!pid || level > 32)
		at = 0;
	e->inner_pid = BPF_CORE_READ(at, nr);
	e->pid_namespace = BPF_CORE_READ(at, ns, ns.inum);
}

/* An event about `task`, its name already the new one in `comm` if that is not null. */
static __always_inline int emit(struct task_struct *task, __u32 what, const char *comm)
{
	struct cc_task *e;
	struct cc_run run;

	if (task->tgid == cc_self_tgid || !cc_begin(&run))
		return 0;
	e = cc_reserve(&run, CC_KIND_TASK, sizeof(*e));
	if (!e)
		return cc_end(&run);
	e->time = bpf_ktime_get_boot_ns();
	e->what = what;
	e->tid = task->pid;
	e->pid = task->tgid;
	e->ppid = BPF_CORE_READ(task, real_parent, tgid);
	e->started = BPF_CORE_READ(task, group_leader, start_boottime);
	e->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	e->exit_code = what == EXIT ? task->exit_code : 0;
	e->flags = task->flags & PF_KTHREAD ? KTHREAD : 0;
	__builtin_memset(e->comm, 0, sizeof(e->comm));
	bpf_probe_read_kernel_str(e->comm, sizeof(e->comm), comm ? comm : task->comm);
	inside(task, e);
	cc_submit(&run, e, sizeof(*e));
	return cc_end(&run);
}

SEC("tp_btf/sched_process_fork")
int sched_process_fork(__u64 *ctx)
{
	return emit((struct task_struct *)ctx[1], FORK, 0);
}

/* Bytes of arguments that are taken. */
#define ARGV 256

struct exec {
	struct cc_exec e;
	char argv[ARGV];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exec);
} scratch SEC(".maps");

/* The arguments of the program that the running thread has just become. Their pages are in memory: the kernel wrote them
 * a moment ago; where they are not, there are none. */
static __always_inline int arguments(struct task_struct *task)
{
	__u64 start = BPF_CORE_READ(task, mm, arg_start), length = BPF_CORE_READ(task, mm, arg_end) - start;
	struct cc_run run;
	struct exec *s;
	__u32 zero = 0;
	__u64 take;

	s = bpf_map_lookup_elem(&scratch, &zero);
	if (!s || task->tgid == cc_self_tgid || !cc_begin(&run))
		return 0;
	cc_head(&run, &s->e.head, CC_KIND_EXEC);
	s->e.time = bpf_ktime_get_boot_ns();
	s->e.pid = task->tgid;
	s->e.started = BPF_CORE_READ(task, group_leader, start_boottime);
	s->e.reserved = 0;
	take = length < ARGV ? length : ARGV;
	/* The verifier forgets the bound when the compiler computes it in another register. */
	asm volatile("" : "+r"(take));
	if (take > ARGV)
		take = ARGV;
	if (bpf_probe_read_user(s->argv, take, (void *)start))
		take = 0;
	s->e.argv = take;
	s->e.cut = length - take;
	cc_output(&run, s, sizeof(s->e) + take);
	return cc_end(&run);
}

SEC("tp_btf/sched_process_exec")
int sched_process_exec(__u64 *ctx)
{
	emit((struct task_struct *)ctx[0], EXEC, 0);
	return arguments((struct task_struct *)ctx[0]);
}

SEC("tp_btf/sched_process_exit")
int sched_process_exit(__u64 *ctx)
{
	return emit((struct task_struct *)ctx[0], EXIT, 0);
}

/* Fires before the change. */
SEC("tp_btf/task_rename")
int task_rename(__u64 *ctx)
{
	return emit((struct task_struct *)ctx[0], RENAME, (const char *)ctx[1]);
}
