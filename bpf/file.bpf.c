/* Files: syncs and removals that took long, with their path; writeback, journal commits, and throttled writers.
 *
 * The hooks are those of the file systems, so that no system call pays. Each is optional: a kernel has those of the file
 * systems that it has loaded. */
#include "path.bpf.h"

CC_SENDS(cc_file_call);
CC_SENDS(cc_writeback);

const volatile __u64 cc_file_threshold = 1000000; /* shorter calls are not told, in ns */
const volatile __u32 cc_args_balance_dirty_pages = 8;

enum { FSYNC = 1, FDATASYNC, UNLINK };
#define END_UNSEEN 1
#define PATH_CUT 2
#define BELOW_ROOT 4

enum { WRITTEN = 1, PAUSED, COMMITTED };

struct call {
	__u64 began;
	__u64 dentry; /* addresses, only read through */
	__u64 mnt;
	__u64 inode;
	__s64 pages;  /* writeback: pages to go when it began */
	__u32 what;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} calls SEC(".maps");

struct out {
	struct cc_file_call e;
	char path[CC_PATH_BYTES];
	struct cc_path walk;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct out);
} scratch SEC(".maps");

/* Remembers what the running thread began. Null when there is no room (counted), or when it is the recorder. */
static __always_inline struct call *begin(struct cc_run *run, __u32 what)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call *call;

	if (task->tgid == cc_self_tgid)
		return 0;
	call = bpf_task_storage_get(&calls, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!call) {
		run->c->map_full++;
		return 0;
	}
	call->what = what;
	call->began = bpf_ktime_get_boot_ns();
	return call;
}

/* What the running thread began and has now ended. */
static __always_inline struct call *ended(void)
{
	struct call *call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0, 0);

	return call && call->began ? call : 0;
}

static __always_inline void tell(struct cc_run *run, struct call *call, __s32 result, __u32 flags)
{
	struct inode *inode = (struct inode *)call->inode;
	__u64 id = bpf_get_current_pid_tgid();
	__u32 zero = 0, length;
	struct out *o = bpf_map_lookup_elem(&scratch, &zero);

	if (!o)
		return;
	cc_head(run, &o->e.head, CC_KIND_FILE_CALL);
	o->e.time = call->began;
	o->e.duration = flags & END_UNSEEN ? 0 : bpf_ktime_get_boot_ns() - call->began;
	o->e.inode = BPF_CORE_READ(inode, i_ino);
	o->e.size = BPF_CORE_READ(inode, i_size);
	o->e.dev = BPF_CORE_READ(inode, i_sb, s_dev);
	o->e.what = call->what;
	o->e.pid = id >> 32;
	o->e.tid = (__u32)id;
	o->e.result = result;
	o->e.flags = flags | (call->mnt ? 0 : BELOW_ROOT);
	bpf_get_current_comm(o->e.comm, sizeof(o->e.comm));
	length = 0;
	if (call->dentry) {
		cc_path_of(&o->walk, (struct dentry *)call->dentry, (struct vfsmount *)call->mnt);
		if (o->walk.cut)
			o->e.flags |= PATH_CUT;
		length = cc_path_copy(o->path, &o->walk);
	}
	if (length > CC_PATH_BYTES)
		length = 0;
	o->e.path = length;
	o->e.reserved = 0;
	cc_output(run, o, sizeof(o->e) + length);
}

static __always_inline int end_call(struct cc_run *run, __s32 result)
{
	struct call *call = ended();

	if (call) {
		if (bpf_ktime_get_boot_ns() - call->began >= cc_file_threshold)
			tell(run, call, result, 0);
		call->began = 0;
	}
	return cc_end(run);
}

SEC("?tp_btf/ext4_sync_file_enter")
int ext4_sync_file_enter(__u64 *ctx)
{
	struct file *file = (struct file *)ctx[0];
	struct call *call;
	struct cc_run run;

	if (!cc_begin(&run))
		return 0;
	call = begin(&run, (int)ctx[1] ? FDATASYNC : FSYNC);
	if (call) {
		call->dentry = (__u64)BPF_CORE_READ(file, f_path.dentry);
		call->mnt = (__u64)BPF_CORE_READ(file, f_path.mnt);
		call->inode = (__u64)BPF_CORE_READ(file, f_inode);
	}
	return cc_end(&run);
}

SEC("?tp_btf/ext4_sync_file_exit")
int ext4_sync_file_exit(__u64 *ctx)
{
	struct cc_run run;

	return cc_begin(&run) ? end_call(&run, ctx[1]) : 0;
}

SEC("?tp_btf/ext4_unlink_enter")
int ext4_unlink_enter(__u64 *ctx)
{
	struct dentry *dentry = (struct dentry *)ctx[1];
	struct call *call;
	struct cc_run run;

	if (!cc_begin(&run))
		return 0;
	call = begin(&run, UNLINK);
	if (call) {
		call->dentry = cc_number(dentry);
		call->mnt = 0;
		call->inode = (__u64)BPF_CORE_READ(dentry, d_inode);
	}
	return cc_end(&run);
}

SEC("?tp_btf/ext4_unlink_exit")
int ext4_unlink_exit(__u64 *ctx)
{
	struct cc_run run;

	return cc_begin(&run) ? end_call(&run, ctx[1]) : 0;
}

/* XFS tells where it begins, not where it ends: how long it took stands in the thread's off-CPU intervals. */
SEC("?tp_btf/xfs_file_fsync")
int xfs_file_fsync(__u64 *ctx)
{
	struct xfs_inode *xfs = (struct xfs_inode *)ctx[0];
	struct call *call;
	struct cc_run run;

	if (!cc_begin(&run))
		return 0;
	call = begin(&run, FSYNC);
	if (call) {
		call->dentry = 0;
		call->mnt = 0;
		call->inode = cc_number(xfs) + bpf_core_field_offset(struct xfs_inode, i_vnode);
		tell(&run, call, 0, END_UNSEEN);
		call->began = 0;
	}
	return cc_end(&run);
}

/* The number of a backing device, from its name "<major>:<minor>"; 0 for what is no disk ("nfs-1"). */
static __always_inline __u32 device_of(struct bdi_writeback *wb)
{
	struct backing_dev_info *bdi = BPF_CORE_READ(wb, bdi);
	char name[16] = {};
	__u32 i, major = 0, number = 0;

	bpf_probe_read_kernel_str(name, sizeof(name), bdi->dev_name);
	for (i = 0; i < sizeof(name) && name[i]; i++) {
		if (name[i] == ':') {
			major = number;
			number = 0;
		} else if (name[i] >= '0' && name[i] <= '9') {
			number = number * 10 + (name[i] - '0');
		} else {
			return 0;
		}
	}
	return major << 20 | number;
}

static __always_inline void tell_writeback(struct cc_run *run, __u64 time, __u64 duration, __u32 what, __u32 dev, __u64 pages,
					   __u32 reason)
{
	struct cc_writeback *e = cc_reserve(run, CC_KIND_WRITEBACK, sizeof(*e));
	__u64 id = bpf_get_current_pid_tgid();

	if (!e)
		return;
	e->time = time;
	e->duration = duration;
	e->pages = pages;
	e->dev = dev;
	e->what = what;
	e->pid = id >> 32;
	e->tid = (__u32)id;
	e->reason = reason;
	e->reserved = 0;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	cc_submit(run, e, sizeof(*e));
}

SEC("?tp_btf/writeback_start")
int writeback_start(__u64 *ctx)
{
	struct wb_writeback_work *work = (struct wb_writeback_work *)ctx[1];
	struct call *call;
	struct cc_run run;

	if (!cc_begin(&run))
		return 0;
	call = begin(&run, 0);
	if (call)
		call->pages = BPF_CORE_READ(work, nr_pages);
	return cc_end(&run);
}

SEC("?tp_btf/writeback_written")
int writeback_written(__u64 *ctx)
{
	struct bdi_writeback *wb = (struct bdi_writeback *)ctx[0];
	struct wb_writeback_work *work = (struct wb_writeback_work *)ctx[1];
	struct cc_run run;
	struct call *call;
	__s64 pages;

	if (!cc_begin(&run))
		return 0;
	call = ended();
	if (call) {
		pages = call->pages - BPF_CORE_READ(work, nr_pages);
		if (pages > 0)
			tell_writeback(&run, call->began, bpf_ktime_get_boot_ns() - call->began, WRITTEN,
				       device_of(wb), pages, BPF_CORE_READ(work, reason));
		call->began = 0;
	}
	return cc_end(&run);
}

/* A writer is about to be put to sleep because too much is dirty. */
SEC("?tp_btf/balance_dirty_pages")
int balance_dirty_pages(__u64 *ctx)
{
	struct bdi_writeback *wb = (struct bdi_writeback *)ctx[0];
	struct cc_run run;
	__s64 pause;

	/* Five of its arguments became one in 6.15. */
	pause = ctx[6];
	if (cc_args_balance_dirty_pages >= 12)
		asm volatile("%0 = *(u64 *)(%1 + 80)" : "=r"(pause) : "r"(ctx));
	if (pause <= 0 || !cc_begin(&run))
		return 0;
	tell_writeback(&run, bpf_ktime_get_boot_ns(), 0, PAUSED, device_of(wb), 0, 0);
	return cc_end(&run);
}

SEC("?tp_btf/jbd2_start_commit")
int jbd2_start_commit(__u64 *ctx)
{
	struct cc_run run;

	if (!cc_begin(&run))
		return 0;
	begin(&run, 0);
	return cc_end(&run);
}

SEC("?tp_btf/jbd2_end_commit")
int jbd2_end_commit(__u64 *ctx)
{
	struct journal_s *journal = (struct journal_s *)ctx[0];
	struct cc_run run;
	struct call *call;

	if (!cc_begin(&run))
		return 0;
	call = ended();
	if (call) {
		tell_writeback(&run, call->began, bpf_ktime_get_boot_ns() - call->began, COMMITTED,
			       BPF_CORE_READ(journal, j_fs_dev, bd_dev), 0, 0);
		call->began = 0;
	}
	return cc_end(&run);
}
