//! Sockets: what TCP knows of each, and who holds them.

use crate::Ip;

crate::event! {
    /// What TCP knows of a socket, as `ss -ti` shows it: each second for the sockets that changed since the second
    /// before, when a connection is established or a socket begins to listen, and once more when it closes, so that
    /// short ones have their figures. Sockets of all network namespaces; a socket is known from its first change of state on, or from the start of
    /// the capture when a process held it then. Read without the socket's lock: figures of one row can be a segment
    /// apart (iterator `bpf_sk_storage_map`, tracepoint `sock/inet_sock_set_state`).
    kernel TcpInfo: kind 28, stream "kernel.tcp_info", class Socket {
        /// When.
        time: u64 [BootNs],
        /// Identity of the socket, as in `kernel.tcp_state`.
        socket: u64 [Id],
        /// How long it has been known: since connect or the end of the peer's handshake, or since the capture began.
        age: u64 [DurNs],
        /// From connect (SYN_SENT) to ESTABLISHED; 0 when accepted, not established yet, or not seen.
        connect: u64 [DurNs],
        /// Smoothed round-trip time.
        rtt: u64 [DurNs],
        /// Its mean deviation.
        rtt_deviation: u64 [DurNs],
        /// Smallest round-trip time of the last five minutes; 0 when none was measured.
        rtt_min: u64 [DurNs],
        /// Payload bytes sent, retransmissions included.
        bytes_sent: u64 [Bytes],
        /// Payload bytes that the peer acknowledged; SYN and FIN count as one each.
        bytes_acked: u64 [Bytes],
        /// Payload bytes received in order; the FIN counts as one.
        bytes_received: u64 [Bytes],
        /// Payload bytes retransmitted.
        bytes_retransmitted: u64 [Bytes],
        /// Pace at which it may send, in bytes per second; all ones for no limit.
        pacing_rate: u64 [Bytes],
        /// Rate at which data was delivered lately, in bytes per second.
        delivery_rate: u64 [Bytes],
        /// Network namespace inode number.
        netns: u32 [Id],
        /// Process that owns it, as far as known; 0 when not (`kernel.socket`).
        pid: u32 [Id],
        /// Congestion window, in segments.
        cwnd: u32 [Count],
        /// Slow start threshold, in segments; 2147483647 for none.
        ssthresh: u32 [Count],
        /// Maximum segment size to send.
        mss: u32 [Bytes],
        /// Segments sent and not acknowledged.
        unacked: u32 [Count],
        /// Of these, those believed lost.
        lost: u32 [Count],
        /// Of these, those retransmitted and still out.
        retransmits_out: u32 [Count],
        /// Segments retransmitted since the connection began.
        retransmits: u32 [Count],
        /// Segments sent since then.
        segments_out: u32 [Count],
        /// Segments received since then.
        segments_in: u32 [Count],
        /// Bytes written by the process and not acknowledged yet.
        send_queue: u32 [Bytes],
        /// Bytes received and not yet read by the process.
        receive_queue: u32 [Bytes],
        /// Size of the send buffer.
        send_buffer: u32 [Bytes],
        /// Size of the receive buffer.
        receive_buffer: u32 [Bytes],
        /// Window that the peer offers; 0 stops us.
        send_window: u32 [Bytes],
        /// Window that we offer.
        receive_window: u32 [Bytes],
        /// Of a listener: connections that wait to be accepted.
        accept_queue: u32 [Count],
        /// Of a listener: how many may wait (the backlog).
        accept_limit: u32 [Count],
        /// Of a listener: handshakes under way.
        syn_queue: u32 [Count],
        /// Packets that the socket dropped; of a listener: SYNs and handshakes that it turned away (`tcp_listendrop`, of
        /// which ListenDrops is the sum).
        drops: u32 [Count],
        /// Pending error as an errno: why it closed (111 refused, 110 timed out, 104 reset); 0 for none.
        error: u32 [Flags],
        /// Local port.
        local_port: u16 [Id],
        /// Remote port.
        remote_port: u16 [Id],
        /// Address family: 2 IPv4, 10 IPv6.
        family: u16 [Flags],
        /// Why this row: 1 a second passed, 2 established or listening, 3 closed.
        why: u8 [Flags],
        /// State (`include/net/tcp_states.h`); for a row of the close, the state before it.
        state: u8 [Flags],
        /// State of congestion control: 0 open, 1 disorder, 2 window reduced, 3 recovery, 4 loss (after a timeout).
        congestion: u8 [Flags],
        /// Retransmission timeouts in a row.
        timeouts: u8 [Count],
        /// 1 while no process has accepted it: it waits in its listener's queue.
        unaccepted: u8 [Flags],
        /// Zero.
        reserved: u8 [None],
        /// Zero.
        reserved2: u32 [None],
        /// Local address.
        local_addr: Ip [Id],
        /// Remote address.
        remote_addr: Ip [Id],
    }
}

crate::event! {
    /// The process that owns a socket, told when it becomes known: at the start of the capture (iterator `task_file`,
    /// all network namespaces), when a process connected, listens or closes (tracepoints `sock/inet_sock_set_state`,
    /// `tcp/tcp_destroy_sock`), and by the iterator again while there are accepted connections without an owner.
    /// TCP always; UDP as far as the iterator sees it.
    kernel SocketOwner: kind 31, stream "kernel.socket", class Socket {
        /// When.
        time: u64 [BootNs],
        /// Identity of the socket, as in `kernel.tcp_state`.
        socket: u64 [Id],
        /// Inode number of the socket's file; 0 when it has none.
        inode: u64 [Id],
        /// Start time of the process: with `pid` unique even when pids are reused.
        started: u64 [BootNs],
        /// The process.
        pid: u32 [Id],
        /// Network namespace inode number.
        netns: u32 [Id],
        /// IP protocol: 6 TCP, 17 UDP.
        protocol: u16 [Flags],
        /// Address family: 2 IPv4, 10 IPv6.
        family: u16 [Flags],
        /// Local port.
        local_port: u16 [Id],
        /// Remote port.
        remote_port: u16 [Id],
        /// TCP state.
        state: u8 [Flags],
        /// How it is known: 1 the process acted on it (connect, listen, close), 2 it holds a descriptor of it.
        how: u8 [Flags],
        /// Zero.
        reserved: u16 [None],
        /// Zero.
        reserved2: u32 [None],
        /// Local address.
        local_addr: Ip [Id],
        /// Remote address.
        remote_addr: Ip [Id],
    }
}
