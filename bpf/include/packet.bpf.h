/* The addresses and ports in a packet's headers, where they can be read. */
#pragma once

#include "socket.bpf.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD

struct packet {
	__u16 ethertype;
	__u16 family; /* 0: nothing below was read */
	__u16 source_port;
	__u16 destination_port;
	__u8 protocol;
	__u8 flags;
	__u32 seq;
	__u8 source[16];
	__u8 destination[16];
};

/* Ports, and for TCP sequence number and flags, `at` in the packet. */
static __always_inline void read_transport(struct packet *p, const unsigned char *at)
{
	__u8 header[14];

	if (p->protocol == IPPROTO_TCP) {
		if (bpf_probe_read_kernel(header, 14, at))
			return;
		p->flags = header[13];
		p->seq = (__u32)header[4] << 24 | header[5] << 16 | header[6] << 8 | header[7];
	} else if (p->protocol != IPPROTO_UDP || bpf_probe_read_kernel(header, 4, at)) {
		return;
	}
	p->source_port = header[0] << 8 | header[1];
	p->destination_port = header[2] << 8 | header[3];
}

/* Reads what the network header says. Extension headers of IPv6 are not followed, nor are fragments behind the first. */
static __always_inline void read_packet(struct packet *p, struct sk_buff *skb)
{
	__u16 network = BPF_CORE_READ(skb, network_header);
	const unsigned char *at = BPF_CORE_READ(skb, head);
	__u8 header[40];
	__be32 address;

	__builtin_memset(p, 0, sizeof(*p));
	p->ethertype = bpf_ntohs(BPF_CORE_READ(skb, protocol));
	if (!at || !network || network == 0xffff)
		return;
	at += network;
	if (p->ethertype == ETH_P_IP) {
		if (bpf_probe_read_kernel(header, 20, at) || header[0] >> 4 != 4)
			return;
		p->family = AF_INET;
		p->protocol = header[9];
		__builtin_memcpy(&address, header + 12, 4);
		v4_mapped(p->source, address);
		__builtin_memcpy(&address, header + 16, 4);
		v4_mapped(p->destination, address);
		if (!(header[6] & 0x1f) && !header[7])
			read_transport(p, at + (header[0] & 15) * 4);
	} else if (p->ethertype == ETH_P_IPV6) {
		if (bpf_probe_read_kernel(header, 40, at) || header[0] >> 4 != 6)
			return;
		p->family = AF_INET6;
		p->protocol = header[6];
		__builtin_memcpy(p->source, header + 8, 16);
		__builtin_memcpy(p->destination, header + 24, 16);
		read_transport(p, at + 40);
	}
}
