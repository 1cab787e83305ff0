"""How a row may be written, as templates.

A row's own text comes first and is what is printed. The others are read only: the kernel's log and bpftool, LLVM, and
the mnemonic form of the public conformance suite. Placeholders are those of `Row.text` ({dst} {src} {imm} {off}
{target} {lo} {hi}) and {label}, a symbol that stands for a target.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bpf.isa import Kind, Row

_EXCHANGE = re.compile(r"atomic(?:64)?_(\w*xchg)\(\(u\d+ \*\)\((.*?)\)")
_SIZE_LETTERS = {8: "b", 16: "h", 32: "w", 64: "dw"}
_CONVERSIONS = {"to_le": ("le",), "to_be": ("be",), "bswap": ("bswap", "swap")}


def texts(row: Row) -> Iterator[str]:
    """The templates of a row in the kernel's and LLVM's syntax, `Row.text` first."""
    text = row.text
    yield text
    narrow = row.width < 64
    if row.kind is Kind.LOAD and narrow and not row.signed:
        yield text.replace("r{dst}", "w{dst}")  # LLVM, with 32-bit registers
    elif row.kind is Kind.STORE and narrow and "src" in row.fields:
        yield text.replace("r{src}", "w{src}")
    elif row.kind is Kind.ATOMIC:
        if narrow:
            yield text.replace("w", "r")  # the kernel shows the 64-bit view of registers here
        if row.fetch:
            yield text.replace("atomic64_", "atomic_")  # LLVM
        if "xchg" in row.op:
            yield _EXCHANGE.sub(r"\g<1>32_32(\2" if narrow else r"\g<1>_64(\2", text)  # LLVM
    elif row.jumps:
        yield text.replace("{target}", "pc{target}")  # the kernel
        yield text.replace("{target}", "{label}")
    elif row.op == "call_helper":
        yield text.replace("call", "call helper")
    elif row.op == "call_local":
        yield from ("call local {target}", "call local {label}", "call {label}")
    elif row.op == "call_kfunc":
        yield text.replace("{imm}", "{label}")  # by its name
    elif row.op == "ld_ind":
        yield text.replace("{imm}", "{negative}")  # `r1 + -4`
        yield text.replace(" + {imm}", "")  # LLVM
    elif row.op == "func":
        yield text.replace("pc{target}", "{label}")
        yield text.replace("func[pc", "subprog[")  # bpftool


def mnemonics(row: Row) -> Iterator[str]:
    """The templates of a row in the mnemonic form of the public conformance suite."""
    narrow = "32" if row.width == 32 else ""
    source = "r{src}" if "src" in row.fields else "{imm}"
    targets = ("{target}", "{label}")
    if row.op == "movsx":
        yield f"movsx{row.bits}{row.width} r{{dst}}, r{{src}}"
    elif row.op in _CONVERSIONS:
        yield from (f"{name}{row.bits} r{{dst}}" for name in _CONVERSIONS[row.op])
    elif row.op == "neg":
        yield f"neg{narrow} r{{dst}}"
    elif row.kind is Kind.ALU:
        yield f"{row.op}{narrow} r{{dst}}, {source}"
    elif row.kind is Kind.BRANCH:
        yield from (f"{row.op}{narrow} r{{dst}}, {source}, {target}" for target in targets)
    elif row.kind is Kind.GOTO:
        yield from (f"{'ja32' if row.op == 'gotol' else 'ja'} {target}" for target in targets)
    elif row.name == "lddw_imm":
        yield "lddw r{dst}, {imm}"
    elif row.ordered:
        return  # the suite has no name for it
    elif row.kind in (Kind.LOAD, Kind.STORE, Kind.ATOMIC):
        for off in (" {off}", ""):
            yield from _memory(row, off, source)


def _memory(row: Row, off: str, source: str) -> Iterator[str]:
    size = _SIZE_LETTERS[row.width]
    if row.kind is Kind.LOAD:
        yield f"ldx{'s' if row.signed else ''}{size} r{{dst}}, [r{{src}}{off}]"
    elif row.kind is Kind.STORE:
        yield f"st{'x' if 'src' in row.fields else ''}{size} [r{{dst}}{off}], {source}"
    else:
        operands = f"[r{{dst}}{off}], r{{src}}"
        # An exchange always fetches, so there the word may be left out.
        for fetch in ("", "fetch ") if "xchg" in row.op else ("fetch ",) if row.fetch else ("",):
            if row.width == 32:
                yield f"lock {fetch}{row.op}32 {operands}"
                yield f"lock32 {fetch}{row.op} {operands}"
            else:
                yield f"lock {fetch}{row.op} {operands}"
