//! Packets that the kernel dropped, and the words for why.

use crate::{Ip, StackDepth};

crate::event! {
    /// The kernel dropped a packet (tracepoint `skb/kfree_skb`, which packets that were merely used up do not pass).
    /// At most 1,000 rows a second and CPU; more are counted as lost (`rate-limited`).
    kernel PacketDrop: kind 30, stream "kernel.drop", class Drop {
        /// When.
        time: u64 [BootNs],
        /// Identity of the socket that it came from or was for, as in `kernel.tcp_state`; 0 when not known.
        socket: u64 [Id],
        /// Bytes of the packet, from the header that was looked at last.
        length: u32 [Bytes],
        /// Network namespace inode number; 0 when not known.
        netns: u32 [Id],
        /// Index of the interface; 0 for none.
        interface: u32 [Id],
        /// Why (enumeration `skb_drop_reason` of this kernel: `host.enum`); all ones before Linux 5.17, which does not
        /// tell.
        reason: u32 [Flags],
        /// Where: the place in the kernel that dropped it, one frame.
        location: StackDepth [None],
        /// TCP: sequence number.
        seq: u32 [Id],
        /// Ethertype; 0 for what is no packet of a network (a netlink message).
        ethertype: u16 [Flags],
        /// Address family: 2 IPv4, 10 IPv6; 0 when the headers could not be read.
        family: u16 [Flags],
        /// Source port; 0 when not known.
        source_port: u16 [Id],
        /// Destination port.
        destination_port: u16 [Id],
        /// IP protocol: 6 TCP, 17 UDP.
        protocol: u8 [Flags],
        /// TCP flags: 2 SYN, 16 ACK, 1 FIN, 4 RST.
        flags: u8 [Flags],
        /// Zero.
        reserved: u16 [None],
        /// Zero.
        reserved2: u32 [None],
        /// Source address.
        source_addr: Ip [Id],
        /// Destination address.
        destination_addr: Ip [Id],
    }
}

crate::event! {
    /// The name of a value of one of the recorded kernel's enumerations, from its type information: numbers differ
    /// between kernels.
    host EnumName: kind 36, stream "host.enum", class Drop {
        /// When it was read.
        time: u64 [BootNs],
        /// The enumeration: `skb_drop_reason`, `sk_rst_reason`.
        name: String [None],
        /// The value.
        value: u32 [Id],
        /// Its name, without what all names of the enumeration begin with, in lower case: `tcp_listen_overflow`.
        text: String [None],
    }
}
