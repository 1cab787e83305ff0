"""Golden native code: what tiny programs become on every target, for the eye. Write the files with --bless."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bpf.plan import Unit
from bpf.text import assemble
from jit.listing import decode, listing
from jit.pipeline import compile_program
from jit.registry import TARGETS
from jit.target import Target
from tests.conftest import GOLDENS

PROGRAMS = {
    "add an immediate": "r1 += 5; exit",
    "numbers": "r0 = 0; r1 = -1; w2 = -1; r3 = 0x12345678; exit",
    "wide numbers": "r4 = 0x123456789abcdef0 ll; r5 = 0xffffffff80000000 ll; exit",
    "thirty-two bits": "w1 += w2; w3 = w3; w4 s>>= 3; w5 *= 10; r0 = (s8)r1; exit",
    "shifts": "r1 <<= r2; w4 >>= w4; r4 s>>= r5; exit",
    "byte order": "r1 = be16 r1; r2 = be32 r2; r3 = le64 r3; r4 = bswap32 r4; exit",
    "loads": "r0 = *(u8 *)(r1 + 0); r2 = *(s16 *)(r1 - 2); exit",
    "stores": "*(u32 *)(r10 - 4) = 7; *(u64 *)(r1 + 32767) = r2; exit",
    "a helper": "call 7; r0 += 1; exit",
    "what a callee saves": "r6 = r1; call 7; r0 += r6; exit",
    "a branch on zero": "if r1 == 0 goto +1; r0 = 1; exit",
    "branches": "if r1 s> r2 goto +2; if w3 & 8 goto +1; if w1 <= 500 goto +0; exit",
    "a local call": "call pc+1; exit; r6 = 1; r0 = r6; exit",
    "a division": "r1 /= r2; exit",
    "a signed remainder": "w0 s%= w3; exit",
    "division by a constant": "r1 /= 10; r2 %= 16; exit",
    "an atomic": "lock *(u64 *)(r1 + 8) += r2; exit",
    "an atomic that fetches": "r2 = atomic64_fetch_or((u64 *)(r1 + 8), r2); exit",
    "compare and exchange": "w0 = atomic_cmpxchg((u32 *)(r1 + 0), w0, w3); exit",
}


def page(target: Target) -> str:
    """The code of every program: each native instruction beside the slot that it comes from."""
    return "\n".join(text for name, source in PROGRAMS.items() for text in section(target, name, source))


def section(target: Target, name: str, source: str) -> list[str]:
    """The code of one program."""
    prog = assemble(source.replace("; ", "\n"), order=target.order)
    image = compile_program(Unit((prog,)), prog, target)
    lines = [f"{slot(line.pc):>4}  {line.address - image.base:#05x}  {line.text}" for line in listing(image)]
    entry = next(text for _, _, text in decode(target, image.entries, image.entry_base))
    return [f"# {name}: {source}", *lines, f"      entry  {entry}", ""]


def slot(pc: int) -> str:
    """A slot's number; nothing for code of the JIT's own."""
    return str(pc) if pc >= 0 else ""


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_native_code(target: Target, golden: Callable[[str, str], None]) -> None:
    golden(f"{target.name}.txt", page(target))


def test_every_golden_file_has_its_target(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--bless"):
        pytest.skip("the files are being written")
    assert {path.stem for path in GOLDENS.glob("*.txt")} == set(TARGETS)
