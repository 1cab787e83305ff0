"""Programs to measure with: a realistic mix of any length, and loops of one kind of work."""

from __future__ import annotations

import random

from bpf.isa import ROW, Insn, make
from bpf.program import Program, program
from bpf.text import assemble

# Weights after what clang emits for packet filters and tracing programs: half ALU, a third memory, the rest control.
_ALU = ("add", "sub", "and", "or", "xor", "lsh", "rsh", "arsh", "mul")
_JUMPS = ("jeq", "jne", "jgt", "jge", "jlt", "jle", "jset", "jsgt", "jslt")
_MIX = (
    ("alu_reg", 20), ("alu_imm", 18), ("mov_reg", 8), ("mov_imm", 4), ("load", 18), ("store", 10), ("store_imm", 2),
    ("branch", 13), ("lddw", 2), ("swap", 2), ("movsx", 1), ("divide", 1), ("atomic", 0.5), ("helper", 0.5),
)  # fmt: skip
_WIDTHS = (64, 64, 64, 32, 32)
_KTIME = 5


def mix(count: int, seed: int = 1) -> Program:
    """A program of `count` instructions (the last an exit) that runs from top to bottom, some branches skipping a bit.

    Loads and stores go to the program's own stack frame.
    """
    draw = random.Random(seed)
    kinds, weights = zip(*_MIX, strict=True)
    body = [_insn(draw, kind) for kind in draw.choices(kinds, weights, k=count - 1)]
    slots: list[Insn | None] = []
    at = []
    for insn in body:
        at.append(len(slots))
        slots += [insn, None] if insn.slots == 2 else [insn]
    at.append(len(slots))
    for number, insn in enumerate(body):
        if insn.row.name.startswith("j"):
            target = at[min(number + 1 + draw.randrange(12), len(body))]
            slots[at[number]] = insn.with_distance(target - at[number] - 1)
    return program((*slots, make(ROW["exit"])), name=f"mix{count}")


def _insn(draw: random.Random, kind: str) -> Insn:
    dst, src, width = draw.randrange(10), draw.randrange(10), draw.choice(_WIDTHS)
    imm = draw.choice((draw.randrange(-128, 128), draw.randrange(-(1 << 31), 1 << 31), 1 << draw.randrange(31)))
    slot = -8 * draw.randrange(1, 65)
    bits = draw.choice((8, 16, 32, 64))
    match kind:
        case "alu_reg" | "alu_imm":
            op = draw.choice(_ALU)
            if kind == "alu_reg":
                return make(ROW[f"{op}{width}_reg"], dst, src)
            return make(ROW[f"{op}{width}_imm"], dst, imm=imm % width if op in ("lsh", "rsh", "arsh") else imm)
        case "mov_reg":
            return make(ROW[f"mov{width}_reg"], dst, src)
        case "mov_imm":
            return make(ROW[f"mov{width}_imm"], dst, imm=imm)
        case "load":
            return make(ROW[f"ldx{bits}"], dst, 10, slot)
        case "store":
            return make(ROW[f"stx{bits}"], 10, src, slot)
        case "store_imm":
            return make(ROW[f"st{bits}"], 10, 0, slot, imm)
        case "branch" if draw.random() < 0.5:
            return make(ROW[f"{draw.choice(_JUMPS)}{width}_imm"], dst, imm=imm)
        case "branch":
            return make(ROW[f"{draw.choice(_JUMPS)}{width}_reg"], dst, src)
        case "lddw":
            return make(ROW["lddw_imm"], dst, imm=draw.getrandbits(64))
        case "swap":
            return make(ROW[f"to_be{draw.choice((16, 32, 64))}"], dst)
        case "movsx":
            return make(ROW[f"movsx{draw.choice((8, 16, 32))}_64"], dst, src)
        case "divide":
            return make(ROW[f"{draw.choice(('div', 'mod', 'sdiv', 'smod'))}{width}_reg"], dst, src)
        case "atomic":
            return make(ROW[f"atomic64_{draw.choice(('add', 'or', 'fetch_add', 'xchg'))}"], 10, src, slot)
    return make(ROW["call_helper"], imm=_KTIME)


def alu_loop(iterations: int) -> Program:
    """Six instructions an iteration: five of arithmetic and the branch back."""
    return assemble(f"""
        r0 = 1
        r1 = {iterations}
    again:
        r0 *= 31
        r0 += r1
        r0 ^= 255
        w0 >>= 1
        r1 += -1
        if r1 != 0 goto again
        exit
    """)


def memory_loop(iterations: int) -> Program:
    """Six instructions an iteration: two loads, two stores, the counter and the branch back."""
    return assemble(f"""
        r1 = {iterations}
        *(u64 *)(r10 - 8) = r1
    again:
        r0 = *(u64 *)(r10 - 8)
        *(u64 *)(r10 - 16) = r0
        r2 = *(u32 *)(r10 - 16)
        *(u32 *)(r10 - 8) = r2
        r1 += -1
        if r1 != 0 goto again
        exit
    """)


def fibonacci_loop(iterations: int) -> Program:
    """Five instructions an iteration: a sum, two moves, the counter and the branch back."""
    return assemble(f"""
        r0 = 0
        r2 = 1
        r1 = {iterations}
    again:
        r3 = r0
        r0 += r2
        r2 = r3
        r1 += -1
        if r1 != 0 goto again
        exit
    """)


def rounds_loop(iterations: int) -> Program:
    """Fourteen instructions an iteration: half a SipHash round, in which two chains run side by side."""
    return assemble(f"""
        r2 = 0x736f6d65
        r3 = 0x646f7261
        r4 = 0x6c796765
        r5 = 0x74656462
        r1 = {iterations}
    again:
        r2 += r3
        r4 += r5
        r0 = r3
        r3 <<= 13
        r0 >>= 51
        r3 |= r0
        r0 = r5
        r5 <<= 16
        r0 >>= 48
        r5 |= r0
        r3 ^= r2
        r5 ^= r4
        r1 += -1
        if r1 != 0 goto again
        r0 = r2
        r0 ^= r3
        r0 ^= r4
        r0 ^= r5
        exit
    """)


def helper_loop(iterations: int) -> Program:
    """Six instructions an iteration, two of them calls: the clock (5) and a random number (7)."""
    return assemble(f"""
        r6 = {iterations}
        r7 = 0
    again:
        call 5
        r7 ^= r0
        call 7
        r7 += r0
        r6 += -1
        if r6 != 0 goto again
        r0 = r7
        exit
    """)
