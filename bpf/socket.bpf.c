/* Sockets: who owns each, and what TCP knows of it each second, once established, and when it closes.
 *
 * Every TCP socket carries a note of ours from its first change of state on (or from the start, if a process holds it
 * then). The kernel iterates over those notes whatever network namespace a socket is in, without CAP_SYS_ADMIN, and
 * frees them with the sockets. */
#include "coldcase.bpf.h"
#include "socket.bpf.h"

CC_SENDS(cc_tcp_info);
CC_SENDS(cc_socket_owner);

enum { SECOND = 1, ESTABLISHED, CLOSED };
enum { ACTED = 1, HELD };

struct note {
	__u64 since;   /* first seen */
	__u64 connect; /* SYN_SENT to ESTABLISHED */
	__u64 started; /* start time of the owner */
	__u32 owner;   /* 0 while unknown */
	__u32 looked;  /* passes of the iterator that found no owner */
	/* What told a change when the last row was written. */
	__u32 segments_in;
	__u32 segments_out;
	__u32 written;
	__u32 read;
	__u32 queued;
	__u32 drops; /* of a listener: connections that it turned away */
	__u8 state;
	__u8 unaccepted;
	__u8 how;  /* it is known */
	__u8 told; /* there is a row of it */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct note);
} notes SEC(".maps");

/* How many sockets wait for their owner to be looked up: the recorder runs `when_asked_` programs while it is not 0. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} asked SEC(".maps");

/* A socket that nobody holds (a kernel's own, or one in an accept queue) is looked for so many times. */
#define LOOKS 3

static __always_inline struct note *note_of(struct cc_run *run, struct sock *sk, __u64 now)
{
	struct note *note = bpf_sk_storage_get(&notes, sk, 0, 0);

	if (note)
		return note;
	note = bpf_sk_storage_get(&notes, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!note)
		run->c->map_full++;
	else
		note->since = now;
	return note;
}

static __always_inline void note_owner(struct note *note, struct task_struct *task, __u8 how)
{
	note->owner = task->tgid;
	note->started = BPF_CORE_READ(task, group_leader, start_boottime);
	note->how = how;
	note->told = 0;
}

/* `inode` and `state` as the caller knows them: not every caller may walk there. */
static __always_inline void tell_owner(struct cc_run *run, struct sock *sk, struct note *note, __u64 now,
				       __u64 inode, __u8 state)
{
	struct cc_socket_owner *e;

	if (!note->owner || note->told || note->owner == cc_self_tgid)
		return;
	note->told = 1;
	e = cc_reserve_preemptible(run, CC_KIND_SOCKET_OWNER, sizeof(*e));
	if (!e)
		return;
	e->time = now;
	e->socket = cc_identity(sk);
	e->inode = inode;
	e->started = note->started;
	e->pid = note->owner;
	e->protocol = BPF_CORE_READ(sk, sk_protocol);
	e->state = state;
	e->how = note->how;
	e->reserved = 0;
	e->reserved2 = 0;
	read_ends_of_full(e, sk);
	cc_submit(run, e, sizeof(*e));
}

static __always_inline void read_figures(struct cc_tcp_info *e, struct sock *sk, struct tcp_sock *tp)
{
	struct inet_connection_sock *icsk = &tp->inet_conn;
	__u32 interval = tp->rate_interval_us, smallest = tp->rtt_min.s[0].v;

	e->rtt = (__u64)(tp->srtt_us >> 3) * 1000;
	e->rtt_deviation = (__u64)(tp->mdev_us >> 2) * 1000;
	e->rtt_min = smallest == ~0U ? 0 : (__u64)smallest * 1000;
	e->bytes_sent = tp->bytes_sent;
	e->bytes_acked = tp->bytes_acked;
	e->bytes_received = tp->bytes_received;
	e->bytes_retransmitted = tp->bytes_retrans;
	e->pacing_rate = sk->sk_pacing_rate;
	e->delivery_rate = interval ? (__u64)tp->rate_delivered * tp->mss_cache * 1000000 / interval : 0;
	e->cwnd = tp->snd_cwnd;
	e->ssthresh = tp->snd_ssthresh;
	e->mss = tp->mss_cache;
	e->unacked = tp->packets_out;
	e->lost = tp->lost_out;
	e->retransmits_out = tp->retrans_out;
	e->retransmits = tp->total_retrans;
	e->segments_out = tp->segs_out;
	e->segments_in = tp->segs_in;
	e->send_buffer = sk->sk_sndbuf;
	e->receive_buffer = sk->sk_rcvbuf;
	e->send_window = tp->snd_wnd;
	e->receive_window = tp->rcv_wnd;
	e->congestion = BPF_CORE_READ_BITFIELD_PROBED(icsk, icsk_ca_state);
	e->timeouts = icsk->icsk_retransmits;
}

static __always_inline void read_queues(struct cc_tcp_info *e, struct sock *sk, struct tcp_sock *tp, bool listens)
{
	__u32 unsent = tp->write_seq - tp->snd_una, unread = tp->rcv_nxt - tp->copied_seq;

	e->accept_queue = listens ? sk->sk_ack_backlog : 0;
	e->accept_limit = listens ? sk->sk_max_ack_backlog : 0;
	e->syn_queue = listens ? tp->inet_conn.icsk_accept_queue.qlen.counter : 0;
	/* A SYN or FIN takes a sequence number that is no byte, and a listener has none. */
	e->send_queue = listens || (__s32)unsent < 0 ? 0 : unsent;
	e->receive_queue = listens || (__s32)unread < 0 ? 0 : unread;
}

static __always_inline bool is_unaccepted(struct sock *sk, __u8 state)
{
	return !sk->sk_socket && (state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT || state == TCP_SYN_RECV);
}

static __always_inline void tell_info(struct cc_run *run, struct sock *sk, struct tcp_sock *tp, struct note *note,
				      __u64 now, __u8 why, __u8 state)
{
	struct cc_tcp_info *e;

	if (note->owner && note->owner == cc_self_tgid)
		return;
	e = cc_reserve_preemptible(run, CC_KIND_TCP_INFO, sizeof(*e));
	if (!e)
		return;
	e->time = now;
	e->socket = cc_identity(sk);
	e->age = now - note->since;
	e->connect = note->connect;
	e->pid = note->owner;
	e->drops = BPF_CORE_READ(sk, sk_drops.counter);
	e->error = sk->sk_err;
	e->why = why;
	e->state = state;
	e->unaccepted = is_unaccepted(sk, state);
	e->reserved = 0;
	e->reserved2 = 0;
	read_figures(e, sk, tp);
	read_queues(e, sk, tp, state == TCP_LISTEN);
	read_ends_of_full(e, sk);
	cc_submit(run, e, sizeof(*e));
}

/* Whether something happened since the last row; remembers what is now. */
static __always_inline bool changed(struct note *note, struct sock *sk, struct tcp_sock *tp, __u8 state)
{
	__u8 unaccepted = is_unaccepted(sk, state);
	__u32 queued = state == TCP_LISTEN ? sk->sk_ack_backlog : 0;
	__u32 drops = state == TCP_LISTEN ? BPF_CORE_READ(sk, sk_drops.counter) : 0;

	if (note->state == state && note->segments_in == tp->segs_in && note->segments_out == tp->segs_out &&
	    note->written == tp->write_seq && note->read == tp->copied_seq && note->queued == queued &&
	    note->drops == drops && note->unaccepted == unaccepted)
		return false;
	note->state = state;
	note->segments_in = tp->segs_in;
	note->segments_out = tp->segs_out;
	note->written = tp->write_seq;
	note->read = tp->copied_seq;
	note->queued = queued;
	note->drops = drops;
	note->unaccepted = unaccepted;
	return true;
}

SEC("tp_btf/inet_sock_set_state")
int socket_state(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct sock *sk = (struct sock *)ctx[0];
	__u8 before = ctx[1], after = ctx[2];
	__u64 now = bpf_ktime_get_boot_ns();
	struct tcp_sock *tp;
	struct cc_run run;
	struct note *note;
	bool acted;

	if (sk->sk_protocol != IPPROTO_TCP || !cc_begin(&run))
		return 0;
	note = note_of(&run, sk, now);
	tp = bpf_skc_to_tcp_sock(sk);
	if (!note || !tp)
		return cc_end(&run);
	acted = !cc_interrupted(ctx) && !(task->flags & PF_KTHREAD);
	if (after == TCP_SYN_SENT || after == TCP_LISTEN || (acted && !note->owner && before != TCP_SYN_RECV)) {
		if (after == TCP_SYN_SENT) {
			/* A socket can be connected again after a failure. */
			note->since = now;
			note->connect = 0;
		}
		if (acted)
			note_owner(note, task, ACTED);
	}
	/* The kernel chooses the port of a connection after this change. */
	if (after != TCP_SYN_SENT)
		tell_owner(&run, sk, note, now, 0, after);
	if (after == TCP_ESTABLISHED) {
		if (before == TCP_SYN_SENT)
			note->connect = now - note->since;
		tell_info(&run, sk, tp, note, now, ESTABLISHED, after);
	} else if (after == TCP_LISTEN) {
		/* What it turns away counts from here. */
		changed(note, sk, tp, after);
		tell_info(&run, sk, tp, note, now, ESTABLISHED, after);
	} else if (after == TCP_CLOSE && before != TCP_CLOSE) {
		tell_info(&run, sk, tp, note, now, CLOSED, before);
	}
	return cc_end(&run);
}

/* The close of a socket that the peer reset changes no state: only here the closing process shows. */
SEC("tp_btf/tcp_destroy_sock")
int socket_destroyed(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct sock *sk = (struct sock *)ctx[0];
	struct cc_run run;
	struct note *note;

	if (cc_interrupted(ctx) || task->flags & PF_KTHREAD || !cc_begin(&run))
		return 0;
	note = bpf_sk_storage_get(&notes, sk, 0, 0);
	if (note && !note->owner) {
		note_owner(note, task, ACTED);
		tell_owner(&run, sk, note, bpf_ktime_get_boot_ns(), 0, TCP_CLOSE);
	}
	return cc_end(&run);
}

static __always_inline int held(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct cc_run run;
	struct note *note;
	struct sock *sk;
	__u16 family;
	__u64 now;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || !cc_begin(&run))
		return 0;
	family = sk->__sk_common.skc_family;
	if ((family != AF_INET && family != AF_INET6) ||
	    (sk->sk_protocol != IPPROTO_TCP && sk->sk_protocol != IPPROTO_UDP))
		return cc_end(&run);
	now = bpf_ktime_get_boot_ns();
	note = note_of(&run, sk, now);
	if (note && !note->owner) {
		note_owner(note, task, HELD);
		tell_owner(&run, sk, note, now, BPF_CORE_READ(file, f_inode, i_ino), sk->__sk_common.skc_state);
	}
	return cc_end(&run);
}

SEC("iter/task_file")
int begin_sockets(struct bpf_iter__task_file *ctx)
{
	return held(ctx);
}

SEC("iter/task_file")
int when_asked_sockets(struct bpf_iter__task_file *ctx)
{
	return held(ctx);
}

/* Writes a byte for each row: a read of n bytes by the recorder makes it pause after n rows, so that it sets the pace. */
SEC("iter/bpf_sk_storage_map")
int each_second_notes(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct note *note = ctx->value;
	struct sock *sk = ctx->sk;
	__u32 zero = 0;
	struct tcp_sock *tp;
	struct cc_run run;
	__u64 *wanted;
	__u8 state;

	if (!sk || !note || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || !cc_begin(&run))
		return 0;
	state = sk->__sk_common.skc_state;
	if (!note->owner && note->looked < LOOKS && !is_unaccepted(sk, state)) {
		note->looked++;
		wanted = bpf_map_lookup_elem(&asked, &zero);
		if (wanted)
			(*wanted)++;
	}
	if (state != TCP_CLOSE)
		tell_owner(&run, sk, note, bpf_ktime_get_boot_ns(), 0, state);
	if (state != TCP_CLOSE && changed(note, sk, tp, state)) {
		tell_info(&run, sk, tp, note, bpf_ktime_get_boot_ns(), SECOND, state);
		bpf_seq_write(seq, &zero, 1);
	}
	return cc_end(&run);
}
