/* Generated from bpf/spec/kfuncs.py by `python -m crossbpf.headers`. Do not edit. */
#ifndef CROSSBPF_BPF_KFUNCS_H
#define CROSSBPF_BPF_KFUNCS_H

#include <bpf/bpf_helpers.h>

struct __sk_buff;
struct bpf_dynptr;
struct bpf_iter_bits;
struct bpf_iter_task;
struct bpf_map;
struct cgroup;
struct task_struct;
struct xdp_md;

#ifndef __VMLINUX_H__
struct bpf_iter_bits {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_iter_task {
	__u64 __opaque[3];
} __attribute__((aligned(8)));
#endif

extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const __u64 *unsafe_ptr, __u32 nr_words) __weak __ksym;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) __weak __ksym;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) __weak __ksym;
extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task, unsigned int flags) __weak __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __weak __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __weak __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *p, __u32 start, __u32 end) __weak __ksym;
extern _Bool bpf_dynptr_is_null(const struct bpf_dynptr *p) __weak __ksym;
extern _Bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p) __weak __ksym;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *p) __weak __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone) __weak __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, __u32 offset, void *buffer, __u32 size) __weak __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, __u32 offset, void *buffer, __u32 size) __weak __ksym;
extern int bpf_dynptr_copy(struct bpf_dynptr *to, __u32 at, struct bpf_dynptr *from, __u32 from_at, __u32 size) __weak __ksym;
extern int bpf_dynptr_memset(struct bpf_dynptr *p, __u32 offset, __u32 size, __u8 value) __weak __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __weak __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *ptr) __weak __ksym;
extern void *bpf_cast_to_kern_ctx(void *obj) __weak __ksym;
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __weak __ksym;
extern void bpf_rcu_read_lock(void) __weak __ksym;
extern void bpf_rcu_read_unlock(void) __weak __ksym;
extern void bpf_preempt_disable(void) __weak __ksym;
extern void bpf_preempt_enable(void) __weak __ksym;
extern void bpf_local_irq_save(unsigned long *flags) __weak __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __weak __ksym;
extern __s64 bpf_map_sum_elem_count(const struct bpf_map *map) __weak __ksym;
extern int bpf_copy_from_user_str(void *dst, __u32 size, const void *unsafe_ptr, __u64 flags) __weak __ksym;
extern int bpf_strcmp(const char *s1, const char *s2) __weak __ksym;
extern int bpf_strcasecmp(const char *s1, const char *s2) __weak __ksym;
extern int bpf_strchr(const char *s, char c) __weak __ksym;
extern int bpf_strchrnul(const char *s, char c) __weak __ksym;
extern int bpf_strnchr(const char *s, __u64 count, char c) __weak __ksym;
extern int bpf_strrchr(const char *s, int c) __weak __ksym;
extern int bpf_strlen(const char *s) __weak __ksym;
extern int bpf_strnlen(const char *s, __u64 count) __weak __ksym;
extern int bpf_strspn(const char *s, const char *accept) __weak __ksym;
extern int bpf_strcspn(const char *s, const char *reject) __weak __ksym;
extern int bpf_strstr(const char *s1, const char *s2) __weak __ksym;
extern int bpf_strnstr(const char *s1, const char *s2, __u64 len) __weak __ksym;
extern void bpf_throw(__u64 cookie) __weak __ksym;
extern void *bpf_obj_new_impl(__u64 local_type_id, void *meta) __weak __ksym;
extern void bpf_obj_drop_impl(void *p, void *meta) __weak __ksym;
extern struct task_struct *bpf_task_acquire(struct task_struct *p) __weak __ksym;
extern void bpf_task_release(struct task_struct *p) __weak __ksym;
extern struct task_struct *bpf_task_from_pid(__s32 pid) __weak __ksym;
extern struct task_struct *bpf_task_from_vpid(__s32 vpid) __weak __ksym;
extern long bpf_task_under_cgroup(struct task_struct *task, struct cgroup *ancestor) __weak __ksym;
extern struct cgroup *bpf_cgroup_acquire(struct cgroup *cgrp) __weak __ksym;
extern void bpf_cgroup_release(struct cgroup *cgrp) __weak __ksym;
extern struct cgroup *bpf_cgroup_ancestor(struct cgroup *cgrp, int level) __weak __ksym;
extern struct cgroup *bpf_cgroup_from_id(__u64 cgid) __weak __ksym;

/* A new object of a type of the program's, zeroed, or NULL; and its end. */
#define bpf_obj_new(type) ((typeof(type) *)bpf_obj_new_impl(__builtin_btf_type_id(*(typeof(type) *)0, 0), (void *)0))
#define bpf_obj_drop(object) bpf_obj_drop_impl(object, (void *)0)

/* Loops that the kernel ends in the end (may_goto, Linux 6.9): for (...; can_loop; ...), or cond_break in the body. */
#ifndef can_loop
#define can_loop \
	({ \
		__label__ __over, __go_on; \
		_Bool __again = 1; \
		__asm__ volatile goto("may_goto %l[__over]" :::: __over); \
		goto __go_on; \
	__over: \
		__again = 0; \
	__go_on:; \
		__again; \
	})
#define cond_break \
	({ \
		if (!can_loop) \
			break; \
	})
#endif

#endif
