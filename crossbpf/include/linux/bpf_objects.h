/* What lies in maps and on a program's stack for helpers and the kernel, as the kernel's ABI lays it out. */
#ifndef CROSSBPF_LINUX_BPF_OBJECTS_H
#define CROSSBPF_LINUX_BPF_OBJECTS_H

#include <linux/types.h>

/* Objects of the kernel's, in values of maps or allocated: only their size is the program's business. */
struct bpf_spin_lock {
	__u32 val;
};

struct bpf_res_spin_lock {
	__u32 val;
} __attribute__((aligned(4)));

struct bpf_timer {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_wq {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_task_work {
	__u64 __opaque;
} __attribute__((aligned(8)));

struct bpf_list_head {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_list_node {
	__u64 __opaque[3];
} __attribute__((aligned(8)));

struct bpf_rb_root {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_rb_node {
	__u64 __opaque[4];
} __attribute__((aligned(8)));

struct bpf_refcount {
	__u32 __opaque[1];
} __attribute__((aligned(4)));

/* The same on the stack. */
struct bpf_dynptr {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_iter_num {
	__u64 __opaque[1];
} __attribute__((aligned(8)));

/* The key of an lpm_trie begins with how many bits of the rest count; data is as long as the map says. */
struct bpf_lpm_trie_key {
	__u32 prefixlen;
	__u8 data[0];
};

struct bpf_lpm_trie_key_hdr {
	__u32 prefixlen;
};

struct bpf_lpm_trie_key_u8 {
	union {
		struct bpf_lpm_trie_key_hdr hdr;
		__u32 prefixlen;
	};
	__u8 data[0];
};

/* Key of a cgroup_storage. */
struct bpf_cgroup_storage_key {
	__u64 cgroup_inode_id;
	__u32 attach_type;
};

/* What an entry of a devmap holds: a device, and the program that its frames meet (a descriptor going in, an id here). */
struct bpf_devmap_val {
	__u32 ifindex;
	union {
		int fd;
		__u32 id;
	} bpf_prog;
};

/* What an entry of a cpumap holds: the length of its queue, and a program. */
struct bpf_cpumap_val {
	__u32 qsize;
	union {
		int fd;
		__u32 id;
	} bpf_prog;
};

/* An entry of a stack trace with build ids. */
struct bpf_stack_build_id {
	__s32 status;
	unsigned char build_id[20];
	union {
		__u64 offset;
		__u64 ip;
	};
};

/* What bpf_get_ns_current_pid_tgid writes. */
struct bpf_pidns_info {
	__u32 pid;
	__u32 tgid;
};

/* What bpf_perf_event_read_value writes. */
struct bpf_perf_event_value {
	__u64 counter;
	__u64 enabled;
	__u64 running;
};

/* What bpf_snprintf_btf prints: something of a type of the kernel's. */
struct btf_ptr {
	void *ptr;
	__u32 type_id;
	__u32 flags;
};

/* An instruction. */
struct bpf_insn {
	__u8 code;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	__u8 dst_reg : 4, src_reg : 4;
#else
	__u8 src_reg : 4, dst_reg : 4;
#endif
	__s16 off;
	__s32 imm;
};

#endif
