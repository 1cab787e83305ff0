"""The one table of semantics: a row per instruction, and the index that finds a row.

The interpreter, the JIT's front end, the assembler, the disassembler, the documentation and the tests read this
table; none of them has a list of opcodes of its own. Source: RFC 9669; cpu levels as LLVM's BPF backend names them;
`since` is the first kernel release that runs the instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bpf.isa import effects, opcodes
from bpf.isa.opcodes import ABS, ALU, ALU64, ATOMIC, IND, JMP, JMP32, LD, LDX, MEM, MEMSX, ST, STX, K, X
from bpf.order import Order


class Kind(Enum):
    """What sort of thing an instruction does; says which arguments `Row.effect` takes."""

    ALU = "alu"  # effect(dst, src) -> dst
    LOAD = "load"  # effect(0, raw) -> dst
    STORE = "store"  # effect(0, src or imm) -> raw
    ATOMIC = "atomic"  # effect(old, src, r0) -> new; a fetching form also writes old to src, or to R0 (cmpxchg)
    BRANCH = "branch"  # effect(dst, src) -> taken?
    GOTO = "goto"
    COUNTDOWN = "countdown"  # may_goto: taken when the counter of the active function is 0, which else goes down by 1
    CALL = "call"
    EXIT = "exit"
    PACKET = "packet"  # effect(0, raw) -> R0; what is not in the packet ends the function with R0 = 0
    CAST = "cast"  # effect(base, src, imm) -> dst, base being the upper half of the arena's addresses
    WIDE = "wide"  # lddw: dst = imm, after the plan gave symbols their addresses


@dataclass(frozen=True, slots=True)
class Row:
    """One instruction.

    name    unique: `add64_imm`, `jset32_reg`, `ldsx16`, `atomic32_cmpxchg`, `lddw_func`, ...
    opcode  the first byte of the encoding
    kind    see Kind
    op      the operation without width and operand form: `add`, `jset`, `load`, `cmpxchg`, ...
    width   operand width in bits: 32 or 64 for ALU and jumps; of the memory access for loads, stores and atomics
    fields  the encoding fields that carry an operand; the others are reserved and must be zero
    select  (field, value) that tells this row from others with the same opcode
    text    the kernel's text form with {dst} {src} {imm} {off} {target} for operands (see bpf/text)
    cpu     LLVM's -mcpu level that may emit it (v1 .. v4, as a number)
    group   RFC 9669 conformance group, or "linux" for what only Linux has
    since   kernel release, "" where none is known
    effect  see Kind; `effect_big` where a big-endian program computes something else (byte order conversions)
    signed  a load or movsx that sign-extends
    bits    how many low bits movsx or a byte order operation reads
    fetch   an atomic that returns the old value
    ordered a load with acquire or a store with release ordering
    immediates  the only values that imm may have; empty for any
    """

    name: str
    opcode: int
    kind: Kind
    op: str
    width: int
    fields: frozenset[str]
    text: str
    cpu: int
    group: str
    since: str
    effect: Callable[..., Any] | None = None
    effect_big: Callable[..., Any] | None = None
    select: tuple[str, int] | None = None
    signed: bool = False
    bits: int = 0
    fetch: bool = False
    ordered: bool = False
    immediates: frozenset[int] = frozenset()

    def effect_in(self, order: Order) -> Callable[..., Any]:
        """The effect in a program of byte order `order` ("little" or "big")."""
        effect = self.effect_big if order == "big" and self.effect_big is not None else self.effect
        assert effect is not None, self.name
        return effect

    @property
    def writes_dst(self) -> bool:
        """Whether the dst register is written (and so may not be R10)."""
        return self.kind in (Kind.ALU, Kind.LOAD, Kind.WIDE, Kind.CAST)

    @property
    def jumps(self) -> bool:
        """Whether it may go to another slot of its function, by `Insn.distance`."""
        return self.kind in (Kind.BRANCH, Kind.GOTO, Kind.COUNTDOWN)

    @property
    def clobbers(self) -> bool:
        """Whether it leaves its result in R0 and nothing in R1-R5."""
        return self.kind in (Kind.CALL, Kind.PACKET)

    @property
    def external(self) -> bool:
        """Whether it names something of the kernel's, which instructions alone do not say: of its BTF."""
        return self.op in ("btf_id", "call_kfunc")

    @property
    def aligned(self) -> bool:
        """Whether the memory access must be aligned to its width."""
        return self.kind is Kind.ATOMIC or self.ordered

    @property
    def writes_src(self) -> bool:
        """Whether the src register is written: a fetching atomic other than cmpxchg, which writes R0."""
        return self.fetch and self.op != "cmpxchg"


_SIGNS = {
    "add": "+=",
    "sub": "-=",
    "mul": "*=",
    "div": "/=",
    "mod": "%=",
    "sdiv": "s/=",
    "smod": "s%=",
    "or": "|=",
    "and": "&=",
    "xor": "^=",
    "lsh": "<<=",
    "rsh": ">>=",
    "arsh": "s>>=",
    "mov": "=",
}
_COMPARISONS = {
    "jeq": "==",
    "jne": "!=",
    "jgt": ">",
    "jge": ">=",
    "jlt": "<",
    "jle": "<=",
    "jset": "&",
    "jsgt": "s>",
    "jsge": "s>=",
    "jslt": "s<",
    "jsle": "s<=",
}
_DST_IMM = frozenset({"dst", "imm"})
_DST_SRC = frozenset({"dst", "src"})


def _alu_rows() -> Iterator[Row]:
    for bits, cls, reg, cpu in ((64, ALU64, "r", 1), (32, ALU, "w", 3)):
        table = effects.alu(bits)
        for op, sign in _SIGNS.items():
            signed_division = op in ("sdiv", "smod")
            base = {"sdiv": "div", "smod": "mod"}.get(op, op)
            select = None
            if base in ("div", "mod"):
                select = ("off", 1 if signed_division else 0)
            level, since = (4, "6.6") if signed_division else (cpu, "3.18")
            group = ("divmul" if base in ("div", "mod", "mul") else "base") + str(bits)
            common: dict[str, Any] = {
                "effect": table[op],
                "cpu": level,
                "group": group,
                "since": since,
                "signed": signed_division,
            }
            yield Row(
                f"{op}{bits}_imm", cls | K | opcodes.ALU_OPS[base], Kind.ALU, op, bits, _DST_IMM,
                f"{reg}{{dst}} {sign} {{imm}}", select=select, **common,
            )  # fmt: skip
            yield Row(
                f"{op}{bits}_reg", cls | X | opcodes.ALU_OPS[base], Kind.ALU, op, bits, _DST_SRC,
                f"{reg}{{dst}} {sign} {reg}{{src}}", select=("off", 0) if op == "mov" else select, **common,
            )  # fmt: skip
        yield Row(
            f"neg{bits}", cls | K | opcodes.ALU_OPS["neg"], Kind.ALU, "neg", bits, frozenset({"dst"}),
            f"{reg}{{dst}} = -{reg}{{dst}}", cpu, f"base{bits}", "3.18", table["neg"],
        )  # fmt: skip
        for low in (8, 16, 32)[: 3 if bits == 64 else 2]:
            yield Row(
                f"movsx{low}_{bits}", cls | X | opcodes.ALU_OPS["mov"], Kind.ALU, "movsx", bits, _DST_SRC,
                f"{reg}{{dst}} = (s{low}){reg}{{src}}", 4, f"base{bits}", "6.6", effects.sign_extend(low, bits),
                select=("off", low), signed=True, bits=low,
            )  # fmt: skip


def _byte_order_rows() -> Iterator[Row]:
    for low in (16, 32, 64):
        cut, swap, dst, select = effects.truncate(low), effects.swap(low), frozenset({"dst"}), ("imm", low)
        for op, text, opcode, little, big in (
            ("to_le", "le", ALU | K, cut, swap),
            ("to_be", "be", ALU | X, swap, cut),
        ):
            yield Row(
                f"{op}{low}", opcode | opcodes.ALU_OPS["end"], Kind.ALU, op, 64, dst,
                f"r{{dst}} = {text}{low} r{{dst}}", 1, "base64" if low == 64 else "base32", "3.18", little, big,
                select, bits=low,
            )  # fmt: skip
        yield Row(
            f"bswap{low}", ALU64 | opcodes.ALU_OPS["end"], Kind.ALU, "bswap", 64, dst,
            f"r{{dst}} = bswap{low} r{{dst}}", 4, "base64", "6.6", swap, select=select, bits=low,
        )  # fmt: skip


def _jump_rows() -> Iterator[Row]:
    for bits, cls, reg in ((64, JMP, "r"), (32, JMP32, "w")):
        table = effects.conditions(bits)
        for op, sign in _COMPARISONS.items():
            cpu, since = (2, "4.14") if op in ("jlt", "jle", "jslt", "jsle") else (1, "3.18")
            if bits == 32:
                cpu, since = 3, "5.1"
            common: dict[str, Any] = {"effect": table[op], "cpu": cpu, "group": f"base{bits}", "since": since}
            yield Row(
                f"{op}{bits}_imm", cls | K | opcodes.JMP_OPS[op], Kind.BRANCH, op, bits,
                frozenset({"dst", "imm", "off"}), f"if {reg}{{dst}} {sign} {{imm}} goto {{target}}", **common,
            )  # fmt: skip
            yield Row(
                f"{op}{bits}_reg", cls | X | opcodes.JMP_OPS[op], Kind.BRANCH, op, bits,
                frozenset({"dst", "src", "off"}), f"if {reg}{{dst}} {sign} {reg}{{src}} goto {{target}}", **common,
            )  # fmt: skip
    yield Row("ja", JMP, Kind.GOTO, "ja", 64, frozenset({"off"}), "goto {target}", 1, "base64", "3.18")
    yield Row("gotol", JMP32, Kind.GOTO, "gotol", 64, frozenset({"imm"}), "gotol {target}", 4, "base32", "6.6")
    yield Row(
        "may_goto", JMP | opcodes.JMP_OPS["jcond"], Kind.COUNTDOWN, "may_goto", 64, frozenset({"off"}),
        "may_goto {target}", 1, "linux", "6.9", select=("src", opcodes.MAY_GOTO),
    )  # fmt: skip
    call = JMP | opcodes.JMP_OPS["call"]
    yield Row(
        "call_helper", call, Kind.CALL, "call_helper", 64, frozenset({"imm"}), "call {imm}", 1, "base32", "3.18",
        select=("src", opcodes.CALL_HELPER),
    )  # fmt: skip
    yield Row(
        "call_local", call, Kind.CALL, "call_local", 64, frozenset({"imm"}), "call pc{target}", 1, "base32", "4.16",
        select=("src", opcodes.CALL_LOCAL),
    )  # fmt: skip
    yield Row(
        "call_kfunc", call, Kind.CALL, "call_kfunc", 64, frozenset({"imm"}), "call kfunc {imm}", 1, "linux", "5.13",
        select=("src", opcodes.CALL_KFUNC),
    )  # fmt: skip
    yield Row("callx", call | X, Kind.CALL, "callx", 64, frozenset({"dst"}), "callx r{dst}", 1, "linux", "")
    yield Row("exit", JMP | opcodes.JMP_OPS["exit"], Kind.EXIT, "exit", 64, frozenset(), "exit", 1, "base32", "3.18")


def _memory_rows() -> Iterator[Row]:
    for bits, size in opcodes.SIZE.items():
        group = "base64" if bits == 64 else "base32"
        store = effects.stored(bits)
        yield Row(
            f"ldx{bits}", LDX | MEM | size, Kind.LOAD, "load", bits, frozenset({"dst", "src", "off"}),
            f"r{{dst}} = *(u{bits} *)(r{{src}} {{off}})", 1, group, "3.18", effects.loaded(bits, False),
        )  # fmt: skip
        if bits < 64:
            yield Row(
                f"ldsx{bits}", LDX | MEMSX | size, Kind.LOAD, "load", bits, frozenset({"dst", "src", "off"}),
                f"r{{dst}} = *(s{bits} *)(r{{src}} {{off}})", 4, "base64", "6.6", effects.loaded(bits, True),
                signed=True,
            )  # fmt: skip
        yield Row(
            f"st{bits}", ST | MEM | size, Kind.STORE, "store", bits, frozenset({"dst", "off", "imm"}),
            f"*(u{bits} *)(r{{dst}} {{off}}) = {{imm}}", 4, group, "3.18", store,
        )  # fmt: skip
        yield Row(
            f"stx{bits}", STX | MEM | size, Kind.STORE, "store", bits, frozenset({"dst", "src", "off"}),
            f"*(u{bits} *)(r{{dst}} {{off}}) = r{{src}}", 1, group, "3.18", store,
        )  # fmt: skip


def _atomic_rows() -> Iterator[Row]:
    fields = frozenset({"dst", "src", "off"})
    signs = {"add": "+=", "or": "|=", "and": "&=", "xor": "^="}
    for bits, reg, name in ((64, "r", "atomic64"), (32, "w", "atomic")):
        table = effects.atomics(bits)
        opcode, group = STX | ATOMIC | opcodes.SIZE[bits], f"atomic{bits}"
        place = f"(u{bits} *)(r{{dst}} {{off}})"
        for op, imm in opcodes.ATOMIC_OPS.items():
            cpu, since = (1, "3.18") if op == "add" else (3, "5.12")
            yield Row(
                f"atomic{bits}_{op}", opcode, Kind.ATOMIC, op, bits, fields, f"lock *{place} {signs[op]} {reg}{{src}}",
                cpu, group, since, table[op], select=("imm", imm),
            )  # fmt: skip
            yield Row(
                f"atomic{bits}_fetch_{op}", opcode, Kind.ATOMIC, op, bits, fields,
                f"{reg}{{src}} = {name}_fetch_{op}({place}, {reg}{{src}})", 3, group, "5.12", table[op],
                select=("imm", imm | opcodes.FETCH), fetch=True,
            )  # fmt: skip
        yield Row(
            f"atomic{bits}_xchg", opcode, Kind.ATOMIC, "xchg", bits, fields,
            f"{reg}{{src}} = {name}_xchg({place}, {reg}{{src}})", 3, group, "5.12", table["xchg"],
            select=("imm", opcodes.XCHG), fetch=True,
        )  # fmt: skip
        yield Row(
            f"atomic{bits}_cmpxchg", opcode, Kind.ATOMIC, "cmpxchg", bits, fields,
            f"{reg}0 = {name}_cmpxchg({place}, {reg}0, {reg}{{src}})", 3, group, "5.12", table["cmpxchg"],
            select=("imm", opcodes.CMPXCHG), fetch=True,
        )  # fmt: skip


def _ordered_rows() -> Iterator[Row]:
    """Load-acquire and store-release: not in RFC 9669, whose groups are all they lack."""
    for bits, size in opcodes.SIZE.items():
        fields = frozenset({"dst", "src", "off"})
        yield Row(
            f"ldacq{bits}", STX | ATOMIC | size, Kind.LOAD, "load", bits, fields,
            f"r{{dst}} = load_acquire((u{bits} *)(r{{src}} {{off}}))", 4, "linux", "6.15", effects.loaded(bits, False),
            select=("imm", opcodes.LOAD_ACQUIRE), ordered=True,
        )  # fmt: skip
        yield Row(
            f"strel{bits}", STX | ATOMIC | size, Kind.STORE, "store", bits, fields,
            f"store_release((u{bits} *)(r{{dst}} {{off}}), r{{src}})", 4, "linux", "6.15", effects.stored(bits),
            select=("imm", opcodes.STORE_RELEASE), ordered=True,
        )  # fmt: skip


def _packet_rows() -> Iterator[Row]:
    """RFC 9669 section 5.5: R6 is the context; a network-order number of the packet goes to R0."""
    for bits in (32, 16, 8):
        effect, size = effects.loaded(bits, False), opcodes.SIZE[bits]
        yield Row(
            f"ld_abs{bits}", LD | ABS | size, Kind.PACKET, "ld_abs", bits, frozenset({"imm"}),
            f"r0 = *(u{bits} *)skb[{{imm}}]", 1, "packet", "3.18", effect,
        )  # fmt: skip
        yield Row(
            f"ld_ind{bits}", LD | IND | size, Kind.PACKET, "ld_ind", bits, frozenset({"src", "imm"}),
            f"r0 = *(u{bits} *)skb[r{{src}} + {{imm}}]", 1, "packet", "3.18", effect,
        )  # fmt: skip


def _cast_rows() -> Iterator[Row]:
    yield Row(
        "addr_space_cast", ALU64 | X | opcodes.ALU_OPS["mov"], Kind.CAST, "addr_space_cast", 64,
        frozenset({"dst", "src", "imm"}), "r{dst} = addr_space_cast(r{src}, {hi}, {lo})", 1, "linux", "6.9",
        effects.address_space_cast, select=("off", opcodes.ADDR_SPACE_CAST),
        immediates=frozenset({opcodes.FROM_ARENA, opcodes.TO_ARENA}),
    )  # fmt: skip


_WIDE_TEXT = {
    "imm": ("r{dst} = {imm} ll", "3.18"),
    "map_fd": ("r{dst} = map[fd:{lo}]", "3.18"),
    "map_fd_value": ("r{dst} = map_value[fd:{lo}][{hi}]", "5.2"),
    "btf_id": ("r{dst} = btf_id[{lo}][{hi}]", "5.10"),
    "func": ("r{dst} = func[pc{target}]", "5.13"),
    "map_idx": ("r{dst} = map[idx:{lo}]", "5.14"),
    "map_idx_value": ("r{dst} = map_value[idx:{lo}][{hi}]", "5.14"),
}


def _wide_rows() -> Iterator[Row]:
    for form, src in opcodes.WIDE_FORMS.items():
        text, since = _WIDE_TEXT[form]
        yield Row(
            f"lddw_{form}", LD | opcodes.SIZE[64] | opcodes.IMM, Kind.WIDE, form, 64, _DST_IMM, text, 1,
            "base64", since, select=("src", src),
        )  # fmt: skip


ROWS: tuple[Row, ...] = (
    *_alu_rows(),
    *_byte_order_rows(),
    *_jump_rows(),
    *_memory_rows(),
    *_atomic_rows(),
    *_ordered_rows(),
    *_packet_rows(),
    *_cast_rows(),
    *_wide_rows(),
)
ROW: dict[str, Row] = {row.name: row for row in ROWS}


@dataclass(frozen=True, slots=True)
class Choice:
    """The rows that share an opcode, and the field that tells them apart."""

    field: str
    rows: dict[int, Row]


def _index() -> dict[int, Row | Choice]:
    index: dict[int, Row | Choice] = {}
    for row in ROWS:
        if row.select is None:
            assert row.opcode not in index, row.name
            index[row.opcode] = row
            continue
        field, value = row.select
        choice = index.setdefault(row.opcode, Choice(field, {}))
        assert isinstance(choice, Choice) and choice.field == field and value not in choice.rows, row.name
        choice.rows[value] = row
    return index


BY_OPCODE: dict[int, Row | Choice] = _index()
