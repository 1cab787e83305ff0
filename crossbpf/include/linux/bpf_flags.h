/* Flags and modes of maps and of helpers, besides those of the network (linux/bpf_sockets.h). */
#ifndef CROSSBPF_LINUX_BPF_FLAGS_H
#define CROSSBPF_LINUX_BPF_FLAGS_H

/* Flags of bpf_map_update_elem. */
enum {
	BPF_ANY = 0,     /* create or replace */
	BPF_NOEXIST = 1, /* create only */
	BPF_EXIST = 2,   /* replace only */
	BPF_F_LOCK = 4,  /* under the value's spin lock */
};

/* Flags of map creation. */
enum {
	BPF_F_NO_PREALLOC = 1 << 0,
	BPF_F_NO_COMMON_LRU = 1 << 1,
	BPF_F_NUMA_NODE = 1 << 2,
	BPF_F_RDONLY = 1 << 3,
	BPF_F_WRONLY = 1 << 4,
	BPF_F_STACK_BUILD_ID = 1 << 5,
	BPF_F_ZERO_SEED = 1 << 6,
	BPF_F_RDONLY_PROG = 1 << 7,
	BPF_F_WRONLY_PROG = 1 << 8,
	BPF_F_CLONE = 1 << 9,
	BPF_F_MMAPABLE = 1 << 10,
	BPF_F_PRESERVE_ELEMS = 1 << 11,
	BPF_F_INNER_MAP = 1 << 12,
	BPF_F_LINK = 1 << 13,
	BPF_F_PATH_FD = 1 << 14,
	BPF_F_VTYPE_BTF_OBJ_FD = 1 << 15,
	BPF_F_TOKEN_FD = 1 << 16,
	BPF_F_SEGV_ON_FAULT = 1 << 17,
	BPF_F_NO_USER_CONV = 1 << 18,
};

/* Flags of bpf_sk_storage_get and its kin. */
enum {
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1 << 0,
	BPF_SK_STORAGE_GET_F_CREATE = BPF_LOCAL_STORAGE_GET_F_CREATE,
};

/* Flags of bpf_get_stackid and bpf_get_stack: how many frames to leave out, and where. */
enum {
	BPF_F_SKIP_FIELD_MASK = 0xff,
	BPF_F_USER_STACK = 1 << 8,
	BPF_F_FAST_STACK_CMP = 1 << 9,
	BPF_F_REUSE_STACKID = 1 << 10,
	BPF_F_USER_BUILD_ID = 1 << 11,
};

/* Flags of bpf_perf_event_output, _read and _read_value: a CPU, and how much of the packet to add. */
enum {
	BPF_F_INDEX_MASK = 0xffffffffULL,
	BPF_F_CURRENT_CPU = BPF_F_INDEX_MASK,
	BPF_F_CTXLEN_MASK = 0xfffffULL << 32,
};

/* Flags of bpf_read_branch_records. */
enum {
	BPF_F_GET_BRANCH_RECORDS_SIZE = 1 << 0,
};

/* Flags of bpf_timer_start. */
enum {
	BPF_F_TIMER_ABS = 1 << 0,
	BPF_F_TIMER_CPU_PIN = 1 << 1,
};

/* Flags of the helpers that end a ring buffer's record. */
enum {
	BPF_RB_NO_WAKEUP = 1 << 0,
	BPF_RB_FORCE_WAKEUP = 1 << 1,
};

/* What bpf_ringbuf_query asks for. */
enum {
	BPF_RB_AVAIL_DATA = 0,
	BPF_RB_RING_SIZE = 1,
	BPF_RB_CONS_POS = 2,
	BPF_RB_PROD_POS = 3,
};

/* The header of a ring buffer's record. */
enum {
	BPF_RINGBUF_BUSY_BIT = 1U << 31,
	BPF_RINGBUF_DISCARD_BIT = 1U << 30,
	BPF_RINGBUF_HDR_SZ = 8,
};

/* Flags of bpf_bprm_opts_set, bpf_sysctl_get_name, bpf_copy_from_user_str. */
enum {
	BPF_F_BPRM_SECUREEXEC = 1 << 0,
};

enum {
	BPF_F_SYSCTL_BASE_NAME = 1 << 0,
};

enum bpf_kfunc_flags {
	BPF_F_PAD_ZEROS = 1 << 0,
};

/* How bpf_snprintf_btf prints. */
enum {
	BTF_F_COMPACT = 1 << 0,
	BTF_F_NONAME = 1 << 1,
	BTF_F_PTR_RAW = 1 << 2,
	BTF_F_ZERO = 1 << 3,
};

/* What a cgroup_device program is asked: the upper and the lower half of access_type. */
enum {
	BPF_DEVCG_ACC_MKNOD = 1 << 0,
	BPF_DEVCG_ACC_READ = 1 << 1,
	BPF_DEVCG_ACC_WRITE = 1 << 2,
};

enum {
	BPF_DEVCG_DEV_BLOCK = 1 << 0,
	BPF_DEVCG_DEV_CHAR = 1 << 1,
};

/* What a cgroup iterator goes through. */
enum bpf_cgroup_iter_order {
	BPF_CGROUP_ITER_ORDER_UNSPEC = 0,
	BPF_CGROUP_ITER_SELF_ONLY = 1,
	BPF_CGROUP_ITER_DESCENDANTS_PRE = 2,
	BPF_CGROUP_ITER_DESCENDANTS_POST = 3,
	BPF_CGROUP_ITER_ANCESTORS_UP = 4,
};

/* What bpf_iter_task_new goes through. */
enum {
	BPF_TASK_ITER_ALL_PROCS = 0,
	BPF_TASK_ITER_ALL_THREADS = 1,
	BPF_TASK_ITER_PROC_THREADS = 2,
};

enum bpf_stats_type {
	BPF_STATS_RUN_TIME = 0,
};

/* What an entry of a stack trace with build ids holds. */
enum bpf_stack_build_id_status {
	BPF_STACK_BUILD_ID_EMPTY = 0,
	BPF_STACK_BUILD_ID_VALID = 1,
	BPF_STACK_BUILD_ID_IP = 2,
};

#endif
