"""What a call does to the shape of a program: how many registers it reads, whether it calls back or sleeps.

As Linux 6.18's kernel/bpf/verifier.c asks it of helpers and kernel functions before any state is known.
"""

from __future__ import annotations

from typing import NamedTuple

from bpf.isa import opcodes
from bpf.spec.callers import allowed
from bpf.spec.kfunc_signatures import SIGNATURES as KFUNCS
from bpf.spec.prototypes import PROTOTYPES
from bpf.spec.signatures import SIGNATURES, Signature, signature
from verifier.options import holds
from verifier.raw import Raw
from verifier.rules import attached_to
from verifier.subject import Subject

CALL = opcodes.JMP | opcodes.JMP_OPS["call"]
WIDE = opcodes.LD | opcodes.IMM | opcodes.SIZE[64]
KFUNC = 2
"""The src field of a call of a kernel function: BPF_PSEUDO_KFUNC_CALL."""

TAIL_CALL = 12
ASYNC_CALLBACK = frozenset({"timer_set_callback"})
ASYNC_KFUNCS = frozenset({
    "bpf_wq_set_callback_impl", "bpf_task_work_schedule_signal_impl", "bpf_task_work_schedule_resume_impl",
})  # fmt: skip
SYNC_KFUNCS = frozenset({"bpf_rbtree_add_impl"})
FASTCALL_KFUNCS = frozenset({"bpf_cast_to_kern_ctx", "bpf_rdonly_cast"})
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


def callable_signature(raw: Raw, subject: Subject, caps: frozenset[str]) -> Signature | None:
    """What the helper takes that an instruction calls; None where it calls none that this program may call."""
    if raw.code != CALL or raw.src != opcodes.CALL_HELPER:
        return None
    kind, attach = subject.type.name, attached_to(subject)
    needed = allowed(kind, attach).get(raw.imm)
    if needed is None or not all(holds(caps, one) for one in needed):
        return None
    return signature(raw.imm, kind, attach)


class Summary(NamedTuple):
    """A call: how many registers it reads, whether it gives nothing, whether it can be made to clobber R0 alone."""

    reads: int
    void: bool
    fastcall: bool


def summary(raw: Raw, pc: int, subject: Subject, caps: frozenset[str]) -> Summary | None:
    """The summary of a call of a helper or kernel function that this program may call, else None."""
    if is_kfunc_call(raw):
        one = KFUNCS.get(subject.kfuncs.get(pc, ""))
        if one is None or not one.allows(subject.type.name, attached_to(subject)):
            return None
        void = one.result.type == "void" and not one.result.pointer
        return Summary(len(one.parameters), void, one.name in FASTCALL_KFUNCS)
    found = callable_signature(raw, subject, caps)
    if found is None:
        return None
    return Summary(len(found.arguments), found.result.base == "RET_VOID", found.fastcall)


def calls_back(number: int) -> bool:
    """Whether a helper takes a function that it calls, now or later."""
    return number in SIGNATURES and any(kind.base == "ARG_PTR_TO_FUNC" for kind in SIGNATURES[number][0].arguments)


def moves_packet(number: int) -> bool:
    """Whether a helper makes pointers into the packet void."""
    return number in SIGNATURES and SIGNATURES[number][0].changes_packet


def is_iterator_step(raw: Raw, pc: int, subject: Subject) -> bool:
    """Whether it calls a bpf_iter_*_next."""
    name = subject.kfuncs.get(pc, "") if is_kfunc_call(raw) else ""
    return name.startswith("bpf_iter_") and name.endswith("_next")
