/* System calls: how many and how long, summed for each process, call and length; and each slow one. Opt-in (--syscalls): the
 * hooks are on the path of every call.
 *
 * The sums of a CPU are changed by that CPU alone. The flush takes them with atomic exchanges, so that none is counted
 * twice or lost.
 */
#include "path.bpf.h"
#include "sums.bpf.h"

CC_SENDS(cc_syscall_sum);
CC_SENDS(cc_slow_syscall);

const volatile __u64 cc_syscall_threshold = 10000000; /* from this length on a call is a row of its own, in ns */

/* By number, what tells the file that a call is about (record/src/kernel/call_files.rs): bits 0 and 1 how, 2 and 3 the index of
 * the argument, 4 to 6 one more than the index of a second path. */
#define CALLS 512
const volatile __u8 cc_call_files[CALLS];
enum { NO_FILE, BY_PATH, BY_DESCRIPTOR, OPENED };

#define COMPAT 1
#define PATH_CUT 2
#define TO_CUT 4
#define FROM_ROOT 8
/* Errors by which the kernel makes a call begin anew, or lets a signal handler run first: no result of the call. */
#define FIRST_RESTART 512
#define LAST_RESTART 516
#define MAX_ERRNO 4095

struct call {
	__u64 start; /* 0 when in none */
	__s32 number;
	__u32 flags;
	__u64 args[4];
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} calls SEC(".maps");

struct key {
	__u64 at_least;
	__u32 cpu;
	__u32 pid;
	__s32 number;
	__u32 flags;
};
struct sum {
	__u64 count;
	__u64 total;
	__u64 longest;
	__u64 failed;
	__u64 idle; /* flushes that found nothing */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct key);
	__type(value, struct sum);
} sums SEC(".maps");

struct slow {
	struct cc_slow_syscall e;
	/* Behind the frames that there are. */
	__u64 frames[CC_MAX_FRAMES + 2 * CC_PATH_BYTES / 8];
	struct cc_path path;
	struct cc_path to;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slow);
} scratch SEC(".maps");

/* The lower end of the bucket that a length falls into: 0 below 256 ns, then four buckets to each power of two. */
static __always_inline __u64 bucket(__u64 ns)
{
	__u64 rest = ns;
	__u32 exponent = 0;

	if (ns < 256)
		return 0;
	if (rest >> 32) {
		rest >>= 32;
		exponent += 32;
	}
	if (rest >> 16) {
		rest >>= 16;
		exponent += 16;
	}
	if (rest >> 8) {
		rest >>= 8;
		exponent += 8;
	}
	if (rest >> 4) {
		rest >>= 4;
		exponent += 4;
	}
	if (rest >> 2) {
		rest >>= 2;
		exponent += 2;
	}
	if (rest >> 1)
		exponent += 1;
	exponent = (exponent - 2) & 63;
	return ns >> exponent << exponent;
}

SEC("tp_btf/sys_enter")
int sys_enter(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	struct cc_run run;
	struct call *call;

	if (task->tgid == cc_self_tgid || !cc_begin(&run))
		return 0;
	call = bpf_task_storage_get(&calls, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!call) {
		run.c->map_full++;
		return cc_end(&run);
	}
	call->number = ctx[1];
	call->flags = 0;
#if defined(__TARGET_ARCH_x86)
	call->args[0] = regs->di;
	call->args[1] = regs->si;
	call->args[2] = regs->dx;
	call->args[3] = regs->r10;
	/* A 32-bit call has numbers and registers of its own. */
	if (regs->cs == CC_USER32_CS) {
		call->flags = COMPAT;
		call->args[0] = regs->bx;
		call->args[1] = regs->cx;
	}
#else
	call->args[0] = regs->regs[0];
	call->args[1] = regs->regs[1];
	call->args[2] = regs->regs[2];
	call->args[3] = regs->regs[3];
#endif
	call->start = bpf_ktime_get_boot_ns();
	return cc_end(&run);
}

#define S_IFMT 0170000
#define S_IFIFO 0010000
#define S_IFSOCK 0140000

/* The path of an open file; none for what has no name (sockets, pipes, event descriptors). */
static __always_inline void path_of_descriptor(struct cc_path *path, struct task_struct *task, __u32 fd)
{
	struct file *file = cc_file(task, fd);
	__u16 type = file ? BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT : 0;

	if (type && type != S_IFIFO && type != S_IFSOCK)
		cc_path_of(path, BPF_CORE_READ(file, f_path.dentry), BPF_CORE_READ(file, f_path.mnt));
}

/* Puts the file of a call, and its second path, into `s`. */
static __always_inline void find_files(struct slow *s, struct task_struct *task, struct call *call, __s64 result)
{
	__u32 number = call->number, how;

	s->path.at = s->to.at = CC_PATH_BYTES;
	s->path.cut = s->to.cut = false;
	if (call->flags & COMPAT || number >= CALLS)
		return;
	how = cc_call_files[number];
	if ((how & 3) == BY_DESCRIPTOR || ((how & 3) == OPENED && result >= 0)) {
		path_of_descriptor(&s->path, task, (how & 3) == OPENED ? result : call->args[how >> 2 & 3]);
		s->e.flags |= FROM_ROOT;
	} else if (how & 3)
		cc_path_user(&s->path, (const char *)call->args[how >> 2 & 3]);
	if (how >> 4)
		cc_path_user(&s->to, (const char *)call->args[((how >> 4) - 1) & 3]);
}

static __always_inline void tell_slow(struct cc_run *run, void *ctx, struct task_struct *task, struct call *call,
				      __u64 took, __s64 result)
{
	const __u64 room = CC_MAX_FRAMES * sizeof(__u64);
	__u32 zero = 0;
	struct slow *s = bpf_map_lookup_elem(&scratch, &zero);
	__u64 user, at;
	__u32 length;

	if (!s)
		return;
	cc_head(run, &s->e.head, CC_KIND_SLOW_SYSCALL);
	s->e.time = call->start;
	s->e.duration = took;
	s->e.result = result;
	s->e.arg0 = call->args[0];
	s->e.arg1 = call->args[1];
	s->e.arg2 = call->args[2];
	s->e.tid = task->pid;
	s->e.pid = task->tgid;
	s->e.syscall = call->number;
	s->e.flags = call->flags;
	s->e.reserved = 0;
	find_files(s, task, call, result);
	if (s->path.cut)
		s->e.flags |= PATH_CUT;
	if (s->to.cut)
		s->e.flags |= TO_CUT;
	user = cc_frames(run, bpf_get_stack(ctx, s->frames, room, BPF_F_USER_STACK));
	if (user > room)
		user = 0;
	s->e.user_stack = user / 8;
	at = user;
	length = cc_path_copy((char *)s->frames + at, &s->path);
	s->e.path = length;
	at += length;
	if (at > room + CC_PATH_BYTES)
		at = 0;
	length = cc_path_copy((char *)s->frames + at, &s->to);
	s->e.to = length;
	at += length;
	if (at > room + 2 * CC_PATH_BYTES)
		at = 0;
	cc_output(run, s, sizeof(s->e) + at);
}

SEC("tp_btf/sys_exit")
int sys_exit(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 took, now = bpf_ktime_get_boot_ns();
	__s64 result = ctx[1];
	struct sum *sum, fresh = {};
	struct key key = {};
	struct cc_run run;
	struct call *call;

	if (task->tgid == cc_self_tgid || !cc_begin(&run))
		return 0;
	call = bpf_task_storage_get(&calls, task, 0, 0);
	/* It began before we were attached; or in another thread, of which this one is the new child. */
	if (!call || !call->start)
		return cc_end(&run);
	took = now - call->start;
	key.at_least = bucket(took);
	key.cpu = bpf_get_smp_processor_id();
	key.pid = task->tgid;
	key.number = call->number;
	key.flags = call->flags;
	sum = bpf_map_lookup_elem(&sums, &key);
	if (!sum) {
		bpf_map_update_elem(&sums, &key, &fresh, BPF_ANY);
		sum = bpf_map_lookup_elem(&sums, &key);
	}
	if (sum) {
		__sync_fetch_and_add(&sum->count, 1);
		__sync_fetch_and_add(&sum->total, took);
		if (took > sum->longest)
			sum->longest = took;
		if (result < 0 && result >= -MAX_ERRNO && !(result <= -FIRST_RESTART && result >= -LAST_RESTART))
			__sync_fetch_and_add(&sum->failed, 1);
	} else {
		run.c->map_full++;
	}
	if (took >= cc_syscall_threshold)
		tell_slow(&run, ctx, task, call, took, result);
	call->start = 0;
	return cc_end(&run);
}

static long flush(struct bpf_map *map, struct key *key, struct sum *sum, void *unused)
{
	struct cc_syscall_sum *e;
	struct cc_run run;

	if (!sum->count) {
		/* Of a process that is gone, or a length that it no longer takes. */
		if (++sum->idle > 16)
			bpf_map_delete_elem(map, key);
		return 0;
	}
	if (!cc_begin(&run))
		return 0;
	e = cc_reserve_preemptible(&run, CC_KIND_SYSCALL_SUM, sizeof(*e));
	if (!e) {
		/* The sum stays for the next flush. */
		cc_end(&run);
		return 0;
	}
	sum->idle = 0;
	e->time = bpf_ktime_get_boot_ns();
	e->count = __sync_lock_test_and_set(&sum->count, 0);
	e->total = __sync_lock_test_and_set(&sum->total, 0);
	e->longest = __sync_lock_test_and_set(&sum->longest, 0);
	e->failed = __sync_lock_test_and_set(&sum->failed, 0);
	e->at_least = key->at_least;
	e->pid = key->pid;
	e->syscall = key->number;
	e->flags = key->flags;
	e->reserved = 0;
	cc_submit(&run, e, sizeof(*e));
	cc_end(&run);
	return 0;
}

CC_FLUSHES(sums, flush)
