"""What a program's R0 must be at its exit: check_return_code of Linux 6.18."""

from __future__ import annotations

from typing import NamedTuple

from bpf.object.btf import Kind
from bpf.spec import type_rules
from verifier import btf_context
from verifier.rules import attached_to, hook_range
from verifier.subject import Subject

PROGRAM, CALLBACK, ASYNCHRONOUS = "At program exit", "At callback return", "At async callback return"
NO_EFFECT = "Note, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!"


class Range(NamedTuple):
    """The numbers that R0 may hold, least and greatest; half: its low 32 bits are meant, as a signed number."""

    low: int
    high: int
    half: bool = False


def return_range(subject: Subject) -> Range | None:
    """What the R0 of the entered function must lie in at exit; None where any number will do.

    Where `returns_nothing` says so, R0 is not looked at at all.
    """
    name, attach = subject.type.name, attached_to(subject)
    if name == "lsm":
        void = btf_context.result(subject) == 0
        if attach == "lsm_cgroup":
            return Range(*(type_rules.ONE if void else type_rules.BOOL))
        return None if void else Range(*hook_range(subject.target), half=True)
    if name == "struct_ops":
        return Range(*type_rules.ZERO) if btf_context.result_kind(subject) is Kind.PTR else None
    ranges = type_rules.RETURNS.get(name, {})
    found = ranges.get(attach) or ranges.get("")
    return Range(*found) if found else None


def returns_nothing(subject: Subject) -> bool:
    """Whether R0 need not even be readable at exit: attached to a function without a result."""
    name = subject.type.name
    asked = name == "struct_ops" or (name == "lsm" and attached_to(subject) != "lsm_cgroup")
    return asked and btf_context.result(subject) == 0


def out_of_range(smin: int, smax: int, allowed: tuple[int, ...], *, when: str = PROGRAM, register: str = "R0") -> str:
    """The kernel's sentence for a number that is not in a range; smin and smax are its signed bounds of 64 bits."""
    has = f" smin={smin}" if smin > -1 << 63 else ""
    has += f" smax={smax}" if smax < (1 << 63) - 1 else ""
    has = has or " unknown scalar value"
    return f"{when} the register {register} has{has} should have been in [{allowed[0]}, {allowed[1]}]"
