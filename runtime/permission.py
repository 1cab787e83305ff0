"""Who may do what: Linux's rules for map types, program types, helpers and sizes, by capability.

Those of Linux 6.18, asked of it with each set of capabilities where its unprivileged_bpf_disabled let us; what it is
for that setting at 0: bpf(2), Documentation/admin-guide/sysctl/kernel.rst. CAP_SYS_ADMIN stands for the other three.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bpf.errors import BadInput, CallFailed
from bpf.program import Map, Program
from bpf.spec import type_rules
from bpf.spec.attach import attach_of
from bpf.spec.callers import allowed, callers
from bpf.spec.maps import ZERO_SEED
from bpf.spec.prototypes import PROTOTYPES
from bpf.spec.signatures import signature
from bpf.spec.type_rules import GPL, SLOTS, UNPRIVILEGED_SLOTS

BPF, PERFMON, NET_ADMIN, SYS_ADMIN = "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"
CAPABILITIES = (BPF, PERFMON, NET_ADMIN, SYS_ADMIN)

UNPRIVILEGED_INSNS, PRIVILEGED_INSNS = UNPRIVILEGED_SLOTS, SLOTS

_NET_MAPS = frozenset({"sockmap", "sockhash", "devmap", "devmap_hash", "xskmap"})
_BPF_MAPS = frozenset({
    "sk_storage", "inode_storage", "task_storage", "cgrp_storage", "bloom_filter", "lpm_trie", "reuseport_sockarray",
    "stack_trace", "queue", "stack", "lru_hash", "lru_percpu_hash", "struct_ops", "cpumap", "arena",
})  # fmt: skip

_FUNCTIONS = "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN"
_NO_SLEEP = "helper call might sleep in a non-sleepable prog"
_NO_LICENSE = "cannot call GPL-restricted function from non-GPL compatible program"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls bpf(). unprivileged_bpf_disabled: the sysctl, 0, 1 or 2 (both the latter say no; 2 may be undone)."""

    capabilities: frozenset[str] = frozenset(CAPABILITIES)
    unprivileged_bpf_disabled: int = 2

    def has(self, capability: str) -> bool:
        """Whether it may do what a capability allows."""
        return capability in self.capabilities or SYS_ADMIN in self.capabilities


ROOT = Caller()


def capabilities(text: str) -> frozenset[str]:
    """--caps: names separated by commas, with or without CAP_; "none". Raises BadInput."""
    words = [word.strip().upper() for word in text.split(",") if word.strip()]
    found = {word if word.startswith("CAP_") else f"CAP_{word}" for word in words if word != "NONE"}
    unknown = sorted(found - set(CAPABILITIES))
    if unknown:
        raise BadInput(f"no capability {unknown[0]}", file="--caps", remedy="there is " + ", ".join(CAPABILITIES))
    return frozenset(found)


def _need(caller: Caller, capability: str, what: str) -> None:
    if not caller.has(capability):
        raise CallFailed("EPERM", f"{what} needs {capability}")


def _enter(caller: Caller, what: str) -> None:
    if caller.unprivileged_bpf_disabled and not caller.has(BPF):
        mode = caller.unprivileged_bpf_disabled
        raise CallFailed("EPERM", f"{what} needs {BPF} where unprivileged_bpf_disabled is {mode}")


def map_capability(kind: str) -> str:
    """What creating a map of a type needs, "" for nothing."""
    return NET_ADMIN if kind in _NET_MAPS else BPF if kind in _BPF_MAPS else ""


def may_create(caller: Caller, map_: Map) -> None:
    """Raise CallFailed EPERM where Linux would not create this map for the caller."""
    what = f"map {map_.name} of type {map_.kind}"
    _enter(caller, what)
    if needed := map_capability(map_.kind):
        _need(caller, needed, what)
    if map_.flags & ZERO_SEED:
        _need(caller, SYS_ADMIN, f"{what} with BPF_F_ZERO_SEED")


def type_capabilities(kind: str) -> tuple[str, ...]:
    """What loading a program of a type needs."""
    needed = [] if kind in type_rules.UNPRIVILEGED else [BPF]
    needed += [NET_ADMIN] if kind in type_rules.NET_ADMIN else []
    return (*needed, *([PERFMON] if kind in type_rules.PERFMON else []))


def gpl_compatible(program: Program) -> bool:
    """Whether it may call what is for GPL programs only. A text, which cannot say its license, may."""
    return program.license in GPL or not program.section


def may_call(caller: Caller, program: Program, kind: str) -> None:
    """Raise CallFailed EINVAL for a helper that Linux does not let programs of a type call, in its order of questions.

    They are: whether there is one, whether the type and the expected attach type have it, capabilities, license,
    sleep. A program without a type, and one that replaces another's function, is not asked for its type.
    """
    attach = attach_of(program.section)
    table = allowed(kind, attach)
    asleep = kind == "syscall" or program.section.split("/")[0].endswith(".s")
    for pc, number in _calls(program):
        if number not in PROTOTYPES:
            raise CallFailed("EINVAL", f"invalid func unknown#{number}", place=f"insn {pc}")
        name = f"bpf_{PROTOTYPES[number].name}#{number}"
        refused = f"program of this type cannot use helper {name}"
        if table and number not in table:
            types = ", ".join(callers(number))
            raise CallFailed("EINVAL", refused, place=f"insn {pc}", remedy=f"types that can: {types}")
        missing = sorted(needed for needed in table.get(number, ()) if not caller.has(needed))
        if missing:
            raise CallFailed("EINVAL", f"{refused} without {missing[0]}", place=f"insn {pc}")
        one = signature(number, kind, attach)
        if one.gpl_only and not gpl_compatible(program):
            license_ = f"its license is {program.license!r}" if program.license else "it says no license"
            raise CallFailed("EINVAL", f"{_NO_LICENSE}: {name}", place=f"insn {pc}", remedy=license_)
        if one.might_sleep and table and not asleep:
            raise CallFailed("EINVAL", f"{_NO_SLEEP}: {name}", place=f"insn {pc}")


def may_load(caller: Caller, program: Program, kind: str) -> None:
    """Raise CallFailed where Linux would not load this program, of this type, for the caller.

    EPERM for the type and for functions; E2BIG for its size; EINVAL for a helper.
    """
    what = f"program {program.name} of type {kind}"
    _enter(caller, what)
    limit = PRIVILEGED_INSNS if caller.has(BPF) else UNPRIVILEGED_INSNS
    if not 0 < len(program) <= limit:
        raise CallFailed("E2BIG", f"program {program.name} has {len(program)} instructions; {limit} are allowed")
    for needed in type_capabilities(kind):
        _need(caller, needed, what)
    for pc, insn in enumerate(program.insns):
        if insn is not None and insn.row.op in ("call_local", "func") and not caller.has(BPF):
            raise CallFailed("EPERM", _FUNCTIONS, place=f"insn {pc}")
    may_call(caller, program, kind)


def _calls(program: Program) -> Iterable[tuple[int, int]]:
    for pc, insn in enumerate(program.insns):
        if insn is not None and insn.row.op == "call_helper":
            yield pc, insn.imm
