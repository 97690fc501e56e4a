/* What the programs read of the kernel's types: only the fields used, relocated at load time (CO-RE). */
#pragma once

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef __u16 __le16;
typedef __u32 __le32;
typedef __u64 __le64;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;
typedef _Bool bool;
enum { false = 0, true = 1 };

/* From include/uapi/linux/bpf.h. Numbers are ABI. */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum { BPF_ANY = 0 };
enum { BPF_F_NO_PREALLOC = 1 };
enum { BPF_F_USER_STACK = 1 << 8 };
enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2 };
enum { BPF_RB_AVAIL_DATA = 0 };

/* From include/linux/sched.h. */
#define PF_KTHREAD 0x00200000
#define PF_WQ_WORKER 0x00000020
#define TASK_DEAD 0x00000080
#define TASK_COMM_LEN 16

/* What a perf_event program gets (include/uapi/asm/bpf_perf_event.h): user-space ABI, hence not relocated. */
#if defined(__TARGET_ARCH_x86)
struct bpf_perf_event_data {
	__u64 before[17];
	__u64 cs;
	__u64 after[3];
	__u64 sample_period;
	__u64 addr;
};
#else
struct bpf_perf_event_data {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
	__u64 sample_period;
	__u64 addr;
};
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

/* Which there are depends on the kernel's configuration. */
enum cgroup_subsys_id {
	memory_cgrp_id = 4,
};

struct css_set {
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
};

struct rq;

struct cfs_rq {
	struct rq *rq; /* where CONFIG_FAIR_GROUP_SCHED is set */
};

struct sched_entity {
	__u64 sum_exec_runtime;
	struct cfs_rq *cfs_rq;
};

struct sched_info {
	long long unsigned int run_delay; /* where CONFIG_SCHED_INFO is set */
};

struct thread_info {
	__u64 preempt_count; /* aarch64 */
};

struct ns_common {
	unsigned int inum;
};

struct pid_namespace {
	struct ns_common ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

/* `numbers` has level + 1 entries: from the host's namespace to the innermost. */
struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
};

struct irqaction {
	const char *name;
};

struct task_group {
	struct cgroup_subsys_state css;
};

struct file;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct task_struct {
	struct thread_info thread_info;
	struct sched_entity se;
	struct sched_info sched_info;
	unsigned int __state;
	void *stack;
	unsigned int flags;
	int on_cpu;
	int pid;
	int tgid;
	int exit_code;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct mm_struct *mm;
	__u64 start_boottime;
	struct css_set *cgroups;
	struct task_group *sched_task_group;
	char comm[TASK_COMM_LEN];
	struct files_struct *files;
	void *worker_private; /* since 5.17 */
};

/* What stands behind worker_private of a workqueue's worker. */
struct kthread {
	void *data;
};

struct worker {
	char desc[24];
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	long unsigned int r10;
	long unsigned int bp;
	long unsigned int bx;
	long unsigned int ax;
	long unsigned int cx;
	long unsigned int dx;
	long unsigned int si;
	long unsigned int di;
	long unsigned int orig_ax;
	long unsigned int ip;
	unsigned short cs;
	long unsigned int sp;
};
/* pt_regs.cs of 32-bit code: __USER32_CS. */
#define CC_USER32_CS 0x23
#else
struct pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
	__u64 orig_x0;
	__s32 syscallno;
};
#endif

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_map;

struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct kernel_siginfo {
	int si_code;
};

struct sigaction {
	void *sa_handler;
};

struct k_sigaction {
	struct sigaction sa;
};

struct qstr {
	u32 len;
	const unsigned char *name;
};

struct super_block {
	u32 s_dev;
};

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	s64 i_size;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
};

struct xfs_inode {
	struct inode i_vnode;
};

struct backing_dev_info {
	char dev_name[64];
};

struct bdi_writeback {
	struct backing_dev_info *bdi;
};

enum wb_reason { WB_REASON_BACKGROUND };

struct wb_writeback_work {
	long nr_pages;
	enum wb_reason reason;
};

struct block_device {
	u32 bd_dev;
};

struct journal_s {
	struct block_device *j_fs_dev;
};

struct gendisk {
	int major;
	int first_minor;
};

struct request_queue {
	struct gendisk *disk;
};

struct blkcg {
	struct cgroup_subsys_state css;
};

struct blkcg_gq {
	struct blkcg *blkcg;
};

struct bio {
	struct bio *bi_next;
	struct blkcg_gq *bi_blkg;
};

/* The bits up to NOWAIT have not moved since 5.15; those behind have. */
enum req_flag_bits {
	__REQ_RAHEAD = 19,
	__REQ_BACKGROUND = 20,
	__REQ_SWAP = 25,
};

struct request {
	u64 start_time_ns;
	struct request_queue *q;
	struct bio *bio;
	unsigned int cmd_flags;
	unsigned int __data_len;
	__u64 __sector;
};

/* Until 5.16 the disk stood in the request. */
struct request___with_disk {
	struct gendisk *rq_disk;
};

#pragma clang attribute pop
