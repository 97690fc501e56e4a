/* Generated from crates/model/src/events by `cargo run -p xtask -- generate`. Do not edit. */
#pragma once

/* The common head of every kernel event (coldcase_model::event::KernelHead). */
struct cc_head {
	__u16 kind;
	__u16 cpu;
	__u32 seq;
	__u64 reserved;
};
_Static_assert(sizeof(struct cc_head) == 16, "cc_head");

/* One off-CPU interval of one thread, from the switch that took it off a CPU to the switch that put it back
 * (tracepoint `sched/sched_switch`, both ends; woken at `sched/sched_waking`). A new thread has one from its fork. */
#define CC_KIND_OFF_CPU 1
struct cc_off_cpu {
	struct cc_head head;
	__u64 time; /* When the thread was switched out. */
	__u64 duration; /* How long it was off the CPU: switch-in minus switch-out. */
	__u64 run_queue; /* The last part of `duration`, in which it was runnable and waited for a CPU. Equal to `duration` when it was preempted. */
	__u32 tid; /* The thread (kernel pid, initial PID namespace). */
	__u32 pid; /* Its process (kernel tgid). */
	__u32 state; /* Task state at switch-out: TASK_* bits as in `include/linux/sched.h`; 0 is runnable, hence preempted. */
	__s32 syscall; /* System call number that the thread was in; -1 when in none (preempted or faulting in user code), -2 for a kernel thread. */
	__u32 waker_tid; /* Thread that woke it; 0 when it was preempted or the wake-up was not seen. */
	__u16 cpu_out; /* CPU that it left. */
	__u16 cpu_in; /* CPU that it came back on. */
	__u32 flags; /* Bit 0: preempted. Bit 1: kernel thread. Bit 2: woken from interrupt context. Bit 3: the switch-out was before the capture began (`time` is then the start of the capture). Bit 4: still off-CPU when the capture ended. Bit 5: the wait of a new thread for its first turn. Bit 6: the switch back was not traced (some machines trace nothing at the switches of their controlling process); its time is the wake-up plus the run-queue delay that the kernel charged. Bit 7: the waker ran in a hard IRQ. Bit 8: in a soft IRQ. Bit 2 without either: not known which. Bit 9: the waker was in a futex call that wakes. Bit 10: one on the word that this thread waited on: it released it. Bits 11 and 12: what stands in the program's memory around that word: 1 a mutex, 2 a condition variable, 3 a semaphore, of glibc; 0 nothing that is known. Bit 13: `ran` and `delayed` are told. Bit 14: the user stack is that of a wait up to 10 ms before, by the same registers (instruction, stack and frame pointer): threads that switch often are not walked each time. */
	__u32 owner; /* In a futex wait: the thread that holds it by the word itself (priority-inheriting and robust mutexes) or by glibc's mutex around it, at switch-out, as numbered in the PID namespace of the process; 0: not told. */
	__u32 kernel_stack; /* Kernel stack at switch-out, for intervals of at least the stack threshold (1 ms by default). (frames; they follow the struct, in order) */
	__u32 user_stack; /* User stack at switch-out, likewise. (frames; they follow the struct, in order) */
	__u64 arg0; /* First argument of the system call that it is blocked in, from the registers it entered the kernel with; 0 when in none or preempted. Pointers are not followed. */
	__u64 arg1; /* Second argument, likewise. */
	__u64 arg2; /* Third argument, likewise. */
	__u64 ran; /* CPU time that the kernel charged the thread (`se.sum_exec_runtime`) up to this switch-out, since the last of its rows that told it (flag bit 13). What it lacks of the wall time between the intervals was steal or interrupts. Told for intervals from 1 ms on, and ten times a second. */
	__u64 delayed; /* Run-queue delay that the kernel charged the thread (`sched_info.run_delay`), over the same time as `ran`. */
};
_Static_assert(sizeof(struct cc_off_cpu) == 120, "cc_off_cpu");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, time) == 16, "cc_off_cpu.time");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, duration) == 24, "cc_off_cpu.duration");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, run_queue) == 32, "cc_off_cpu.run_queue");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, tid) == 40, "cc_off_cpu.tid");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, pid) == 44, "cc_off_cpu.pid");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, state) == 48, "cc_off_cpu.state");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, syscall) == 52, "cc_off_cpu.syscall");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, waker_tid) == 56, "cc_off_cpu.waker_tid");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, cpu_out) == 60, "cc_off_cpu.cpu_out");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, cpu_in) == 62, "cc_off_cpu.cpu_in");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, flags) == 64, "cc_off_cpu.flags");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, owner) == 68, "cc_off_cpu.owner");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, kernel_stack) == 72, "cc_off_cpu.kernel_stack");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, user_stack) == 76, "cc_off_cpu.user_stack");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, arg0) == 80, "cc_off_cpu.arg0");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, arg1) == 88, "cc_off_cpu.arg1");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, arg2) == 96, "cc_off_cpu.arg2");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, ran) == 104, "cc_off_cpu.ran");
_Static_assert(__builtin_offsetof(struct cc_off_cpu, delayed) == 112, "cc_off_cpu.delayed");

/* A sample of what a CPU ran (perf event: hardware cycles where there is a PMU, else `cpu-clock`). The idle
 * task is not sampled. */
#define CC_KIND_CPU_SAMPLE 2
struct cc_cpu_sample {
	struct cc_head head;
	__u64 time; /* When. */
	__u32 tid; /* The thread that ran. */
	__u32 pid; /* Its process. */
	__u16 cpu; /* The CPU. */
	__u16 flags; /* Bit 0: the CPU was in the kernel. Bit 1: kernel thread. */
	__u32 reserved; /* Zero. */
	__u32 kernel_stack; /* Kernel stack; empty when in user code. (frames; they follow the struct, in order) */
	__u32 user_stack; /* User stack; empty for kernel threads. (frames; they follow the struct, in order) */
};
_Static_assert(sizeof(struct cc_cpu_sample) == 48, "cc_cpu_sample");
_Static_assert(__builtin_offsetof(struct cc_cpu_sample, time) == 16, "cc_cpu_sample.time");
_Static_assert(__builtin_offsetof(struct cc_cpu_sample, tid) == 24, "cc_cpu_sample.tid");
_Static_assert(__builtin_offsetof(struct cc_cpu_sample, pid) == 28, "cc_cpu_sample.pid");
_Static_assert(__builtin_offsetof(struct cc_cpu_sample, cpu) == 32, "cc_cpu_sample.cpu");
_Static_assert(__builtin_offsetof(struct cc_cpu_sample, flags) == 34, "cc_cpu_sample.flags");
_Static_assert(__builtin_offsetof(struct cc_cpu_sample, reserved) == 36, "cc_cpu_sample.reserved");
_Static_assert(__builtin_offsetof(struct cc_cpu_sample, kernel_stack) == 40, "cc_cpu_sample.kernel_stack");
_Static_assert(__builtin_offsetof(struct cc_cpu_sample, user_stack) == 44, "cc_cpu_sample.user_stack");

/* One block request from its insertion to its completion (tracepoints `block/block_rq_insert`,
 * `block_rq_issue`, `block_rq_complete`). */
#define CC_KIND_BLOCK_IO 3
struct cc_block_io {
	struct cc_head head;
	__u64 time; /* When it was inserted into the queue; equal to the issue time when it was issued directly. */
	__u64 duration; /* Insertion to completion. */
	__u64 queue; /* Insertion to issue: the part of `duration` spent in the queue. */
	__u64 sector; /* First sector, in units of 512 bytes. */
	__u64 cgroup; /* Cgroup id of the inserting thread (cgroup v2 id; 1 is the root). */
	__u32 bytes; /* Bytes asked for. */
	__u32 dev; /* The device: major << 20 | minor. */
	__u32 op; /* `cmd_flags`: operation in the low 8 bits (REQ_OP_*: 0 read, 1 write, 2 flush, 3 discard), flags above. */
	__s32 error; /* Error of the completion as a negative errno; 0 when fine. */
	__u32 pid; /* Process that was running at insertion: the one that caused it where `origin` is 1 or 2. */
	__u32 tid; /* Thread, likewise. */
	char comm[16]; /* Its name. */
	__u64 owner_cgroup; /* Cgroup that the kernel charges for it (`bio->bi_blkg`: of the v1 hierarchy `blkio`, or v2): whose data it is, whoever inserted it. 0 where the kernel does not say (a flush, no CONFIG_BLK_CGROUP). */
	__u32 origin; /* On whose behalf: 0 unknown; 1 the thread itself; 2 readahead that the thread set off; 3 writeback of dirty pages by a kernel worker; 4 the file system's journal; 5 swap; 6 a kernel thread for other reasons; 7 released by blkio throttling: it waited before, unseen by any tracepoint of the block layer, and `owner_cgroup` tells whose it is. */
	__u32 bios; /* How many bios it carries when it is issued: more than one where neighbours were merged; 64 stands for more, 0 for a request without any (a flush). */
	char work[16]; /* What a kernel worker was doing when it inserted it, in its own words: `flush-254:0`, `kthrotld`; else empty. */
};
_Static_assert(sizeof(struct cc_block_io) == 128, "cc_block_io");
_Static_assert(__builtin_offsetof(struct cc_block_io, time) == 16, "cc_block_io.time");
_Static_assert(__builtin_offsetof(struct cc_block_io, duration) == 24, "cc_block_io.duration");
_Static_assert(__builtin_offsetof(struct cc_block_io, queue) == 32, "cc_block_io.queue");
_Static_assert(__builtin_offsetof(struct cc_block_io, sector) == 40, "cc_block_io.sector");
_Static_assert(__builtin_offsetof(struct cc_block_io, cgroup) == 48, "cc_block_io.cgroup");
_Static_assert(__builtin_offsetof(struct cc_block_io, bytes) == 56, "cc_block_io.bytes");
_Static_assert(__builtin_offsetof(struct cc_block_io, dev) == 60, "cc_block_io.dev");
_Static_assert(__builtin_offsetof(struct cc_block_io, op) == 64, "cc_block_io.op");
_Static_assert(__builtin_offsetof(struct cc_block_io, error) == 68, "cc_block_io.error");
_Static_assert(__builtin_offsetof(struct cc_block_io, pid) == 72, "cc_block_io.pid");
_Static_assert(__builtin_offsetof(struct cc_block_io, tid) == 76, "cc_block_io.tid");
_Static_assert(__builtin_offsetof(struct cc_block_io, comm) == 80, "cc_block_io.comm");
_Static_assert(__builtin_offsetof(struct cc_block_io, owner_cgroup) == 96, "cc_block_io.owner_cgroup");
_Static_assert(__builtin_offsetof(struct cc_block_io, origin) == 104, "cc_block_io.origin");
_Static_assert(__builtin_offsetof(struct cc_block_io, bios) == 108, "cc_block_io.bios");
_Static_assert(__builtin_offsetof(struct cc_block_io, work) == 112, "cc_block_io.work");

/* A TCP socket changed state (tracepoint `sock/inet_sock_set_state`). */
#define CC_KIND_TCP_STATE 4
struct cc_tcp_state {
	struct cc_head head;
	__u64 time; /* When. */
	__u64 socket; /* Identity of the socket while it lives (its kernel address, hashed per capture). */
	__u32 pid; /* Process that was running. Only for changes made by the process itself (connect, close); others run in interrupt context, where `on_behalf` is 0. */
	__u32 tid; /* Thread, likewise. */
	__u32 netns; /* Network namespace inode number. */
	__u16 local_port; /* Local port. */
	__u16 remote_port; /* Remote port. */
	__u8 old_state; /* State before (TCP_ESTABLISHED = 1 … TCP_NEW_SYN_RECV = 12, `include/net/tcp_states.h`). */
	__u8 new_state; /* State after. */
	__u16 family; /* Address family: 2 IPv4, 10 IPv6. */
	__u32 on_behalf; /* 1 when `pid` acted itself, 0 when it was merely interrupted. */
	__u8 local_addr[16]; /* Local address. */
	__u8 remote_addr[16]; /* Remote address. */
};
_Static_assert(sizeof(struct cc_tcp_state) == 88, "cc_tcp_state");
_Static_assert(__builtin_offsetof(struct cc_tcp_state, time) == 16, "cc_tcp_state.time");
_Static_assert(__builtin_offsetof(struct cc_tcp_state, socket) == 24, "cc_tcp_state.socket");
_Static_assert(__builtin_offsetof(struct cc_tcp_state, pid) == 32, "cc_tcp_state.pid");
_Static_assert(__builtin_offsetof(struct cc_tcp_state, tid) == 36, "cc_tcp_state.tid");
_Static_assert(__builtin_offsetof(struct cc_tcp_state, netns) == 40, "cc_tcp_state.netns");
_Static_assert(__builtin_offsetof(struct cc_tcp_state, local_port) == 44, "cc_tcp_state.local_port");
_Static_assert(__builtin_offsetof(struct cc_tcp_state, remote_port) == 46, "cc_tcp_state.remote_port");
_Static_assert(__builtin_offsetof(struct cc_tcp_state, old_state) == 48, "cc_tcp_state.old_state");
_Static_assert(__builtin_offsetof(struct cc_tcp_state, new_state) == 49, "cc_tcp_state.new_state");
_Static_assert(__builtin_offsetof(struct cc_tcp_state, family) == 50, "cc_tcp_state.family");
_Static_assert(__builtin_offsetof(struct cc_tcp_state, on_behalf) == 52, "cc_tcp_state.on_behalf");
_Static_assert(__builtin_offsetof(struct cc_tcp_state, local_addr) == 56, "cc_tcp_state.local_addr");
_Static_assert(__builtin_offsetof(struct cc_tcp_state, remote_addr) == 72, "cc_tcp_state.remote_addr");

/* TCP retransmitted segments (tracepoints `tcp/tcp_retransmit_skb` and `tcp_retransmit_synack`). */
#define CC_KIND_TCP_RETRANSMIT 5
struct cc_tcp_retransmit {
	struct cc_head head;
	__u64 time; /* When. */
	__u64 socket; /* Identity of the socket, as in `kernel.tcp_state`; 0 for a SYN-ACK of a request socket. */
	__u32 netns; /* Network namespace inode number. */
	__u32 seq; /* Sequence number of the first byte. */
	__u32 segments; /* Segments sent again: `gso_segs` of the buffer, at least 1. */
	__s32 error; /* Result of the transmission as a negative errno. Only rows with 0 count in TcpRetransSegs. */
	__u16 local_port; /* Local port. */
	__u16 remote_port; /* Remote port. */
	__u8 state; /* State of the connection. */
	__u8 synack; /* 1 for a SYN-ACK. */
	__u16 family; /* Address family: 2 IPv4, 10 IPv6. */
	__u8 local_addr[16]; /* Local address. */
	__u8 remote_addr[16]; /* Remote address. */
};
_Static_assert(sizeof(struct cc_tcp_retransmit) == 88, "cc_tcp_retransmit");
_Static_assert(__builtin_offsetof(struct cc_tcp_retransmit, time) == 16, "cc_tcp_retransmit.time");
_Static_assert(__builtin_offsetof(struct cc_tcp_retransmit, socket) == 24, "cc_tcp_retransmit.socket");
_Static_assert(__builtin_offsetof(struct cc_tcp_retransmit, netns) == 32, "cc_tcp_retransmit.netns");
_Static_assert(__builtin_offsetof(struct cc_tcp_retransmit, seq) == 36, "cc_tcp_retransmit.seq");
_Static_assert(__builtin_offsetof(struct cc_tcp_retransmit, segments) == 40, "cc_tcp_retransmit.segments");
_Static_assert(__builtin_offsetof(struct cc_tcp_retransmit, error) == 44, "cc_tcp_retransmit.error");
_Static_assert(__builtin_offsetof(struct cc_tcp_retransmit, local_port) == 48, "cc_tcp_retransmit.local_port");
_Static_assert(__builtin_offsetof(struct cc_tcp_retransmit, remote_port) == 50, "cc_tcp_retransmit.remote_port");
_Static_assert(__builtin_offsetof(struct cc_tcp_retransmit, state) == 52, "cc_tcp_retransmit.state");
_Static_assert(__builtin_offsetof(struct cc_tcp_retransmit, synack) == 53, "cc_tcp_retransmit.synack");
_Static_assert(__builtin_offsetof(struct cc_tcp_retransmit, family) == 54, "cc_tcp_retransmit.family");
_Static_assert(__builtin_offsetof(struct cc_tcp_retransmit, local_addr) == 56, "cc_tcp_retransmit.local_addr");
_Static_assert(__builtin_offsetof(struct cc_tcp_retransmit, remote_addr) == 72, "cc_tcp_retransmit.remote_addr");

/* TCP sent or received a reset (tracepoints `tcp/tcp_send_reset`, `tcp_receive_reset`). */
#define CC_KIND_TCP_RESET 29
struct cc_tcp_reset {
	struct cc_head head;
	__u64 time; /* When. */
	__u64 socket; /* Identity of the socket, as in `kernel.tcp_state`; 0 when there was none (nobody listens). */
	__u32 netns; /* Network namespace inode number. */
	__u32 pid; /* Process that was running; the one that acted only where `on_behalf` is 1. */
	__u32 tid; /* Thread, likewise. */
	__u32 reason; /* Why it was sent (enumeration `sk_rst_reason` of this kernel: `host.enum`); all ones when received, and before Linux 6.10, which does not tell. */
	__u16 local_port; /* Local port. */
	__u16 remote_port; /* Remote port. */
	__u16 family; /* Address family: 2 IPv4, 10 IPv6. */
	__u8 state; /* State of the connection; 0 when there was no socket. */
	__u8 what; /* 1 sent, 2 received. */
	__u32 on_behalf; /* 1 when `pid` acted itself, 0 when it was merely interrupted. */
	__u32 reserved; /* Zero. */
	__u8 local_addr[16]; /* Local address. */
	__u8 remote_addr[16]; /* Remote address. */
};
_Static_assert(sizeof(struct cc_tcp_reset) == 96, "cc_tcp_reset");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, time) == 16, "cc_tcp_reset.time");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, socket) == 24, "cc_tcp_reset.socket");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, netns) == 32, "cc_tcp_reset.netns");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, pid) == 36, "cc_tcp_reset.pid");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, tid) == 40, "cc_tcp_reset.tid");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, reason) == 44, "cc_tcp_reset.reason");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, local_port) == 48, "cc_tcp_reset.local_port");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, remote_port) == 50, "cc_tcp_reset.remote_port");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, family) == 52, "cc_tcp_reset.family");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, state) == 54, "cc_tcp_reset.state");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, what) == 55, "cc_tcp_reset.what");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, on_behalf) == 56, "cc_tcp_reset.on_behalf");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, reserved) == 60, "cc_tcp_reset.reserved");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, local_addr) == 64, "cc_tcp_reset.local_addr");
_Static_assert(__builtin_offsetof(struct cc_tcp_reset, remote_addr) == 80, "cc_tcp_reset.remote_addr");

/* What TCP knows of a socket, as `ss -ti` shows it: each second for the sockets that changed since the second
 * before, when a connection is established or a socket begins to listen, and once more when it closes, so that
 * short ones have their figures. Sockets of all network namespaces; a socket is known from its first change of state on, or from the start of
 * the capture when a process held it then. Read without the socket's lock: figures of one row can be a segment
 * apart (iterator `bpf_sk_storage_map`, tracepoint `sock/inet_sock_set_state`). */
#define CC_KIND_TCP_INFO 28
struct cc_tcp_info {
	struct cc_head head;
	__u64 time; /* When. */
	__u64 socket; /* Identity of the socket, as in `kernel.tcp_state`. */
	__u64 age; /* How long it has been known: since connect or the end of the peer's handshake, or since the capture began. */
	__u64 connect; /* From connect (SYN_SENT) to ESTABLISHED; 0 when accepted, not established yet, or not seen. */
	__u64 rtt; /* Smoothed round-trip time. */
	__u64 rtt_deviation; /* Its mean deviation. */
	__u64 rtt_min; /* Smallest round-trip time of the last five minutes; 0 when none was measured. */
	__u64 bytes_sent; /* Payload bytes sent, retransmissions included. */
	__u64 bytes_acked; /* Payload bytes that the peer acknowledged; SYN and FIN count as one each. */
	__u64 bytes_received; /* Payload bytes received in order; the FIN counts as one. */
	__u64 bytes_retransmitted; /* Payload bytes retransmitted. */
	__u64 pacing_rate; /* Pace at which it may send, in bytes per second; all ones for no limit. */
	__u64 delivery_rate; /* Rate at which data was delivered lately, in bytes per second. */
	__u32 netns; /* Network namespace inode number. */
	__u32 pid; /* Process that owns it, as far as known; 0 when not (`kernel.socket`). */
	__u32 cwnd; /* Congestion window, in segments. */
	__u32 ssthresh; /* Slow start threshold, in segments; 2147483647 for none. */
	__u32 mss; /* Maximum segment size to send. */
	__u32 unacked; /* Segments sent and not acknowledged. */
	__u32 lost; /* Of these, those believed lost. */
	__u32 retransmits_out; /* Of these, those retransmitted and still out. */
	__u32 retransmits; /* Segments retransmitted since the connection began. */
	__u32 segments_out; /* Segments sent since then. */
	__u32 segments_in; /* Segments received since then. */
	__u32 send_queue; /* Bytes written by the process and not acknowledged yet. */
	__u32 receive_queue; /* Bytes received and not yet read by the process. */
	__u32 send_buffer; /* Size of the send buffer. */
	__u32 receive_buffer; /* Size of the receive buffer. */
	__u32 send_window; /* Window that the peer offers; 0 stops us. */
	__u32 receive_window; /* Window that we offer. */
	__u32 accept_queue; /* Of a listener: connections that wait to be accepted. */
	__u32 accept_limit; /* Of a listener: how many may wait (the backlog). */
	__u32 syn_queue; /* Of a listener: handshakes under way. */
	__u32 drops; /* Packets that the socket dropped; of a listener: SYNs and handshakes that it turned away (`tcp_listendrop`, of which ListenDrops is the sum). */
	__u32 error; /* Pending error as an errno: why it closed (111 refused, 110 timed out, 104 reset); 0 for none. */
	__u16 local_port; /* Local port. */
	__u16 remote_port; /* Remote port. */
	__u16 family; /* Address family: 2 IPv4, 10 IPv6. */
	__u8 why; /* Why this row: 1 a second passed, 2 established or listening, 3 closed. */
	__u8 state; /* State (`include/net/tcp_states.h`); for a row of the close, the state before it. */
	__u8 congestion; /* State of congestion control: 0 open, 1 disorder, 2 window reduced, 3 recovery, 4 loss (after a timeout). */
	__u8 timeouts; /* Retransmission timeouts in a row. */
	__u8 unaccepted; /* 1 while no process has accepted it: it waits in its listener's queue. */
	__u8 reserved; /* Zero. */
	__u32 reserved2; /* Zero. */
	__u8 local_addr[16]; /* Local address. */
	__u8 remote_addr[16]; /* Remote address. */
};
_Static_assert(sizeof(struct cc_tcp_info) == 256, "cc_tcp_info");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, time) == 16, "cc_tcp_info.time");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, socket) == 24, "cc_tcp_info.socket");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, age) == 32, "cc_tcp_info.age");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, connect) == 40, "cc_tcp_info.connect");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, rtt) == 48, "cc_tcp_info.rtt");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, rtt_deviation) == 56, "cc_tcp_info.rtt_deviation");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, rtt_min) == 64, "cc_tcp_info.rtt_min");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, bytes_sent) == 72, "cc_tcp_info.bytes_sent");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, bytes_acked) == 80, "cc_tcp_info.bytes_acked");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, bytes_received) == 88, "cc_tcp_info.bytes_received");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, bytes_retransmitted) == 96, "cc_tcp_info.bytes_retransmitted");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, pacing_rate) == 104, "cc_tcp_info.pacing_rate");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, delivery_rate) == 112, "cc_tcp_info.delivery_rate");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, netns) == 120, "cc_tcp_info.netns");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, pid) == 124, "cc_tcp_info.pid");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, cwnd) == 128, "cc_tcp_info.cwnd");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, ssthresh) == 132, "cc_tcp_info.ssthresh");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, mss) == 136, "cc_tcp_info.mss");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, unacked) == 140, "cc_tcp_info.unacked");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, lost) == 144, "cc_tcp_info.lost");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, retransmits_out) == 148, "cc_tcp_info.retransmits_out");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, retransmits) == 152, "cc_tcp_info.retransmits");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, segments_out) == 156, "cc_tcp_info.segments_out");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, segments_in) == 160, "cc_tcp_info.segments_in");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, send_queue) == 164, "cc_tcp_info.send_queue");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, receive_queue) == 168, "cc_tcp_info.receive_queue");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, send_buffer) == 172, "cc_tcp_info.send_buffer");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, receive_buffer) == 176, "cc_tcp_info.receive_buffer");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, send_window) == 180, "cc_tcp_info.send_window");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, receive_window) == 184, "cc_tcp_info.receive_window");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, accept_queue) == 188, "cc_tcp_info.accept_queue");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, accept_limit) == 192, "cc_tcp_info.accept_limit");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, syn_queue) == 196, "cc_tcp_info.syn_queue");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, drops) == 200, "cc_tcp_info.drops");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, error) == 204, "cc_tcp_info.error");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, local_port) == 208, "cc_tcp_info.local_port");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, remote_port) == 210, "cc_tcp_info.remote_port");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, family) == 212, "cc_tcp_info.family");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, why) == 214, "cc_tcp_info.why");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, state) == 215, "cc_tcp_info.state");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, congestion) == 216, "cc_tcp_info.congestion");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, timeouts) == 217, "cc_tcp_info.timeouts");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, unaccepted) == 218, "cc_tcp_info.unaccepted");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, reserved) == 219, "cc_tcp_info.reserved");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, reserved2) == 220, "cc_tcp_info.reserved2");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, local_addr) == 224, "cc_tcp_info.local_addr");
_Static_assert(__builtin_offsetof(struct cc_tcp_info, remote_addr) == 240, "cc_tcp_info.remote_addr");

/* The process that owns a socket, told when it becomes known: at the start of the capture (iterator `task_file`,
 * all network namespaces), when a process connected, listens or closes (tracepoints `sock/inet_sock_set_state`,
 * `tcp/tcp_destroy_sock`), and by the iterator again while there are accepted connections without an owner.
 * TCP always; UDP as far as the iterator sees it. */
#define CC_KIND_SOCKET_OWNER 31
struct cc_socket_owner {
	struct cc_head head;
	__u64 time; /* When. */
	__u64 socket; /* Identity of the socket, as in `kernel.tcp_state`. */
	__u64 inode; /* Inode number of the socket's file; 0 when it has none. */
	__u64 started; /* Start time of the process: with `pid` unique even when pids are reused. */
	__u32 pid; /* The process. */
	__u32 netns; /* Network namespace inode number. */
	__u16 protocol; /* IP protocol: 6 TCP, 17 UDP. */
	__u16 family; /* Address family: 2 IPv4, 10 IPv6. */
	__u16 local_port; /* Local port. */
	__u16 remote_port; /* Remote port. */
	__u8 state; /* TCP state. */
	__u8 how; /* How it is known: 1 the process acted on it (connect, listen, close), 2 it holds a descriptor of it. */
	__u16 reserved; /* Zero. */
	__u32 reserved2; /* Zero. */
	__u8 local_addr[16]; /* Local address. */
	__u8 remote_addr[16]; /* Remote address. */
};
_Static_assert(sizeof(struct cc_socket_owner) == 104, "cc_socket_owner");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, time) == 16, "cc_socket_owner.time");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, socket) == 24, "cc_socket_owner.socket");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, inode) == 32, "cc_socket_owner.inode");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, started) == 40, "cc_socket_owner.started");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, pid) == 48, "cc_socket_owner.pid");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, netns) == 52, "cc_socket_owner.netns");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, protocol) == 56, "cc_socket_owner.protocol");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, family) == 58, "cc_socket_owner.family");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, local_port) == 60, "cc_socket_owner.local_port");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, remote_port) == 62, "cc_socket_owner.remote_port");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, state) == 64, "cc_socket_owner.state");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, how) == 65, "cc_socket_owner.how");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, reserved) == 66, "cc_socket_owner.reserved");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, reserved2) == 68, "cc_socket_owner.reserved2");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, local_addr) == 72, "cc_socket_owner.local_addr");
_Static_assert(__builtin_offsetof(struct cc_socket_owner, remote_addr) == 88, "cc_socket_owner.remote_addr");

/* The kernel dropped a packet (tracepoint `skb/kfree_skb`, which packets that were merely used up do not pass).
 * At most 1,000 rows a second and CPU; more are counted as lost (`rate-limited`). */
#define CC_KIND_PACKET_DROP 30
struct cc_packet_drop {
	struct cc_head head;
	__u64 time; /* When. */
	__u64 socket; /* Identity of the socket that it came from or was for, as in `kernel.tcp_state`; 0 when not known. */
	__u32 length; /* Bytes of the packet, from the header that was looked at last. */
	__u32 netns; /* Network namespace inode number; 0 when not known. */
	__u32 interface; /* Index of the interface; 0 for none. */
	__u32 reason; /* Why (enumeration `skb_drop_reason` of this kernel: `host.enum`); all ones before Linux 5.17, which does not tell. */
	__u32 location; /* Where: the place in the kernel that dropped it, one frame. (frames; they follow the struct, in order) */
	__u32 seq; /* TCP: sequence number. */
	__u16 ethertype; /* Ethertype; 0 for what is no packet of a network (a netlink message). */
	__u16 family; /* Address family: 2 IPv4, 10 IPv6; 0 when the headers could not be read. */
	__u16 source_port; /* Source port; 0 when not known. */
	__u16 destination_port; /* Destination port. */
	__u8 protocol; /* IP protocol: 6 TCP, 17 UDP. */
	__u8 flags; /* TCP flags: 2 SYN, 16 ACK, 1 FIN, 4 RST. */
	__u16 reserved; /* Zero. */
	__u32 reserved2; /* Zero. */
	__u8 source_addr[16]; /* Source address. */
	__u8 destination_addr[16]; /* Destination address. */
};
_Static_assert(sizeof(struct cc_packet_drop) == 104, "cc_packet_drop");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, time) == 16, "cc_packet_drop.time");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, socket) == 24, "cc_packet_drop.socket");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, length) == 32, "cc_packet_drop.length");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, netns) == 36, "cc_packet_drop.netns");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, interface) == 40, "cc_packet_drop.interface");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, reason) == 44, "cc_packet_drop.reason");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, location) == 48, "cc_packet_drop.location");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, seq) == 52, "cc_packet_drop.seq");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, ethertype) == 56, "cc_packet_drop.ethertype");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, family) == 58, "cc_packet_drop.family");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, source_port) == 60, "cc_packet_drop.source_port");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, destination_port) == 62, "cc_packet_drop.destination_port");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, protocol) == 64, "cc_packet_drop.protocol");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, flags) == 65, "cc_packet_drop.flags");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, reserved) == 66, "cc_packet_drop.reserved");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, reserved2) == 68, "cc_packet_drop.reserved2");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, source_addr) == 72, "cc_packet_drop.source_addr");
_Static_assert(__builtin_offsetof(struct cc_packet_drop, destination_addr) == 88, "cc_packet_drop.destination_addr");

/* A thread or process began, became another program, changed its name, or ended (tracepoints
 * `sched/sched_process_fork`, `sched_process_exec`, `sched_process_exit`, `task/task_rename`). */
#define CC_KIND_TASK 6
struct cc_task {
	struct cc_head head;
	__u64 time; /* When. */
	__u32 what; /* What happened: 1 fork, 2 exec, 3 exit, 4 rename. */
	__u32 tid; /* The thread (for a fork: the new one). */
	__u32 pid; /* Its process; equal to `tid` for the first thread. */
	__u32 ppid; /* Parent process. */
	__u64 started; /* Start time of the process: with `pid` it is unique even when pids are reused. */
	__u64 cgroup; /* Cgroup id (cgroup v2 id; 1 is the root). */
	__s32 exit_code; /* On exit: the code as in `wait(2)` (status << 8 | signal). */
	__u32 flags; /* Bit 1: kernel thread. */
	char comm[16]; /* The name after the event. */
	__u32 inner_pid; /* The pid of the process as it knows itself, in its own PID namespace. */
	__u32 pid_namespace; /* Inode number of that namespace. */
};
_Static_assert(sizeof(struct cc_task) == 88, "cc_task");
_Static_assert(__builtin_offsetof(struct cc_task, time) == 16, "cc_task.time");
_Static_assert(__builtin_offsetof(struct cc_task, what) == 24, "cc_task.what");
_Static_assert(__builtin_offsetof(struct cc_task, tid) == 28, "cc_task.tid");
_Static_assert(__builtin_offsetof(struct cc_task, pid) == 32, "cc_task.pid");
_Static_assert(__builtin_offsetof(struct cc_task, ppid) == 36, "cc_task.ppid");
_Static_assert(__builtin_offsetof(struct cc_task, started) == 40, "cc_task.started");
_Static_assert(__builtin_offsetof(struct cc_task, cgroup) == 48, "cc_task.cgroup");
_Static_assert(__builtin_offsetof(struct cc_task, exit_code) == 56, "cc_task.exit_code");
_Static_assert(__builtin_offsetof(struct cc_task, flags) == 60, "cc_task.flags");
_Static_assert(__builtin_offsetof(struct cc_task, comm) == 64, "cc_task.comm");
_Static_assert(__builtin_offsetof(struct cc_task, inner_pid) == 80, "cc_task.inner_pid");
_Static_assert(__builtin_offsetof(struct cc_task, pid_namespace) == 84, "cc_task.pid_namespace");

/* The arguments of a program that was started, read as the kernel has just put them in place, so that a program which
 * lives for milliseconds has them too (tracepoint `sched/sched_process_exec`). Masked before they are written. */
#define CC_KIND_EXEC 67
struct cc_exec {
	struct cc_head head;
	__u64 time; /* When: that of the row of `kernel.task`. */
	__u32 pid; /* The process. */
	__u32 cut; /* Bytes of arguments that were cut off: the first 256 are read. */
	__u64 started; /* Start time of the process. */
	__u32 argv; /* The arguments, masked (`argv-mask/1`), separated by spaces. (bytes; they follow the struct and its frames, in order) */
	__u32 reserved; /* Zero. */
};
_Static_assert(sizeof(struct cc_exec) == 48, "cc_exec");
_Static_assert(__builtin_offsetof(struct cc_exec, time) == 16, "cc_exec.time");
_Static_assert(__builtin_offsetof(struct cc_exec, pid) == 24, "cc_exec.pid");
_Static_assert(__builtin_offsetof(struct cc_exec, cut) == 28, "cc_exec.cut");
_Static_assert(__builtin_offsetof(struct cc_exec, started) == 32, "cc_exec.started");
_Static_assert(__builtin_offsetof(struct cc_exec, argv) == 40, "cc_exec.argv");
_Static_assert(__builtin_offsetof(struct cc_exec, reserved) == 44, "cc_exec.reserved");

/* The off-CPU intervals of one thread in one system call and state that were shorter than the row threshold, and
 * hence are no rows of `kernel.offcpu`: their sums, once a second while there are any. */
#define CC_KIND_OFF_CPU_SUM 7
struct cc_off_cpu_sum {
	struct cc_head head;
	__u64 time; /* When the first of the intervals ended, or the last sums of this thread were taken. */
	__u64 duration; /* From there to when these sums were taken. The intervals ended in this time. */
	__u64 off_cpu; /* Sum of the durations of the intervals. */
	__u64 run_queue; /* The part of `off_cpu` in which the thread was runnable and waited for a CPU. */
	__u64 ran; /* As in `kernel.offcpu`: CPU time since the last row that told it; in the first of the rows taken together. */
	__u64 delayed; /* As in `kernel.offcpu`: run-queue delay since the last row that told it. */
	__u32 tid; /* The thread. */
	__u32 pid; /* Its process. */
	__u32 count; /* How many intervals. */
	__u32 state; /* Task state at switch-out; 0: preempted, or a new thread before its first turn. */
	__s32 syscall; /* System call number; -1 in none, -2 for a kernel thread. */
	__u32 reserved; /* Zero. */
};
_Static_assert(sizeof(struct cc_off_cpu_sum) == 88, "cc_off_cpu_sum");
_Static_assert(__builtin_offsetof(struct cc_off_cpu_sum, time) == 16, "cc_off_cpu_sum.time");
_Static_assert(__builtin_offsetof(struct cc_off_cpu_sum, duration) == 24, "cc_off_cpu_sum.duration");
_Static_assert(__builtin_offsetof(struct cc_off_cpu_sum, off_cpu) == 32, "cc_off_cpu_sum.off_cpu");
_Static_assert(__builtin_offsetof(struct cc_off_cpu_sum, run_queue) == 40, "cc_off_cpu_sum.run_queue");
_Static_assert(__builtin_offsetof(struct cc_off_cpu_sum, ran) == 48, "cc_off_cpu_sum.ran");
_Static_assert(__builtin_offsetof(struct cc_off_cpu_sum, delayed) == 56, "cc_off_cpu_sum.delayed");
_Static_assert(__builtin_offsetof(struct cc_off_cpu_sum, tid) == 64, "cc_off_cpu_sum.tid");
_Static_assert(__builtin_offsetof(struct cc_off_cpu_sum, pid) == 68, "cc_off_cpu_sum.pid");
_Static_assert(__builtin_offsetof(struct cc_off_cpu_sum, count) == 72, "cc_off_cpu_sum.count");
_Static_assert(__builtin_offsetof(struct cc_off_cpu_sum, state) == 76, "cc_off_cpu_sum.state");
_Static_assert(__builtin_offsetof(struct cc_off_cpu_sum, syscall) == 80, "cc_off_cpu_sum.syscall");
_Static_assert(__builtin_offsetof(struct cc_off_cpu_sum, reserved) == 84, "cc_off_cpu_sum.reserved");

/* One wait for a lock inside the kernel that took at least the lock threshold (100 µs by default; tracepoints
 * `lock/contention_begin` and `contention_end`, Linux 5.19). */
#define CC_KIND_LOCK_CONTENTION 8
struct cc_lock_contention {
	struct cc_head head;
	__u64 time; /* When the wait began. */
	__u64 duration; /* How long it took. */
	__u64 lock; /* The lock: a number that is the same for the same lock throughout the capture, not its address. */
	__u32 tid; /* The thread that waited, or that was interrupted by what waited. */
	__u32 pid; /* Its process. */
	__u32 flags; /* What kind of lock and wait: LCB_F_* of `include/trace/events/lock.h`. Bit 0: it spins. Bit 1: for reading. Bit 2: for writing. Bit 3: real-time mutex. Bit 4: per-CPU semaphore. Bit 5: mutex. */
	__s32 result; /* 0 when it got the lock, else an error number, negative (-EINTR). */
	__u16 cpu; /* The CPU on which the wait ended. */
	__u16 reserved; /* Zero. */
	__u32 kernel_stack; /* Kernel stack of the wait. (frames; they follow the struct, in order) */
};
_Static_assert(sizeof(struct cc_lock_contention) == 64, "cc_lock_contention");
_Static_assert(__builtin_offsetof(struct cc_lock_contention, time) == 16, "cc_lock_contention.time");
_Static_assert(__builtin_offsetof(struct cc_lock_contention, duration) == 24, "cc_lock_contention.duration");
_Static_assert(__builtin_offsetof(struct cc_lock_contention, lock) == 32, "cc_lock_contention.lock");
_Static_assert(__builtin_offsetof(struct cc_lock_contention, tid) == 40, "cc_lock_contention.tid");
_Static_assert(__builtin_offsetof(struct cc_lock_contention, pid) == 44, "cc_lock_contention.pid");
_Static_assert(__builtin_offsetof(struct cc_lock_contention, flags) == 48, "cc_lock_contention.flags");
_Static_assert(__builtin_offsetof(struct cc_lock_contention, result) == 52, "cc_lock_contention.result");
_Static_assert(__builtin_offsetof(struct cc_lock_contention, cpu) == 56, "cc_lock_contention.cpu");
_Static_assert(__builtin_offsetof(struct cc_lock_contention, reserved) == 58, "cc_lock_contention.reserved");
_Static_assert(__builtin_offsetof(struct cc_lock_contention, kernel_stack) == 60, "cc_lock_contention.kernel_stack");

/* A sync or removal of a file that took at least the file threshold (1 ms by default), as its file system tells it
 * (tracepoints `ext4/ext4_sync_file_enter`, `_exit`, `ext4_unlink_enter`, `_exit`, `xfs/xfs_file_fsync`). */
#define CC_KIND_FILE_CALL 20
struct cc_file_call {
	struct cc_head head;
	__u64 time; /* When the file system began. */
	__u64 duration; /* Until it was done; 0 where flags bit 0 is set. */
	__u64 inode; /* Inode number. */
	__u64 size; /* Size of the file. */
	__u32 dev; /* Device of the file system: major << 20 | minor. */
	__u32 what; /* What was called: 1 fsync, 2 fdatasync, 3 unlink. */
	__u32 pid; /* The process. */
	__u32 tid; /* The thread. */
	__s32 result; /* Result as a negative errno; 0 when fine. */
	__u32 flags; /* Bit 0: the file system (XFS) does not tell when it was done. Bit 1: the beginning of the path is cut off. Bit 2: the path begins at the root of its file system, not of the tree. */
	char comm[16]; /* Name of the thread. */
	__u32 path; /* Path of the file, as its mount namespace has it; at most 256 bytes. (bytes; they follow the struct and its frames, in order) */
	__u32 reserved; /* Zero. */
};
_Static_assert(sizeof(struct cc_file_call) == 96, "cc_file_call");
_Static_assert(__builtin_offsetof(struct cc_file_call, time) == 16, "cc_file_call.time");
_Static_assert(__builtin_offsetof(struct cc_file_call, duration) == 24, "cc_file_call.duration");
_Static_assert(__builtin_offsetof(struct cc_file_call, inode) == 32, "cc_file_call.inode");
_Static_assert(__builtin_offsetof(struct cc_file_call, size) == 40, "cc_file_call.size");
_Static_assert(__builtin_offsetof(struct cc_file_call, dev) == 48, "cc_file_call.dev");
_Static_assert(__builtin_offsetof(struct cc_file_call, what) == 52, "cc_file_call.what");
_Static_assert(__builtin_offsetof(struct cc_file_call, pid) == 56, "cc_file_call.pid");
_Static_assert(__builtin_offsetof(struct cc_file_call, tid) == 60, "cc_file_call.tid");
_Static_assert(__builtin_offsetof(struct cc_file_call, result) == 64, "cc_file_call.result");
_Static_assert(__builtin_offsetof(struct cc_file_call, flags) == 68, "cc_file_call.flags");
_Static_assert(__builtin_offsetof(struct cc_file_call, comm) == 72, "cc_file_call.comm");
_Static_assert(__builtin_offsetof(struct cc_file_call, path) == 88, "cc_file_call.path");
_Static_assert(__builtin_offsetof(struct cc_file_call, reserved) == 92, "cc_file_call.reserved");

/* Dirty pages went to disk, or somebody had to wait for it (tracepoints `writeback/writeback_start`, `_written`,
 * `balance_dirty_pages`, `jbd2/jbd2_start_commit`, `_end_commit`). */
#define CC_KIND_WRITEBACK 26
struct cc_writeback {
	struct cc_head head;
	__u64 time; /* When it began. */
	__u64 duration; /* How long it took; 0 for a pause, whose length is the off-CPU interval of the thread that follows. */
	__u64 pages; /* Pages written, for what 1. */
	__u32 dev; /* The device: major << 20 | minor; 0 when unknown. */
	__u32 what; /* 1 a kernel worker wrote dirty pages back; 2 a writer is put to sleep because too much is dirty; 3 the journal committed a transaction. */
	__u32 pid; /* Process that did it, or is put to sleep. */
	__u32 tid; /* Thread, likewise. */
	__u32 reason; /* Why, for what 1: `enum wb_reason` of the kernel (0 background, 2 sync, 3 periodic). */
	__u32 reserved; /* Zero. */
	char comm[16]; /* Name of the thread. */
};
_Static_assert(sizeof(struct cc_writeback) == 80, "cc_writeback");
_Static_assert(__builtin_offsetof(struct cc_writeback, time) == 16, "cc_writeback.time");
_Static_assert(__builtin_offsetof(struct cc_writeback, duration) == 24, "cc_writeback.duration");
_Static_assert(__builtin_offsetof(struct cc_writeback, pages) == 32, "cc_writeback.pages");
_Static_assert(__builtin_offsetof(struct cc_writeback, dev) == 40, "cc_writeback.dev");
_Static_assert(__builtin_offsetof(struct cc_writeback, what) == 44, "cc_writeback.what");
_Static_assert(__builtin_offsetof(struct cc_writeback, pid) == 48, "cc_writeback.pid");
_Static_assert(__builtin_offsetof(struct cc_writeback, tid) == 52, "cc_writeback.tid");
_Static_assert(__builtin_offsetof(struct cc_writeback, reason) == 56, "cc_writeback.reason");
_Static_assert(__builtin_offsetof(struct cc_writeback, reserved) == 60, "cc_writeback.reserved");
_Static_assert(__builtin_offsetof(struct cc_writeback, comm) == 64, "cc_writeback.comm");

/* A signal was sent or taken (tracepoints `signal/signal_generate`, `signal_deliver`). Of the signals that programs
 * send all the time (SIGCHLD, SIGALRM, SIGURG, real-time ones, …) at most some hundreds per CPU and second are told;
 * the rest are counted as lost, reason `rate-limited`. */
#define CC_KIND_SIGNAL 21
struct cc_signal {
	struct cc_head head;
	__u64 time; /* When. */
	__u32 tid; /* The thread it is for. */
	__u32 pid; /* Its process. */
	__u32 sender_tid; /* Thread that sent it; 0 when the kernel did (a timer, a fault), and in rows of what is taken. */
	__u32 sender_pid; /* Process that sent it, likewise. */
	__u32 what; /* 1 sent, 2 taken. */
	__u32 signal; /* Its number. */
	__s32 code; /* `si_code` as in sigaction(2): 0 kill(2), -6 tgkill(2), 128 the kernel. */
	__u32 result; /* What became of it when it was sent: 0 it waits to be taken, 1 ignored, 2 one waited already, 3 and 4 no memory. */
	__u32 flags; /* Bit 0: sent to the whole process. Bit 1: taken and ignored. Bit 2: taken by a handler of the program. */
	__u32 reserved; /* Zero. */
	char comm[16]; /* Name of the thread it is for. */
};
_Static_assert(sizeof(struct cc_signal) == 80, "cc_signal");
_Static_assert(__builtin_offsetof(struct cc_signal, time) == 16, "cc_signal.time");
_Static_assert(__builtin_offsetof(struct cc_signal, tid) == 24, "cc_signal.tid");
_Static_assert(__builtin_offsetof(struct cc_signal, pid) == 28, "cc_signal.pid");
_Static_assert(__builtin_offsetof(struct cc_signal, sender_tid) == 32, "cc_signal.sender_tid");
_Static_assert(__builtin_offsetof(struct cc_signal, sender_pid) == 36, "cc_signal.sender_pid");
_Static_assert(__builtin_offsetof(struct cc_signal, what) == 40, "cc_signal.what");
_Static_assert(__builtin_offsetof(struct cc_signal, signal) == 44, "cc_signal.signal");
_Static_assert(__builtin_offsetof(struct cc_signal, code) == 48, "cc_signal.code");
_Static_assert(__builtin_offsetof(struct cc_signal, result) == 52, "cc_signal.result");
_Static_assert(__builtin_offsetof(struct cc_signal, flags) == 56, "cc_signal.flags");
_Static_assert(__builtin_offsetof(struct cc_signal, reserved) == 60, "cc_signal.reserved");
_Static_assert(__builtin_offsetof(struct cc_signal, comm) == 64, "cc_signal.comm");

/* A page fault that had to read from a disk or swap, when it was done (software event `major-faults`). */
#define CC_KIND_MAJOR_FAULT 23
struct cc_major_fault {
	struct cc_head head;
	__u64 time; /* When the page was there. The wait before it is an off-CPU interval of the thread. */
	__u64 address; /* The address that was touched. */
	__u32 pid; /* The process. */
	__u32 tid; /* The thread. */
	__u32 flags; /* Bit 0: the kernel touched it, in a system call. */
	__u32 user_stack; /* User stack. (frames; they follow the struct, in order) */
	char comm[16]; /* Name of the thread. */
};
_Static_assert(sizeof(struct cc_major_fault) == 64, "cc_major_fault");
_Static_assert(__builtin_offsetof(struct cc_major_fault, time) == 16, "cc_major_fault.time");
_Static_assert(__builtin_offsetof(struct cc_major_fault, address) == 24, "cc_major_fault.address");
_Static_assert(__builtin_offsetof(struct cc_major_fault, pid) == 32, "cc_major_fault.pid");
_Static_assert(__builtin_offsetof(struct cc_major_fault, tid) == 36, "cc_major_fault.tid");
_Static_assert(__builtin_offsetof(struct cc_major_fault, flags) == 40, "cc_major_fault.flags");
_Static_assert(__builtin_offsetof(struct cc_major_fault, user_stack) == 44, "cc_major_fault.user_stack");
_Static_assert(__builtin_offsetof(struct cc_major_fault, comm) == 48, "cc_major_fault.comm");

/* A thread had to make room in memory itself, or kswapd did (tracepoints `vmscan/mm_vmscan_direct_reclaim_begin`, `_end`,
 * `mm_vmscan_memcg_reclaim_begin`, `_end`, `mm_vmscan_kswapd_wake`, `_sleep`, `compaction/mm_compaction_begin`, `_end`). */
#define CC_KIND_RECLAIM 24
struct cc_reclaim {
	struct cc_head head;
	__u64 time; /* When it began. */
	__u64 duration; /* How long it took. */
	__u64 reclaimed; /* Pages freed, where known (direct and cgroup). */
	__u32 what; /* 1 direct: the host is short of memory; 2 cgroup: its limit is reached; 3 compaction: no large piece is free; 4 kswapd was awake. */
	__u32 order; /* Size asked for: 2^order pages. */
	__u32 pid; /* The process. */
	__u32 tid; /* The thread. */
	char comm[16]; /* Its name. */
};
_Static_assert(sizeof(struct cc_reclaim) == 72, "cc_reclaim");
_Static_assert(__builtin_offsetof(struct cc_reclaim, time) == 16, "cc_reclaim.time");
_Static_assert(__builtin_offsetof(struct cc_reclaim, duration) == 24, "cc_reclaim.duration");
_Static_assert(__builtin_offsetof(struct cc_reclaim, reclaimed) == 32, "cc_reclaim.reclaimed");
_Static_assert(__builtin_offsetof(struct cc_reclaim, what) == 40, "cc_reclaim.what");
_Static_assert(__builtin_offsetof(struct cc_reclaim, order) == 44, "cc_reclaim.order");
_Static_assert(__builtin_offsetof(struct cc_reclaim, pid) == 48, "cc_reclaim.pid");
_Static_assert(__builtin_offsetof(struct cc_reclaim, tid) == 52, "cc_reclaim.tid");
_Static_assert(__builtin_offsetof(struct cc_reclaim, comm) == 56, "cc_reclaim.comm");

/* The kernel chose a process to be killed for want of memory (tracepoint `oom/mark_victim`). */
#define CC_KIND_OOM_KILL 25
struct cc_oom_kill {
	struct cc_head head;
	__u64 time; /* When. */
	__u64 cgroup; /* Cgroup that limits its memory (of the v1 hierarchy `memory`, or v2); 0 when unknown (before Linux 6.8). */
	__u32 pid; /* The victim. */
	__u32 by_pid; /* Process that asked for memory when there was none. */
	__u32 by_tid; /* Its thread. */
	__u32 reserved; /* Zero. */
	char comm[16]; /* Name of the victim; empty when unknown (before Linux 6.8). */
};
_Static_assert(sizeof(struct cc_oom_kill) == 64, "cc_oom_kill");
_Static_assert(__builtin_offsetof(struct cc_oom_kill, time) == 16, "cc_oom_kill.time");
_Static_assert(__builtin_offsetof(struct cc_oom_kill, cgroup) == 24, "cc_oom_kill.cgroup");
_Static_assert(__builtin_offsetof(struct cc_oom_kill, pid) == 32, "cc_oom_kill.pid");
_Static_assert(__builtin_offsetof(struct cc_oom_kill, by_pid) == 36, "cc_oom_kill.by_pid");
_Static_assert(__builtin_offsetof(struct cc_oom_kill, by_tid) == 40, "cc_oom_kill.by_tid");
_Static_assert(__builtin_offsetof(struct cc_oom_kill, reserved) == 44, "cc_oom_kill.reserved");
_Static_assert(__builtin_offsetof(struct cc_oom_kill, comm) == 48, "cc_oom_kill.comm");

/* The cgroup in which the CPU controller counts a thread, told at the first switch-out at which it differs from what
 * was told before (tracepoint `sched/sched_switch`). A thread without a row is in the root, or never left a CPU. */
#define CC_KIND_THREAD_CGROUP 40
struct cc_thread_cgroup {
	struct cc_head head;
	__u64 time; /* When it was seen there. */
	__u64 cgroup; /* The cgroup: the `id` of `host.cgroup_cpu`; 1 is the root. */
	__u32 tid; /* The thread. */
	__u32 pid; /* Its process. */
};
_Static_assert(sizeof(struct cc_thread_cgroup) == 40, "cc_thread_cgroup");
_Static_assert(__builtin_offsetof(struct cc_thread_cgroup, time) == 16, "cc_thread_cgroup.time");
_Static_assert(__builtin_offsetof(struct cc_thread_cgroup, cgroup) == 24, "cc_thread_cgroup.cgroup");
_Static_assert(__builtin_offsetof(struct cc_thread_cgroup, tid) == 32, "cc_thread_cgroup.tid");
_Static_assert(__builtin_offsetof(struct cc_thread_cgroup, pid) == 36, "cc_thread_cgroup.pid");

/* The interrupts of one number on one CPU since the row before it (tracepoints `irq/irq_handler_entry` and
 * `irq_handler_exit`, `softirq_entry` and `softirq_exit`; summed in the kernel, taken about twice a second). Those
 * that came when nothing was attached, and those without a handler of a device (timer, rescheduling), are not in it. */
#define CC_KIND_INTERRUPT_SUM 42
struct cc_interrupt_sum {
	struct cc_head head;
	__u64 time; /* When the sum was taken. */
	__u64 count; /* How many. */
	__u64 total; /* Their time. That of a soft interrupt holds the hard ones that interrupted it. */
	__u64 longest; /* The longest. */
	__u32 number; /* Interrupt number as in `/proc/interrupts`, or vector of a soft interrupt as in `/proc/softirqs`. */
	__u16 what; /* 1 hard, 2 soft. */
	__u16 cpu; /* The CPU. */
	char name[16]; /* Name of its first handler, or of the vector. */
};
_Static_assert(sizeof(struct cc_interrupt_sum) == 72, "cc_interrupt_sum");
_Static_assert(__builtin_offsetof(struct cc_interrupt_sum, time) == 16, "cc_interrupt_sum.time");
_Static_assert(__builtin_offsetof(struct cc_interrupt_sum, count) == 24, "cc_interrupt_sum.count");
_Static_assert(__builtin_offsetof(struct cc_interrupt_sum, total) == 32, "cc_interrupt_sum.total");
_Static_assert(__builtin_offsetof(struct cc_interrupt_sum, longest) == 40, "cc_interrupt_sum.longest");
_Static_assert(__builtin_offsetof(struct cc_interrupt_sum, number) == 48, "cc_interrupt_sum.number");
_Static_assert(__builtin_offsetof(struct cc_interrupt_sum, what) == 52, "cc_interrupt_sum.what");
_Static_assert(__builtin_offsetof(struct cc_interrupt_sum, cpu) == 54, "cc_interrupt_sum.cpu");
_Static_assert(__builtin_offsetof(struct cc_interrupt_sum, name) == 56, "cc_interrupt_sum.name");

/* A single interrupt of at least 1 ms (the same tracepoints); it is in the sum as well. */
#define CC_KIND_LONG_INTERRUPT 43
struct cc_long_interrupt {
	struct cc_head head;
	__u64 time; /* When it began. */
	__u64 duration; /* How long it took. */
	__u32 number; /* Interrupt number, or vector of a soft interrupt. */
	__u16 what; /* 1 hard, 2 soft. */
	__u16 cpu; /* The CPU. */
	__u32 tid; /* The thread that it interrupted; 0 for the idle task. */
	__u32 pid; /* Its process. */
	char name[16]; /* Name of its handler, or of the vector. */
};
_Static_assert(sizeof(struct cc_long_interrupt) == 64, "cc_long_interrupt");
_Static_assert(__builtin_offsetof(struct cc_long_interrupt, time) == 16, "cc_long_interrupt.time");
_Static_assert(__builtin_offsetof(struct cc_long_interrupt, duration) == 24, "cc_long_interrupt.duration");
_Static_assert(__builtin_offsetof(struct cc_long_interrupt, number) == 32, "cc_long_interrupt.number");
_Static_assert(__builtin_offsetof(struct cc_long_interrupt, what) == 36, "cc_long_interrupt.what");
_Static_assert(__builtin_offsetof(struct cc_long_interrupt, cpu) == 38, "cc_long_interrupt.cpu");
_Static_assert(__builtin_offsetof(struct cc_long_interrupt, tid) == 40, "cc_long_interrupt.tid");
_Static_assert(__builtin_offsetof(struct cc_long_interrupt, pid) == 44, "cc_long_interrupt.pid");
_Static_assert(__builtin_offsetof(struct cc_long_interrupt, name) == 48, "cc_long_interrupt.name");

/* The calls of one process, number and length that returned since the row before it (raw tracepoints `sys_enter` and
 * `sys_exit`; summed in the kernel, taken about twice a second). Only with `--syscalls`. A call that never
 * returns (`exit`), or began before the capture, is not in it; one that a signal made begin anew counts each time. */
#define CC_KIND_SYSCALL_SUM 44
struct cc_syscall_sum {
	struct cc_head head;
	__u64 time; /* When the sum was taken. */
	__u64 count; /* How many calls. */
	__u64 total; /* Their time. */
	__u64 longest; /* The longest. */
	__u64 failed; /* How many returned an error. */
	__u64 at_least; /* Lower end of the bucket of lengths: 0 up to 256 ns, then four buckets to each power of two. */
	__u32 pid; /* The process. */
	__s32 syscall; /* System call number. */
	__u32 flags; /* Bit 0: a 32-bit call, whose numbers are others. */
	__u32 reserved; /* Zero. */
};
_Static_assert(sizeof(struct cc_syscall_sum) == 80, "cc_syscall_sum");
_Static_assert(__builtin_offsetof(struct cc_syscall_sum, time) == 16, "cc_syscall_sum.time");
_Static_assert(__builtin_offsetof(struct cc_syscall_sum, count) == 24, "cc_syscall_sum.count");
_Static_assert(__builtin_offsetof(struct cc_syscall_sum, total) == 32, "cc_syscall_sum.total");
_Static_assert(__builtin_offsetof(struct cc_syscall_sum, longest) == 40, "cc_syscall_sum.longest");
_Static_assert(__builtin_offsetof(struct cc_syscall_sum, failed) == 48, "cc_syscall_sum.failed");
_Static_assert(__builtin_offsetof(struct cc_syscall_sum, at_least) == 56, "cc_syscall_sum.at_least");
_Static_assert(__builtin_offsetof(struct cc_syscall_sum, pid) == 64, "cc_syscall_sum.pid");
_Static_assert(__builtin_offsetof(struct cc_syscall_sum, syscall) == 68, "cc_syscall_sum.syscall");
_Static_assert(__builtin_offsetof(struct cc_syscall_sum, flags) == 72, "cc_syscall_sum.flags");
_Static_assert(__builtin_offsetof(struct cc_syscall_sum, reserved) == 76, "cc_syscall_sum.reserved");

/* A single call that took at least the threshold (`--syscall-threshold`, 10 ms by default); it is in the sum as well. */
#define CC_KIND_SLOW_SYSCALL 45
struct cc_slow_syscall {
	struct cc_head head;
	__u64 time; /* When it began. */
	__u64 duration; /* How long it took. */
	__s64 result; /* What it returned: a negative errno when it failed (-512 to -516: interrupted, and begins anew). */
	__u64 arg0; /* First argument, as the register held it. */
	__u64 arg1; /* Second argument. */
	__u64 arg2; /* Third argument. */
	__u32 tid; /* The thread. */
	__u32 pid; /* Its process. */
	__s32 syscall; /* System call number. */
	__u32 flags; /* Bit 0: a 32-bit call, whose numbers are others. Bit 1: `path` is cut, bit 2: `to` is. Bit 3: `path` is that of a descriptor when the call returned: of a cut one the beginning is missing; of one that the program gave, the end. */
	__u32 path; /* The file that it was about: for a call that takes a path, as the program gave it (maybe relative); for one that takes a descriptor, and one that opened the file, from the root. Empty where there is none (sockets, pipes), where it could not be read when the call returned, and for 32-bit calls. (bytes; they follow the struct and its frames, in order) */
	__u32 to; /* The second path of a call that takes two (`rename`, `link`). (bytes; they follow the struct and its frames, in order) */
	__u32 reserved; /* Zero. */
	__u32 user_stack; /* User stack. (frames; they follow the struct, in order) */
};
_Static_assert(sizeof(struct cc_slow_syscall) == 96, "cc_slow_syscall");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, time) == 16, "cc_slow_syscall.time");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, duration) == 24, "cc_slow_syscall.duration");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, result) == 32, "cc_slow_syscall.result");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, arg0) == 40, "cc_slow_syscall.arg0");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, arg1) == 48, "cc_slow_syscall.arg1");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, arg2) == 56, "cc_slow_syscall.arg2");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, tid) == 64, "cc_slow_syscall.tid");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, pid) == 68, "cc_slow_syscall.pid");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, syscall) == 72, "cc_slow_syscall.syscall");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, flags) == 76, "cc_slow_syscall.flags");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, path) == 80, "cc_slow_syscall.path");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, to) == 84, "cc_slow_syscall.to");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, reserved) == 88, "cc_slow_syscall.reserved");
_Static_assert(__builtin_offsetof(struct cc_slow_syscall, user_stack) == 92, "cc_slow_syscall.user_stack");

/* One call into a TLS library (uprobes on `SSL_read`, `SSL_read_ex`, `SSL_write`, `SSL_write_ex`, `SSL_do_handshake` of libssl).
 * Only with `--uprobe libssl`. Nothing of what is encrypted is read, only how many bytes. A handshake that a library makes
 * inside its first read or write is part of that call. A call that began before the capture is not in it: it was
 * not seen to begin. */
#define CC_KIND_TLS_CALL 37
struct cc_tls_call {
	struct cc_head head;
	__u64 time; /* When it began. */
	__u64 duration; /* How long it took; until the end of the capture or of the thread where flags bit 0 or 1 is set. */
	__u64 bytes; /* Bytes of plaintext that the call read or wrote; 0 for a handshake, and when it failed. */
	__u64 connection; /* Identity of the TLS connection (`SSL *`): the same for the same object throughout the capture, not its address. */
	__u64 socket; /* Identity of the socket that the thread sent to or received from during the call, the first of them, as in `kernel.tcp_state` and `kernel.socket`; 0 when it touched none: the call was served from a buffer, or the program moves the bytes to and from the socket itself (tracepoints `sock/sock_send_length` and `sock_recv_length`, Linux 6.3; 0 before). */
	__u32 tid; /* The thread. */
	__u32 pid; /* Its process. */
	__u32 function; /* The function: 1 `SSL_read`, 2 `SSL_read_ex`, 3 `SSL_write`, 4 `SSL_write_ex`, 5 `SSL_do_handshake`. */
	__s32 result; /* What it returned: bytes, or 0 or less when it failed (1 and 3); 1 when fine (2, 4, 5). -1 of a socket that does not block mostly means that it has to be called again. 0 where flags bit 0 or 1 is set. */
	__u32 flags; /* Bit 0: it still ran when the capture ended. Bit 1: its thread ended in it. */
	__u32 netns; /* Network namespace inode number of the socket; 0 without one. */
	__u16 local_port; /* Local port of the socket. */
	__u16 remote_port; /* Remote port of the socket. */
	__u16 family; /* Address family of the socket: 1 Unix, 2 IPv4, 10 IPv6; 0 without one. */
	__u16 reserved; /* Zero. */
	__u8 local_addr[16]; /* Local address of the socket, where it is IP. */
	__u8 remote_addr[16]; /* Remote address of the socket, where it is IP. */
	char comm[16]; /* Name of the thread. */
};
_Static_assert(sizeof(struct cc_tls_call) == 136, "cc_tls_call");
_Static_assert(__builtin_offsetof(struct cc_tls_call, time) == 16, "cc_tls_call.time");
_Static_assert(__builtin_offsetof(struct cc_tls_call, duration) == 24, "cc_tls_call.duration");
_Static_assert(__builtin_offsetof(struct cc_tls_call, bytes) == 32, "cc_tls_call.bytes");
_Static_assert(__builtin_offsetof(struct cc_tls_call, connection) == 40, "cc_tls_call.connection");
_Static_assert(__builtin_offsetof(struct cc_tls_call, socket) == 48, "cc_tls_call.socket");
_Static_assert(__builtin_offsetof(struct cc_tls_call, tid) == 56, "cc_tls_call.tid");
_Static_assert(__builtin_offsetof(struct cc_tls_call, pid) == 60, "cc_tls_call.pid");
_Static_assert(__builtin_offsetof(struct cc_tls_call, function) == 64, "cc_tls_call.function");
_Static_assert(__builtin_offsetof(struct cc_tls_call, result) == 68, "cc_tls_call.result");
_Static_assert(__builtin_offsetof(struct cc_tls_call, flags) == 72, "cc_tls_call.flags");
_Static_assert(__builtin_offsetof(struct cc_tls_call, netns) == 76, "cc_tls_call.netns");
_Static_assert(__builtin_offsetof(struct cc_tls_call, local_port) == 80, "cc_tls_call.local_port");
_Static_assert(__builtin_offsetof(struct cc_tls_call, remote_port) == 82, "cc_tls_call.remote_port");
_Static_assert(__builtin_offsetof(struct cc_tls_call, family) == 84, "cc_tls_call.family");
_Static_assert(__builtin_offsetof(struct cc_tls_call, reserved) == 86, "cc_tls_call.reserved");
_Static_assert(__builtin_offsetof(struct cc_tls_call, local_addr) == 88, "cc_tls_call.local_addr");
_Static_assert(__builtin_offsetof(struct cc_tls_call, remote_addr) == 104, "cc_tls_call.remote_addr");
_Static_assert(__builtin_offsetof(struct cc_tls_call, comm) == 120, "cc_tls_call.comm");

/* One statement of a Postgres server process: from the report of its text to the report of the next, or that the
 * process is idle (uprobe on `pgstat_report_activity`, what `pg_stat_activity` shows; `PortalRun`, `CommitTransactionCommand`,
 * `AbortCurrentTransaction`). Its commit is part of it. Only with `--uprobe postgres`. In the extended protocol each of parse, bind and execute is a
 * row, the first two with flags bit 3. A parallel worker has a row of its own with flags bit 7, which ends with it. Of a
 * statement that ran already when the capture began the text is not known, and it is seen only when it ends in the capture. */
#define CC_KIND_STATEMENT 38
struct cc_statement {
	struct cc_head head;
	__u64 time; /* When it began; when the capture began where flags bit 2 is set. */
	__u64 duration; /* How long it took; until the end of the capture or of the process where flags bit 0 or 1 is set. */
	__u64 executing; /* The part of it spent in running portals: without the parser and planner, nor the commit. */
	__u32 tid; /* The thread. */
	__u32 pid; /* The server process. */
	__u32 flags; /* Bit 0: it still ran when the capture ended. Bit 1: its process ended in it. Bit 2: it ran already when the capture began (known by its commit or abort; a prepared statement that was only described looks the same). Bit 3: no portal was run: a parse, a bind, or it failed before. Bit 4: it failed, the transaction was aborted. Bit 5: the text was longer than what is read of it (1 KiB). Bit 6: the text could not be read. Bit 7: the process is a parallel worker: it ran a part of another's statement, all of the time. */
	__u32 query; /* Its text, literals masked by the recorder before it is written (`sql-mask/1`): strings and numbers are `?`, comments are left out; at most 256 bytes. (bytes; they follow the struct and its frames, in order) */
	char comm[16]; /* Name of the process. */
};
_Static_assert(sizeof(struct cc_statement) == 72, "cc_statement");
_Static_assert(__builtin_offsetof(struct cc_statement, time) == 16, "cc_statement.time");
_Static_assert(__builtin_offsetof(struct cc_statement, duration) == 24, "cc_statement.duration");
_Static_assert(__builtin_offsetof(struct cc_statement, executing) == 32, "cc_statement.executing");
_Static_assert(__builtin_offsetof(struct cc_statement, tid) == 40, "cc_statement.tid");
_Static_assert(__builtin_offsetof(struct cc_statement, pid) == 44, "cc_statement.pid");
_Static_assert(__builtin_offsetof(struct cc_statement, flags) == 48, "cc_statement.flags");
_Static_assert(__builtin_offsetof(struct cc_statement, query) == 52, "cc_statement.query");
_Static_assert(__builtin_offsetof(struct cc_statement, comm) == 56, "cc_statement.comm");

/* One `getaddrinfo(3)`: the look-up of a host name through whatever the system uses, mostly DNS (uprobe on the
 * C library). Only with `--uprobe libc`. Programs that resolve by themselves (Go's own resolver, static binaries) are not seen. A call
 * that began before the capture is not in it: it was not seen to begin. */
#define CC_KIND_NAME_LOOKUP 39
struct cc_name_lookup {
	struct cc_head head;
	__u64 time; /* When it began. */
	__u64 duration; /* How long it took; until the end of the capture or of the thread where flags bit 0 or 1 is set. */
	__u32 tid; /* The thread. */
	__u32 pid; /* Its process. */
	__s32 result; /* What it returned: 0 when fine, else EAI_* of `netdb.h` (-2 no such name, -3 try again, -4 failure); 0 where flags bit 0 or 1 is set. */
	__u32 flags; /* Bit 0: it still ran when the capture ended. Bit 1: its thread ended in it. Bit 2: the name was longer than 255 bytes and is cut. Bit 3: the name could not be read. */
	char comm[16]; /* Name of the thread. */
	__u32 name; /* The name that was asked for, as the program gave it; empty for none (the host itself). Host names are written as they are: not payload but what DNS and TLS (SNI) tell on the wire as well. (bytes; they follow the struct and its frames, in order) */
	__u32 reserved; /* Zero. */
};
_Static_assert(sizeof(struct cc_name_lookup) == 72, "cc_name_lookup");
_Static_assert(__builtin_offsetof(struct cc_name_lookup, time) == 16, "cc_name_lookup.time");
_Static_assert(__builtin_offsetof(struct cc_name_lookup, duration) == 24, "cc_name_lookup.duration");
_Static_assert(__builtin_offsetof(struct cc_name_lookup, tid) == 32, "cc_name_lookup.tid");
_Static_assert(__builtin_offsetof(struct cc_name_lookup, pid) == 36, "cc_name_lookup.pid");
_Static_assert(__builtin_offsetof(struct cc_name_lookup, result) == 40, "cc_name_lookup.result");
_Static_assert(__builtin_offsetof(struct cc_name_lookup, flags) == 44, "cc_name_lookup.flags");
_Static_assert(__builtin_offsetof(struct cc_name_lookup, comm) == 48, "cc_name_lookup.comm");
_Static_assert(__builtin_offsetof(struct cc_name_lookup, name) == 64, "cc_name_lookup.name");
_Static_assert(__builtin_offsetof(struct cc_name_lookup, reserved) == 68, "cc_name_lookup.reserved");
