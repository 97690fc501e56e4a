/* Packets that the kernel dropped, with its reason. */
#include "coldcase.bpf.h"
#include "packet.bpf.h"

CC_SENDS(cc_packet_drop);

/* 2 until 5.17, which told the reason; 4 with the receiving socket. */
const volatile __u32 cc_args_kfree_skb = 3;
/* Rows per second and CPU; a flood of drops must not hurt the host more than it does by itself. */
const volatile __u64 cc_drop_rate = 1000;

struct drop {
	struct cc_packet_drop e;
	__u64 location;
};

/* Rows that may still be written: refilled with time, to a second's worth at most. */
struct bucket {
	__u64 refilled;
	__u64 rows;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

static __always_inline bool may_write(__u64 now)
{
	__u32 zero = 0;
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &zero);
	__u64 more;

	if (!bucket)
		return false;
	more = (now - bucket->refilled) * cc_drop_rate / 1000000000;
	if (more) {
		bucket->rows = more > cc_drop_rate || bucket->rows + more > cc_drop_rate ? cc_drop_rate : bucket->rows + more;
		bucket->refilled = now;
	}
	if (!bucket->rows)
		return false;
	bucket->rows--;
	return true;
}

static __always_inline __u32 netns_of(struct sk_buff *skb, struct sock *sk)
{
	struct net_device *dev = BPF_CORE_READ(skb, dev);
	__u32 netns = 0;

	if (dev)
		netns = BPF_CORE_READ(dev, nd_net.net, ns.inum);
	return netns || !sk ? netns : BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

static __always_inline int drop(struct sk_buff *skb, __u64 location, __u32 reason, struct sock *receiver)
{
	struct sock *sk = receiver ? receiver : BPF_CORE_READ(skb, sk);
	__u64 now = bpf_ktime_get_boot_ns();
	struct packet packet;
	struct cc_run run;
	struct drop *d;

	if (!cc_begin(&run))
		return 0;
	if (!may_write(now)) {
		run.c->rate_limited++;
		return cc_end(&run);
	}
	read_packet(&packet, skb);
	d = cc_reserve(&run, CC_KIND_PACKET_DROP, sizeof(*d));
	if (!d)
		return cc_end(&run);
	d->e.time = now;
	/* One that was read from the buffer is a mere number to the verifier, which allows no subtraction from it. */
	d->e.socket = receiver ? cc_identity(receiver) : sk ? cc_mixed((__u64)sk) : 0;
	d->e.length = BPF_CORE_READ(skb, len);
	d->e.netns = netns_of(skb, sk);
	d->e.interface = BPF_CORE_READ(skb, dev, ifindex);
	d->e.reason = reason;
	d->e.location = 1;
	/* The call stands before the address that it returns to. */
	d->location = location - 1;
	d->e.seq = packet.seq;
	d->e.ethertype = packet.ethertype;
	d->e.family = packet.family;
	d->e.source_port = packet.source_port;
	d->e.destination_port = packet.destination_port;
	d->e.protocol = packet.protocol;
	d->e.flags = packet.flags;
	d->e.reserved = 0;
	d->e.reserved2 = 0;
	__builtin_memcpy(d->e.source_addr, packet.source, 16);
	__builtin_memcpy(d->e.destination_addr, packet.destination, 16);
	cc_submit(&run, d, sizeof(*d));
	return cc_end(&run);
}

SEC("tp_btf/kfree_skb")
int kfree_skb(__u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	__u32 reason = cc_args_kfree_skb >= 3 ? (__u32)ctx[2] : ~0U;
	struct sock *receiver = cc_args_kfree_skb >= 4 ? (struct sock *)ctx[3] : 0;

	return skb ? drop(skb, ctx[1], reason, receiver) : 0;
}
