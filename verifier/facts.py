"""What the walk of an accepted program has found out, for the passes that change programs.

As Linux 6.18 keeps it in bpf_insn_aux_data and bpf_subprog_info until bpf_check has rewritten the program.
"""

from __future__ import annotations

from bpf.facts import Base, Facts, Mask, Pointer
from bpf.isa import Kind, Row
from bpf.program import Map
from verifier import types
from verifier.env import Env
from verifier.speculation import IMMEDIATE, MASK_DST, MASK_SRC, NEGATIVE
from verifier.types import BASE, MEM, RDONLY, UNTRUSTED

_OTHER, _OBJECT = Pointer(Base.OTHER), Pointer(Base.OBJECT)
_POINTERS = {
    types.CTX: Pointer(Base.CONTEXT), types.PACKET: Pointer(Base.PACKET), types.PACKET_META: Pointer(Base.PACKET),
    types.MAP_VALUE: Pointer(Base.MAP_VALUE), types.STACK: Pointer(Base.STACK), types.BTF: _OBJECT,
    types.ARENA: Pointer(Base.ARENA),
}  # fmt: skip
_PROBED_MEMORY = MEM | RDONLY | UNTRUSTED
_WIDE = 0x18


def _probes(row: Row | None) -> bool:
    """Whether an access of the kernel's structures gives 0 where nothing is: a plain load."""
    return row is not None and row.kind is Kind.LOAD and not row.ordered


def facts(env: Env) -> Facts:
    """The facts of a program that was walked to the end and accepted."""
    pointers: dict[int, Pointer] = {}
    masks: dict[int, Mask] = {}
    loops: dict[int, int] = {}
    maps: dict[int, Map] = {}
    unreached: list[int] = []
    shape = env.structure
    reached = False
    raws = shape.raws
    for pc, aux in enumerate(env.aux):
        if pc and raws[pc - 1].code == _WIDE and shape.rows[pc - 1] is not None and not raws[pc].code:
            if not reached:  # what holds of an lddw holds of its second slot
                unreached.append(pc)
            continue
        reached = aux.seen
        if not reached:
            unreached.append(pc)
            continue
        type_ = aux.pointer
        if type_ >= 0:
            found = _OBJECT if type_ == _PROBED_MEMORY else _POINTERS.get(type_ & BASE, _OTHER)
            if found is _OBJECT and not _probes(shape.rows[pc]):
                found = _OTHER
            pointers[pc] = found
        if aux.alu_state & (MASK_SRC | MASK_DST):
            state = aux.alu_state
            masks[pc] = Mask(aux.alu_limit, bool(state & NEGATIVE), bool(state & IMMEDIATE), bool(state & MASK_SRC))
        if aux.inlined >= 0:
            loops[pc] = shape.starts[aux.inlined]
        if isinstance(aux.map, Map):
            maps[pc] = aux.map
    spills = {pc: pairs for pc, pairs in enumerate(shape.spills) if pairs}
    return Facts(
        pointers, frozenset(unreached), spills, loops, maps, masks,
        frozenset(pc for pc, aux in enumerate(env.aux) if aux.nospec),
        frozenset(pc for pc, aux in enumerate(env.aux) if aux.nospec_result),
        frozenset(pc for pc, aux in enumerate(env.aux) if aux.narrowed),
        tuple(part.stack for part in shape.subprograms), env.writes_packet,
        env.capable,
    )  # fmt: skip
