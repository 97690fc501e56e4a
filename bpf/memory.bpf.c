/* Memory: major faults, reclaim and compaction that threads do themselves, kswapd, and kills for want of memory. */
#include "coldcase.bpf.h"

CC_SENDS(cc_major_fault);
CC_SENDS(cc_reclaim);
CC_SENDS(cc_oom_kill);

const volatile __u32 cc_args_mark_victim = 2;

#define IN_KERNEL 1

enum { DIRECT = 1, CGROUP, COMPACTION, KSWAPD, KINDS };

/* When each kind of work began; 0 when it is not under way. One can stand inside another. */
struct work {
	__u64 began[KINDS];
	__u32 order[KINDS];
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct work);
} works SEC(".maps");

static __always_inline int begin(__u32 what, __u32 order)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct cc_run run;
	struct work *w;

	if (task->tgid == cc_self_tgid || !cc_begin(&run))
		return 0;
	w = bpf_task_storage_get(&works, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (w) {
		w->began[what] = bpf_ktime_get_boot_ns();
		w->order[what] = order;
	} else {
		run.c->map_full++;
	}
	return cc_end(&run);
}

static __always_inline int end(__u32 what, __u64 reclaimed)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 id = bpf_get_current_pid_tgid();
	struct cc_reclaim *e;
	struct cc_run run;
	struct work *w;

	if (!cc_begin(&run))
		return 0;
	w = bpf_task_storage_get(&works, task, 0, 0);
	if (!w || !w->began[what])
		return cc_end(&run);
	e = cc_reserve(&run, CC_KIND_RECLAIM, sizeof(*e));
	if (e) {
		e->time = w->began[what];
		e->duration = bpf_ktime_get_boot_ns() - e->time;
		e->reclaimed = reclaimed;
		e->what = what;
		e->order = w->order[what];
		e->pid = id >> 32;
		e->tid = (__u32)id;
		bpf_get_current_comm(e->comm, sizeof(e->comm));
		cc_submit(&run, e, sizeof(*e));
	}
	w->began[what] = 0;
	return cc_end(&run);
}

SEC("tp_btf/mm_vmscan_direct_reclaim_begin")
int direct_reclaim_begin(__u64 *ctx)
{
	return begin(DIRECT, ctx[0]);
}

SEC("tp_btf/mm_vmscan_direct_reclaim_end")
int direct_reclaim_end(__u64 *ctx)
{
	return end(DIRECT, ctx[0]);
}

SEC("?tp_btf/mm_vmscan_memcg_reclaim_begin")
int cgroup_reclaim_begin(__u64 *ctx)
{
	return begin(CGROUP, ctx[0]);
}

SEC("?tp_btf/mm_vmscan_memcg_reclaim_end")
int cgroup_reclaim_end(__u64 *ctx)
{
	return end(CGROUP, ctx[0]);
}

SEC("?tp_btf/mm_compaction_begin")
int compaction_begin(__u64 *ctx)
{
	return begin(COMPACTION, 0);
}

SEC("?tp_btf/mm_compaction_end")
int compaction_end(__u64 *ctx)
{
	return end(COMPACTION, 0);
}

SEC("?tp_btf/mm_vmscan_kswapd_wake")
int kswapd_wake(__u64 *ctx)
{
	return begin(KSWAPD, ctx[2]);
}

SEC("?tp_btf/mm_vmscan_kswapd_sleep")
int kswapd_sleep(__u64 *ctx)
{
	return end(KSWAPD, 0);
}

/* Id of the cgroup that limits the memory of a task (v1 hierarchy `memory`, or v2). */
static __always_inline __u64 memory_cgroup(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *state = 0;
	__u64 at;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return 0;
	at = bpf_core_field_offset(struct css_set, subsys) +
	     sizeof(void *) * bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
	bpf_probe_read_kernel(&state, sizeof(state), (void *)set + at);
	return BPF_CORE_READ(state, cgroup, kn, id);
}

/* Before 6.8 the tracepoint gave the pid alone. */
SEC("tp_btf/mark_victim")
int mark_victim(__u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	__u64 id = bpf_get_current_pid_tgid();
	struct cc_oom_kill *e;
	struct cc_run run;

	if (!cc_begin(&run))
		return 0;
	e = cc_reserve(&run, CC_KIND_OOM_KILL, sizeof(*e));
	if (e) {
		e->time = bpf_ktime_get_boot_ns();
		e->by_pid = id >> 32;
		e->by_tid = (__u32)id;
		e->reserved = 0;
		__builtin_memset(e->comm, 0, sizeof(e->comm));
		if (cc_args_mark_victim >= 2) {
			e->pid = BPF_CORE_READ(task, tgid);
			e->cgroup = memory_cgroup(task);
			BPF_CORE_READ_STR_INTO(&e->comm, task, comm);
		} else {
			e->pid = (__u32)ctx[0];
			e->cgroup = 0;
		}
		cc_submit(&run, e, sizeof(*e));
	}
	return cc_end(&run);
}

struct fault {
	struct cc_major_fault e;
	__u64 frames[CC_MAX_FRAMES];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fault);
} scratch SEC(".maps");

/* The kernel counts a major fault when it is done with it, in the thread that had it. The recorder opens the event. */
SEC("perf_event")
int major_fault(struct bpf_perf_event_data *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), user;
	const __u64 room = CC_MAX_FRAMES * sizeof(__u64);
	struct cc_run run;
	struct fault *f;
	__u32 zero = 0;

	if (id >> 32 == cc_self_tgid)
		return 0;
	f = bpf_map_lookup_elem(&scratch, &zero);
	if (!f || !cc_begin(&run))
		return 0;
	cc_head(&run, &f->e.head, CC_KIND_MAJOR_FAULT);
	f->e.time = bpf_ktime_get_boot_ns();
	f->e.address = ctx->addr;
	f->e.pid = id >> 32;
	f->e.tid = (__u32)id;
#if defined(__TARGET_ARCH_x86)
	f->e.flags = (ctx->cs & 3) == 3 ? 0 : IN_KERNEL;
#else
	f->e.flags = (ctx->pstate & 0xf) == 0 ? 0 : IN_KERNEL;
#endif
	bpf_get_current_comm(f->e.comm, sizeof(f->e.comm));
	user = cc_frames(&run, bpf_get_stack(ctx, f->frames, room, BPF_F_USER_STACK));
	if (user > room)
		user = 0;
	f->e.user_stack = user / 8;
	cc_output(&run, f, sizeof(f->e) + user);
	return cc_end(&run);
}
