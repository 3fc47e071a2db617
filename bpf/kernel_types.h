/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The members of kernel types that are read, and no others. Offsets are
 * relocated at load against the running kernel's BTF (CO-RE).
 */
#ifndef OTELPROF_KERNEL_TYPES_H
#define OTELPROF_KERNEL_TYPES_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

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

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct inode {
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
};

struct mm_struct {
	unsigned long start_stack;
	struct file *exe_file;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
};

struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	struct mm_struct *mm;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct pid *thread_pid;
	struct signal_struct *signal;
	__u64 start_boottime; /* called real_start_time before 5.5 */
	__u64 self_exec_id;   /* 64 bits wide since 5.7 */
};

#pragma clang attribute pop

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000
/* arch/x86/include/asm/segment.h: __USER_CS, code of 64-bit programs */
#define USER_CODE_64 0x33

#endif
