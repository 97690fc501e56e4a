/* Paths: of a dentry, walked up to the root and across mounts, and as a program gave it. Bounded in depth and length. */
#pragma once

#include "coldcase.bpf.h"

/* Bytes of a path at most; a power of two. The end is kept, the beginning is cut. */
#define CC_PATH_BYTES 256
/* Names and mounts of one path at most. */
#define CC_PATH_DEPTH 20

/* The path stands in text[at .. CC_PATH_BYTES]: it is written from its end. Behind it there is room, so that the
 * verifier sees that a name of any length fits. */
struct cc_path {
	char text[2 * CC_PATH_BYTES];
	__u32 at;
	bool cut; /* its beginning is missing */
};

/* The path of a dentry in the tree that `mnt` is mounted in; without a mount, from the root of its file system. */
static __always_inline void cc_path_of(struct cc_path *path, struct dentry *dentry, struct vfsmount *mnt)
{
	struct dentry *parent, *top = mnt ? BPF_CORE_READ(mnt, mnt_root) : 0;
	struct mount *mount = mnt ? (void *)mnt - bpf_core_field_offset(struct mount, mnt) : 0, *above;
	const unsigned char *name;
	__u32 at = CC_PATH_BYTES, length, step;

	path->cut = true;
	for (step = 0; step < CC_PATH_DEPTH; step++) {
		parent = BPF_CORE_READ(dentry, d_parent);
		if (dentry == top || dentry == parent) {
			above = mount ? BPF_CORE_READ(mount, mnt_parent) : 0;
			if (!above || above == mount) {
				path->cut = false;
				break;
			}
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = above;
			top = BPF_CORE_READ(mount, mnt.mnt_root);
			continue;
		}
		length = BPF_CORE_READ(dentry, d_name.len);
		name = BPF_CORE_READ(dentry, d_name.name);
		if (length >= at || length >= CC_PATH_BYTES)
			break;
		at -= length + 1;
		at &= CC_PATH_BYTES - 1;
		path->text[at] = '/';
		length &= CC_PATH_BYTES - 1;
		bpf_probe_read_kernel(path->text + at + 1, length, name);
		dentry = parent;
	}
	if (!path->cut && at == CC_PATH_BYTES) {
		at--;
		path->text[at] = '/';
	}
	path->at = at;
}

/* A path as a program gave it to a system call. */
static __always_inline void cc_path_user(struct cc_path *path, const char *user)
{
	/* Behind the place of a path: source and destination of a copy must not overlap. */
	char *whole = path->text + CC_PATH_BYTES;
	long got = bpf_probe_read_user_str(whole, CC_PATH_BYTES, user);

	path->at = CC_PATH_BYTES;
	path->cut = got == CC_PATH_BYTES;
	if (got <= 1)
		return;
	got = (got - 1) & (CC_PATH_BYTES - 1);
	path->at = CC_PATH_BYTES - got;
	/* To where a path ends. */
	bpf_probe_read_kernel(path->text + (path->at & (CC_PATH_BYTES - 1)), got, whole);
}

/* Copies the path to `to`, which has room for CC_PATH_BYTES; returns its length. */
static __always_inline __u32 cc_path_copy(void *to, struct cc_path *path)
{
	__u32 length, at = path->at;

	if (at >= CC_PATH_BYTES)
		return 0;
	length = CC_PATH_BYTES - at;
	if (length > CC_PATH_BYTES)
		return 0;
	bpf_probe_read_kernel(to, length, path->text + at);
	return length;
}

/* The open file of a number, null when there is none. */
static __always_inline struct file *cc_file(struct task_struct *task, __u32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = 0;

	if (!table || fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	files = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return file;
}
