/* Empty programs on the hooks of all kernel sources: what the hooks alone cost, for benchmarks. A test holds the list of
 * sections against that of the sources. */
#include "kernel.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define EMPTY(name, section) \
	SEC(section)         \
	int name(void *ctx)  \
	{                    \
		return 0;    \
	}

EMPTY(sched_switch, "tp_btf/sched_switch")
EMPTY(sched_waking, "tp_btf/sched_waking")
EMPTY(sched_fork, "tp_btf/sched_process_fork")
EMPTY(task_fork, "tp_btf/sched_process_fork")
EMPTY(task_exec, "tp_btf/sched_process_exec")
EMPTY(task_exit, "tp_btf/sched_process_exit")
EMPTY(task_rename, "tp_btf/task_rename")
EMPTY(block_insert, "tp_btf/block_rq_insert")
EMPTY(block_issue, "tp_btf/block_rq_issue")
EMPTY(block_complete, "tp_btf/block_rq_complete")
EMPTY(tcp_state, "tp_btf/inet_sock_set_state")
EMPTY(tcp_retransmit, "tp_btf/tcp_retransmit_skb")
EMPTY(tcp_synack, "tp_btf/tcp_retransmit_synack")
EMPTY(sample_cpu, "perf_event")
