/* Tasks: fork, exec, exit and rename. */
#include "coldcase.bpf.h"

CC_SENDS(cc_task);

enum { FORK = 1, EXEC, EXIT, RENAME };
#define KTHREAD 2

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
	cc_submit(&run, e, sizeof(*e));
	return cc_end(&run);
}

SEC("tp_btf/sched_process_fork")
int sched_process_fork(__u64 *ctx)
{
	return emit((struct task_struct *)ctx[1], FORK, 0);
}

SEC("tp_btf/sched_process_exec")
int sched_process_exec(__u64 *ctx)
{
	return emit((struct task_struct *)ctx[0], EXEC, 0);
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
