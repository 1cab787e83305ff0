"""A small BPF runtime of its own, for the tests of the plugin protocol: it shares nothing with crossbpf.

It knows arithmetic, jumps, memory, atomics and calls between functions. SMALL_RUNTIME=WHAT:OPCODE makes it do something
bad when it comes to an instruction of that opcode (hexadecimal): crash, hang, garbage, eat, error, wrong.
"""

import os
import sys

M32, M64 = (1 << 32) - 1, (1 << 64) - 1
STACK, MEMORY = 0x7000_0000_0000, 0x6000_0000_0000
WHAT, _, OPCODE = os.environ.get("SMALL_RUNTIME", ":0").partition(":")
BAD = int(OPCODE, 16)


def signed(value, bits):
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


def divided(a, b, bits, off):
    if not off:
        return (a // b, a % b) if b else (0, a)
    a, b = signed(a, bits), signed(b, bits)
    if not b:
        return 0, a
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient, a - quotient * b


def misbehave():
    if WHAT == "crash":
        os.abort()
    while WHAT == "hang":
        pass
    if WHAT == "garbage":
        print('\x1b[31m"""segment\\violation\0')
        sys.exit(0)
    if WHAT == "eat":
        eaten = []
        while True:
            eaten.append(bytes(1 << 28))
    if WHAT == "error":
        sys.exit("no such instruction")


def at(memory, address, size):
    for start, content in memory:
        if start <= address <= start + len(content) - size:
            return content, address - start
    sys.exit(f"no memory at {address:#x}")


def alu(op, a, b, bits, off):
    mask, shift = (1 << bits) - 1, b & bits - 1
    a, b = a & mask, b & mask
    if op in (0x30, 0x90):
        return divided(a, b, bits, off)[op == 0x90]
    if op == 0xB0:
        return signed(b, off) if off else b
    values = {0x00: a + b, 0x10: a - b, 0x20: a * b, 0x40: a | b, 0x50: a & b, 0x60: a << shift, 0x70: a >> shift,
              0x80: -a, 0xA0: a ^ b, 0xC0: signed(a, bits) >> shift}  # fmt: skip
    return values[op]


def jumps(op, a, b, bits):
    a, b = a & (1 << bits) - 1, b & (1 << bits) - 1
    s, t = signed(a, bits), signed(b, bits)
    return {0x00: True, 0x10: a == b, 0x20: a > b, 0x30: a >= b, 0x40: a & b, 0x50: a != b, 0x60: s > t,
            0x70: s >= t, 0xA0: a < b, 0xB0: a <= b, 0xC0: s < t, 0xD0: s <= t}[op]  # fmt: skip


def atomic(r, dst, src, imm, old, size):
    """The value to store, None for none, and the register that gets the old one, None for none."""
    if imm == 0xF1:
        return (r[src] if old == r[0] & (1 << 8 * size) - 1 else None), 0
    if imm == 0xE1:
        return r[src], src
    return alu(imm & 0xF0, old, r[src], 8 * size, 0), src if imm & 1 else None


def run(code, memory):
    r, pc, frames = [0] * 11, 0, []
    r[1], r[2], r[10] = (MEMORY, len(memory), STACK + 4096) if memory else (0, 0, STACK + 4096)
    places = ((STACK, bytearray(4096)), (MEMORY, memory))
    while True:
        opcode, dst, src = code[8 * pc], code[8 * pc + 1] & 15, code[8 * pc + 1] >> 4
        off, imm = signed(int.from_bytes(code[8 * pc + 2 : 8 * pc + 4], "little"), 16), signed(
            int.from_bytes(code[8 * pc + 4 : 8 * pc + 8], "little"), 32)  # fmt: skip
        pc, kind, op, bits, size = pc + 1, opcode & 7, opcode & 0xF0, 64, (4, 2, 1, 8)[opcode >> 3 & 3]
        if opcode == BAD:
            misbehave()
        if opcode == 0x18:
            r[dst] = imm & M32 | int.from_bytes(code[8 * pc + 4 : 8 * pc + 8], "little") << 32
            pc += 1
        elif kind in (4, 7) and op == 0xD0:
            order = "big" if opcode == 0xDC or opcode == 0xD7 else "little"
            r[dst] = int.from_bytes((r[dst] & (1 << imm) - 1).to_bytes(imm // 8, "little"), order)
        elif kind in (4, 7):
            bits = 64 if kind == 7 else 32
            result = alu(op, r[dst], r[src] if opcode & 8 else imm, bits, off)
            r[dst] = (result + (opcode == BAD and WHAT == "wrong")) & (1 << bits) - 1
        elif opcode == 0x95:
            if not frames:
                return r[0]
            pc, r[6:10] = frames.pop()
            r[10] += 512
        elif opcode == 0x85 and src == 1:
            frames.append((pc, r[6:10]))
            pc, r[10] = pc + imm, r[10] - 512
        elif kind in (5, 6) and op != 0x80:
            if jumps(op, r[dst], r[src] if opcode & 8 else imm, 64 if kind == 5 else 32):
                pc += imm if opcode == 0x06 else off
        elif kind == 1:
            content, place = at(places, r[src] + off & M64, size)
            value = int.from_bytes(content[place : place + size], "little")
            r[dst] = (signed(value, 8 * size) if opcode & 0xE0 == 0x80 else value) & M64
        elif kind in (2, 3):
            value, base = (imm, dst) if kind == 2 else (r[src], dst)
            if opcode & 0xE0 == 0xC0 and imm == 0x100:
                base = src
            content, place = at(places, r[base] + off & M64, size)
            if opcode & 0xE0 == 0xC0:
                old = int.from_bytes(content[place : place + size], "little")
                value, fetched = (None, dst) if imm == 0x100 else (value, None) if imm == 0x110 else atomic(
                    r, dst, src, imm, old, size)  # fmt: skip
                if fetched is not None:
                    r[fetched] = old
            if value is not None:
                content[place : place + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        else:
            sys.exit(f"unsupported opcode {opcode:#x}")


print(f"{run(bytes.fromhex(sys.stdin.read()), bytearray.fromhex(sys.argv[1] if len(sys.argv) > 1 else '')):x}")
