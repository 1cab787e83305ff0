"""Conditional jumps: which ways can be gone, and what is known on each.

Source: check_cond_jmp_op, is_branch_taken, find_good_pkt_pointers, mark_ptr_or_null_regs and sync_linked_regs of
Linux 6.18.
"""

from __future__ import annotations

from bpf.isa.table import Row
from bpf.spec.errno import EACCES
from verifier import branch, nullness, precision, speculation
from verifier.arith import alu
from verifier.env import Env, each_reg
from verifier.kfunc_kinds import is_trusted
from verifier.raw import Raw
from verifier.registers import readable
from verifier.rejection import Rejection
from verifier.scalar import Scalar, constant
from verifier.state import ADD_CONST, ADD_CONST32, SPILL, ZERO, Reg, Slot, State
from verifier.types import (
    BASE,
    BTF,
    MAP_KEY,
    MAP_PTR,
    MAP_VALUE,
    MAYBE_NULL,
    MEM,
    PACKET,
    PACKET_END,
    PACKET_META,
    SCALAR,
    SOCK_COMMON,
    SOCKET,
    STACK,
    TCP_SOCK,
    UNTRUSTED,
)  # fmt: skip

MAX_PACKET_OFF = 0xFFFF
AT_END, BEYOND_END = -1, -2
_MOST_LINKED = 6

_FLIPPED = {
    "jeq": "jeq", "jne": "jne", "jset": "jset", "jge": "jle", "jgt": "jlt", "jsge": "jsle", "jsgt": "jslt",
    "jle": "jge", "jlt": "jgt", "jsle": "jsge", "jslt": "jsgt",
}  # fmt: skip
_PACKETS = frozenset({PACKET, PACKET_META, PACKET_END})
_NOT_NULL = frozenset({SOCKET, SOCK_COMMON, TCP_SOCK, MAP_VALUE, MAP_KEY, MAP_PTR})
_Linked = tuple[tuple[int, int, bool], ...]


def step(env: Env, raw: Raw, row: Row) -> int:
    """Execute a comparison whose form is right: the slot that is gone on at; another way may wait. Raises Rejection."""
    op, narrow = row.op, row.width == 32
    by_register = "src" in row.fields
    readable(env, raw.dst)
    regs = env.state.frames[-1].regs
    if by_register:
        src = readable(env, raw.src)
        dst = regs[raw.dst]
        if not (dst.type in _PACKETS and src.type in _PACKETS) and env.is_pointer(src):
            raise Rejection(EACCES, f"R{raw.src} pointer comparison prohibited", env.pc)
        stacks = (src.type == STACK) | (dst.type == STACK) << 1
    else:
        dst = regs[raw.dst]
        src = Reg(SCALAR, constant(raw.imm))
        stacks = (dst.type == STACK) << 1
    if stacks:
        env.history(stacks=stacks)
    there, here = env.pc + 1 + raw.off, env.pc + 1
    taken = _taken(dst, src, op, row.width)
    if taken is not None:
        if dst.type == SCALAR:
            precision.register(env, raw.dst)
        if by_register and src.type == SCALAR:
            precision.register(env, raw.src)
        if not env.spec_v1:
            speculation.path(env, here if taken else there, raw)
        return there if taken else here
    linked: list[tuple[int, int, bool]] = []
    if by_register and src.type == SCALAR and src.id:
        _collect(env, src.id, linked)
    dst = regs[raw.dst]
    if dst.type == SCALAR and dst.id:
        _collect(env, dst.id, linked)
    if by_register:  # what did not fit has lost its id, whichever of the two it is
        src = regs[raw.src]
    dst = regs[raw.dst]
    if len(linked) > 1:
        env.history(linked=tuple(linked))
    other = env.push(there, env.pc)
    others = other.frames[-1].regs
    if dst.type == SCALAR and src.type == SCALAR:
        _narrow(env, raw, row, dst, src, others, by_register)
        if by_register and regs[raw.src].id:
            _sync(env.state, regs[raw.src], linked)
            _sync(other, others[raw.src], linked)
        if regs[raw.dst].id:
            _sync(env.state, regs[raw.dst], linked)
            _sync(other, others[raw.dst], linked)
    elif not narrow and by_register and SCALAR not in (dst.type, src.type):
        _one_is_not_null(env, other, raw, op, dst, src)
    dst = regs[raw.dst]
    if not narrow and not by_register and raw.imm == 0 and op in ("jeq", "jne") and dst.type & MAYBE_NULL:
        nullness.decide(env, env.state, raw.dst, op == "jne")
        nullness.decide(env, other, raw.dst, op == "jeq")
    elif not (by_register and not narrow and _packets(env, op, raw, dst, src, other)) and env.is_pointer(dst):
        raise Rejection(EACCES, f"R{raw.dst} pointer comparison prohibited", env.pc)
    return here


# Which way -----------------------------------------------------------------------------------------


def _taken(a: Reg, b: Reg, op: str, bits: int) -> bool | None:
    if a.type in _PACKETS and b.type in _PACKETS and bits == 64:
        return _packet_taken(a, b, op)
    if not (b.type == SCALAR and _known(b.num, bits)):
        op = _FLIPPED[op]
        a, b = b, a
    if a.type != SCALAR:
        if b.type != SCALAR or not _known(b.num, bits) or not is_not_null(a):
            return None
        value = b.num.u32min if bits == 32 else b.num.value
        if value != 0:
            return None
        return False if op == "jeq" else True if op == "jne" else None
    if b.type != SCALAR:
        return None
    return branch.taken(op, a.num, b.num, bits)


def _known(num: Scalar, bits: int) -> bool:
    return num.mask == 0 or (bits == 32 and num.mask & 0xFFFF_FFFF == 0)


def is_not_null(reg: Reg) -> bool:
    """Whether a pointer cannot be null."""
    type_ = reg.type
    if type_ & MAYBE_NULL:
        return False
    base = type_ & BASE
    if base == BTF:
        return is_trusted(reg)
    return base in _NOT_NULL or (base == MEM and not type_ & UNTRUSTED)


def _packet_taken(a: Reg, b: Reg, op: str) -> bool | None:
    if b.type == PACKET_END:
        packet = a
    elif a.type == PACKET_END:
        packet, op = b, _FLIPPED[op]
    else:
        return None
    if packet.aux >= 0:
        return None
    if op in ("jle", "jgt") and packet.aux == BEYOND_END:
        return op == "jgt"
    if op in ("jlt", "jge"):
        return op == "jge"
    return None


# Scalars -------------------------------------------------------------------------------------------


def _narrow(env: Env, raw: Raw, row: Row, dst: Reg, src: Reg, others: list[Reg], by_register: bool) -> None:
    said: list[str] = []
    regs = env.state.frames[-1].regs
    if by_register and raw.src == raw.dst:
        dst_then, dst_else = branch.refine_same(row.op, dst.num, row.width, said)
    else:
        dst_then, src_then, dst_else, src_else = branch.refine(row.op, dst.num, src.num, row.width, said)
        if by_register:
            others[raw.src] = _numbered(src, src_then)
            regs[raw.src] = _numbered(src, src_else)
    others[raw.dst] = _numbered(dst, dst_then)
    regs[raw.dst] = _numbered(dst, dst_else)
    env.log.lines += said


def _numbered(reg: Reg, num: Scalar) -> Reg:
    return reg if num is reg.num else Reg(SCALAR, num, reg.off, reg.id)


def _collect(env: Env, id_: int, found: list[tuple[int, int, bool]]) -> None:
    """Add the registers that are read later, and slots, that share an id; those beyond the sixth lose it.

    One that both operands share their id with is added for each of them, and takes two places.
    """
    id_ &= ~ADD_CONST
    pc = env.pc
    for frame in reversed(env.state.frames):
        live = env.structure.live_before[pc]
        pc = frame.callsite
        for number, reg in enumerate(frame.regs):
            if reg.type == SCALAR and reg.id & ~ADD_CONST == id_ and live >> number & 1:
                if len(found) < _MOST_LINKED:
                    found.append((frame.number, number, True))
                else:
                    frame.regs[number] = reg.identified(0)
        for index, slot in enumerate(frame.stack):
            reg = slot.reg
            if slot.kinds[7] == SPILL and reg.type == SCALAR and reg.id & ~ADD_CONST == id_:
                if len(found) < _MOST_LINKED:
                    found.append((frame.number, index, False))
                else:
                    frame.stack[index] = Slot(slot.kinds, reg.identified(0))


def _sync(state: State, known: Reg, linked: list[tuple[int, int, bool]]) -> None:
    """Give what moves together with a register what is known of that."""
    if len(linked) < 2:
        return
    for number, at, is_reg in linked:
        frame = state.frames[number]
        reg = frame.regs[at] if is_reg else frame.stack[at].reg
        if reg.type != SCALAR or reg is known or (reg.id ^ known.id) & ~ADD_CONST:
            continue
        if reg.id & ADD_CONST and known.id & ADD_CONST and (reg.id ^ known.id) & ADD_CONST:
            continue  # one wrapped at 32 bits, the other did not
        if not (reg.id | known.id) & ADD_CONST or reg.off == known.off:
            new = known
        else:
            delta = constant(reg.off - known.off)
            width = 32 if (reg.id | known.id) & ADD_CONST32 else 64
            new = Reg(SCALAR, alu("add", width, known.num, delta), reg.off, reg.id)
        if is_reg:
            frame.regs[at] = new
        else:
            frame.stack[at] = Slot(frame.stack[at].kinds, new)


# Pointers to one thing ----------------------------------------------------------------------------


def _one_is_not_null(env: Env, other: State, raw: Raw, op: str, dst: Reg, src: Reg) -> None:
    """Two pointers are equal and one is not null: the other is not either."""
    if bool(dst.type & MAYBE_NULL) == bool(src.type & MAYBE_NULL) or BTF in (dst.type & BASE, src.type & BASE):
        return
    equal = other if op == "jeq" else env.state if op == "jne" else None
    if equal is None:
        return
    number = raw.src if src.type & MAYBE_NULL else raw.dst
    regs = equal.frames[-1].regs
    regs[number] = nullness.as_not_null(env, regs[number])


# Packets -------------------------------------------------------------------------------------------


def _is_start(reg: Reg) -> bool:
    return reg.type == PACKET and not reg.id and not reg.off and reg.num == ZERO


def _in_front(a: Reg, b: Reg) -> bool:
    """Whether a comparison says how many bytes lie between a, and b behind it."""
    return (a.type == PACKET and b.type == PACKET_END) or (a.type == PACKET_META and _is_start(b))


def _packets(env: Env, op: str, raw: Raw, dst: Reg, src: Reg, other: State) -> bool:
    """A comparison of a packet pointer with what lies behind the packet; False where it is none."""
    this = env.state
    if _in_front(dst, src):
        pointer, number = dst, raw.dst
    elif _in_front(src, dst):
        pointer, number, op = src, raw.src, _FLIPPED[op]
    else:
        return False
    # pointer op end
    if op == "jgt":
        _good(this, pointer, False)
        _beyond(other, number, True)
    elif op == "jge":
        _good(this, pointer, True)
        _beyond(other, number, False)
    elif op == "jlt":
        _good(other, pointer, True)
        _beyond(this, number, False)
    elif op == "jle":
        _good(other, pointer, False)
        _beyond(this, number, True)
    else:
        return False
    return True


def _good(state: State, pointer: Reg, open_: bool) -> None:
    """All bytes up to a pointer are there (and the one it points to: open_)."""
    if pointer.off < 0 or (pointer.off == 0 and open_):
        return
    if pointer.num.umax > MAX_PACKET_OFF or pointer.num.umax + pointer.off > MAX_PACKET_OFF:
        return
    reach = pointer.off + open_

    def change(reg: Reg) -> Reg:
        if reg.type == pointer.type and reg.id == pointer.id and reg.aux < reach:
            return reg.ranged(reach)
        return reg

    each_reg(state, change)


def _beyond(state: State, number: int, open_: bool) -> None:
    regs = state.frames[-1].regs
    reg = regs[number]
    if reg.type == PACKET:
        regs[number] = reg.ranged(BEYOND_END if open_ else AT_END)
