"""Programs of arithmetic and comparisons alone, walked with the verifier's scalars, and read from a kernel's log."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

from bpf.isa import ROW, ROWS, Insn, Kind, Row, make
from bpf.isa.effects import signed
from verifier import arith, branch
from verifier.scalar import UNKNOWN, Scalar, constant
from verifier.scalar_text import scalar_text

CONTEXT, REGISTERS = 6, (1, 2, 3, 4)
ALU = [row for row in ROWS if row.kind is Kind.ALU]
BRANCHES = [row for row in ROWS if row.kind is Kind.BRANCH]
_LOADS = [(row, row.width) for row in ROWS if row.name in ("ldx8", "ldx16", "ldx32", "ldx64")]
_EDGES = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 32, 63, 64, 100, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000]
_NARROWING = ("and64_imm", "and64_imm", "or64_imm", "rsh64_imm", "arsh64_imm", "add64_imm", "and32_imm", "rsh32_imm")

State = dict[int, Scalar]


def number(rng: random.Random, bits: int = 32) -> int:
    """A number of so many bits, more often than not near an edge, sparse, or a mask."""
    choice = rng.randrange(6)
    if choice == 0:
        x = rng.choice(_EDGES)
    elif choice == 1:
        x = rng.getrandbits(bits)
    elif choice == 2:
        x = (1 << rng.randrange(bits)) + rng.randrange(-2, 3)
    elif choice == 3:
        x = (1 << rng.randrange(1, bits + 1)) - 1 << rng.randrange(bits)
    elif choice == 4:
        x = rng.getrandbits(bits) & rng.getrandbits(bits) & rng.getrandbits(bits)
    else:
        x = rng.getrandbits(rng.randrange(1, bits + 1))
    return signed(-x if rng.random() < 0.3 else x, bits)


def _constant(rng: random.Random, register: int) -> Insn:
    if rng.random() < 0.5:
        return make(ROW["mov64_imm"], register, imm=number(rng))
    return make(ROW["lddw_imm"], register, imm=number(rng, 64) & (1 << 64) - 1)


def _operation(rng: random.Random, row: Row, dst: int, src: int) -> Insn:
    imm = number(rng)
    if row.op in ("lsh", "rsh", "arsh"):
        imm %= row.width
    if row.op in ("div", "mod", "sdiv", "smod") and imm == 0:
        imm = 1
    return make(row, dst, src if "src" in row.fields else 0, imm=imm if "imm" in row.fields else 0)


def _narrowing(rng: random.Random, dst: int, src: int) -> Insn:
    """What turns an unknown number into one of which something is known."""
    if rng.random() < 0.1:  # a sign, which `arith.fork` takes apart
        return rng.choice((make(ROW["arsh64_imm"], dst, imm=63), make(ROW["arsh32_imm"], dst, imm=31)))
    name = rng.choice(
        ("and64_imm", "and64_imm", "or64_imm", "rsh64_imm", "arsh64_imm", "add64_imm", "and32_imm", "rsh32_imm")
    )
    return _operation(rng, ROW[name], dst, src)


def _pair(rng: random.Random) -> tuple[int, int]:
    dst, src = rng.sample(REGISTERS, 2)
    return dst, dst if rng.random() < 0.05 else src


def generate(rng: random.Random, row: Row, steps: int = 6) -> list[Insn]:
    """A program that ends with the row: loads and constants, then narrowing, arithmetic and comparisons.

    A comparison that holds goes to an end of its own, so that a log shows both ways out of it. No register is copied
    before the last step, for copies learn from each other.
    """
    body = [make(ROW["mov64_reg"], CONTEXT, 1)]
    for register in REGISTERS:
        if rng.random() < 0.2:
            body.append(_constant(rng, register))
        else:
            load, width = rng.choice(_LOADS)
            body.append(make(load, register, CONTEXT, off=rng.randrange(8) * (width // 8)))
    usable = [each for each in ALU if each.op not in ("mov", "movsx")]
    for _ in range(rng.randrange(steps)):
        dst, src = _pair(rng)
        choice = rng.random()
        if choice < 0.4:
            body.append(_narrowing(rng, dst, src))
        elif choice < 0.8:
            body.append(_operation(rng, rng.choice(BRANCHES), dst, src))
        else:
            body.append(_operation(rng, rng.choice(usable), dst, src))
    body.append(_operation(rng, row, *_pair(rng)))
    end = [make(ROW["mov64_imm"], 0), make(ROW["exit"])]
    size = sum(insn.slots for insn in body)
    at, ends, found = 0, 0, []
    for insn in body:
        at += insn.slots
        if insn.row.kind is Kind.BRANCH:
            ends += 1
            insn = insn.with_distance(size + 2 * ends - at)
        found.append(insn)
    return found + end * (ends + 1)


def step(text: str) -> Insn:
    """A step of R1: `add64 5`, `movsx8_64`, `!jgt32 7`."""
    name, _, given = text.removeprefix("!").partition(" ")
    row = ROW.get(name) or ROW[f"{name}_imm"]
    return make(row, 1, 1 if "src" in row.fields else 0, imm=int(given, 0) if given else 0)


def stepped(steps: str) -> list[Insn]:
    """A program of steps of R1, which ends where a comparison goes the other way; the last slot of a path stores R1."""
    body = [make(ROW["ldx64"], 1, 1)]
    end = [make(ROW["mov64_imm"], 0), make(ROW["exit"])]
    for text in steps.split("; "):
        insn = step(text)
        if insn.row.kind is not Kind.BRANCH:
            body.append(insn)
        elif text[0] == "!":
            body += [insn.with_distance(2), *end]
        else:
            body += [insn.with_distance(1), make(ROW["ja"], off=2), *end]
    return [*body, make(ROW["stx64"], 10, 1, -8), *end]


def operand(insn: Insn, state: Mapping[int, Scalar]) -> Scalar:
    """What the second operand is."""
    if "src" in insn.row.fields:
        return state[insn.src]
    return constant(insn.imm)


def walk(insns: list[Insn], said: list[str] | None = None) -> dict[str, dict[int, str]]:
    """Where in a log -> register -> its text: "5" behind the instruction at slot 5, "5 to 9" at the jump's target."""
    state: State = {}
    found: dict[str, dict[int, str]] = {}
    slot = 0
    for insn in insns:
        row, here = insn.row, str(slot)
        slot += insn.slots
        if row.kind is Kind.EXIT:
            break
        if row.kind is Kind.LOAD:
            state[insn.dst] = arith.truncated(UNKNOWN, row.width // 8)
        elif row.kind is Kind.WIDE:
            state[insn.dst] = constant(insn.imm)
        elif row.kind is Kind.ALU:
            if insn.src == 1 and row.op == "mov" and insn.dst == CONTEXT:
                continue
            dst, src = state.get(insn.dst, UNKNOWN), operand(insn, state)
            both = arith.fork(row.op, dst, src)
            if both is not None:
                found.setdefault(f"{here} to {here}", _texts({**state, insn.dst: both[1]}))
                dst = both[0]
            state[insn.dst] = arith.alu(row.op, row.width, dst, src, row.bits)
        else:
            there = f"{here} to {slot + insn.distance}"
            a, b = state[insn.dst], operand(insn, state)
            decided = branch.taken(row.op, a, b, row.width)
            if decided:
                break
            if decided is None:
                held = dict(state)
                if "src" in row.fields and insn.dst == insn.src:
                    held[insn.dst], state[insn.dst] = branch.refine_same(row.op, a, row.width, said)
                else:
                    held[insn.dst], b_then, state[insn.dst], b_else = branch.refine(row.op, a, b, row.width, said)
                    if "src" in row.fields:
                        held[insn.src], state[insn.src] = b_then, b_else
                found[there] = _texts(held)
        found[here] = {
            n: scalar_text(state[n]) for n in {insn.dst, *([insn.src] if "src" in row.fields else [])} if n in state
        }
    return found


def _texts(state: State) -> dict[int, str]:
    return {register: scalar_text(s) for register, s in state.items()}


_REGISTER = re.compile(r"R(\d+)(?:_\w+)?=(P?)(scalar\([^()]*(?:\([^()]*\)[^()]*)?\)|-?\w+)(?=\s|$)")
_STORED = re.compile(r"\*\(u64 \*\)\(r10 -8\) = r1\s*; R1=(.*) R10=")
_ID = re.compile(r"id=\d+(?:[+-]\d+)?,?")


def read(log: str) -> dict[str, dict[int, str]]:
    """The same of a kernel's log at level 2: the registers that it prints, the first time that it comes by."""
    found: dict[str, dict[int, str]] = {}
    for line in log.splitlines():
        here, _, rest = line.partition(": ")
        if here.startswith("from "):
            where = here.removeprefix("from ")
        elif here.isdigit() and rest.startswith("("):
            where, rest = here, rest.partition(" ; ")[2]
        else:
            continue
        found.setdefault(where, {int(n): _ID.sub("", text) for n, _, text in _REGISTER.findall(rest)})
    return found


def stored(log: str) -> str:
    """What a kernel's log says of R1 where a program of `stepped` stores it."""
    found = _STORED.search(log)
    assert found is not None, log
    return _ID.sub("", found[1])


def warnings(log: str) -> list[str]:
    """What a kernel's log says of registers that contradict themselves."""
    return [line for line in log.splitlines() if line.startswith("verifier bug: ")]


def forked(ours: dict[str, dict[int, str]]) -> bool:
    """Whether the kernel walks a second path, not looked at here, from the middle of the first (arith.fork)."""
    return any(a == b for a, _, b in (where.partition(" to ") for where in ours))


def differences(ours: dict[str, dict[int, str]], theirs: dict[str, dict[int, str]]) -> list[str]:
    """What a log prints otherwise, a line each. Registers that it does not print are not looked at."""
    found: list[str] = []
    again = any(
        where.split(" to ")[0] == where.split(" to ")[-1] for where in ours if " to " in where
    )  # see arith.fork
    for where in sorted(ours.keys() | theirs.keys()):
        if where not in ours or where not in theirs:
            if where in theirs and (again or not any(n in REGISTERS for n in theirs[where])):
                continue
            if where in ours and not ours[where]:
                continue
            found.append(f"{where}: only {'the kernel' if where in theirs else 'we'} come here")
            continue
        for n, text in theirs[where].items():
            if n in REGISTERS and text != "ctx" and ours[where].get(n, text) != text:
                found.append(f"{where}: R{n} kernel {text}\n          ours   {ours[where][n]}")
    return found
