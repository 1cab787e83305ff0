"""Rules that hang on a program's type, its attach type and who loads it, as Linux 6.18 has them.

The kernel's functions: bpf_prog_load, bpf_prog_load_check_attach, check_return_code, may_access_skb,
may_access_direct_pkt_data, check_sock_access, check_flow_keys_access.
"""

from __future__ import annotations

from typing import NamedTuple

from bpf.spec import type_rules
from bpf.spec.attach import TAKES, attach_name
from bpf.spec.contexts import SOCKETS
from bpf.spec.errno import E2BIG, EACCES, EINVAL, EPERM
from verifier.options import BPF, NET_ADMIN, PERFMON, Options, holds
from verifier.rejection import Rejection
from verifier.subject import Subject

NO_ABSOLUTE = "BPF_LD_[ABS|IND] instructions not allowed for this program type"
NO_SLEEP = "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable"
NEEDS_SLEEP = "Syscall programs can only be sleepable"
CANNOT_WRITE = "cannot write into packet"
NO_EFFECT = "Note, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!"


def attached_to(subject: Subject) -> str:
    """The name of a program's attach type, what 0 means for it resolved; "" for a number that says nothing."""
    return attach_name(subject.type.name, subject.attach)


def check_load(subject: Subject, options: Options) -> None:
    """What bpf() itself asks, without a log: capabilities, length, attach type. Raises Rejection with no sentence."""
    name = subject.type.name
    capable = holds(options.caps, BPF)
    count = len(subject.code) // 8
    if not 0 < count <= (type_rules.SLOTS if capable else type_rules.UNPRIVILEGED_SLOTS):
        raise Rejection(E2BIG, "", reason=f"{count} instructions")
    if not capable and name not in type_rules.UNPRIVILEGED:
        raise Rejection(EPERM, "", reason=f"programs of type {name} need CAP_BPF")
    if name in type_rules.NET_ADMIN and not holds(options.caps, NET_ADMIN):
        raise Rejection(EPERM, "", reason=f"programs of type {name} need CAP_NET_ADMIN")
    if name in type_rules.PERFMON and not holds(options.caps, PERFMON):
        raise Rejection(EPERM, "", reason=f"programs of type {name} need CAP_PERFMON")
    if name in TAKES and attached_to(subject) not in TAKES[name]:
        raise Rejection(EINVAL, "", reason=f"expected attach type {subject.attach} is not for {name} programs")
    if name == "unspec":
        raise Rejection(EINVAL, "", reason="it has no type")


def check_sleepable(subject: Subject) -> None:
    """Whether a program may be loaded as one that sleeps, or as one that does not. Raises Rejection.

    The kernel asks this after the control flow and before the first instruction.
    """
    name = subject.type.name
    if name == "syscall":
        if not subject.sleepable:
            raise Rejection(EINVAL, NEEDS_SLEEP)
        return
    may = name in type_rules.SLEEPABLE
    may = may or (name == "tracing" and attached_to(subject) in type_rules.SLEEPABLE_ATTACH)
    if subject.sleepable and not may:
        raise Rejection(EINVAL, NO_SLEEP)


def may_load_absolute(subject: Subject) -> bool:
    """Whether LD_ABS and LD_IND are allowed; NO_ABSOLUTE with EINVAL where not."""
    return subject.type.name in type_rules.ABSOLUTE


def may_pass_packet(subject: Subject, taken: bool) -> bool:
    """Whether a packet pointer may be given to a helper; taken: the helper takes memory of packets.

    What cgroup_sockopt has as its packet is a buffer of the kernel's, which every helper takes.
    """
    name = subject.type.name
    return name == "cgroup_sockopt" or (taken and name in type_rules.PACKET_READ)


def may_write_packet(subject: Subject) -> bool:
    """Whether a program may store into its packet; CANNOT_WRITE with EACCES where not.

    A program that does so, or that gives a helper its packet, counts as one that has written (the kernel's
    seen_direct_write: sched_cls and others then get a prologue that makes the packet their own).
    """
    return subject.type.name in type_rules.PACKET_WRITE


def gpl_compatible(license_: str) -> bool:
    """Whether a license lets a program call what is for the GPL alone."""
    return license_ in type_rules.GPL


class Range(NamedTuple):
    """The numbers that R0 may hold, least and greatest; half: its low 32 bits are meant, as a signed number."""

    low: int
    high: int
    half: bool = False


def return_range(subject: Subject, *, void: bool = False, pointer: bool = False) -> Range | None:
    """What the R0 of a program's exit must lie in; None where any number will do.

    void, pointer: what the function returns that it is attached to (btf_context.result_kind), nothing or a pointer;
    for the former `returns_nothing` says more.
    """
    name, attach = subject.type.name, attached_to(subject)
    if name == "lsm":
        if attach != "lsm_cgroup":
            return None if void else Range(*hook_range(subject.target), half=True)
        return Range(*(type_rules.ONE if void else type_rules.BOOL))
    if name == "struct_ops":
        return Range(*type_rules.ZERO) if pointer else None
    ranges = type_rules.RETURNS.get(name)
    if ranges is None:
        return None
    found = ranges.get(attach) or ranges.get("")
    return Range(*found) if found else None


def hook_range(target: str) -> tuple[int, int]:
    """What an LSM hook may return."""
    hook = target if target.startswith("bpf_lsm_") else f"bpf_lsm_{target}"
    return type_rules.BOOL if hook in type_rules.BOOL_HOOKS else type_rules.ERRORS


def returns_nothing(subject: Subject, *, void: bool) -> bool:
    """Whether R0 need not even be readable at exit: attached to a function without a result."""
    if not void:
        return False
    return subject.type.name == "struct_ops" or (subject.type.name == "lsm" and attached_to(subject) != "lsm_cgroup")


def out_of_range(smin: int, smax: int, allowed: Range, *, when: str = "At program exit", register: str = "R0") -> str:
    """The kernel's sentence for a number that is not in a range; smin and smax are its signed bounds.

    when: "At program exit", "At callback return", "At async callback return"
    """
    has = f" smin={smin}" if smin > -1 << 63 else ""
    has += f" smax={smax}" if smax < (1 << 63) - 1 else ""
    has = has or " unknown scalar value"
    return f"{when} the register {register} has{has} should have been in [{allowed.low}, {allowed.high}]"


def check_socket(register: int, word: str, off: int, size: int, write: bool) -> None:
    """An access through a pointer to a socket. Raises Rejection. word: "sock", "sock_common", "tcp_sock", "xdp_sock".

    The caller has seen that the offset is a constant or not negative.
    """
    if write:
        raise Rejection(EACCES, f"R{register} cannot write into {word}")
    if socket_width(word, off, size) is None:
        raise Rejection(EACCES, f"R{register} invalid {word} access off={off} size={size}")


def socket_width(word: str, off: int, size: int) -> int | None:
    """The bytes of the field that a load from a socket is of; None where it is not allowed."""
    view = SOCKETS.get(word)
    field = view.access(off, size, write=False) if view is not None else None
    return None if field is None else field.size


def check_flow_keys(off: int, size: int) -> None:
    """An access to the keys of a flow; they may be read and written. Raises Rejection."""
    if off < 0 or size < 0 or off + size > type_rules.FLOW_KEYS:
        raise Rejection(EACCES, f"invalid access to flow keys off={off} size={size}")
