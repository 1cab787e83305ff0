/* What a BPF program in C is written with: attributes, map declarations, helper functions. */
#ifndef CROSSBPF_BPF_HELPERS_H
#define CROSSBPF_BPF_HELPERS_H

#include <linux/bpf.h>
#include <linux/types.h>

/* Put a function or variable into the ELF section NAME, which tells a loader what it is. */
#define SEC(NAME) __attribute__((section(NAME), used))

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif
#ifndef __hidden
#define __hidden __attribute__((visibility("hidden")))
#endif
#ifndef __unused
#define __unused __attribute__((unused))
#endif

/* Members of a map declaration in section .maps: the type of a member carries its value. */
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]

#ifndef NULL
#define NULL ((void *)0)
#endif

#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

/* Keep the compiler from moving memory accesses across this line. */
#ifndef barrier
#define barrier() __asm__ volatile("" ::: "memory")
#endif

/* Keep the compiler from knowing what a variable holds, for instance from seeing through arithmetic. */
#ifndef barrier_var
#define barrier_var(variable) __asm__ volatile("" : "+r"(variable))
#endif

/* A helper is called by its number: a constant pointer of that value, which clang folds into `call NUMBER`. */
#define __CROSSBPF_HELPER(type, name, ...) \
	static type (*const bpf_##name)(__VA_ARGS__) __attribute__((unused)) = (type (*)(__VA_ARGS__))BPF_FUNC_##name

__CROSSBPF_HELPER(void *, map_lookup_elem, void *map, const void *key);
__CROSSBPF_HELPER(long, map_update_elem, void *map, const void *key, const void *value, __u64 flags);
__CROSSBPF_HELPER(long, map_delete_elem, void *map, const void *key);
__CROSSBPF_HELPER(long, map_push_elem, void *map, const void *value, __u64 flags);
__CROSSBPF_HELPER(long, map_pop_elem, void *map, void *value);
__CROSSBPF_HELPER(long, map_peek_elem, void *map, void *value);
__CROSSBPF_HELPER(void *, map_lookup_percpu_elem, void *map, const void *key, __u32 cpu);
__CROSSBPF_HELPER(long, for_each_map_elem, void *map, void *callback, void *data, __u64 flags);
__CROSSBPF_HELPER(long, tail_call, void *ctx, void *prog_array, __u32 index);
__CROSSBPF_HELPER(long, loop, __u32 count, void *callback, void *data, __u64 flags);

__CROSSBPF_HELPER(__u64, ktime_get_ns, void);
__CROSSBPF_HELPER(__u64, ktime_get_boot_ns, void);
__CROSSBPF_HELPER(__u64, ktime_get_coarse_ns, void);
__CROSSBPF_HELPER(__u64, ktime_get_tai_ns, void);
__CROSSBPF_HELPER(__u64, jiffies64, void);
__CROSSBPF_HELPER(__u32, get_prandom_u32, void);
__CROSSBPF_HELPER(__u32, get_smp_processor_id, void);
__CROSSBPF_HELPER(long, get_numa_node_id, void);
__CROSSBPF_HELPER(__u64, get_current_pid_tgid, void);
__CROSSBPF_HELPER(__u64, get_current_uid_gid, void);
__CROSSBPF_HELPER(long, get_current_comm, void *buffer, __u32 size);
__CROSSBPF_HELPER(__u64, get_current_task, void);
__CROSSBPF_HELPER(__u64, get_current_cgroup_id, void);

__CROSSBPF_HELPER(long, trace_printk, const char *format, __u32 format_size, ...);
__CROSSBPF_HELPER(long, snprintf, char *out, __u32 out_size, const char *format, __u64 *data, __u32 data_size);
__CROSSBPF_HELPER(long, strncmp, const char *a, __u32 a_size, const char *b);
__CROSSBPF_HELPER(long, probe_read_kernel, void *to, __u32 size, const void *from);
__CROSSBPF_HELPER(long, probe_read_user, void *to, __u32 size, const void *from);
__CROSSBPF_HELPER(long, probe_read_kernel_str, void *to, __u32 size, const void *from);
__CROSSBPF_HELPER(long, probe_read_user_str, void *to, __u32 size, const void *from);

__CROSSBPF_HELPER(__s64, csum_diff, __be32 *from, __u32 from_size, __be32 *to, __u32 to_size, __wsum seed);
__CROSSBPF_HELPER(long, skb_load_bytes, const void *skb, __u32 offset, void *to, __u32 size);
__CROSSBPF_HELPER(long, skb_store_bytes, struct __sk_buff *skb, __u32 offset, const void *from, __u32 size, __u64 flags);
__CROSSBPF_HELPER(long, l3_csum_replace, struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 size);
__CROSSBPF_HELPER(long, l4_csum_replace, struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 flags);
__CROSSBPF_HELPER(long, skb_pull_data, struct __sk_buff *skb, __u32 size);
__CROSSBPF_HELPER(long, skb_change_tail, struct __sk_buff *skb, __u32 size, __u64 flags);
__CROSSBPF_HELPER(__u32, get_hash_recalc, struct __sk_buff *skb);
__CROSSBPF_HELPER(long, redirect, __u32 ifindex, __u64 flags);
__CROSSBPF_HELPER(long, redirect_map, void *map, __u64 key, __u64 flags);
__CROSSBPF_HELPER(long, clone_redirect, struct __sk_buff *skb, __u32 ifindex, __u64 flags);
__CROSSBPF_HELPER(long, xdp_adjust_head, struct xdp_md *xdp, int delta);
__CROSSBPF_HELPER(long, xdp_adjust_meta, struct xdp_md *xdp, int delta);
__CROSSBPF_HELPER(long, xdp_adjust_tail, struct xdp_md *xdp, int delta);

__CROSSBPF_HELPER(long, perf_event_output, void *ctx, void *map, __u64 flags, void *data, __u64 size);
__CROSSBPF_HELPER(long, ringbuf_output, void *ring, void *data, __u64 size, __u64 flags);
__CROSSBPF_HELPER(void *, ringbuf_reserve, void *ring, __u64 size, __u64 flags);
__CROSSBPF_HELPER(void, ringbuf_submit, void *record, __u64 flags);
__CROSSBPF_HELPER(void, ringbuf_discard, void *record, __u64 flags);
__CROSSBPF_HELPER(__u64, ringbuf_query, void *ring, __u64 flags);
__CROSSBPF_HELPER(long, spin_lock, struct bpf_spin_lock *lock);
__CROSSBPF_HELPER(long, spin_unlock, struct bpf_spin_lock *lock);

/* Print a line; the format is a string literal, followed by at most three numbers. */
#define bpf_printk(format, ...) \
	({ \
		static const char __format[] = format; \
		bpf_trace_printk(__format, sizeof(__format), ##__VA_ARGS__); \
	})

#endif
