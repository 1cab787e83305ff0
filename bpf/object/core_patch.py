"""CO-RE: answers into instructions, and what becomes of those that have none.

An instruction without an answer becomes libbpf's `call 0xbad2310`. A program may hold such calls where it never gets:
behind a test whether the field exists, say. Those that no run reaches become `goto -1`, as the kernel writes over dead
code. Whether the others are never reached is for the verifier to say (`Program.poisoned`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bpf.errors import BadObject, Refused
from bpf.isa import ROW, Insn, Kind, encode, make
from bpf.object.btf_ext import Ask, Relo
from bpf.object.core import Answer
from bpf.program import Program

POISON = 0xBAD2310
"""The helper number of a call that must not be reached."""

_M64 = (1 << 64) - 1
_Value = int | tuple[int, int] | None  # a number, a place in a map's value (map, offset), not known
_State = list[_Value]
_UNKNOWN: tuple[_Value, ...] = (None,) * 11


def poison(insns: list[Insn | None], slot: int) -> list[int]:
    """Write the call over the instruction at `slot`; the slots that are now calls."""
    insn = insns[slot]
    slots = [slot, slot + 1] if insn is not None and insn.slots == 2 else [slot]
    for at in slots:
        insns[at] = make(ROW["call_helper"], imm=POISON)
    return slots


def patch(insns: list[Insn | None], slot: int, relo: Relo, answer: Answer, place: str) -> list[int]:
    """Put an answer into the instruction at `slot`; the slots that are poisoned by that.

    Raises BadObject for an instruction that cannot hold one, Refused for a value that does not fit.
    """
    insn = insns[slot]
    what = "no instruction" if insn is None else insn.row.name
    memory = insn is not None and insn.row.kind in (Kind.LOAD, Kind.STORE, Kind.ATOMIC)
    number = insn is not None and insn.row.kind is Kind.ALU and "imm" in insn.row.fields
    if insn is None or not (memory or number or insn.row.name == "lddw_imm"):
        raise BadObject(f"CO-RE relocation on {what}", place=place, remedy="compile again")
    value = answer.value
    if value is None or (memory and answer.sizes is None):
        return poison(insns, slot)
    held = insn.off if memory else insn.imm
    if answer.expected is not None and held != answer.expected:
        raise BadObject(f"CO-RE relocation expects {answer.expected} in {what}, which has {held}", place=place)
    if memory:
        if not 0 <= value < 0x8000:
            raise Refused(f"{answer.reason}: offset {value} does not fit an instruction", place=place)
        insns[slot] = _resized(insn, relo, answer, place)._replace(off=value)
    elif number:
        if not -(1 << 31) <= value < 1 << 32:
            raise Refused(f"{answer.reason}: {value} does not fit an instruction", place=place)
        insns[slot] = insn._replace(imm=(value + (1 << 31)) % (1 << 32) - (1 << 31))
    else:
        insns[slot] = insn._replace(imm=value & _M64)
    return []


def _resized(insn: Insn, relo: Relo, answer: Answer, place: str) -> Insn:
    """The same access with the width that the field has on the target."""
    here, there = answer.sizes or (0, 0)
    if relo.ask is not Ask.BYTE_OFFSET or here == there:
        return insn
    stem = insn.row.name.rstrip("0123456789")
    if 8 * here != insn.row.width or f"{stem}{8 * there}" not in ROW:
        raise BadObject(f"CO-RE relocation of a field of {here} bytes on {insn.row.name}", place=place)
    return insn._replace(row=ROW[f"{stem}{8 * there}"])


def settle(program: Program, reasons: Mapping[int, str]) -> Program:
    """The program with its poisoned slots made harmless, which a verifier is shown as they are.

    Those that constants do not show to be out of reach stay in `poisoned`. reasons: poisoned slot -> why it is.
    """
    if not reasons:
        return program
    reached = reachable(program)
    calls = encode([make(ROW["call_helper"], imm=POISON)], program.order)
    return replace(
        program,
        insns=tuple(make(ROW["ja"], off=-1) if slot in reasons else insn for slot, insn in enumerate(program.insns)),
        malformed={**program.malformed, **dict.fromkeys(reasons, calls)},
        poisoned={slot: reason for slot, reason in sorted(reasons.items()) if slot in reached},
    )


# What a run may reach --------------------------------------------------------------------------------------------


def reachable(program: Program) -> set[int]:
    """Slots that a run may reach, following constants through registers and out of read-only data."""
    seen: dict[int, _State] = {}
    waiting: list[tuple[int, _State]] = [(0, list(_UNKNOWN))]
    while waiting:
        slot, arriving = waiting.pop()
        known = seen.get(slot)
        if known is None:
            seen[slot] = state = list(arriving)
        else:
            state = [a if a == b else None for a, b in zip(known, arriving, strict=True)]
            if state == known:
                continue
            seen[slot] = state
        waiting += _after(program, slot, list(state))
    return set(seen)


def _after(program: Program, slot: int, state: _State) -> list[tuple[int, _State]]:
    insn = program.insns[slot]
    if insn is None:
        return []
    row, target = insn.row, slot + 1 + insn.distance
    kind, following = row.kind, slot + insn.slots
    if kind is Kind.EXIT or (row.op == "call_helper" and insn.imm == POISON):
        return []
    if kind is Kind.GOTO:
        return [(target, state)]
    if kind is Kind.COUNTDOWN:
        return [(target, state), (following, state)]
    if kind is Kind.BRANCH:
        a, b = state[insn.dst], _source(insn, state)
        if isinstance(a, int) and isinstance(b, int):
            return [(target if row.effect_in(program.order)(a, b) else following, state)]
        return [(target, state), (following, state)]
    callees: list[tuple[int, _State]] = []
    if row.op in ("call_local", "func"):
        callees.append((target, list(_UNKNOWN)))
    if row.clobbers or kind is Kind.CALL:
        state[:6] = [None] * 6
    elif kind is Kind.ALU:
        state[insn.dst] = _computed(program, insn, state)
    elif kind is Kind.LOAD:
        state[insn.dst] = _loaded(program, insn, state)
    elif kind is Kind.WIDE:
        state[insn.dst] = _wide(insn)
    elif kind is Kind.CAST:
        state[insn.dst] = None
    elif kind is Kind.ATOMIC and row.fetch:
        state[insn.src if row.writes_src else 0] = None
    return [*callees, (following, state)]


def _source(insn: Insn, state: _State) -> _Value:
    return state[insn.src] if "src" in insn.row.fields else insn.imm & _M64


def _computed(program: Program, insn: Insn, state: _State) -> _Value:
    a, b = state[insn.dst], _source(insn, state)
    if insn.row.op == "mov":
        a = 0 if a is None or isinstance(a, tuple) else a
    if insn.row.name == "mov64_reg":
        return b
    if isinstance(a, tuple) and isinstance(b, int) and insn.row.op == "add" and insn.row.width == 64:
        return a[0], a[1] + b & _M64
    if isinstance(a, int) and isinstance(b, int):
        result: int = insn.row.effect_in(program.order)(a, b)
        return result
    return None


def _loaded(program: Program, insn: Insn, state: _State) -> _Value:
    base = state[insn.src]
    if not isinstance(base, tuple) or base[0] >= len(program.maps):
        return None
    map_, size = program.maps[base[0]], insn.row.width // 8
    at = base[1] + insn.off & _M64
    if not map_.readonly or at + size > len(map_.initial):
        return None
    raw = int.from_bytes(map_.initial[at : at + size], "big" if program.order == "big" else "little")
    if not insn.row.signed:
        return raw
    result: int = insn.row.effect_in(program.order)(0, raw)
    return result


def _wide(insn: Insn) -> _Value:
    if insn.row.op == "imm":
        return insn.imm
    return (insn.imm & 0xFFFFFFFF, insn.imm >> 32) if insn.row.op == "map_idx_value" else None
