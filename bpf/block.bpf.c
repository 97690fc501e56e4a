/* Block I/O: each request from its insertion into the queue to its completion. */
#include "coldcase.bpf.h"

CC_SENDS(cc_block_io);

/* As in the event. */
enum { UNKNOWN, THREAD, READAHEAD, WRITEBACK, JOURNAL, SWAP, KERNEL, THROTTLED };

/* Bios of one request that are counted. */
#define MAX_BIOS 64

struct pending {
	__u64 inserted;
	__u64 issued; /* 0 until then */
	__u64 cgroup;
	__u64 owner;
	__u64 began;
	__u64 sector;
	__u32 bytes;
	__u32 op;
	__u32 pid;
	__u32 tid;
	__u32 origin;
	__u32 bios;
	char comm[TASK_COMM_LEN];
	char work[TASK_COMM_LEN];
};

/* Keyed by the request: no run-queue lock is held where it is updated. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct pending);
} pending SEC(".maps");

/* When the request came into being; 0 where the kernel keeps no account of I/O (iostats). Two that were merged have the
 * earlier time. */
static __always_inline __u64 began(struct request *rq)
{
	return rq->start_time_ns;
}

static __always_inline void read_request(struct pending *p, struct request *rq)
{
	p->sector = rq->__sector;
	p->bytes = rq->__data_len;
	p->op = rq->cmd_flags;
}

/* The cgroup that pays for it. */
static __always_inline __u64 owner(struct request *rq)
{
	struct bio *bio = rq->bio;

	if (!bio || !bpf_core_field_exists(bio->bi_blkg))
		return 0;
	return BPF_CORE_READ(bio, bi_blkg, blkcg, css.cgroup, kn, id);
}

static __always_inline __u32 count_bios(struct request *rq)
{
	struct bio *bio = rq->bio;
	__u32 n;

	for (n = 0; n < MAX_BIOS && bio; n++)
		bio = bio->bi_next;
	return n;
}

/* What a worker of a workqueue does: the name of its queue, or what the work said it is (writeback: "flush-<device>"). */
static __always_inline void read_work(struct task_struct *task, char *work)
{
	struct kthread *kthread;
	struct worker *worker;

	if (!(task->flags & PF_WQ_WORKER) || !bpf_core_field_exists(task->worker_private))
		return;
	kthread = (struct kthread *)task->worker_private;
	worker = (struct worker *)BPF_CORE_READ(kthread, data);
	bpf_probe_read_kernel_str(work, TASK_COMM_LEN, worker->desc);
}

/* Whether a name begins with these at most 8 bytes. */
#define BEGINS(text, with)                                                             \
	({                                                                             \
		__u64 is, want = 0;                                                    \
		__builtin_memcpy(&is, text, sizeof(is));                               \
		__builtin_memcpy(&want, with, sizeof(with) - 1);                       \
		sizeof(with) > 8 ? is == want : !((is ^ want) << (72 - 8 * sizeof(with))); \
	})
/* The number of a flag where this kernel has it. */
#define FLAG(op, name)                                          \
	(bpf_core_enum_value_exists(enum req_flag_bits, name) && \
	 (op) >> bpf_core_enum_value(enum req_flag_bits, name) & 1)

static __always_inline __u32 origin(struct pending *p, struct task_struct *task)
{
	if (FLAG(p->op, __REQ_SWAP))
		return SWAP;
	if (!(task->flags & PF_KTHREAD))
		return FLAG(p->op, __REQ_RAHEAD) ? READAHEAD : THREAD;
	if (BEGINS(p->work, "kthrotld"))
		return THROTTLED;
	if (BEGINS(p->work, "flush-") || FLAG(p->op, __REQ_BACKGROUND))
		return WRITEBACK;
	if (BEGINS(p->comm, "jbd2/") || BEGINS(p->work, "xfs-cil/") || BEGINS(p->work, "xfs-log/"))
		return JOURNAL;
	return KERNEL;
}

/* A later request lies where one was that had been issued: its completion passed unseen. One that was put back is the
 * same request, with the same beginning. */
static __always_inline void count_unseen(struct cc_run *run, struct request *rq, struct pending *before)
{
	if (before->issued && began(rq) > before->began && before->pid != cc_self_tgid)
		run->c->untraced++;
}

static __always_inline struct pending *remember(struct cc_run *run, struct request *rq, struct pending *before)
{
	__u64 id = bpf_get_current_pid_tgid(), key = (__u64)rq;
	struct task_struct *task = bpf_get_current_task_btf();
	struct pending p = {};

	if (before)
		count_unseen(run, rq, before);
	p.inserted = bpf_ktime_get_boot_ns();
	p.began = began(rq);
	p.cgroup = bpf_get_current_cgroup_id();
	p.pid = id >> 32;
	p.tid = (__u32)id;
	bpf_get_current_comm(p.comm, sizeof(p.comm));
	read_request(&p, rq);
	read_work(task, p.work);
	p.owner = owner(rq);
	p.origin = origin(&p, task);
	if (bpf_map_update_elem(&pending, &key, &p, BPF_ANY)) {
		run->c->map_full++;
		return 0;
	}
	return bpf_map_lookup_elem(&pending, &key);
}

SEC("tp_btf/block_rq_insert")
int block_rq_insert(__u64 *ctx)
{
	__u64 key = ctx[0];
	struct cc_run run;

	if (cc_begin(&run)) {
		remember(&run, (struct request *)ctx[0], bpf_map_lookup_elem(&pending, &key));
		cc_end(&run);
	}
	return 0;
}

/* A request that was put back is issued again: the device's time counts from the last issue. */
SEC("tp_btf/block_rq_issue")
int block_rq_issue(__u64 *ctx)
{
	struct request *rq = (struct request *)ctx[0];
	__u64 key = (__u64)rq;
	struct pending *p;
	struct cc_run run;

	if (!cc_begin(&run))
		return 0;
	p = bpf_map_lookup_elem(&pending, &key);
	/* One that was merged into another ended without a word, and its memory is that of a later one by now. */
	if (!p || began(rq) > p->began) {
		/* Issued directly: the time of insertion is that of the issue. */
		p = remember(&run, rq, p);
		if (p) {
			p->issued = p->inserted;
			p->bios = count_bios(rq);
		}
	} else {
		p->issued = bpf_ktime_get_boot_ns();
		/* It may have grown by merges. */
		read_request(p, rq);
		p->bios = count_bios(rq);
	}
	return cc_end(&run);
}

/* The major and minor number of the disk. */
static __always_inline __u32 device(struct request *rq)
{
	struct request___with_disk *old = (void *)rq;
	struct gendisk *disk;

	disk = bpf_core_field_exists(old->rq_disk) ? BPF_CORE_READ(old, rq_disk) : BPF_CORE_READ(rq, q, disk);
	return (__u32)BPF_CORE_READ(disk, major) << 20 | BPF_CORE_READ(disk, first_minor);
}

/* Since 5.16 the tracepoint gives a blk_status_t (a small positive number, include/linux/blk_types.h), before that a
 * negative errno. */
static __always_inline __s32 error_number(__s32 status)
{
	if (status <= 0)
		return status;
	switch (status) {
	case 1: return -95;  /* BLK_STS_NOTSUPP, EOPNOTSUPP */
	case 2: return -110; /* BLK_STS_TIMEOUT, ETIMEDOUT */
	case 3: return -28;  /* BLK_STS_NOSPC, ENOSPC */
	case 4: return -67;  /* BLK_STS_TRANSPORT, ENOLINK */
	case 5: return -121; /* BLK_STS_TARGET, EREMOTEIO */
	case 6: return -52;  /* BLK_STS_RESV_CONFLICT, EBADE */
	case 7: return -61;  /* BLK_STS_MEDIUM, ENODATA */
	case 8: return -84;  /* BLK_STS_PROTECTION, EILSEQ */
	case 9: return -12;  /* BLK_STS_RESOURCE, ENOMEM */
	default: return -5;  /* BLK_STS_IOERR and what came later, EIO */
	}
}

static __always_inline void emit(struct cc_run *run, struct pending *p, struct request *rq, __s32 status)
{
	struct cc_block_io *e = cc_reserve(run, CC_KIND_BLOCK_IO, sizeof(*e));

	if (!e)
		return;
	e->time = p->inserted;
	e->duration = bpf_ktime_get_boot_ns() - p->inserted;
	e->queue = p->issued ? p->issued - p->inserted : e->duration;
	e->sector = p->sector;
	e->cgroup = p->cgroup;
	e->bytes = p->bytes;
	e->dev = device(rq);
	e->op = p->op;
	e->error = error_number(status);
	e->pid = p->pid;
	e->tid = p->tid;
	e->owner_cgroup = p->owner;
	e->origin = p->origin;
	e->bios = p->bios;
	__builtin_memcpy(e->comm, p->comm, sizeof(e->comm));
	__builtin_memcpy(e->work, p->work, sizeof(e->work));
	cc_submit(run, e, sizeof(*e));
}

SEC("tp_btf/block_rq_complete")
int block_rq_complete(__u64 *ctx)
{
	struct request *rq = (struct request *)ctx[0];
	__u64 key = (__u64)rq;
	struct pending *p;
	struct cc_run run;

	/* Completed in part: the rest follows. */
	if ((__u32)ctx[2] < rq->__data_len)
		return 0;
	if (!cc_begin(&run))
		return 0;
	p = bpf_map_lookup_elem(&pending, &key);
	if (p) {
		/* A flush without data ends and was never issued itself: what lies here is of an earlier request. */
		if (began(rq) > p->began)
			count_unseen(&run, rq, p);
		else if (p->pid != cc_self_tgid)
			emit(&run, p, rq, (__s32)ctx[1]);
		bpf_map_delete_elem(&pending, &key);
	}
	return cc_end(&run);
}
