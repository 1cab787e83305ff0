"""Programs of 50,000 instructions, long chains of branches, many functions: they compile, run and agree."""

from __future__ import annotations

from random import Random

import pytest

from bpf.errors import Refused
from bpf.isa import ROW, Insn, make
from bpf.plan import MAX_FUNCTIONS, Unit
from bpf.program import Program, program
from engines import ENGINES, Options
from jit.registry import TARGETS
from vm.outcome import difference
from vm.world import Input, Limits, World

SIZE = 50_000


def mix(size: int, order: str) -> Program:
    """Arithmetic, accesses to the stack, near and far branches forward; the last instruction is reached."""
    random = Random(size)
    alu = [ROW[f"{op}{width}_{form}"] for op in ("add", "xor", "mul", "or", "sub") for width in (32, 64)
           for form in ("imm", "reg")]  # fmt: skip
    branches = [ROW[f"{op}{width}_imm"] for op in ("jeq", "jsgt", "jset", "jlt") for width in (32, 64)]
    insns: list[Insn] = []
    while len(insns) < size - 1:
        kind = random.random()
        dst, src, at = random.randrange(10), random.randrange(10), -8 * random.randrange(1, 65)
        imm = random.choice((random.randrange(-128, 128), random.randrange(-(1 << 31), 1 << 31)))
        if kind < 0.6:
            row = random.choice(alu)
            insns.append(make(row, dst, **({"src": src} if "src" in row.fields else {"imm": imm})))
        elif kind < 0.75:
            insns.append(make(ROW["stx64"], 10, src, at))
        elif kind < 0.9:
            insns.append(make(ROW["ldx32"], dst, 10, at))
        else:
            distance = random.choice((random.randrange(40), random.randrange(30_000)))
            distance = min(distance, size - 2 - len(insns))
            insns.append(make(random.choice(branches), dst, imm=imm, off=distance))
    return program([*insns, make(ROW["exit"])], order=order)


@pytest.mark.parametrize("name", TARGETS)
def test_fifty_thousand_instructions(name: str) -> None:
    prog = mix(SIZE, TARGETS[name].order)
    unit, options = Unit((prog,)), Options(observe=True)
    expected = ENGINES["interpreter"].prepare(unit, options).run(Input(), World(), Limits())
    assert expected.status == "done"
    assert expected.counts["instructions"] > 100
    found = difference(expected, ENGINES[name].prepare(unit, options).run(Input(), World(), Limits()))
    assert found.decided
    assert not found, found.what


@pytest.mark.parametrize("name", TARGETS)
def test_a_long_straight_program_runs_whole(name: str) -> None:
    body = [make(ROW["add64_imm"], 0, imm=1), make(ROW["xor64_reg"], 0, 1)] * (SIZE // 2 - 1)
    prog = program([make(ROW["mov64_imm"], 0, imm=0), *body, make(ROW["exit"])], order=TARGETS[name].order)
    unit = Unit((prog,))
    entry = Input(registers={1: 0x1234_5678_9ABC_DEF0})
    expected = ENGINES["interpreter"].prepare(unit).run(entry, World(), Limits())
    assert expected.counts["instructions"] == len(prog)
    assert not difference(expected, ENGINES[name].prepare(unit).run(entry, World(), Limits()))


@pytest.mark.parametrize("name", TARGETS)
def test_many_functions(name: str) -> None:
    """A caller and as many callees as there are entry slots; each adds its number."""
    count = MAX_FUNCTIONS - 1
    calls = [[make(ROW["call_local"], imm=0), make(ROW["add64_reg"], 6, 0)] for _ in range(count)]
    main: list[Insn] = [make(ROW["mov64_imm"], 6, imm=0), *(insn for pair in calls for insn in pair)]
    main += [make(ROW["mov64_reg"], 0, 6), make(ROW["exit"])]
    for number in range(count):
        at = 1 + 2 * number
        main[at] = main[at].with_distance(len(main) + 2 * number - at - 1)
    bodies = [insn for number in range(count) for insn in (make(ROW["mov64_imm"], 0, imm=number), make(ROW["exit"]))]
    unit = Unit((program([*main, *bodies], order=TARGETS[name].order),))
    outcome = ENGINES[name].prepare(unit).run(Input(), World(), Limits())
    assert (outcome.status, outcome.r0) == ("done", count * (count - 1) // 2)


def test_frames() -> None:
    """Eight frames run, nine are refused, and so is recursion."""

    def chain(depth: int) -> Program:
        body = [insn for _ in range(depth - 1) for insn in (make(ROW["call_local"], imm=1), make(ROW["exit"]))]
        return program([*body, make(ROW["mov64_reg"], 0, 10), make(ROW["exit"])])

    unit = Unit((chain(8),))
    for name in ("interpreter", "x86_64", "arm64", "riscv64", "ppc64le"):
        assert ENGINES[name].prepare(unit).run(Input(), World(), Limits()).r0 == unit.plan.stack - 7 * 512
    with pytest.raises(Refused, match="8 frames deep"):
        Unit((chain(9),))
    with pytest.raises(Refused, match="calls itself"):
        Unit((program([make(ROW["call_local"], imm=-1), make(ROW["exit"])]),))
