/* The ends of a socket, as all events about sockets tell them. */
#pragma once

#include "net.h"
#include <bpf/bpf_endian.h>

/* IPv4 addresses are written as ::ffff:a.b.c.d. */
static __always_inline void v4_mapped(__u8 *to, __be32 address)
{
	__builtin_memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, &address, 4);
}

/* Into an event with the fields family, netns, local_port, remote_port, local_addr, remote_addr. */
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

/* The same for a full socket. Its own port is taken from where it stays until the end: skc_num is given back before the
 * change to CLOSE is told. */
#define read_ends_of_full(e, sk)                                                                               \
	do {                                                                                                   \
		read_ends(e, &(sk)->__sk_common);                                                              \
		if (!(e)->local_port)                                                                          \
			(e)->local_port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)(sk), inet_sport));      \
	} while (0)
