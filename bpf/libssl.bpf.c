/* Calls into TLS libraries: how long, how many bytes, over which socket. Never what is in them: no buffer is read. Opt-in
 * (--uprobe libssl).
 *
 * The socket is that which the thread sends to or receives from while it is in the call: only what goes through a
 * socket pays for it, not every system call.
 */
#include "uprobe.bpf.h"
#include "socket.bpf.h"

CC_SENDS(cc_tls_call);

enum { READ = 1, READ_EX, WRITE, WRITE_EX, HANDSHAKE };

struct call {
	struct cc_tls_call e; /* the row as it is told */
	__u64 sp;             /* stack pointer at the entry; 0 in none */
	__u64 moved;          /* where the _ex functions put the bytes (size_t *) */
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} calls SEC(".maps");

static __always_inline void tell(struct cc_run *run, struct call *call, struct task_struct *task, __u32 flags)
{
	call->sp = 0;
	call->e.duration = bpf_ktime_get_boot_ns() - call->e.time;
	call->e.flags = flags;
	call->e.tid = task->pid;
	call->e.pid = task->tgid;
	__builtin_memcpy(call->e.comm, task->comm, sizeof(call->e.comm));
	cc_head_preemptible(run, &call->e.head, CC_KIND_TLS_CALL);
	cc_output_preemptible(run, call, sizeof(call->e));
}

static __always_inline int enter(struct pt_regs *regs, __u32 function)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call *call;
	struct cc_run run;

	if (cc_is_left_out(task, regs) || !cc_begin_preemptible(&run))
		return 0;
	call = bpf_task_storage_get(&calls, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!call) {
		cc_map_full_preemptible(&run);
		return cc_end_preemptible(&run);
	}
	/* A read inside a handshake belongs to the handshake. */
	if (cc_is_nested(call->sp, CC_SP(regs)))
		return cc_end_preemptible(&run);
	__builtin_memset(&call->e, 0, sizeof(call->e));
	call->e.time = bpf_ktime_get_boot_ns();
	call->e.function = function;
	/* Processes have their objects at the same addresses when they were forked. */
	call->e.connection = cc_mixed(CC_ARG1(regs) ^ (__u64)task->tgid << 40);
	call->moved = CC_ARG4(regs);
	call->sp = CC_SP(regs);
	return cc_end_preemptible(&run);
}

static __always_inline int leave(struct pt_regs *regs, __u32 function)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call *call;
	struct cc_run run;

	if (cc_is_left_out(task, regs) || !cc_begin_preemptible(&run))
		return 0;
	call = bpf_task_storage_get(&calls, task, 0, 0);
	if (!call || call->e.function != function || !cc_is_return_of(call->sp, CC_SP(regs)))
		return cc_end_preemptible(&run);
	call->e.result = CC_RESULT(regs);
	if (call->e.result > 0) {
		if (function == READ || function == WRITE)
			call->e.bytes = call->e.result;
		else if (function != HANDSHAKE)
			bpf_probe_read_user(&call->e.bytes, sizeof(call->e.bytes), (void *)call->moved);
	}
	tell(&run, call, task, 0);
	return cc_end_preemptible(&run);
}

SEC("uprobe/SSL_read")
int read_entry(struct pt_regs *regs)
{
	return enter(regs, READ);
}

SEC("uretprobe/SSL_read")
int read_return(struct pt_regs *regs)
{
	return leave(regs, READ);
}

SEC("uprobe/SSL_read_ex")
int read_ex_entry(struct pt_regs *regs)
{
	return enter(regs, READ_EX);
}

SEC("uretprobe/SSL_read_ex")
int read_ex_return(struct pt_regs *regs)
{
	return leave(regs, READ_EX);
}

SEC("uprobe/SSL_write")
int write_entry(struct pt_regs *regs)
{
	return enter(regs, WRITE);
}

SEC("uretprobe/SSL_write")
int write_return(struct pt_regs *regs)
{
	return leave(regs, WRITE);
}

SEC("uprobe/SSL_write_ex")
int write_ex_entry(struct pt_regs *regs)
{
	return enter(regs, WRITE_EX);
}

SEC("uretprobe/SSL_write_ex")
int write_ex_return(struct pt_regs *regs)
{
	return leave(regs, WRITE_EX);
}

SEC("uprobe/SSL_do_handshake")
int handshake_entry(struct pt_regs *regs)
{
	return enter(regs, HANDSHAKE);
}

SEC("uretprobe/SSL_do_handshake")
int handshake_return(struct pt_regs *regs)
{
	return leave(regs, HANDSHAKE);
}

/* The running thread moves bytes through a socket: that of its TLS call, if it is in one. */
static __always_inline int touch(__u64 *ctx)
{
	struct call *call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0, 0);
	struct sock *sk = (struct sock *)ctx[0];
	struct cc_run run;
	__u16 family;

	if (!call || !call->sp || call->e.socket || cc_interrupted(ctx) || !cc_begin_preemptible(&run))
		return 0;
	family = sk->__sk_common.skc_family;
	call->e.socket = cc_identity(sk);
	if (family == AF_INET || family == AF_INET6)
		read_ends_of_full(&call->e, sk);
	call->e.family = family;
	call->e.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	return cc_end_preemptible(&run);
}

SEC("?tp_btf/sock_send_length")
int sock_send_length(__u64 *ctx)
{
	return touch(ctx);
}

SEC("?tp_btf/sock_recv_length")
int sock_recv_length(__u64 *ctx)
{
	return touch(ctx);
}

SEC("tp_btf/sched_process_exit")
int process_exit(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call *call = bpf_task_storage_get(&calls, task, 0, 0);
	struct cc_run run;

	if (!call || !call->sp || !cc_begin_preemptible(&run))
		return 0;
	tell(&run, call, task, CC_THREAD_ENDED);
	return cc_end_preemptible(&run);
}

/* Once the programs are detached: what still runs. */
SEC("iter/task")
int end_calls(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct call *call;
	struct cc_run run;

	call = task ? bpf_task_storage_get(&calls, task, 0, 0) : 0;
	if (!call || !call->sp || !cc_begin_preemptible(&run))
		return 0;
	tell(&run, call, task, CC_CENSORED);
	return cc_end_preemptible(&run);
}
