"""Programs whose instructions need not be any: random slots whose fields are mostly, not always, as they should be."""

from __future__ import annotations

import struct
from random import Random

from bpf.isa import opcodes
from bpf.isa.opcodes import ALU, ALU64, JMP, JMP32, LDX, X
from bpf.isa.table import BY_OPCODE
from bpf.program import Map
from bpf.spec.program_types import PROGRAM_TYPES
from verifier.raw import Raw
from verifier.subject import Subject

MAPS = (
    Map("one", "array", 4, 16, 1), Map("table", "hash", 4, 16, 4), Map("many", "array", 4, 16, 3),
    Map("each", "percpu_array", 4, 8, 1), Map("storage", "cgroup_storage", 16, 8, 0),
    Map("storage2", "cgroup_storage", 16, 8, 0), Map("stacks", "stack_trace", 4, 8, 4),
)  # fmt: skip
_KINDS = ("socket_filter", "socket_filter", "xdp", "kprobe", "sched_cls", "syscall")
_OPCODES = tuple(BY_OPCODE)
_CALL, _EXIT, _JA = (opcodes.JMP_OPS[op] for op in ("call", "exit", "ja"))
_WIDE = opcodes.LD | opcodes.IMM | opcodes.SIZE[64]
_OFFSETS = (0, 0, 0, 1, 2, -1, 3, 8, 16, 32, -8, 5, -3)
_NUMBERS = (
    0, 0, 1, 2, -1, 16, 32, 64, 3, 5, 12, 7, 40, 170, 181, opcodes.LOAD_ACQUIRE, opcodes.STORE_RELEASE, opcodes.CMPXCHG,
    opcodes.XCHG, opcodes.ATOMIC_OPS["or"] | opcodes.FETCH, opcodes.TO_ARENA,
)  # fmt: skip
_NO_FUNCTION = 777_777_777


def subject(rng: Random) -> Subject:
    """A program of up to fourteen instructions."""
    kind = rng.choice(_KINDS)
    raws = _program(rng)
    code = b"".join(struct.pack("<BBhi", raw.code, raw.dst | raw.src << 4, raw.off, raw.imm) for raw in raws)
    sleepable = kind == "syscall" and rng.random() < 0.8
    return Subject(code, "little", PROGRAM_TYPES[kind], maps=MAPS, sleepable=sleepable)


def _program(rng: Random) -> list[Raw]:
    raws: list[Raw] = []
    length = rng.randrange(1, 14)
    while len(raws) < length:
        raw = _raw(rng)
        raws += _wide(rng, raw) if raw.code == _WIDE else [raw]
    if rng.random() < 0.9:
        raws.append(Raw(JMP | _EXIT, 0, 0, 0, 0))
    if rng.random() < 0.8:
        raws = [_aimed(rng, raw, pc, len(raws)) for pc, raw in enumerate(raws)]
    return raws


def _aimed(rng: Random, raw: Raw, pc: int, length: int) -> Raw:
    """A jump that lands in the program, mostly ahead; other instructions as they are."""
    jumps = raw.code & 7 in (JMP, JMP32) and raw.code & 0xF0 not in (_CALL, _EXIT)
    if not jumps or rng.random() < 0.03:
        return raw
    target = rng.randrange(length) if rng.random() < 0.4 else rng.randrange(pc + 1, length + 1)
    distance = target - pc - 1
    return raw._replace(imm=distance) if raw.code == JMP32 | _JA else raw._replace(off=distance)


def _raw(rng: Random) -> Raw:
    """A slot that is mostly right."""
    code = rng.choice(_OPCODES) if rng.random() < 0.9 else rng.randrange(256)
    dst, src = (rng.randrange(11) if rng.random() < 0.9 else rng.randrange(16) for _ in range(2))
    off, imm = rng.choice(_OFFSETS), rng.choice(_NUMBERS)
    cls, op = code & 7, code & 0xF0
    right = [rng.random() < 0.83 for _ in range(3)]
    if cls in (ALU, ALU64, JMP, JMP32):
        imm = 0 if code & X and right[0] else imm
        src = 0 if not code & X and right[0] else src
        off = 0 if cls in (ALU, ALU64) and right[1] else off
        if cls in (ALU, ALU64) and op == opcodes.ALU_OPS["end"] and right[2]:
            src, imm = 0, rng.choice((16, 32, 64))
    if cls == LDX and rng.random() < 0.95:
        imm = 0
    if cls == JMP and op in (_CALL, _EXIT, _JA) and right[1]:
        dst = 0
        if op == _EXIT:
            src = off = imm = 0
        elif op == _JA:
            src = imm = 0
    if code == JMP | _CALL:
        src = rng.choice((0, 0, 0, 1, 1, 1, 2, 3))
        imm = rng.choice((0, 1, 2, -3, -1, 3, 4, 5, 8)) if src == 1 else _NO_FUNCTION if src == 2 else imm
        off = 0 if right[2] else off
    return Raw(code, dst, src, off, imm)


def _wide(rng: Random, raw: Raw) -> list[Raw]:
    """Both slots of an lddw."""
    src = rng.choice((0, 0, 0, 1, 1, 2, 2, 4, 7, 9))
    imm = raw.imm
    if src in (opcodes.WIDE_FORMS["map_fd"], opcodes.WIDE_FORMS["map_fd_value"]):
        imm = rng.randrange(len(MAPS)) if rng.random() < 0.9 else 77_777
    elif src == opcodes.WIDE_FORMS["func"]:
        imm = rng.choice((1, 2, 3, 4, -2))
    first = Raw(raw.code, raw.dst, src, 0 if rng.random() < 0.9 else 1, imm)
    high = Raw(0, 0, 0, 0, rng.choice((0, 0, 0, 4, 16, 20, 1 << 29, -1)))
    if rng.random() < 0.99:
        return [first, high if rng.random() < 0.95 else _raw(rng)]
    return [first]
