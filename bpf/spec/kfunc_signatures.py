"""What the verifier asks of a call of each kernel function: who may call it, what it takes and gives, its flags.

Those of Linux 6.18 on x86_64, without modules: the names, parameters and results are those of the kernel's BTF, where a
parameter's name ends in what it is: __sz the size of the memory before it, __k a constant, __ign ignored, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

POINTER = "*"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter, or a result (without a name).

    type     "struct task_struct", "void", "func", or a scalar's: "int", "u64", "enum pid_type"
    pointer  whether it is a pointer to that
    suffix   what follows "__" in its name, "" where nothing with a meaning does
    """

    name: str
    type: str
    pointer: bool
    suffix: str = ""

    @property
    def struct(self) -> str:
        """The name of the structure that it is or points to, "" for none."""
        return self.type.removeprefix("struct ").removeprefix("union ") if " " in self.type and not self.is_enum else ""

    @property
    def is_enum(self) -> bool:
        """Whether it is one of an enumeration."""
        return self.type.startswith("enum ")


@dataclass(frozen=True, slots=True)
class KfuncSignature:
    """A kernel function as a program may call it.

    callers  (program type, attach type or "" for any) of who may; empty: all
    acquires, releases, may_be_null, trusted, rcu, sleeps, destroys
             its flags KF_ACQUIRE, KF_RELEASE, KF_RET_NULL, KF_TRUSTED_ARGS, KF_RCU, KF_SLEEPABLE, KF_DESTRUCTIVE
    guarded  it and what it gives are only for RCU read sections (KF_RCU_PROTECTED)
    """

    name: str
    result: Parameter
    parameters: tuple[Parameter, ...]
    callers: frozenset[tuple[str, str]]
    acquires: bool = False
    releases: bool = False
    may_be_null: bool = False
    trusted: bool = False
    rcu: bool = False
    guarded: bool = False
    sleeps: bool = False
    destroys: bool = False

    def allows(self, kind: str, attach: str) -> bool:
        """Whether programs of a type may call it, attached as they are."""
        return not self.callers or (kind, "") in self.callers or (kind, attach) in self.callers

    @property
    def step(self) -> tuple[str, str]:
        """Of an iterator's functions its kind and "new", "next" or "destroy"; ("", "") of others."""
        match = _STEP.fullmatch(self.name)
        return (match[1], match[2]) if match else ("", "")


_STEP = re.compile(r"bpf_iter_(\w+)_(new|next|destroy)")
_CGROUP = "cgroup_skb cgroup_sock cgroup_device cgroup_sock_addr cgroup_sockopt cgroup_sysctl sock_ops"
_LWT = "lwt_in lwt_out lwt_xmit lwt_seg6local"
_TRACING = "tracing tracepoint perf_event lsm"
CALLERS: Mapping[str, str] = MappingProxyType({
    "any": "",
    "generic": f"sched_cls xdp syscall struct_ops {_CGROUP} {_TRACING}",
    "cpumask": f"syscall struct_ops {_TRACING}",
    "test": f"sched_cls syscall {_TRACING}",
    "tracing": _TRACING,
    "skb": f"sched_cls sched_act socket_filter {_LWT} sk_skb netfilter {_CGROUP} {_TRACING}",
    "tc": "sched_cls sched_act",
    "cls": "sched_cls",
    "xdp": "xdp",
    "track": "sched_cls xdp",
    "crypto": "sched_cls sched_act xdp",
    "crypto_new": "syscall",
    "cgroup": _CGROUP,
    "lsm": "lsm",
    "iter": "tracing:trace_iter",
    "session": "kprobe:trace_kprobe_session kprobe:trace_uprobe_session",
    "struct_ops": "struct_ops",
})  # fmt: skip
"""Who may call: a word of the table -> program types, some with an attach type. Linux registers functions by groups."""

_FLAGS = {
    "acquire": "acquires", "release": "releases", "null": "may_be_null", "trusted": "trusted", "rcu": "rcu",
    "guarded": "guarded", "sleep": "sleeps", "destroy": "destroys",
}  # fmt: skip
_SUFFIXES = frozenset({
    "sz", "szk", "k", "ign", "uninit", "alloc", "refcounted_kptr", "nullable", "str", "map", "prog", "irq_flag", "opt",
    "iter",
})  # fmt: skip

_TABLE = """
any:
  - void __bpf_trap(void)
  trusted,sleep void *bpf_arena_alloc_pages(void *p__map, void *addr__ign, u32 page_cnt, int node_id, u64 flags)
  trusted,sleep void bpf_arena_free_pages(void *p__map, void *ptr__ign, u32 page_cnt)
  trusted,sleep int bpf_arena_reserve_pages(void *p__map, void *ptr__ign, u32 page_cnt)
  - void *bpf_cast_to_kern_ctx(void *obj)
  rcu int bpf_cgroup_read_xattr(struct cgroup *cgroup, const char *name__str, struct bpf_dynptr *value_p)
  sleep int bpf_copy_from_user_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign)
  sleep int bpf_copy_from_user_str(void *dst, u32 dst__sz, const void *unsafe_ptr__ign, u64 flags)
  sleep int bpf_copy_from_user_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign)
  trusted,sleep int bpf_copy_from_user_task_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void
      *unsafe_ptr__ign, struct task_struct *tsk)
  sleep int bpf_copy_from_user_task_str(void *dst, u32 dst__sz, const void *unsafe_ptr__ign, struct task_struct
      *tsk, u64 flags)
  trusted,sleep int bpf_copy_from_user_task_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void
      *unsafe_ptr__ign, struct task_struct *tsk)
  - int bpf_dynptr_adjust(const struct bpf_dynptr *p, u32 start, u32 end)
  - int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone__uninit)
  - int bpf_dynptr_copy(struct bpf_dynptr *dst_ptr, u32 dst_off, struct bpf_dynptr *src_ptr, u32 src_off, u32 size)
  - bool bpf_dynptr_is_null(const struct bpf_dynptr *p)
  - bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p)
  - int bpf_dynptr_memset(struct bpf_dynptr *p, u32 offset, u32 size, u8 val)
  - __u32 bpf_dynptr_size(const struct bpf_dynptr *p)
  null void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk)
  null void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk)
  - struct kmem_cache *bpf_get_kmem_cache(u64 addr)
  - void bpf_iter_bits_destroy(struct bpf_iter_bits *it)
  - int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *unsafe_ptr__ign, u32 nr_words)
  null int *bpf_iter_bits_next(struct bpf_iter_bits *it)
  - void bpf_iter_css_destroy(struct bpf_iter_css *it)
  trusted,guarded int bpf_iter_css_new(struct bpf_iter_css *it, struct cgroup_subsys_state *start, u32 flags)
  null struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css *it)
  - void bpf_iter_css_task_destroy(struct bpf_iter_css_task *it)
  trusted int bpf_iter_css_task_new(struct bpf_iter_css_task *it, struct cgroup_subsys_state *css, u32 flags)
  null struct task_struct *bpf_iter_css_task_next(struct bpf_iter_css_task *it)
  sleep void bpf_iter_dmabuf_destroy(struct bpf_iter_dmabuf *it)
  sleep int bpf_iter_dmabuf_new(struct bpf_iter_dmabuf *it)
  sleep,null struct dma_buf *bpf_iter_dmabuf_next(struct bpf_iter_dmabuf *it)
  sleep void bpf_iter_kmem_cache_destroy(struct bpf_iter_kmem_cache *it)
  sleep int bpf_iter_kmem_cache_new(struct bpf_iter_kmem_cache *it)
  sleep,null struct kmem_cache *bpf_iter_kmem_cache_next(struct bpf_iter_kmem_cache *it)
  - void bpf_iter_num_destroy(struct bpf_iter_num *it)
  - int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end)
  null int *bpf_iter_num_next(struct bpf_iter_num *it)
  - void bpf_iter_task_destroy(struct bpf_iter_task *it)
  trusted,guarded int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task__nullable, u32 flags)
  null struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it)
  - void bpf_iter_task_vma_destroy(struct bpf_iter_task_vma *it)
  rcu int bpf_iter_task_vma_new(struct bpf_iter_task_vma *it, struct task_struct *task, u64 addr)
  null struct vm_area_struct *bpf_iter_task_vma_next(struct bpf_iter_task_vma *it)
  - void bpf_local_irq_restore(unsigned long *flags__irq_flag)
  - void bpf_local_irq_save(unsigned long *flags__irq_flag)
  trusted s64 bpf_map_sum_elem_count(const struct bpf_map *map)
  - int bpf_modify_return_test_tp(int nonce)
  - void bpf_preempt_disable(void)
  - void bpf_preempt_enable(void)
  - int bpf_probe_read_kernel_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign)
  - int bpf_probe_read_kernel_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign)
  - int bpf_probe_read_user_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign)
  - int bpf_probe_read_user_str_dynptr(struct bpf_dynptr *dptr, u32 off, u32 size, const void *unsafe_ptr__ign)
  - void bpf_rcu_read_lock(void)
  - void bpf_rcu_read_unlock(void)
  - void *bpf_rdonly_cast(const void *obj__ign, u32 btf_id__k)
  - int bpf_res_spin_lock(struct bpf_res_spin_lock *lock)
  - int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock, unsigned long *flags__irq_flag)
  - void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock)
  - void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock, unsigned long *flags__irq_flag)
  - int bpf_strcasecmp(const char *s1__ign, const char *s2__ign)
  - int bpf_strchr(const char *s__ign, char c)
  - int bpf_strchrnul(const char *s__ign, char c)
  - int bpf_strcmp(const char *s1__ign, const char *s2__ign)
  - int bpf_strcspn(const char *s__ign, const char *reject__ign)
  trusted int bpf_stream_vprintk_impl(int stream_id, const char *fmt__str, const void *args, u32 len__sz, void
      *aux__prog)
  - int bpf_strlen(const char *s__ign)
  - int bpf_strnchr(const char *s__ign, size_t count, char c)
  - int bpf_strnlen(const char *s__ign, size_t count)
  - int bpf_strnstr(const char *s1__ign, const char *s2__ign, size_t len)
  - int bpf_strrchr(const char *s__ign, int c)
  - int bpf_strspn(const char *s__ign, const char *accept__ign)
  - int bpf_strstr(const char *s1__ign, const char *s2__ign)
  trusted int bpf_task_work_schedule_resume_impl(struct task_struct *task, struct bpf_task_work *tw, void *map__map,
      func *callback, void *aux__prog)
  trusted int bpf_task_work_schedule_signal_impl(struct task_struct *task, struct bpf_task_work *tw, void *map__map,
      func *callback, void *aux__prog)
  - int bpf_wq_init(struct bpf_wq *wq, void *p__map, u32 flags)
  - int bpf_wq_set_callback_impl(struct bpf_wq *wq, func *callback_fn, u32 flags, void *aux__prog)
  - int bpf_wq_start(struct bpf_wq *wq, u32 flags)
  trusted int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, u32 *hash, enum xdp_rss_hash_type *rss_type)
  trusted int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, u64 *timestamp)
  trusted int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *vlan_proto, u16 *vlan_tci)
generic:
  acquire,null,rcu struct cgroup *bpf_cgroup_acquire(struct cgroup *cgrp)
  acquire,null,rcu struct cgroup *bpf_cgroup_ancestor(struct cgroup *cgrp, int level)
  acquire,null struct cgroup *bpf_cgroup_from_id(u64 cgid)
  release void bpf_cgroup_release(struct cgroup *cgrp)
  release void bpf_key_put(struct bpf_key *bkey)
  null struct bpf_list_node *bpf_list_back(struct bpf_list_head *head)
  null struct bpf_list_node *bpf_list_front(struct bpf_list_head *head)
  acquire,null struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head)
  acquire,null struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head)
  - int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta__ign, u64 off)
  - int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta__ign, u64 off)
  acquire,null struct bpf_key *bpf_lookup_system_key(u64 id)
  acquire,null,sleep struct bpf_key *bpf_lookup_user_key(s32 serial, u64 flags)
  release void bpf_obj_drop_impl(void *p__alloc, void *meta__ign)
  acquire,null void *bpf_obj_new_impl(u64 local_type_id__k, void *meta__ign)
  release void bpf_percpu_obj_drop_impl(void *p__alloc, void *meta__ign)
  acquire,null void *bpf_percpu_obj_new_impl(u64 local_type_id__k, void *meta__ign)
  - int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node, func *less, void *meta__ign, u64
      off)
  null struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root)
  null struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root, struct bpf_rb_node *node)
  acquire,null struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node)
  null struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root, struct bpf_rb_node *node)
  null struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root)
  acquire,null,rcu void *bpf_refcount_acquire_impl(void *p__refcounted_kptr, void *meta__ign)
  trusted int bpf_send_signal_task(struct task_struct *task, int sig, enum pid_type type, u64 value)
  acquire,null,rcu struct task_struct *bpf_task_acquire(struct task_struct *p)
  acquire,null struct task_struct *bpf_task_from_pid(s32 pid)
  acquire,null struct task_struct *bpf_task_from_vpid(s32 vpid)
  acquire,null,rcu struct cgroup *bpf_task_get_cgroup1(struct task_struct *task, int hierarchy_id)
  release void bpf_task_release(struct task_struct *p)
  rcu long bpf_task_under_cgroup(struct task_struct *task, struct cgroup *ancestor)
  - void bpf_throw(u64 cookie)
cpumask:
  acquire,trusted struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *cpumask)
  rcu bool bpf_cpumask_and(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2)
  rcu u32 bpf_cpumask_any_and_distribute(const struct cpumask *src1, const struct cpumask *src2)
  rcu u32 bpf_cpumask_any_distribute(const struct cpumask *cpumask)
  rcu void bpf_cpumask_clear(struct bpf_cpumask *cpumask)
  rcu void bpf_cpumask_clear_cpu(u32 cpu, struct bpf_cpumask *cpumask)
  rcu void bpf_cpumask_copy(struct bpf_cpumask *dst, const struct cpumask *src)
  acquire,null struct bpf_cpumask *bpf_cpumask_create(void)
  rcu bool bpf_cpumask_empty(const struct cpumask *cpumask)
  rcu bool bpf_cpumask_equal(const struct cpumask *src1, const struct cpumask *src2)
  rcu u32 bpf_cpumask_first(const struct cpumask *cpumask)
  rcu u32 bpf_cpumask_first_and(const struct cpumask *src1, const struct cpumask *src2)
  rcu u32 bpf_cpumask_first_zero(const struct cpumask *cpumask)
  rcu bool bpf_cpumask_full(const struct cpumask *cpumask)
  rcu bool bpf_cpumask_intersects(const struct cpumask *src1, const struct cpumask *src2)
  rcu void bpf_cpumask_or(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2)
  rcu int bpf_cpumask_populate(struct cpumask *cpumask, void *src, size_t src__sz)
  release void bpf_cpumask_release(struct bpf_cpumask *cpumask)
  rcu void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *cpumask)
  rcu void bpf_cpumask_setall(struct bpf_cpumask *cpumask)
  rcu bool bpf_cpumask_subset(const struct cpumask *src1, const struct cpumask *src2)
  rcu bool bpf_cpumask_test_and_clear_cpu(u32 cpu, struct bpf_cpumask *cpumask)
  rcu bool bpf_cpumask_test_and_set_cpu(u32 cpu, struct bpf_cpumask *cpumask)
  rcu bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *cpumask)
  rcu u32 bpf_cpumask_weight(const struct cpumask *cpumask)
  rcu void bpf_cpumask_xor(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2)
test:
  release void bpf_kfunc_call_memb_release(struct prog_test_member *p)
  release void bpf_kfunc_call_test_release(struct prog_test_ref_kfunc *p)
tracing:
  sleep void css_rstat_flush(struct cgroup_subsys_state *css)
  - void css_rstat_updated(struct cgroup_subsys_state *css, int cpu)
skb:
  trusted int bpf_dynptr_from_skb(struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr__uninit)
tc:
  trusted int bpf_dynptr_from_skb_meta(struct __sk_buff *skb_, u64 flags, struct bpf_dynptr *ptr__uninit)
cls:
  trusted int bpf_sk_assign_tcp_reqsk(struct __sk_buff *s, struct sock *sk, struct bpf_tcp_req_attrs *attrs, int
      attrs__sz)
xdp:
  - int bpf_dynptr_from_xdp(struct xdp_md *x, u64 flags, struct bpf_dynptr *ptr__uninit)
  acquire,null struct xfrm_state *bpf_xdp_get_xfrm_state(struct xdp_md *ctx, struct bpf_xfrm_state_opts *opts, u32
      opts__sz)
  - int bpf_xdp_pull_data(struct xdp_md *x, u32 len)
  release void bpf_xdp_xfrm_state_release(struct xfrm_state *x)
track:
  trusted int bpf_ct_change_status(struct nf_conn *nfct, u32 status)
  trusted int bpf_ct_change_timeout(struct nf_conn *nfct, u32 timeout)
  acquire,null,release struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *nfct_i)
  release void bpf_ct_release(struct nf_conn *nfct)
  trusted int bpf_ct_set_nat_info(struct nf_conn___init *nfct, union nf_inet_addr *addr, int port, enum
      nf_nat_manip_type manip)
  trusted int bpf_ct_set_status(const struct nf_conn___init *nfct, u32 status)
  trusted void bpf_ct_set_timeout(struct nf_conn___init *nfct, u32 timeout)
  acquire,null struct nf_conn___init *bpf_skb_ct_alloc(struct __sk_buff *skb_ctx, struct bpf_sock_tuple *bpf_tuple,
      u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz)
  acquire,null struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb_ctx, struct bpf_sock_tuple *bpf_tuple, u32
      tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz)
  acquire,null struct nf_conn___init *bpf_xdp_ct_alloc(struct xdp_md *xdp_ctx, struct bpf_sock_tuple *bpf_tuple, u32
      tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz)
  acquire,null struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *xdp_ctx, struct bpf_sock_tuple *bpf_tuple, u32
      tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz)
crypto:
  rcu int bpf_crypto_decrypt(struct bpf_crypto_ctx *ctx, const struct bpf_dynptr *src, const struct bpf_dynptr *dst,
      const struct bpf_dynptr *siv__nullable)
  rcu int bpf_crypto_encrypt(struct bpf_crypto_ctx *ctx, const struct bpf_dynptr *src, const struct bpf_dynptr *dst,
      const struct bpf_dynptr *siv__nullable)
crypto_new:
  acquire,null,rcu struct bpf_crypto_ctx *bpf_crypto_ctx_acquire(struct bpf_crypto_ctx *ctx)
  acquire,null,sleep struct bpf_crypto_ctx *bpf_crypto_ctx_create(const struct bpf_crypto_params *params, u32
      params__sz, int *err)
  release void bpf_crypto_ctx_release(struct bpf_crypto_ctx *ctx)
cgroup:
  - int bpf_sock_addr_set_sun_path(struct bpf_sock_addr_kern *sa_kern, const u8 *sun_path, u32 sun_path__sz)
  trusted int bpf_sock_ops_enable_tx_tstamp(struct bpf_sock_ops_kern *skops, u64 flags)
lsm:
  trusted,sleep int bpf_get_dentry_xattr(struct dentry *dentry, const char *name__str, struct bpf_dynptr *value_p)
  trusted,sleep int bpf_get_file_xattr(struct file *file, const char *name__str, struct bpf_dynptr *value_p)
  acquire,null,trusted struct file *bpf_get_task_exe_file(struct task_struct *task)
  trusted int bpf_path_d_path(const struct path *path, char *buf, size_t buf__sz)
  release void bpf_put_file(struct file *file)
  trusted,sleep int bpf_remove_dentry_xattr(struct dentry *dentry, const char *name__str)
  trusted,sleep int bpf_set_dentry_xattr(struct dentry *dentry, const char *name__str, const struct bpf_dynptr
      *value_p, int flags)
iter:
  trusted int bpf_sock_destroy(struct sock_common *sock)
session:
  - __u64 *bpf_session_cookie(void)
  - bool bpf_session_is_return(void)
struct_ops:
  - void bbr_cwnd_event(struct sock *sk, enum tcp_ca_event event)
  - void bbr_init(struct sock *sk)
  - void bbr_main(struct sock *sk, u32 ack, int flag, const struct rate_sample *rs)
  - u32 bbr_min_tso_segs(struct sock *sk)
  - void bbr_set_state(struct sock *sk, u8 new_state)
  - u32 bbr_sndbuf_expand(struct sock *sk)
  - u32 bbr_ssthresh(struct sock *sk)
  - u32 bbr_undo_cwnd(struct sock *sk)
  - void cubictcp_acked(struct sock *sk, const struct ack_sample *sample)
  - void cubictcp_cong_avoid(struct sock *sk, u32 ack, u32 acked)
  - void cubictcp_cwnd_event(struct sock *sk, enum tcp_ca_event event)
  - void cubictcp_init(struct sock *sk)
  - u32 cubictcp_recalc_ssthresh(struct sock *sk)
  - void cubictcp_state(struct sock *sk, u8 new_state)
  - void tcp_cong_avoid_ai(struct tcp_sock *tp, u32 w, u32 acked)
  - void tcp_reno_cong_avoid(struct sock *sk, u32 ack, u32 acked)
  - u32 tcp_reno_ssthresh(struct sock *sk)
  - u32 tcp_reno_undo_cwnd(struct sock *sk)
  - u32 tcp_slow_start(struct tcp_sock *tp, u32 acked)
"""


def _parameter(text: str) -> Parameter:
    match = re.fullmatch(r"(?:const )?(.*?)\s*(\**)\s*(\w+)", text.strip())
    assert match is not None, text
    name = match[3]
    suffix = next((word for word in _SUFFIXES if name.endswith(f"__{word}")), "")
    return Parameter(name, match[1].strip(), bool(match[2]), suffix)


def _kfunc(text: str, callers: str) -> KfuncSignature:
    flags, declaration = text.split(" ", 1)
    match = re.fullmatch(r"(.*?)(\w+)\((.*)\)", declaration)
    assert match is not None, declaration
    parameters = () if match[3] == "void" else tuple(_parameter(one) for one in match[3].split(","))
    users = (user.partition(":") for user in CALLERS[callers].split())
    result = _parameter(match[1].strip() + " result")
    marks = {_FLAGS[flag]: True for flag in flags.split(",") if flag != "-"}
    return KfuncSignature(match[2], result, parameters, frozenset((kind, attach) for kind, _, attach in users), **marks)


def _all() -> dict[str, KfuncSignature]:
    found: dict[str, KfuncSignature] = {}
    callers = ""
    for line in re.sub(r"\n {6,}", " ", _TABLE).strip().splitlines():
        if line.endswith(":"):
            callers = line[:-1]
            continue
        one = _kfunc(line.strip(), callers)
        found[one.name] = one
    return found


SIGNATURES: Mapping[str, KfuncSignature] = MappingProxyType(_all())
"""The kernel functions, by name."""

ITERATORS: Mapping[str, int] = MappingProxyType({
    "num": 8, "bits": 16, "task": 24, "task_vma": 8, "css": 24, "css_task": 8, "kmem_cache": 8, "dmabuf": 8,
})  # fmt: skip
"""Open-coded iterators: kind -> bytes of its struct bpf_iter_*."""
