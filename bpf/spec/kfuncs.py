"""Kernel functions that programs call by name (kfuncs) and that do something here: prototype, the kernel each came in.

What one does is in vm/helpers, as a helper's is; who may call it and what it takes, of these and all others, is in
kfunc_signatures.py. A program names it by an `extern` declaration in section .ksyms; an instruction holds its number
here, which is no number of Linux's: that one is an id of the running kernel's BTF.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bpf.spec.helpers import Helper
from bpf.spec.kfunc_signatures import SIGNATURES
from bpf.spec.type_rules import SLEEPABLE

FIRST = 1024
"""The first number; helpers lie below."""

_TABLE = """
6.4  int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end)
6.4  int *bpf_iter_num_next(struct bpf_iter_num *it)
6.4  void bpf_iter_num_destroy(struct bpf_iter_num *it)
6.11 int bpf_iter_bits_new(struct bpf_iter_bits *it, const __u64 *unsafe_ptr, __u32 nr_words)
6.11 int *bpf_iter_bits_next(struct bpf_iter_bits *it)
6.11 void bpf_iter_bits_destroy(struct bpf_iter_bits *it)
6.7  int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task, unsigned int flags)
6.7  struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it)
6.7  void bpf_iter_task_destroy(struct bpf_iter_task *it)
6.5  int bpf_dynptr_adjust(const struct bpf_dynptr *p, __u32 start, __u32 end)
6.5  _Bool bpf_dynptr_is_null(const struct bpf_dynptr *p)
6.5  _Bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p)
6.5  __u32 bpf_dynptr_size(const struct bpf_dynptr *p)
6.5  int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone)
6.4  void *bpf_dynptr_slice(const struct bpf_dynptr *p, __u32 offset, void *buffer, __u32 size)
6.4  void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, __u32 offset, void *buffer, __u32 size)
6.16 int bpf_dynptr_copy(struct bpf_dynptr *to, __u32 at, struct bpf_dynptr *from, __u32 from_at, __u32 size)
6.17 int bpf_dynptr_memset(struct bpf_dynptr *p, __u32 offset, __u32 size, __u8 value)
6.4  int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr)
6.4  int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *ptr)
6.2  void *bpf_cast_to_kern_ctx(void *obj)
6.2  void *bpf_rdonly_cast(const void *obj, __u32 btf_id)
6.2  void bpf_rcu_read_lock(void)
6.2  void bpf_rcu_read_unlock(void)
6.10 void bpf_preempt_disable(void)
6.10 void bpf_preempt_enable(void)
6.14 void bpf_local_irq_save(unsigned long *flags)
6.14 void bpf_local_irq_restore(unsigned long *flags)
6.6  __s64 bpf_map_sum_elem_count(const struct bpf_map *map)
6.12 int bpf_copy_from_user_str(void *dst, __u32 size, const void *unsafe_ptr, __u64 flags)
6.17 int bpf_strcmp(const char *s1, const char *s2)
6.18 int bpf_strcasecmp(const char *s1, const char *s2)
6.17 int bpf_strchr(const char *s, char c)
6.17 int bpf_strchrnul(const char *s, char c)
6.17 int bpf_strnchr(const char *s, __u64 count, char c)
6.17 int bpf_strrchr(const char *s, int c)
6.17 int bpf_strlen(const char *s)
6.17 int bpf_strnlen(const char *s, __u64 count)
6.17 int bpf_strspn(const char *s, const char *accept)
6.17 int bpf_strcspn(const char *s, const char *reject)
6.17 int bpf_strstr(const char *s1, const char *s2)
6.17 int bpf_strnstr(const char *s1, const char *s2, __u64 len)
6.7  void bpf_throw(__u64 cookie)
6.2  void *bpf_obj_new_impl(__u64 local_type_id, void *meta)
6.2  void bpf_obj_drop_impl(void *p, void *meta)
6.2  struct task_struct *bpf_task_acquire(struct task_struct *p)
6.2  void bpf_task_release(struct task_struct *p)
6.2  struct task_struct *bpf_task_from_pid(__s32 pid)
6.14 struct task_struct *bpf_task_from_vpid(__s32 vpid)
6.5  long bpf_task_under_cgroup(struct task_struct *task, struct cgroup *ancestor)
6.2  struct cgroup *bpf_cgroup_acquire(struct cgroup *cgrp)
6.2  void bpf_cgroup_release(struct cgroup *cgrp)
6.2  struct cgroup *bpf_cgroup_ancestor(struct cgroup *cgrp, int level)
6.4  struct cgroup *bpf_cgroup_from_id(__u64 cgid)
"""

_ROW = re.compile(r"(\S+) +(.*?)(\w+)\((.*)\)")
_SLEEPABLE = SLEEPABLE | {"tracing"}
_UNTYPED = frozenset({"bpf_cast_to_kern_ctx", "bpf_rdonly_cast"})


@dataclass(frozen=True, slots=True)
class Kfunc(Helper):
    """A kernel function. types: the program types that may call it; empty: all."""

    types: frozenset[str] = frozenset()


def _rows() -> tuple[tuple[Kfunc, str], ...]:
    found = []
    for number, line in enumerate(_TABLE.strip().splitlines(), FIRST):
        match = _ROW.fullmatch(line)
        assert match is not None, line
        since, returns, name, parameters = match.groups()
        count = 0 if parameters == "void" else len(parameters.split(","))
        gives = returns.removeprefix("struct ").rstrip("* ") if returns.startswith("struct ") else ""
        types = frozenset(kind for kind, _ in SIGNATURES[name].callers)
        if SIGNATURES[name].sleeps:
            types = types & _SLEEPABLE if types else _SLEEPABLE
        one = Kfunc(number, name, count, since, types=types, gives="?" if name in _UNTYPED else gives)
        found.append((one, f"{returns}{name}({parameters})"))
    return tuple(found)


_FOUND = _rows()

KFUNCS: Mapping[int, Kfunc] = MappingProxyType({one.number: one for one, _ in _FOUND})
"""The kernel functions that exist here, by our number."""

BY_NAME: Mapping[str, Kfunc] = MappingProxyType({one.name: one for one in KFUNCS.values()})

NEW = "bpf_obj_new_impl"
"""Its first argument is the number of a type of the program's, which becomes that type's size before it is run."""

NUMBERS: Mapping[str, int] = MappingProxyType(
    {name: number for number, name in enumerate(dict.fromkeys((*BY_NAME, *SIGNATURES)), FIRST)}
)
"""Name -> number of every kernel function that the verifier knows, behind those that do something here the others."""

NAMES: Mapping[int, str] = MappingProxyType({number: name for name, number in NUMBERS.items()})

DECLARATIONS: Mapping[str, str] = MappingProxyType({one.name: text for one, text in _FOUND})
"""Name -> its declaration in C."""


def of_type(name: str) -> Mapping[int, Kfunc]:
    """Those that programs of a type may call; "" for programs without one, which are as syscall programs."""
    name = name or "syscall"
    return MappingProxyType({n: one for n, one in KFUNCS.items() if not one.types or name in one.types})
