"""What a call does to the shape of a program: how many registers it reads, whether it calls back or sleeps.

Facts of Linux 6.18's helpers (kernel/bpf/verifier.c, net/core/filter.c) that decide before any state is known.
"""

from __future__ import annotations

from bpf.isa import opcodes
from bpf.spec.prototypes import PROTOTYPES
from verifier.raw import Raw
from verifier.subject import Subject

CALL = opcodes.JMP | opcodes.JMP_OPS["call"]
WIDE = opcodes.LD | opcodes.IMM | opcodes.SIZE[64]
KFUNC = 2
"""The src field of a call of a kernel function: BPF_PSEUDO_KFUNC_CALL."""

TAIL_CALL = 12
ASYNC_CALLBACK = frozenset({"timer_set_callback"})
SYNC_CALLBACK = frozenset({"for_each_map_elem", "find_vma", "loop", "user_ringbuf_drain"})
ASYNC_KFUNCS = frozenset({"bpf_wq_set_callback_impl", "bpf_task_work_schedule_signal", "bpf_task_work_schedule_resume"})
SYNC_KFUNCS = frozenset({"bpf_rbtree_add_impl"})
SLEEPS = frozenset({"copy_from_user", "copy_from_user_task", "ima_inode_hash", "ima_file_hash"})
SLEEPING_KFUNCS = frozenset({
    "bpf_copy_from_user_str", "bpf_copy_from_user_task_str", "bpf_copy_from_user_dynptr",
    "bpf_copy_from_user_str_dynptr", "bpf_copy_from_user_task_dynptr", "bpf_copy_from_user_task_str_dynptr",
    "bpf_arena_alloc_pages", "bpf_arena_free_pages", "bpf_get_file_xattr", "bpf_get_dentry_xattr",
    "bpf_set_dentry_xattr", "bpf_remove_dentry_xattr", "bpf_cgroup_read_xattr", "bpf_verify_pkcs7_signature",
    "bpf_lookup_user_key", "bpf_crypto_ctx_create", "bpf_wq_start",
})  # fmt: skip
MOVES_PACKET = frozenset({
    "clone_redirect", "l3_csum_replace", "l4_csum_replace", "lwt_push_encap", "lwt_seg6_action",
    "lwt_seg6_adjust_srh", "lwt_seg6_store_bytes", "msg_pop_data", "msg_pull_data", "msg_push_data",
    "skb_adjust_room", "skb_change_head", "skb_change_proto", "skb_change_tail", "skb_pull_data", "skb_store_bytes",
    "skb_vlan_pop", "skb_vlan_push", "store_hdr_opt", "tail_call", "xdp_adjust_head", "xdp_adjust_meta",
    "xdp_adjust_tail",
})  # fmt: skip
"""Helpers after which pointers into the packet are no longer good (bpf_helper_changes_pkt_data)."""
MOVES_PACKET_KFUNCS = frozenset({"bpf_xdp_pull_data"})


def is_helper_call(raw: Raw) -> bool:
    """Whether it calls a helper."""
    return raw.code == CALL and raw.src == opcodes.CALL_HELPER


def is_local_call(raw: Raw) -> bool:
    """Whether it calls a function of the program."""
    return raw.code == CALL and raw.src == opcodes.CALL_LOCAL


def is_kfunc_call(raw: Raw) -> bool:
    """Whether it calls a kernel function."""
    return raw.code == CALL and raw.src == KFUNC


def is_function_address(raw: Raw) -> bool:
    """Whether it loads the address of a function of the program."""
    return raw.code == WIDE and raw.src == opcodes.WIDE_FORMS["func"]


def helper_name(raw: Raw) -> str:
    """The name of the helper that an instruction calls, "" where it calls none that exists."""
    if raw.code != CALL or raw.src != opcodes.CALL_HELPER:
        return ""
    found = PROTOTYPES.get(raw.imm)
    return found.name if found is not None else ""


def arguments(raw: Raw, pc: int, subject: Subject) -> int | None:
    """How many of R1-R5 a call reads; None where that is not known."""
    if raw.code != CALL or raw.src != opcodes.CALL_HELPER:
        return None
    found = PROTOTYPES.get(raw.imm)
    if found is None:
        return None
    return sum(parameter != "..." for parameter in found.parameters)


def is_iterator_step(raw: Raw, pc: int, subject: Subject) -> bool:
    """Whether it calls a bpf_iter_*_next."""
    name = subject.kfuncs.get(pc, "") if is_kfunc_call(raw) else ""
    return name.startswith("bpf_iter_") and name.endswith("_next")


def returns_nothing(raw: Raw) -> bool:
    """Whether it calls a helper that returns void."""
    found = PROTOTYPES.get(raw.imm)
    return raw.src == opcodes.CALL_HELPER and found is not None and found.returns == "void"
