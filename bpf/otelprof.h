/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What crosses between the kernel side and user space. The mirror in Python is
 * otelprof/sampler/abi.py; `abi` at the end lets it check itself at load.
 */
#ifndef OTELPROF_H
#define OTELPROF_H

/* Frames of one user stack: deep recursion is real, 16 KiB per CPU is cheap. */
#define OP_MAX_USER_FRAMES 1024
/* sysctl kernel.perf_event_max_stack is 127 unless somebody raised it. */
#define OP_MAX_KERNEL_FRAMES 127
/* 2^16 rows of 32 bytes: 2 MiB, some 2,000 processes of 30 mappings. */
#define OP_MAX_MAPPING_ROWS 65536
/* A binary search over one process: 2^13 executable mappings. */
#define OP_MAPPING_SEARCH_STEPS 13
#define OP_MAX_PROCESS_MAPPINGS ((1 << OP_MAPPING_SEARCH_STEPS) - 1)
/* Processes that are sampled in some minutes; the least recently sampled leave first. */
#define OP_MAX_PROCESSES 16384
/* Processes that are chosen, or ours. */
#define OP_MAX_ROLES 65536
/* An unknown process is announced again after this long without an answer. */
#define OP_NOTICE_AGAIN_NS 100000000ULL
/* The clock is read once per so many frames. */
#define OP_FRAMES_PER_CLOCK_READ 16
#define OP_COMM_BYTES 16
/* Containers in our container, and so on; the kernel allows 32, nobody goes that far. */
#define OP_MAX_NESTED_PID_NAMESPACES 8
/* No code below mmap_min_addr, none of user space above the widest page tables (5 levels, 57 bits). */
#define OP_LOWEST_ADDRESS 4096
#define OP_ADDRESS_BITS 56

enum op_record_kind {
	OP_SAMPLE = 1,
	OP_KERNEL_STACK = 2,
	OP_USER_STACK = 3,
	OP_BUILD_IDS = 4,
	OP_NOTICE = 5,
};

enum op_frame_kind {
	OP_FRAME_NATIVE = 1, /* detail = binary id, address in the ELF file's space */
	OP_FRAME_RAW = 2,    /* address in the space of the stack */
	OP_FRAME_KERNEL = 3,
	OP_FRAME_CODE_OBJECT = 4, /* an interpreter's; detail = position in it */
};

#define OP_FRAME_RETURN_ADDRESS 1

enum op_outcome {
	OP_COMPLETE = 0,
	OP_KERNEL_ONLY = 1,
	OP_BAD_FRAME_POINTER = 2,
	OP_READ_FAULT = 3,
	OP_TOO_DEEP = 4,
	OP_TIME_BUDGET = 5,
	OP_NO_REGISTERS = 6,
};

/* A power of two, so that a mask keeps the index inside. */
#define OP_OUTCOME_SLOTS 8

enum op_role {
	OP_ROLE_OWN = 1,
	OP_ROLE_SELECTED = 2,
};

struct op_header {
	__u16 kind;
	__u16 weight; /* of a sample; else 0 */
	__u32 length; /* of the whole record, header included */
};

/* Equal identities are equal samples: user space aggregates on these bytes. */
struct op_identity {
	__u32 pid;
	__u32 tid;
	__u64 space;
	__u64 kernel_stack;
	__u64 user_stack;
	__u64 cgroup;
	__u32 cpu;
	__u16 outcome;
	__u16 known; /* the process was known to user space */
	char comm[OP_COMM_BYTES];
};

struct op_sample {
	struct op_header header;
	__u64 time_ns; /* CLOCK_MONOTONIC */
	struct op_identity identity;
};

struct op_frame {
	__u8 kind;
	__u8 flags;
	__u16 reserved;
	__u32 detail;
	__u64 address;
};

struct op_kernel_stack {
	struct op_header header;
	__u64 id;
	__u64 addresses[OP_MAX_KERNEL_FRAMES];
};

struct op_user_stack {
	struct op_header header;
	__u64 id;
	__u64 space; /* 0 when no frame depends on an address space */
	__u32 pid;
	__u32 frame_count;
	struct op_frame frames[OP_MAX_USER_FRAMES];
};

/* What the kernel itself knows of the frames of a process nobody has described yet. */
#define OP_MAX_BUILD_IDS 127
struct op_build_ids {
	struct op_header header;
	__u64 id; /* of the user stack that it explains */
	__u64 space;
	struct bpf_stack_build_id frames[OP_MAX_BUILD_IDS];
};

struct op_notice {
	struct op_header header;
	__u64 space;
	__u64 parent_space;
	__u64 start_ns; /* CLOCK_BOOTTIME */
	__u64 start_stack;
	__u64 executable_inode;
	__u64 cgroup;
	__u32 pid;
	__u32 tid;
	__u32 parent_pid;
	__u32 reserved;
	char comm[OP_COMM_BYTES];
};

/* One executable mapping; rows of a process are sorted by start. */
struct op_mapping_row {
	__u64 start;
	__u64 end;
	__u64 bias;   /* address in the ELF file's space = pc - bias */
	__u32 binary; /* 0 = executable memory without a known file: code of a JIT */
	__u32 generation;
};

#define OP_PROCESS_READY 1
#define OP_PROCESS_INHERITED 2 /* copied at fork, user space has not heard of it */

struct op_process {
	__u64 space;
	__u64 parent_space;
	__u64 noticed_ns;
	__u32 first_row;
	__u32 row_count;
	__u32 generation; /* of its rows: a region that was given to another process is recognised */
	__u32 flags;
};

struct op_counters {
	__u64 ticks;
	__u64 idle;
	__u64 own;
	__u64 filtered;
	__u64 captured;
	__u64 submitted;
	__u64 lost_sample_ring_full;
	__u64 lost_stack_ring_full;
	__u64 unknown_process;
	__u64 notices_lost;
	__u64 roles_full;
	__u64 outcomes[OP_OUTCOME_SLOTS];
};

/* Fixed at load, in read-only data, so that the verifier prunes what is not asked for. */
struct op_config {
	__u64 hash_seed;
	__u64 time_budget_ns;
	__u32 selecting;	   /* only processes with OP_ROLE_SELECTED */
	__u32 pid_namespace_inode; /* 0 = the initial one: no translation */
};

struct op_abi {
	__u32 sample_bytes;
	__u32 identity_offset;
	__u32 identity_bytes;
	__u32 frame_bytes;
	__u32 user_stack_header_bytes;
	__u32 kernel_stack_header_bytes;
	__u32 build_ids_header_bytes;
	__u32 build_id_bytes;
	__u32 notice_bytes;
	__u32 mapping_row_bytes;
	__u32 process_bytes;
	__u32 counters_bytes;
	__u32 config_bytes;
	__u32 max_mapping_rows;
	__u32 max_process_mappings;
	__u32 max_user_frames;
};

#define OP_MAGIC                                       \
	{                                              \
		'O', 'T', 'E', 'L', 'P', 'R', 'O', 'F' \
	}

struct op_fixed {
	char magic[8];
	struct op_abi abi;
	struct op_config config;
};

_Static_assert(sizeof(struct op_identity) == 64, "the identity is one cache line and a dictionary key");
_Static_assert(sizeof(struct op_sample) == 80, "a sample is small: it is written for every tick");
_Static_assert(sizeof(struct op_frame) == 16, "two words are hashed per frame");
_Static_assert(sizeof(struct op_mapping_row) % 8 == 0, "arrays round elements up to 8 bytes");
_Static_assert(OP_MAX_PROCESS_MAPPINGS < OP_MAX_MAPPING_ROWS, "one process cannot take every row");

#endif
