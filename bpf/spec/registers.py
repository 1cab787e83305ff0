"""The registers that a kprobe's context shows, per machine: linux/ptrace.h's user_pt_regs, or what stands in its place.

A kprobe program is compiled for one machine, whose names and offsets are in its instructions. Words are 64 bits each,
in the order of memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _numbered(stem: str, count: int) -> tuple[str, ...]:
    return tuple(f"{stem}[{number}]" for number in range(count))


REGISTERS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "x86_64": _words("r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si di orig_ax ip cs flags sp ss"),
    "arm64": (*_numbered("regs", 31), *_words("sp pc pstate")),
    "riscv64": _words(
        "pc ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6"
    ),
    "ppc64": (*_numbered("gpr", 32), *_words("nip msr orig_gpr3 ctr link xer ccr softe trap dar dsisr result")),
    "s390x": ("args[0]", "psw.mask", "psw.addr", *_numbered("gprs", 16)),
})  # fmt: skip
"""Machine -> names of the words of its pt_regs that user space may know, in order."""

ARGUMENTS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "x86_64": ("di", "si", "dx", "cx", "r8", "r9"),
    "arm64": _numbered("regs", 8),
    "riscv64": tuple(f"a{number}" for number in range(8)),
    "ppc64": tuple(f"gpr[{number}]" for number in range(3, 11)),
    "s390x": tuple(f"gprs[{number}]" for number in range(2, 7)),
})  # fmt: skip
"""Machine -> registers of a C function's arguments, in order: PT_REGS_PARM1 and on of bpf_tracing.h."""

RESULT: Mapping[str, str] = MappingProxyType({
    "x86_64": "ax", "arm64": "regs[0]", "riscv64": "a0", "ppc64": "gpr[3]", "s390x": "gprs[2]",
})  # fmt: skip
"""Machine -> register of a C function's result: PT_REGS_RC."""


def aliases(machine: str) -> dict[str, str]:
    """Words that mean a register on any machine: arg1 and on, ret."""
    return {f"arg{at}": name for at, name in enumerate(ARGUMENTS[machine], 1)} | {"ret": RESULT[machine]}


DEFAULT = MappingProxyType({"little": "x86_64", "big": "s390x"})
"""The machine that a kprobe program of a byte order is taken to be for, unless its type says another: kprobe.arm64."""
