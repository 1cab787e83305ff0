"""Numbers of the encoding: RFC 9669, sections 3 to 5. Nothing here knows what an instruction does."""

from __future__ import annotations

# Instruction classes: the low three bits of the opcode.
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)

# Source operand of ALU and jump classes.
K = 0x00  # immediate
X = 0x08  # register

# Sizes of load and store classes, by width in bits.
SIZE = {32: 0x00, 16: 0x08, 8: 0x10, 64: 0x18}

# Modes of load and store classes.
IMM, ABS, IND, MEM, MEMSX, ATOMIC = 0x00, 0x20, 0x40, 0x60, 0x80, 0xC0

# Operations of the ALU classes: the high four bits.
ALU_OPS = {
    "add": 0x00,
    "sub": 0x10,
    "mul": 0x20,
    "div": 0x30,
    "or": 0x40,
    "and": 0x50,
    "lsh": 0x60,
    "rsh": 0x70,
    "neg": 0x80,
    "mod": 0x90,
    "xor": 0xA0,
    "mov": 0xB0,
    "arsh": 0xC0,
    "end": 0xD0,
}

# Operations of the jump classes.
JMP_OPS = {
    "ja": 0x00,
    "jeq": 0x10,
    "jgt": 0x20,
    "jge": 0x30,
    "jset": 0x40,
    "jne": 0x50,
    "jsgt": 0x60,
    "jsge": 0x70,
    "call": 0x80,
    "exit": 0x90,
    "jlt": 0xA0,
    "jle": 0xB0,
    "jslt": 0xC0,
    "jsle": 0xD0,
    "jcond": 0xE0,
}

# The imm field of an atomic instruction.
ATOMIC_OPS = {"add": 0x00, "or": 0x40, "and": 0x50, "xor": 0xA0}
FETCH = 0x01
XCHG = 0xE0 | FETCH
CMPXCHG = 0xF0 | FETCH
LOAD_ACQUIRE = 0x100
STORE_RELEASE = 0x110

# The src field of lddw: what its 64-bit immediate stands for.
WIDE_FORMS = {"imm": 0, "map_fd": 1, "map_fd_value": 2, "btf_id": 3, "func": 4, "map_idx": 5, "map_idx_value": 6}

# The src field of call.
CALL_HELPER, CALL_LOCAL, CALL_KFUNC = 0, 1, 2

# The src field of jcond: the condition.
MAY_GOTO = 0

# The off field of mov that casts between address spaces. Its imm says which: the space of dst << 16 | that of src.
ADDR_SPACE_CAST = 1
FROM_ARENA, TO_ARENA = 0 << 16 | 1, 1 << 16 | 0

FRAME_POINTER = 10
REGISTERS = 11
