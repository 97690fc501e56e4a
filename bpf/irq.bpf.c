/* Interrupts: how many and how long, summed for each CPU and number; and each long one. Opt-in (--irq): the hooks are on
 * the path of every packet.
 *
 * The sums of a CPU are changed by that CPU alone. The flush takes them with atomic exchanges, so that none is counted
 * twice or lost. A soft interrupt can be interrupted by a hard one: its time holds the other's.
 */
#include "coldcase.bpf.h"
#include "sums.bpf.h"

CC_SENDS(cc_interrupt_sum);
CC_SENDS(cc_long_interrupt);

const volatile __u64 cc_irq_threshold = 1000000; /* from this length on an interrupt is a row of its own, in ns */

enum { HARD = 1, SOFT };
#define VECTORS 10

struct key {
	__u32 cpu;
	__u32 what;
	__u32 number;
};
struct sum {
	__u64 count;
	__u64 total;
	__u64 longest;
	char name[TASK_COMM_LEN];
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct key);
	__type(value, struct sum);
} sums SEC(".maps");

/* When the interrupt that a CPU is in began: hard ones do not nest, nor do soft ones. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} began SEC(".maps");

/* In the order of include/linux/interrupt.h. */
static const char vectors[VECTORS][TASK_COMM_LEN] = { "hi",    "timer",	  "net_tx", "net_rx",  "block",
						      "irq_poll", "tasklet", "sched",  "hrtimer", "rcu" };

static __always_inline int entered(__u32 what)
{
	__u64 *since = bpf_map_lookup_elem(&began, &what);

	if (since)
		*since = bpf_ktime_get_boot_ns();
	return 0;
}

static __always_inline void name_it(char *name, __u32 what, __u32 number, struct irqaction *action)
{
	if (what == HARD)
		bpf_probe_read_kernel_str(name, TASK_COMM_LEN, BPF_CORE_READ(action, name));
	else if (number < VECTORS)
		bpf_probe_read_kernel(name, TASK_COMM_LEN, vectors[number]);
}

static __always_inline void tell_long(struct cc_run *run, const struct key *key, const struct sum *sum, __u64 since,
				      __u64 took)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct cc_long_interrupt *e;

	e = cc_reserve(run, CC_KIND_LONG_INTERRUPT, sizeof(*e));
	if (!e)
		return;
	e->time = since;
	e->duration = took;
	e->number = key->number;
	e->what = key->what;
	e->cpu = key->cpu;
	e->tid = (__u32)id;
	e->pid = id >> 32;
	__builtin_memcpy(e->name, sum->name, sizeof(e->name));
	cc_submit(run, e, sizeof(*e));
}

static __always_inline int left(__u32 what, __u32 number, struct irqaction *action)
{
	struct key key = { .cpu = bpf_get_smp_processor_id(), .what = what, .number = number };
	__u64 *since = bpf_map_lookup_elem(&began, &what), took;
	struct sum *sum, fresh = {};
	struct cc_run run;

	/* It began before we were attached. */
	if (!since || !*since || !cc_begin(&run))
		return 0;
	took = bpf_ktime_get_boot_ns() - *since;
	sum = bpf_map_lookup_elem(&sums, &key);
	if (!sum) {
		name_it(fresh.name, what, number, action);
		bpf_map_update_elem(&sums, &key, &fresh, BPF_ANY);
		sum = bpf_map_lookup_elem(&sums, &key);
	}
	if (sum) {
		__sync_fetch_and_add(&sum->count, 1);
		__sync_fetch_and_add(&sum->total, took);
		if (took > sum->longest)
			sum->longest = took;
		if (took >= cc_irq_threshold)
			tell_long(&run, &key, sum, *since, took);
	} else {
		run.c->map_full++;
	}
	*since = 0;
	return cc_end(&run);
}

SEC("tp_btf/irq_handler_entry")
int irq_handler_entry(__u64 *ctx)
{
	return entered(HARD);
}

SEC("tp_btf/irq_handler_exit")
int irq_handler_exit(__u64 *ctx)
{
	return left(HARD, ctx[0], (struct irqaction *)ctx[1]);
}

SEC("tp_btf/softirq_entry")
int softirq_entry(__u64 *ctx)
{
	return entered(SOFT);
}

SEC("tp_btf/softirq_exit")
int softirq_exit(__u64 *ctx)
{
	return left(SOFT, ctx[0], 0);
}

static long flush(struct bpf_map *map, struct key *key, struct sum *sum, void *unused)
{
	struct cc_interrupt_sum *e;
	struct cc_run run;

	if (!sum->count || !cc_begin(&run))
		return 0;
	e = cc_reserve_preemptible(&run, CC_KIND_INTERRUPT_SUM, sizeof(*e));
	if (!e) {
		/* The sum stays for the next flush. */
		cc_end(&run);
		return 0;
	}
	e->time = bpf_ktime_get_boot_ns();
	e->count = __sync_lock_test_and_set(&sum->count, 0);
	e->total = __sync_lock_test_and_set(&sum->total, 0);
	e->longest = __sync_lock_test_and_set(&sum->longest, 0);
	e->number = key->number;
	e->what = key->what;
	e->cpu = key->cpu;
	__builtin_memcpy(e->name, sum->name, sizeof(e->name));
	cc_submit(&run, e, sizeof(*e));
	cc_end(&run);
	return 0;
}

CC_FLUSHES(sums, flush)
