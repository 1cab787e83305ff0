"""Programs that nobody meant: random bytes, and real programs with fields changed. A verifier must have an answer."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from bpf.isa.table import BY_OPCODE
from bpf.spec.program_types import PROGRAM_TYPES
from fuzz import border, genome
from runtime import verifying
from verifier import Subject

_SLOT = 8
_OPCODES = tuple(sorted(BY_OPCODE))
KINDS = ("sched_cls", "socket_filter", "xdp", "kprobe", "cgroup_skb", "raw_tracepoint", "syscall")


def subject(random: Random) -> Subject:
    """A program, of bytes or of changed instructions."""
    if random.random() < 0.2:
        return _bytes(random)
    decode = border.decode if random.random() < 0.7 else genome.decode
    program = decode(genome.draw(random, random.choice((1, 4, 12))), random.choice(("little", "big")))
    made = verifying.subject(program, random.choice(KINDS))
    code = bytearray(made.code)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        _change(random, code)
    return replace(made, code=bytes(code))


def _bytes(random: Random) -> Subject:
    """Random slots: all bytes, or known opcodes with small fields; mostly with an exit behind them."""
    slots = bytearray()
    for _ in range(random.choice((0, 1, 2, 5, 30))):
        slot = bytearray(random.randbytes(_SLOT))
        if random.random() < 0.7:
            slot[0] = random.choice(_OPCODES)
            slot[1] = random.randrange(11) | random.randrange(11) << 4
            off, imm = random.randbytes(1) + bytes(5), bytes(2) + random.randbytes(1) + bytes(3)
            slot[2:8] = random.choice((bytes(6), off, imm))
        slots += slot
    if random.random() < 0.8:
        slots += bytes.fromhex("b700000000000000 9500000000000000")
    cut = random.randrange(_SLOT) if random.random() < 0.02 else 0
    kind = PROGRAM_TYPES[random.choice(KINDS)]
    code = bytes(slots[: len(slots) - cut])
    return Subject(code, random.choice(("little", "big")), kind, maps=border.MAPS, sleepable=kind.name == "syscall")


def _change(random: Random, code: bytearray) -> None:
    """Change a field of one slot, or a slot's place."""
    at = random.randrange(len(code) // _SLOT) * _SLOT
    what = random.randrange(8)
    if what == 0:
        code[at] = random.choice(_OPCODES)
    elif what == 1:
        code[at] = random.randrange(256)
    elif what == 2:
        code[at + 1] = random.randrange(256)
    elif what == 3:
        code[at + 2 : at + 4] = random.choice((b"\0\0", b"\1\0", b"\xff\xff", random.randbytes(2)))
    elif what == 4:
        small = random.randbytes(1) + bytes(3)
        code[at + 4 : at + 8] = random.choice((bytes(4), b"\xff" * 4, b"\0\0\0\x80", random.randbytes(4), small))
    elif what == 5:
        code[at + random.randrange(_SLOT)] ^= 1 << random.randrange(8)
    elif what == 6 and len(code) > _SLOT:
        del code[at : at + _SLOT]
    else:
        other = random.randrange(len(code) // _SLOT) * _SLOT
        code[at : at + _SLOT], code[other : other + _SLOT] = code[other : other + _SLOT], code[at : at + _SLOT]
