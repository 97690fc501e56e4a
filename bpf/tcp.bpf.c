/* TCP: state changes of sockets, retransmits and resets. */
#include "coldcase.bpf.h"
#include "packet.bpf.h"

CC_SENDS(cc_tcp_state);
CC_SENDS(cc_tcp_retransmit);
CC_SENDS(cc_tcp_reset);

/* 2 until the tracepoint also told whether the segment could be sent. */
const volatile __u32 cc_args_tcp_retransmit_skb = 3;

SEC("tp_btf/inet_sock_set_state")
int inet_sock_set_state(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	__u64 id = bpf_get_current_pid_tgid();
	struct cc_tcp_state *e;
	struct cc_run run;
	bool interrupted;

	if (sk->sk_protocol != IPPROTO_TCP || !cc_begin(&run))
		return 0;
	interrupted = cc_interrupted(ctx);
	if (!interrupted && id >> 32 == cc_self_tgid)
		return cc_end(&run);
	e = cc_reserve(&run, CC_KIND_TCP_STATE, sizeof(*e));
	if (!e)
		return cc_end(&run);
	e->time = bpf_ktime_get_boot_ns();
	e->socket = cc_identity(sk);
	e->pid = id >> 32;
	e->tid = (__u32)id;
	e->old_state = ctx[1];
	e->new_state = ctx[2];
	e->on_behalf = !interrupted;
	read_ends_of_full(e, sk);
	cc_submit(&run, e, sizeof(*e));
	return cc_end(&run);
}

static __always_inline int retransmit(struct sock_common *common, const void *socket, __u32 netns_of_listener,
				      __u32 seq, __u32 segments, __s32 error, bool synack)
{
	struct cc_tcp_retransmit *e;
	struct cc_run run;

	if (!cc_begin(&run))
		return 0;
	e = cc_reserve(&run, CC_KIND_TCP_RETRANSMIT, sizeof(*e));
	if (!e)
		return cc_end(&run);
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
	cc_submit(&run, e, sizeof(*e));
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

/* 2 until 6.10, which told the reason. */
const volatile __u32 cc_args_tcp_send_reset = 3;

enum { SENT = 1, RECEIVED };

/* A reset that no socket sent goes back where its packet came from. */
static __always_inline void ends_from_packet(struct cc_tcp_reset *e, struct sk_buff *skb)
{
	struct packet packet;

	read_packet(&packet, skb);
	e->family = packet.family;
	e->local_port = packet.destination_port;
	e->remote_port = packet.source_port;
	__builtin_memcpy(e->local_addr, packet.destination, 16);
	__builtin_memcpy(e->remote_addr, packet.source, 16);
	e->netns = BPF_CORE_READ(skb, dev, nd_net.net, ns.inum);
}

static __always_inline int reset(void *ctx, struct sock *sk, struct sk_buff *skb, __u32 reason, __u8 what)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct cc_tcp_reset *e;
	struct cc_run run;

	if (!cc_begin(&run))
		return 0;
	e = cc_reserve(&run, CC_KIND_TCP_RESET, sizeof(*e));
	if (!e)
		return cc_end(&run);
	__builtin_memset((void *)e + sizeof(e->head), 0, sizeof(*e) - sizeof(e->head));
	e->time = bpf_ktime_get_boot_ns();
	e->pid = id >> 32;
	e->tid = (__u32)id;
	e->reason = reason;
	e->what = what;
	e->on_behalf = !cc_interrupted(ctx);
	if (sk) {
		struct sock_common *common = &sk->__sk_common;

		e->socket = cc_identity(sk);
		e->state = BPF_CORE_READ(common, skc_state);
		read_ends(e, common);
		/* Given back already by a close that resets; of the others only a full socket has it elsewhere. */
		if (!e->local_port && e->state != TCP_TIME_WAIT && e->state != TCP_NEW_SYN_RECV)
			e->local_port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	}
	/* A listener is at one end only. */
	if (skb && (!sk || !e->remote_port))
		ends_from_packet(e, skb);
	cc_submit(&run, e, sizeof(*e));
	return cc_end(&run);
}

SEC("tp_btf/tcp_send_reset")
int tcp_send_reset(__u64 *ctx)
{
	return reset(ctx, (struct sock *)ctx[0], (struct sk_buff *)ctx[1],
		     cc_args_tcp_send_reset >= 3 ? (__u32)ctx[2] : ~0U, SENT);
}

SEC("tp_btf/tcp_receive_reset")
int tcp_receive_reset(__u64 *ctx)
{
	return reset(ctx, (struct sock *)ctx[0], 0, ~0U, RECEIVED);
}
