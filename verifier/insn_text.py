"""Instructions as the kernel's verifier log has them (kernel/bpf/disasm.c), malformed ones too.

A well-formed instruction is its row's text; here is where the kernel writes the operands otherwise, and what it makes
of an instruction that has no row.
"""

from __future__ import annotations

from collections.abc import Sequence

from bpf.isa import opcodes
from bpf.isa.opcodes import ALU, ALU64, JMP, JMP32, LD, LDX, ST, STX, X
from bpf.isa.table import BY_OPCODE, ROW, Kind, Row
from bpf.spec.prototypes import PROTOTYPES
from verifier.calls import KFUNC
from verifier.raw import Raw, row_of
from verifier.subject import Subject

_UNKNOWN = {LD: "BUG_ld", LDX: "BUG_ldx", ST: "BUG_st", STX: "BUG"}
_END, _NEG, _MOV = (opcodes.ALU_OPS[op] for op in ("end", "neg", "mov"))
_MOV32, _MOV64 = ALU | X | _MOV, ALU64 | X | _MOV
_PER_CPU = -1  # BPF_ADDR_PERCPU, which the kernel itself puts in
_MODES_OF_ST = {opcodes.ATOMIC: "nospec"}
_ATOMIC32 = STX | opcodes.ATOMIC | opcodes.SIZE[32]
_BITS = {number: bits for bits, number in opcodes.SIZE.items()}


def text(raws: Sequence[Raw], pc: int, subject: Subject, pointer: int | None = None) -> str:
    """The instruction at a slot, with its opcode: `(bf) r2 = r10`.

    pointer: what an lddw of a map's address loads; None: the pointer is not shown, as the kernel hides it from who may
    not see addresses.
    """
    raw = raws[pc]
    if raw.code & 7 == LD and raw.code == opcodes.LD | opcodes.IMM | opcodes.SIZE[64]:
        body = f"r{raw.dst} = 0x{_wide(raws, pc, pointer):x}"
    elif raw.code & 7 in (JMP, JMP32) and raw.code & 0xF0 == opcodes.JMP_OPS["call"]:
        body = f"call {_callee(raw, pc, subject)}"
    else:
        body = _body(raw)
        if body.startswith("BUG"):
            return body
    return f"({raw.code:02x}) {body}"


def _wide(raws: Sequence[Raw], pc: int, pointer: int | None) -> int:
    raw = raws[pc]
    if raw.src in (opcodes.WIDE_FORMS["map_fd"], opcodes.WIDE_FORMS["map_fd_value"]):
        return pointer or 0
    high = raws[pc + 1].imm if pc + 1 < len(raws) else 0
    return (high & 0xFFFFFFFF) << 32 | raw.imm & 0xFFFFFFFF if pointer is None else pointer


def _callee(raw: Raw, pc: int, subject: Subject) -> str:
    if raw.src == opcodes.CALL_LOCAL:
        return f"pc{raw.imm:+d}"
    name = "unknown"
    if raw.src == KFUNC:
        name = subject.kfuncs.get(pc, "")
    elif not raw.src and (raw.imm in PROTOTYPES or not raw.imm):
        name = f"bpf_{PROTOTYPES[raw.imm].name}" if raw.imm else "bpf_unspec"
    return f"{name}#{raw.imm}"


def _body(raw: Raw) -> str:
    """All but lddw and calls."""
    code, dst, src, off, imm = raw
    row = _row(raw)
    cls = code & 7
    if code == _MOV64 and off == _PER_CPU:
        return f"r{dst} = &(void __percpu *)(r{src})"
    if row is None:
        if cls in (JMP, JMP32):
            return _jump_without_row(raw)
        if cls in (ALU, ALU64):
            return _sum_without_row(raw)
        if cls == ST and code & 0xE0 in _MODES_OF_ST:
            return _MODES_OF_ST[code & 0xE0]
        return f"{_UNKNOWN[cls]}_{code:02x}"
    form = row.text
    if code == _MOV32:
        form = form.replace("r{", "w{")
    if row.kind is Kind.ATOMIC:
        form = form.replace("w{", "r{").replace("w0", "r0").replace(f"u{row.width}", f"u{_BITS[code & 0x18]}")
    if cls in (ALU, ALU64) and code & 0xF0 == _END:
        return f"r{dst} = {form.split()[2].rstrip('0123456789')}{imm} r{dst}"
    if row.kind in (Kind.GOTO, Kind.BRANCH, Kind.COUNTDOWN):
        form = form.replace("{target}", "pc{target}")
    if row.kind is Kind.BRANCH:
        form = form.replace("{imm}", f"0x{imm & 0xFFFFFFFF:x}")
    distance = imm if row.op == "gotol" else off
    return form.format(
        dst=dst, src=src, off=f"{off:+d}", imm=imm, lo=imm & 0xFFFF, hi=imm >> 16 & 0xFFFF, target=f"{distance:+d}"
    )


def _row(raw: Raw) -> Row | None:
    """The row by which the kernel writes an instruction.

    Where the selecting field has no meaning that is the plainest; an atomic of 8 or 16 bits is written as one of 32.
    """
    row = row_of(raw)
    if row is not None:
        return row
    choice = BY_OPCODE.get(raw.code)
    if choice is None or isinstance(choice, Row):
        return None
    if raw.code == _MOV32 and raw.off == 32:
        return ROW["movsx32_64"]
    if raw.code & 7 in (ALU, ALU64):
        return choice.rows.get(0) or next(iter(choice.rows.values()))
    return row_of(raw._replace(code=_ATOMIC32)) if raw.code & 7 == STX else None


def _jump_without_row(raw: Raw) -> str:
    """A jump of no known condition; what JMP32 has of unconditional ones is written as a comparison."""
    names = {number: name for name, number in opcodes.JMP_OPS.items()}
    sign = {"ja": "jmp", "exit": "exit"}.get(names.get(raw.code & 0xF0, ""), "(null)")
    register = "w" if raw.code & 7 == JMP32 else "r"
    other = f"{register}{raw.src}" if raw.code & X else f"0x{raw.imm & 0xFFFFFFFF:x}"
    return f"if {register}{raw.dst} {sign} {other} goto pc{raw.off:+d}"


def _sum_without_row(raw: Raw) -> str:
    """An ALU instruction without a row: neg and byte swaps with a bit too many, operations that are none."""
    register = "w" if raw.code & 7 == ALU else "r"
    op = raw.code & 0xF0
    if op == _NEG:
        return f"{register}{raw.dst} = -{register}{raw.dst}"
    if op == _END:
        return f"r{raw.dst} = bswap{raw.imm} r{raw.dst}"
    other = f"{register}{raw.src}" if raw.code & X else str(raw.imm)
    return f"{register}{raw.dst} (null) {other}"
