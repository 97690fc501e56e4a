/* TCP: state changes of sockets, and retransmits. */
#include "coldcase.bpf.h"
#include <bpf/bpf_endian.h>

CC_SENDS(cc_tcp_state);
CC_SENDS(cc_tcp_retransmit);

/* 2 until the tracepoint also told whether the segment could be sent. */
const volatile __u32 cc_args_tcp_retransmit_skb = 3;

#define IPPROTO_TCP 6
#define AF_INET 2
#define AF_INET6 10

/* IPv4 addresses are written as ::ffff:a.b.c.d. */
static __always_inline void v4_mapped(__u8 *to, __be32 address)
{
	__builtin_memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, &address, 4);
}

#define read_ends(e, common)                                                                                   \
	do {                                                                                                   \
		(e)->family = BPF_CORE_READ(common, skc_family);                                               \
		(e)->local_port = BPF_CORE_READ(common, skc_num);                                              \
		(e)->remote_port = bpf_ntohs(BPF_CORE_READ(common, skc_dport));                                \
		(e)->netns = BPF_CORE_READ(common, skc_net.net, ns.inum);                                      \
		if ((e)->family == AF_INET6) {                                                                 \
			BPF_CORE_READ_INTO(&(e)->local_addr, common, skc_v6_rcv_saddr.in6_u.u6_addr8);         \
			BPF_CORE_READ_INTO(&(e)->remote_addr, common, skc_v6_daddr.in6_u.u6_addr8);            \
		} else {                                                                                       \
			v4_mapped((e)->local_addr, BPF_CORE_READ(common, skc_rcv_saddr));                      \
			v4_mapped((e)->remote_addr, BPF_CORE_READ(common, skc_daddr));                         \
		}                                                                                              \
	} while (0)

SEC("tp_btf/inet_sock_set_state")
int inet_sock_set_state(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct sock_common *common = &sk->__sk_common;
	__u64 id = bpf_get_current_pid_tgid();
	struct cc_tcp_state *e;
	struct cc_head head;
	struct cc_run run;
	bool interrupted;
	void *ring;

	if (sk->sk_protocol != IPPROTO_TCP || !cc_begin(&run))
		return 0;
	interrupted = cc_interrupted(ctx);
	if (!interrupted && id >> 32 == cc_self_tgid)
		return cc_end(&run);
	cc_head(&run, &head, CC_KIND_TCP_STATE);
	ring = cc_ring();
	e = ring ? bpf_ringbuf_reserve(ring, sizeof(*e), 0) : 0;
	if (!e) {
		cc_refused(&run, sizeof(*e));
		return cc_end(&run);
	}
	e->head = head;
	e->time = bpf_ktime_get_boot_ns();
	e->socket = cc_identity(sk);
	e->pid = id >> 32;
	e->tid = (__u32)id;
	e->old_state = ctx[1];
	e->new_state = ctx[2];
	e->on_behalf = !interrupted;
	read_ends(e, common);
	bpf_ringbuf_submit(e, cc_wake(ring, sizeof(*e)));
	return cc_end(&run);
}

static __always_inline int retransmit(struct sock_common *common, const void *socket, __u32 netns_of_listener,
				      __u32 seq, __u32 segments, __s32 error, bool synack)
{
	struct cc_tcp_retransmit *e;
	struct cc_head head;
	struct cc_run run;
	void *ring;

	if (!cc_begin(&run))
		return 0;
	cc_head(&run, &head, CC_KIND_TCP_RETRANSMIT);
	ring = cc_ring();
	e = ring ? bpf_ringbuf_reserve(ring, sizeof(*e), 0) : 0;
	if (!e) {
		cc_refused(&run, sizeof(*e));
		return cc_end(&run);
	}
	e->head = head;
	e->time = bpf_ktime_get_boot_ns();
	e->socket = socket ? cc_identity(socket) : 0;
	e->seq = seq;
	e->segments = segments ? segments : 1;
	e->error = error;
	e->state = BPF_CORE_READ(common, skc_state);
	e->synack = synack;
	read_ends(e, common);
	if (netns_of_listener)
		e->netns = netns_of_listener;
	bpf_ringbuf_submit(e, cc_wake(ring, sizeof(*e)));
	return cc_end(&run);
}

/* Fires once for a buffer, which can be several segments; TcpRetransSegs counts those. */
SEC("tp_btf/tcp_retransmit_skb")
int tcp_retransmit_skb(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct sk_buff *skb = (struct sk_buff *)ctx[1];
	struct tcp_skb_cb *cb = (void *)skb->cb;

	return retransmit(&sk->__sk_common, sk, 0, BPF_CORE_READ(cb, seq), BPF_CORE_READ(cb, tcp_gso_segs),
			  cc_args_tcp_retransmit_skb >= 3 ? (__s32)ctx[2] : 0, false);
}

SEC("tp_btf/tcp_retransmit_synack")
int tcp_retransmit_synack(__u64 *ctx)
{
	struct sock *listener = (struct sock *)ctx[0];
	struct tcp_request_sock *request = (struct tcp_request_sock *)ctx[1];
	struct sock_common *common = &request->req.req.__req_common;

	return retransmit(common, 0, BPF_CORE_READ(listener, __sk_common.skc_net.net, ns.inum),
			  BPF_CORE_READ(request, snt_isn), 1, 0, true);
}
