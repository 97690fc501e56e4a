//! TCP: state changes, retransmits and resets.

use crate::Ip;

crate::event! {
    /// A TCP socket changed state (tracepoint `sock/inet_sock_set_state`).
    kernel TcpState: kind 4, stream "kernel.tcp_state", class Tcp {
        /// When.
        time: u64 [BootNs],
        /// Identity of the socket while it lives (its kernel address, hashed per capture).
        socket: u64 [Id],
        /// Process that was running. Only for changes made by the process itself (connect, close); others run in
        /// interrupt context, where `on_behalf` is 0.
        pid: u32 [Id],
        /// Thread, likewise.
        tid: u32 [Id],
        /// Network namespace inode number.
        netns: u32 [Id],
        /// Local port.
        local_port: u16 [Id],
        /// Remote port.
        remote_port: u16 [Id],
        /// State before (TCP_ESTABLISHED = 1 … TCP_NEW_SYN_RECV = 12, `include/net/tcp_states.h`).
        old_state: u8 [Flags],
        /// State after.
        new_state: u8 [Flags],
        /// Address family: 2 IPv4, 10 IPv6.
        family: u16 [Flags],
        /// 1 when `pid` acted itself, 0 when it was merely interrupted.
        on_behalf: u32 [Flags],
        /// Local address.
        local_addr: Ip [Id],
        /// Remote address.
        remote_addr: Ip [Id],
    }
}

crate::event! {
    /// TCP retransmitted segments (tracepoints `tcp/tcp_retransmit_skb` and `tcp_retransmit_synack`).
    kernel TcpRetransmit: kind 5, stream "kernel.tcp_retransmit", class Tcp {
        /// When.
        time: u64 [BootNs],
        /// Identity of the socket, as in `kernel.tcp_state`; 0 for a SYN-ACK of a request socket.
        socket: u64 [Id],
        /// Network namespace inode number.
        netns: u32 [Id],
        /// Sequence number of the first byte.
        seq: u32 [Id],
        /// Segments sent again: `gso_segs` of the buffer, at least 1.
        segments: u32 [Count],
        /// Result of the transmission as a negative errno. Only rows with 0 count in TcpRetransSegs.
        error: i32 [Flags],
        /// Local port.
        local_port: u16 [Id],
        /// Remote port.
        remote_port: u16 [Id],
        /// State of the connection.
        state: u8 [Flags],
        /// 1 for a SYN-ACK.
        synack: u8 [Flags],
        /// Address family: 2 IPv4, 10 IPv6.
        family: u16 [Flags],
        /// Local address.
        local_addr: Ip [Id],
        /// Remote address.
        remote_addr: Ip [Id],
    }
}

crate::event! {
    /// TCP sent or received a reset (tracepoints `tcp/tcp_send_reset`, `tcp_receive_reset`).
    kernel TcpReset: kind 29, stream "kernel.tcp_reset", class Tcp {
        /// When.
        time: u64 [BootNs],
        /// Identity of the socket, as in `kernel.tcp_state`; 0 when there was none (nobody listens).
        socket: u64 [Id],
        /// Network namespace inode number.
        netns: u32 [Id],
        /// Process that was running; the one that acted only where `on_behalf` is 1.
        pid: u32 [Id],
        /// Thread, likewise.
        tid: u32 [Id],
        /// Why it was sent (enumeration `sk_rst_reason` of this kernel: `host.enum`); all ones when received, and
        /// before Linux 6.10, which does not tell.
        reason: u32 [Flags],
        /// Local port.
        local_port: u16 [Id],
        /// Remote port.
        remote_port: u16 [Id],
        /// Address family: 2 IPv4, 10 IPv6.
        family: u16 [Flags],
        /// State of the connection; 0 when there was no socket.
        state: u8 [Flags],
        /// 1 sent, 2 received.
        what: u8 [Flags],
        /// 1 when `pid` acted itself, 0 when it was merely interrupted.
        on_behalf: u32 [Flags],
        /// Zero.
        reserved: u32 [None],
        /// Local address.
        local_addr: Ip [Id],
        /// Remote address.
        remote_addr: Ip [Id],
    }
}
