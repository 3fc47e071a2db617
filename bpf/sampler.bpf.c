// SPDX-License-Identifier: GPL-2.0
/*
 * The sampler: one program per tick of each CPU's clock, and two small ones
 * that follow fork and exit.
 *
 * A tick is idle, ours, filtered or captured. A captured sample becomes two
 * stack ids and a record of fixed size; the frames of a stack cross to user
 * space once per epoch.
 */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "kernel_types.h"
#include "otelprof.h"

char LICENSE[] SEC("license") = "GPL";

/* User space finds it by its first bytes and fills in `config` before load. */
const volatile struct op_fixed fixed = {
	.magic = OP_MAGIC,
	.abi = {
		.sample_bytes = sizeof(struct op_sample),
		.identity_offset = offsetof(struct op_sample, identity),
		.identity_bytes = sizeof(struct op_identity),
		.frame_bytes = sizeof(struct op_frame),
		.user_stack_header_bytes = offsetof(struct op_user_stack, frames),
		.kernel_stack_header_bytes = offsetof(struct op_kernel_stack, addresses),
		.build_ids_header_bytes = offsetof(struct op_build_ids, frames),
		.build_id_bytes = sizeof(struct bpf_stack_build_id),
		.notice_bytes = sizeof(struct op_notice),
		.mapping_row_bytes = sizeof(struct op_mapping_row),
		.process_bytes = sizeof(struct op_process),
		.counters_bytes = sizeof(struct op_counters),
		.config_bytes = sizeof(struct op_config),
		.max_mapping_rows = OP_MAX_MAPPING_ROWS,
		.max_process_mappings = OP_MAX_PROCESS_MAPPINGS,
		.max_user_frames = OP_MAX_USER_FRAMES,
	},
};

/* Sizes of both rings and of `seen` are set before load. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} definitions SEC(".maps");

/* Stack id -> epoch in which its frames were last written. Eviction costs one more definition. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, OP_MAX_PROCESSES);
	__type(key, __u32);
	__type(value, struct op_process);
} processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OP_MAX_MAPPING_ROWS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct op_mapping_row);
} mapping_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OP_MAX_ROLES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u8);
} roles SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} epoch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct op_counters);
} counters SEC(".maps");

struct walk {
	__u64 hash;
	__u64 ip;
	__u64 fp;
	__u64 last_fp;
	__u64 deadline_ns;
	__u64 sought; /* address of the binary search, and its bounds */
	__u32 low;
	__u32 high;
	__u32 first_row;
	__u32 row_count;
	__u32 generation;
	__u32 row; /* last one that matched */
	__u32 count;
	__u16 outcome;
	__u8 process_known;
	__u8 has_raw;
};

/*
 * All that is known of one tick. It lies in a map since it is larger than the
 * stack, and since the verifier does not follow values in maps: on the stack
 * each way to fill it would be a state of its own (30,000 steps, not 1,300).
 */
struct tick {
	struct op_sample sample;
	struct walk walk;
	__u64 kernel_hash;
	__u64 now_ns;
	__u32 epoch;
	__u32 failed; /* a definition could not be written */
	struct op_user_stack user;
	union {
		struct op_kernel_stack kernel;
		struct op_build_ids build_ids;
	};
};

/* One tick at a time is handled on a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tick);
} ticks SEC(".maps");

/* What a callback of bpf_loop gets must lie on the stack. */
struct loop {
	struct tick *tick;
};

static const __u32 zero;

static __always_inline __u64 mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ (hash >> 32);
}

/* The number of a task in our own PID namespace, 0 when it cannot be seen from there. */
static __always_inline __u32 visible_pid(struct task_struct *task)
{
	struct upid *numbers;
	struct pid *pid;
	__u32 level;

	if (!fixed.config.pid_namespace_inode)
		return BPF_CORE_READ(task, pid);
	pid = BPF_CORE_READ(task, thread_pid);
	if (!pid)
		return 0;
	level = BPF_CORE_READ(pid, level);
	numbers = (void *)pid + bpf_core_field_offset(struct pid, numbers);
	for (__u32 depth = 0; depth < OP_MAX_NESTED_PID_NAMESPACES && depth <= level; depth++) {
		struct upid *number = (void *)numbers + (level - depth) * bpf_core_type_size(struct upid);

		if (BPF_CORE_READ(number, ns, ns.inum) == fixed.config.pid_namespace_inode)
			return BPF_CORE_READ(number, nr);
	}
	return 0;
}

/*
 * One address space of one program: an exec raises self_exec_id, a fork has a
 * start time of its own, and a kernel pointer never leaves unhashed.
 */
static __always_inline __u64 space_of(struct task_struct *leader, struct mm_struct *mm, __u64 exec_id, __u32 pid)
{
	__u64 hash = mix(fixed.config.hash_seed, (__u64)mm);

	hash = mix(hash, BPF_CORE_READ(leader, start_boottime));
	hash = mix(hash, exec_id);
	hash = mix(hash, pid);
	return hash ? hash : 1;
}

/* A callback, since a loop with ways out is verified once for each of them. */
static long search_step(__u32 index, void *data)
{
	struct walk *walk = &((struct loop *)data)->tick->walk;
	__u32 middle = (walk->low + walk->high) / 2;
	struct op_mapping_row *row = bpf_map_lookup_elem(&mapping_rows, &middle);

	if (walk->low >= walk->high || !row || row->generation != walk->generation)
		return 1;
	if (walk->sought < row->start) {
		walk->high = middle;
	} else if (walk->sought >= row->end) {
		walk->low = middle + 1;
	} else {
		walk->row = middle;
		return 1;
	}
	return 0;
}

static __always_inline bool holds(const struct op_mapping_row *row, const struct walk *walk, __u64 address)
{
	return row && row->generation == walk->generation && address >= row->start && address < row->end;
}

static __always_inline struct op_mapping_row *find_row(struct tick *tick, __u64 address)
{
	struct walk *walk = &tick->walk;
	struct loop loop = { .tick = tick };
	__u32 index = walk->row;
	struct op_mapping_row *row = bpf_map_lookup_elem(&mapping_rows, &index);

	/* Most frames lie in the same mapping as the one before. */
	if (holds(row, walk, address))
		return row;
	walk->sought = address;
	walk->low = walk->first_row;
	walk->high = walk->first_row + walk->row_count;
	bpf_loop(OP_MAPPING_SEARCH_STEPS, search_step, &loop, 0);
	index = walk->row;
	row = bpf_map_lookup_elem(&mapping_rows, &index);
	return holds(row, walk, address) ? row : NULL;
}

/* Write the frame of walk->ip; false when no caller can be at such an address. */
static __always_inline bool add_frame(struct tick *tick, __u32 slot)
{
	struct walk *walk = &tick->walk;
	struct op_mapping_row *row = NULL;
	bool is_return = slot > 0;
	struct op_frame *frame;
	__u64 word, address = walk->ip;
	__u32 detail = 0;
	__u8 kind = OP_FRAME_RAW;

	if (slot >= OP_MAX_USER_FRAMES)
		return false;
	if (walk->process_known) {
		/* The call instruction is in front of the return address. */
		row = find_row(tick, address - is_return);
		if (!row && is_return)
			return false;
		if (row && row->binary) {
			kind = OP_FRAME_NATIVE;
			detail = row->binary;
			address -= row->bias;
		}
	}
	if (kind == OP_FRAME_RAW)
		walk->has_raw = 1;
	frame = &tick->user.frames[slot & (OP_MAX_USER_FRAMES - 1)];
	word = kind | (is_return ? OP_FRAME_RETURN_ADDRESS << 8 : 0) | (__u64)detail << 32;
	*(__u64 *)frame = word;
	frame->address = address;
	walk->hash = mix(mix(walk->hash, word), address);
	walk->count = slot + 1;
	return true;
}

/* Go to the caller by the frame pointer: [fp] = the caller's fp, [fp + 8] = return address. */
static __always_inline bool unwind_frame_pointer(struct walk *walk)
{
	__u64 words[2];

	if (walk->fp == 0) {
		walk->outcome = OP_COMPLETE;
		return false;
	}
	/* Frames are aligned, and those of callers lie above. */
	if (walk->fp & 7 || walk->fp <= walk->last_fp) {
		walk->outcome = OP_BAD_FRAME_POINTER;
		return false;
	}
	if (bpf_probe_read_user(words, sizeof(words), (void *)walk->fp)) {
		walk->outcome = OP_READ_FAULT;
		return false;
	}
	if (words[1] == 0) {
		walk->outcome = OP_COMPLETE;
		return false;
	}
	if (words[1] < OP_LOWEST_ADDRESS || words[1] >> OP_ADDRESS_BITS) {
		walk->outcome = OP_BAD_FRAME_POINTER;
		return false;
	}
	walk->last_fp = walk->fp;
	walk->fp = words[0];
	walk->ip = words[1];
	return true;
}

static long walk_step(__u32 index, void *data)
{
	struct tick *tick = ((struct loop *)data)->tick;
	struct walk *walk = &tick->walk;

	if (index % OP_FRAMES_PER_CLOCK_READ == OP_FRAMES_PER_CLOCK_READ - 1 &&
	    bpf_ktime_get_ns() > walk->deadline_ns) {
		walk->outcome = OP_TIME_BUDGET;
		return 1;
	}
	if (index && !unwind_frame_pointer(walk))
		return 1;
	if (!add_frame(tick, index)) {
		walk->outcome = OP_BAD_FRAME_POINTER;
		return 1;
	}
	return 0;
}

static __always_inline bool already_defined(const struct tick *tick, __u64 id)
{
	__u32 *when = bpf_map_lookup_elem(&seen, &id);

	return when && *when == tick->epoch;
}

static __always_inline void mark_defined(struct tick *tick, __u64 id)
{
	__u32 now = tick->epoch;

	bpf_map_update_elem(&seen, &id, &now, BPF_ANY);
}

static long hash_kernel_frame(__u32 index, void *data)
{
	struct tick *tick = ((struct loop *)data)->tick;

	if (index >= OP_MAX_KERNEL_FRAMES)
		return 1;
	tick->kernel_hash = mix(tick->kernel_hash, tick->kernel.addresses[index]);
	return 0;
}

/* Kernel frames; 0 = none. A stack id of which the frames could not be written is not used. */
static __always_inline __u64 intern_kernel_stack(void *ctx, struct tick *tick)
{
	struct op_kernel_stack *stack = &tick->kernel;
	struct loop loop = { .tick = tick };
	__u64 id;
	long bytes;

	bytes = bpf_get_stack(ctx, stack->addresses, sizeof(stack->addresses), 0);
	if (bytes <= 0 || bytes > (long)sizeof(stack->addresses))
		return 0;
	tick->kernel_hash = fixed.config.hash_seed ^ OP_FRAME_KERNEL;
	bpf_loop(bytes / sizeof(__u64), hash_kernel_frame, &loop, 0);
	id = tick->kernel_hash ? tick->kernel_hash : 1;
	if (already_defined(tick, id))
		return id;
	bytes += offsetof(struct op_kernel_stack, addresses);
	stack->header.kind = OP_KERNEL_STACK;
	stack->header.weight = 0;
	stack->header.length = bytes;
	stack->id = id;
	if (bpf_ringbuf_output(&definitions, stack, bytes, BPF_RB_NO_WAKEUP)) {
		tick->failed = 1;
		return 0;
	}
	mark_defined(tick, id);
	return id;
}

/* Frames that describe themselves, for a process that may be gone when somebody looks. */
static __always_inline void write_build_ids(void *ctx, struct tick *tick, __u64 id)
{
	struct op_build_ids *record = &tick->build_ids;
	long bytes;

	bytes = bpf_get_stack(ctx, record->frames, sizeof(record->frames), BPF_F_USER_STACK | BPF_F_USER_BUILD_ID);
	if (bytes <= 0 || bytes > (long)sizeof(record->frames))
		return;
	bytes += offsetof(struct op_build_ids, frames);
	record->header.kind = OP_BUILD_IDS;
	record->header.weight = 0;
	record->header.length = bytes;
	record->id = id;
	record->space = tick->sample.identity.space;
	/* Best effort: without it the addresses of a process already gone stay bare. */
	bpf_ringbuf_output(&definitions, record, bytes, BPF_RB_NO_WAKEUP);
}

static __always_inline bool write_user_stack(struct tick *tick, __u64 id, __u64 space)
{
	struct op_user_stack *stack = &tick->user;
	__u32 count = tick->walk.count, bytes;

	if (count > OP_MAX_USER_FRAMES)
		return false;
	bytes = offsetof(struct op_user_stack, frames) + count * sizeof(struct op_frame);
	stack->header.kind = OP_USER_STACK;
	stack->header.weight = 0;
	stack->header.length = bytes;
	stack->id = id;
	stack->space = space;
	stack->pid = tick->sample.identity.pid;
	stack->frame_count = count;
	return bpf_ringbuf_output(&definitions, stack, bytes, BPF_RB_NO_WAKEUP) == 0;
}

/* Walk, intern and, when new, write the user stack. Returns its id; 0 = none. */
static __always_inline __u64 intern_user_stack(void *ctx, struct tick *tick)
{
	struct walk *walk = &tick->walk;
	struct loop loop = { .tick = tick };
	__u64 id, space;

	walk->hash = fixed.config.hash_seed;
	walk->outcome = OP_TOO_DEEP;
	walk->last_fp = 0;
	walk->has_raw = 0;
	walk->count = 0;
	bpf_loop(OP_MAX_USER_FRAMES, walk_step, &loop, 0);
	space = walk->has_raw ? tick->sample.identity.space : 0;
	id = mix(walk->hash, space);
	id = id ? id : 1;
	if (already_defined(tick, id))
		return id;
	if (!write_user_stack(tick, id, space)) {
		tick->failed = 1;
		return 0;
	}
	if (!walk->process_known)
		write_build_ids(ctx, tick, id);
	mark_defined(tick, id);
	return id;
}

static __always_inline void send_notice(struct task_struct *leader, struct mm_struct *mm, struct tick *tick,
					__u64 parent_space)
{
	struct op_notice *notice = bpf_ringbuf_reserve(&definitions, sizeof(*notice), 0);
	struct op_identity *identity = &tick->sample.identity;
	struct op_counters *count;
	struct task_struct *parent;

	if (!notice) {
		count = bpf_map_lookup_elem(&counters, &zero);
		if (count)
			count->notices_lost++;
		return;
	}
	parent = BPF_CORE_READ(leader, real_parent);
	notice->header.kind = OP_NOTICE;
	notice->header.weight = 0;
	notice->header.length = sizeof(*notice);
	notice->space = identity->space;
	notice->parent_space = parent_space;
	notice->start_ns = BPF_CORE_READ(leader, start_boottime);
	notice->start_stack = mm ? BPF_CORE_READ(mm, start_stack) : 0;
	notice->executable_inode = mm ? BPF_CORE_READ(mm, exe_file, f_inode, i_ino) : 0;
	notice->cgroup = identity->cgroup;
	notice->pid = identity->pid;
	notice->tid = identity->tid;
	notice->parent_pid = parent ? visible_pid(BPF_CORE_READ(parent, group_leader)) : 0;
	notice->reserved = 0;
	__builtin_memcpy(notice->comm, identity->comm, OP_COMM_BYTES);
	bpf_ringbuf_submit(notice, BPF_RB_FORCE_WAKEUP);
}

/* Find what user space told of the process; tell user space of the process where it has not. */
static __always_inline void know_process(struct task_struct *leader, struct mm_struct *mm, struct tick *tick)
{
	struct walk *walk = &tick->walk;
	__u64 space = tick->sample.identity.space, parent_space = 0;
	__u32 pid = tick->sample.identity.pid;
	struct op_process *process = bpf_map_lookup_elem(&processes, &pid);
	struct op_process unknown = {};
	bool notify = false;

	walk->process_known = 0;
	if (!process || process->space != space) {
		unknown.space = space;
		unknown.noticed_ns = tick->now_ns;
		bpf_map_update_elem(&processes, &pid, &unknown, BPF_ANY);
		notify = true;
	} else if (process->flags & OP_PROCESS_READY) {
		walk->process_known = 1;
		walk->first_row = process->first_row;
		walk->row_count = process->row_count;
		walk->generation = process->generation;
		walk->row = process->first_row;
		notify = process->flags & OP_PROCESS_INHERITED;
		parent_space = process->parent_space;
		process->flags &= ~OP_PROCESS_INHERITED;
	} else if (tick->now_ns - process->noticed_ns > OP_NOTICE_AGAIN_NS) {
		process->noticed_ns = tick->now_ns;
		notify = true;
	}
	if (notify)
		send_notice(leader, mm, tick, parent_space);
}

/* Where the task was in user space; false when nothing can be known of it. */
static __always_inline bool user_registers(struct bpf_perf_event_data *ctx, struct task_struct *task, struct walk *walk)
{
	struct pt_regs *regs;

	if ((ctx->regs.cs & 3) == 3) {
		walk->ip = ctx->regs.rip;
		walk->fp = ctx->regs.rbp;
		return ctx->regs.cs == USER_CODE_64;
	}
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (!regs || regs->cs != USER_CODE_64)
		return false;
	walk->ip = regs->rip;
	walk->fp = regs->rbp;
	return walk->ip != 0;
}

enum verdict { CAPTURE, OWN, FILTERED };

/* Which processes are sampled: decided before anything is read of them. */
static __always_inline enum verdict select(__u32 pid)
{
	__u8 *role;

	if (!pid)
		return FILTERED;
	role = bpf_map_lookup_elem(&roles, &pid);
	if (role && *role == OP_ROLE_OWN)
		return OWN;
	if (fixed.config.selecting && !(role && *role == OP_ROLE_SELECTED))
		return FILTERED;
	return CAPTURE;
}

static __always_inline void capture(struct bpf_perf_event_data *ctx, struct task_struct *task,
				    struct op_counters *count, __u32 pid)
{
	struct tick *tick = bpf_map_lookup_elem(&ticks, &zero);
	__u32 *now = bpf_map_lookup_elem(&epoch, &zero);
	struct task_struct *leader = task->group_leader;
	struct mm_struct *mm = BPF_CORE_READ(task, mm); /* a number: it is hashed */
	struct op_identity *identity;

	if (!tick || !now)
		return; /* cannot be: both are arrays of one element */
	identity = &tick->sample.identity;
	tick->now_ns = bpf_ktime_get_ns();
	tick->epoch = *now;
	tick->failed = 0;
	tick->sample.header.kind = OP_SAMPLE;
	tick->sample.header.weight = 1;
	tick->sample.header.length = sizeof(tick->sample);
	tick->sample.time_ns = tick->now_ns;
	identity->pid = pid;
	identity->tid = visible_pid(task);
	identity->space = space_of(leader, mm, task->self_exec_id, pid);
	identity->cgroup = bpf_get_current_cgroup_id();
	identity->cpu = bpf_get_smp_processor_id();
	identity->outcome = OP_KERNEL_ONLY;
	identity->user_stack = 0;
	bpf_get_current_comm(identity->comm, sizeof(identity->comm));
	identity->kernel_stack = intern_kernel_stack(ctx, tick);
	know_process(leader, mm, tick);
	identity->known = tick->walk.process_known;
	if (!identity->known)
		count->unknown_process++;
	if (mm && !(task->flags & PF_KTHREAD)) {
		if (user_registers(ctx, task, &tick->walk)) {
			tick->walk.deadline_ns = tick->now_ns + fixed.config.time_budget_ns;
			identity->user_stack = intern_user_stack(ctx, tick);
			identity->outcome = tick->walk.outcome;
		} else {
			identity->outcome = OP_NO_REGISTERS;
		}
	}
	count->outcomes[identity->outcome & (OP_OUTCOME_SLOTS - 1)]++;
	if (tick->failed)
		count->lost_stack_ring_full++;
	else if (bpf_ringbuf_output(&samples, &tick->sample, sizeof(tick->sample), BPF_RB_NO_WAKEUP))
		count->lost_sample_ring_full++;
	else
		count->submitted++;
}

SEC("perf_event")
int on_tick(struct bpf_perf_event_data *ctx)
{
	struct op_counters *count = bpf_map_lookup_elem(&counters, &zero);
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 pid;

	if (!count)
		return 0;
	count->ticks++;
	if (task->pid == 0) {
		count->idle++;
		return 0;
	}
	pid = visible_pid(task->group_leader);
	switch (select(pid)) {
	case OWN:
		count->own++;
		break;
	case FILTERED:
		count->filtered++;
		break;
	case CAPTURE:
		count->captured++;
		capture(ctx, task, count, pid);
		break;
	}
	return 0;
}

/* A child starts with its parent's role and mappings. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct op_process *known, copy;
	struct op_counters *count;
	__u32 parent_pid, pid;
	__u8 *role;

	if (parent->tgid == child->tgid)
		return 0;
	parent_pid = visible_pid(parent->group_leader);
	pid = visible_pid(child);
	if (!parent_pid || !pid)
		return 0;
	role = bpf_map_lookup_elem(&roles, &parent_pid);
	if (role && bpf_map_update_elem(&roles, &pid, role, BPF_ANY)) {
		count = bpf_map_lookup_elem(&counters, &zero);
		if (count)
			count->roles_full++;
	}
	known = bpf_map_lookup_elem(&processes, &parent_pid);
	if (!known || !(known->flags & OP_PROCESS_READY))
		return 0;
	/* What is known may be of a program that the parent ran before its last exec. */
	if (known->space != space_of(parent->group_leader, BPF_CORE_READ(parent, mm), parent->self_exec_id, parent_pid))
		return 0;
	copy = *known;
	copy.parent_space = known->space;
	copy.space = space_of(child, BPF_CORE_READ(child, mm), child->self_exec_id, pid);
	copy.flags = OP_PROCESS_READY | OP_PROCESS_INHERITED;
	bpf_map_update_elem(&processes, &pid, &copy, BPF_ANY);
	return 0;
}

/* The last thread of a process leaves: its number may be given to another one. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	__u32 pid;

	if (task->signal->live.counter > 0)
		return 0;
	pid = visible_pid(task->group_leader);
	bpf_map_delete_elem(&roles, &pid);
	bpf_map_delete_elem(&processes, &pid);
	return 0;
}
