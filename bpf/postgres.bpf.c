/* Statements of Postgres. Opt-in (--uprobe postgres).
 *
 * The functions that take a statement from the client (exec_simple_query, …) are static, and distributions strip their
 * names. What they all report to is exported: pgstat_report_activity(state, text) is called with the text when a statement, or
 * a phase of the extended protocol, begins, and without when the process turns idle, after errors as well.
 *
 * A report without a text says nothing of what was before it: processes at rest make some (a Sync that nothing came before,
 * a fast-path call, at times replication). The state that goes with it is no help: its numbers changed with Postgres 18, and it is the
 * same idle state. Not told apart is a statement that was only described, or failed to be read, from one that ran before.
 */
#include "uprobe.bpf.h"

CC_SENDS(cc_statement);

#define RAN_BEFORE 4
#define NO_PORTAL 8
#define FAILED 16
#define TEXT_CUT 32
#define TEXT_UNREAD 64
#define WORKER 128

#define WORKED 1 /* in statement.worked; no flag of the row */

#define TEXT_BYTES 1024 /* read of a text at most */

struct statement {
	/* The row as it is told: its text follows it at once. */
	struct cc_statement e;
	char text[TEXT_BYTES];
	__u64 portal_began;
	__u64 portal_sp; /* stack pointer at the entry of the outermost PortalRun; 0 in none */
	__u32 open;      /* a statement runs */
	__u32 known;     /* the process reported since the programs were attached */
	__u32 worker;    /* it is a parallel worker */
	__u32 worked;    /* before it reported it did what only a statement does: WORKED, FAILED */
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct statement);
} statements SEC(".maps");

/* When the programs were attached; 0 before. */
__u64 attached = 0;

static __always_inline void leave_portal(struct statement *s, __u64 now)
{
	if (s->portal_sp)
		s->e.executing += now - s->portal_began;
	s->portal_sp = 0;
}

static __always_inline void tell(struct cc_run *run, struct statement *s, struct task_struct *task, __u32 flags)
{
	__u64 now = bpf_ktime_get_boot_ns();
	__u32 length = s->e.query;

	leave_portal(s, now);
	s->open = 0;
	s->e.duration = now - s->e.time;
	if (s->worker)
		s->e.executing = s->e.duration;
	s->e.flags |= flags;
	s->e.tid = task->pid;
	s->e.pid = task->tgid;
	__builtin_memcpy(s->e.comm, task->comm, sizeof(s->e.comm));
	if (length > TEXT_BYTES)
		length = 0;
	cc_head_preemptible(run, &s->e.head, CC_KIND_STATEMENT);
	cc_output_preemptible(run, s, sizeof(s->e) + length);
}

/* The process does what belongs to a statement: that, if it is open. When the process did not report yet, the statement ran when
 * we came, which is noted: a process that only reports that it is idle did nothing that we know of. */
static __always_inline struct statement *open_at_work(struct cc_run *run, struct task_struct *task, __u32 bits)
{
	struct statement *s = bpf_task_storage_get(&statements, task, 0, 0);

	if (s && s->known)
		return s->open ? s : 0;
	if (!attached || task->start_boottime >= attached)
		return 0;
	s = bpf_task_storage_get(&statements, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (s)
		s->worked |= WORKED | bits;
	else
		cc_map_full_preemptible(run);
	return 0;
}

static __always_inline void open_statement(struct statement *s, __u64 time, __u32 flags)
{
	s->e.time = time;
	s->e.executing = 0;
	/* Of one that began unseen it is not known whether it ran a portal. */
	s->e.flags = flags | (s->worker ? WORKER : flags & RAN_BEFORE ? 0 : NO_PORTAL);
	s->e.query = 0;
	s->portal_sp = 0;
	s->open = 1;
}

SEC("uprobe/pgstat_report_activity")
int report_activity(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const char *text = (const char *)CC_ARG2(regs);
	struct statement *s;
	struct cc_run run;
	long got;

	if (cc_is_left_out(task, regs) || !cc_begin_preemptible(&run))
		return 0;
	s = bpf_task_storage_get(&statements, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!s) {
		cc_map_full_preemptible(&run);
		return cc_end_preemptible(&run);
	}
	/* It turns idle, and worked: that began unseen. */
	if (!s->known && !text && s->worked)
		open_statement(s, attached, RAN_BEFORE | (s->worked & FAILED));
	s->known = 1;
	if (s->open)
		tell(&run, s, task, 0);
	if (text) {
		open_statement(s, bpf_ktime_get_boot_ns(), 0);
		got = bpf_probe_read_user_str(s->text, TEXT_BYTES, text);
		if (got < 0)
			s->e.flags |= TEXT_UNREAD;
		else if (got > 0)
			s->e.query = got - 1;
		if (got == TEXT_BYTES)
			s->e.flags |= TEXT_CUT;
	}
	return cc_end_preemptible(&run);
}

SEC("uprobe/PortalRun")
int portal_run(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct statement *s;
	struct cc_run run;

	if (cc_is_left_out(task, regs) || !cc_begin_preemptible(&run))
		return 0;
	s = open_at_work(&run, task, 0);
	if (s && !cc_is_nested(s->portal_sp, CC_SP(regs))) {
		s->portal_sp = CC_SP(regs);
		s->portal_began = bpf_ktime_get_boot_ns();
		s->e.flags &= ~NO_PORTAL;
	}
	return cc_end_preemptible(&run);
}

SEC("uretprobe/PortalRun")
int portal_run_return(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct statement *s;
	struct cc_run run;

	if (cc_is_left_out(task, regs) || !cc_begin_preemptible(&run))
		return 0;
	s = bpf_task_storage_get(&statements, task, 0, 0);
	if (s && s->open && cc_is_return_of(s->portal_sp, CC_SP(regs)))
		leave_portal(s, bpf_ktime_get_boot_ns());
	return cc_end_preemptible(&run);
}

/* A process that helps another with its statement: it reports that statement's text, runs no portal, and is done when it
 * ends. */
SEC("uprobe/ParallelWorkerMain")
int parallel_worker(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct statement *s;
	struct cc_run run;

	if (cc_is_left_out(task, regs) || !cc_begin_preemptible(&run))
		return 0;
	s = bpf_task_storage_get(&statements, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (s)
		s->worker = 1;
	else
		cc_map_full_preemptible(&run);
	return cc_end_preemptible(&run);
}

/* An error that no function of the database caught. */
SEC("uprobe/AbortCurrentTransaction")
int abort_transaction(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct statement *s;
	struct cc_run run;

	if (cc_is_left_out(task, regs) || !cc_begin_preemptible(&run))
		return 0;
	s = open_at_work(&run, task, FAILED);
	if (s) {
		leave_portal(s, bpf_ktime_get_boot_ns());
		s->e.flags |= FAILED;
	}
	return cc_end_preemptible(&run);
}

/* The end of every statement that does not fail: tells one that ran when we came from a report of a process at rest. */
SEC("uprobe/CommitTransactionCommand")
int commit_command(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct cc_run run;

	if (cc_is_left_out(task, regs) || !cc_begin_preemptible(&run))
		return 0;
	open_at_work(&run, task, 0);
	return cc_end_preemptible(&run);
}

SEC("tp_btf/sched_process_exit")
int process_exit(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct statement *s = bpf_task_storage_get(&statements, task, 0, 0);
	struct cc_run run;

	if (!s || !s->open || !cc_begin_preemptible(&run))
		return 0;
	tell(&run, s, task, s->worker ? 0 : CC_THREAD_ENDED);
	return cc_end_preemptible(&run);
}

/* Once the programs are attached. */
SEC("iter/task")
int begin_statements(struct bpf_iter__task *ctx)
{
	if (ctx->meta->seq_num == 0)
		attached = bpf_ktime_get_boot_ns();
	return 0;
}

/* Once they are detached: what still runs. */
SEC("iter/task")
int end_statements(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct statement *s;
	struct cc_run run;

	s = task ? bpf_task_storage_get(&statements, task, 0, 0) : 0;
	if (!s || !cc_begin_preemptible(&run))
		return 0;
	if (s->open)
		tell(&run, s, task, CC_CENSORED);
	s->known = 0;
	s->worked = 0;
	return cc_end_preemptible(&run);
}
