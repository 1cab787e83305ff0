"""Hypothesis strategies that the tests share: instructions of a row, and whole programs."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from bpf.isa import ROW, ROWS, Insn, Kind, Row, make
from bpf.isa.opcodes import FRAME_POINTER
from bpf.program import Map, Program, program


def _edges(bits: int) -> list[int]:
    """Signed numbers of `bits` around which mistakes happen, simplest first: powers of two and their neighbours."""
    top = 1 << (bits - 1)
    near = {sign * (1 << n) + delta for n in range(bits) for sign in (1, -1) for delta in (-1, 0, 1)}
    return sorted((value for value in near if -top <= value < top), key=lambda value: (abs(value), value < 0))


def _signed(bits: int) -> st.SearchStrategy[int]:
    top = 1 << (bits - 1)
    return st.one_of(st.sampled_from(_edges(bits)), st.integers(-top, top - 1))


OFFSETS = _signed(16)
IMMEDIATES = _signed(32)
WORDS = _signed(64).map(lambda value: value & (1 << 64) - 1)
"""Unsigned 64-bit values, edges first: immediates of lddw, contents of registers."""

_OTHERS = (Kind.CALL, Kind.EXIT, Kind.PACKET, Kind.CAST)
STRAIGHT = tuple(
    row for row in ROWS if not row.jumps and row.kind not in _OTHERS and (row.kind is not Kind.WIDE or row.op == "imm")
)
"""Rows that go on with the next instruction and name nothing outside the program."""


def has_high_half(row: Row) -> bool:
    """Whether an lddw form uses the high half of its immediate."""
    return "{hi}" in row.text or "{imm}" in row.text


def insns(row: Row) -> st.SearchStrategy[Insn]:
    """Instructions of a row, with operands that the wire form can hold, edges weighted."""
    zero = st.just(0)
    dst = st.integers(0, FRAME_POINTER - 1 if row.writes_dst else FRAME_POINTER)
    src = st.integers(0, FRAME_POINTER - 1 if row.writes_src else FRAME_POINTER)
    imm = IMMEDIATES
    if row.kind is Kind.WIDE:
        imm = WORDS if has_high_half(row) else IMMEDIATES.map(lambda value: value & 0xFFFFFFFF)
    elif row.immediates:
        imm = st.sampled_from(sorted(row.immediates))
    drawn = {"dst": dst, "src": src, "off": OFFSETS, "imm": imm}
    return st.builds(make, st.just(row), **{name: drawn[name] if name in row.fields else zero for name in drawn})


def _slots(insns: Sequence[Insn]) -> list[Insn | None]:
    return [slot for insn in insns for slot in ([insn, None] if insn.slots == 2 else [insn])]


@st.composite
def straight_programs(draw: st.DrawFn, rows: Sequence[Row] = STRAIGHT, max_size: int = 30) -> Program:
    """Programs that run from the first instruction to the last, an exit."""
    body = draw(st.lists(st.sampled_from(rows).flatmap(insns), max_size=max_size))
    return program(_slots([*body, make(ROW["exit"])]), order=draw(st.sampled_from(["little", "big"])))


@st.composite
def programs(draw: st.DrawFn, max_size: int = 12) -> Program:
    """Programs of one to three named functions, with jumps inside each and calls between them. They may loop."""
    drawn = st.lists(st.lists(st.sampled_from(ROWS).flatmap(insns), max_size=max_size), min_size=1, max_size=3)
    bodies = [_slots([*body, make(ROW["exit"])]) for body in draw(drawn)]
    starts = [sum(len(body) for body in bodies[:n]) for n in range(len(bodies))]
    slots: list[Insn | None] = []
    for start, body in zip(starts, bodies, strict=True):
        inside = [start + at for at, insn in enumerate(body) if insn is not None]
        for insn in body:
            if insn is not None and insn.row.op in ("call_local", "func"):
                insn = insn.with_distance(draw(st.sampled_from(starts)) - len(slots) - 1)
            elif insn is not None and insn.row.jumps:
                insn = insn.with_distance(draw(st.sampled_from(inside)) - len(slots) - 1)
            slots.append(insn)
    names = {start: draw(st.text(max_size=8)) for start in starts}
    return program(slots, name="prog", order=draw(st.sampled_from(["little", "big"])), names=names)


DATA = Map("data", value_size=256, initial=bytes((31 * n + 7) & 0xFF for n in range(256)))
_COMPUTING = tuple(row for row in ROWS if row.kind is Kind.ALU or row.name == "lddw_imm")
_JUMPING = tuple(row for row in ROWS if row.kind is Kind.BRANCH)
_ACCESSING = tuple(row for row in ROWS if row.kind in (Kind.LOAD, Kind.STORE, Kind.ATOMIC))
_SCRATCH = st.integers(0, FRAME_POINTER - 1)


@st.composite
def _access(draw: st.DrawFn) -> list[Insn]:
    """A load, store or atomic on the stack (through R10) or on the data map, inside its bounds, atomics aligned."""
    row = draw(st.sampled_from(_ACCESSING))
    size = row.width // 8
    step = size if row.aligned else 1
    other = draw(_SCRATCH)
    imm = draw(IMMEDIATES) if "imm" in row.fields else 0
    if draw(st.booleans()):
        at = draw(st.integers(0, (64 - size) // step)) * step
        base, off, before = FRAME_POINTER, at - 64, []
    else:
        base = draw(_SCRATCH)
        at, off = draw(st.integers(0, (256 - size) // step)) * step, draw(st.integers(-40, 40)) * 8
        before = [
            make(ROW["lddw_map_idx_value"], base, imm=at << 32),
            make(ROW["add64_imm"], base, imm=-off),
        ]
    dst, src = (other, base) if row.kind is Kind.LOAD else (base, other if "src" in row.fields else 0)
    return [*before, make(row, dst, src, off, imm)]


_COMPUTE = st.sampled_from(_COMPUTING).flatmap(insns).map(lambda insn: [insn])
_HELPER = st.just([make(ROW["call_helper"], imm=7)])


@st.composite
def _jump(draw: st.DrawFn) -> list[Insn]:
    """A forward jump over a few gestures."""
    inside = [insn for gesture in draw(st.lists(st.one_of(_COMPUTE, _access()), max_size=4)) for insn in gesture]
    jump = draw(st.sampled_from(_JUMPING).flatmap(insns))
    return [jump.with_distance(sum(insn.slots for insn in inside)), *inside]


@st.composite
def running_programs(draw: st.DrawFn, max_size: int = 12) -> Program:
    """Programs that run to an exit: arithmetic, accesses within bounds, forward jumps, calls of a helper and of one
    function of their own. They have the map DATA."""
    gesture = st.one_of(_COMPUTE, _COMPUTE, _access(), _access(), _jump(), _HELPER)
    bodies = []
    for _ in range(2):
        body = [insn for part in draw(st.lists(gesture, max_size=max_size)) for insn in part]
        bodies.append(_slots(body))
    main, callee = bodies
    exit_ = make(ROW["exit"])
    call = make(ROW["call_local"], imm=len(main) + 1)
    if not draw(st.booleans()):
        return program([*main, exit_], order="little", maps=[DATA])
    at = draw(st.sampled_from([0, len(main)]))
    distance = len(main) - at + 1
    slots = [*main[:at], call.with_distance(distance), *main[at:], exit_, *callee, exit_]
    return program(slots, order="little", maps=[DATA])
