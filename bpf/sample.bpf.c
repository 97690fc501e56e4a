/* CPU samples: which thread a CPU ran, with its stacks. The recorder opens the perf event on each CPU. */
#include "coldcase.bpf.h"

CC_SENDS(cc_cpu_sample);

#define IN_KERNEL 1
#define KTHREAD 2

struct sample {
	struct cc_cpu_sample e;
	__u64 frames[2 * CC_MAX_FRAMES];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sample);
} scratch SEC(".maps");

static __always_inline bool in_user(struct bpf_perf_event_data *ctx)
{
#if defined(__TARGET_ARCH_x86)
	return (ctx->cs & 3) == 3;
#else
	return (ctx->pstate & 0xf) == 0;
#endif
}

SEC("perf_event")
int sample_cpu(struct bpf_perf_event_data *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	const __u64 room = CC_MAX_FRAMES * sizeof(__u64);
	struct task_struct *task;
	__u64 kernel = 0, user = 0;
	struct cc_run run;
	struct sample *s;
	__u32 zero = 0;

	if (!id || id >> 32 == cc_self_tgid)
		return 0;
	s = bpf_map_lookup_elem(&scratch, &zero);
	if (!s || !cc_begin(&run))
		return 0;
	cc_head(&run, &s->e.head, CC_KIND_CPU_SAMPLE);
	s->e.time = bpf_ktime_get_boot_ns();
	s->e.tid = (__u32)id;
	s->e.pid = id >> 32;
	s->e.cpu = s->e.head.cpu;
	s->e.flags = in_user(ctx) ? 0 : IN_KERNEL;
	s->e.reserved = 0;
	task = (struct task_struct *)bpf_get_current_task();
	if (BPF_CORE_READ(task, flags) & PF_KTHREAD)
		s->e.flags |= KTHREAD;
	if (s->e.flags & IN_KERNEL)
		kernel = cc_frames(&run, bpf_get_stack(ctx, s->frames, room, 0));
	if (kernel > room)
		kernel = 0;
	if (!(s->e.flags & KTHREAD))
		user = cc_frames(&run, bpf_get_stack(ctx, (void *)s->frames + kernel, room, BPF_F_USER_STACK));
	if (user > room)
		user = 0;
	s->e.kernel_stack = kernel / 8;
	s->e.user_stack = user / 8;
	cc_output(&run, s, sizeof(s->e) + kernel + user);
	return cc_end(&run);
}
