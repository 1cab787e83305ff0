"""What the passes make of an accepted program runs as the program did: on the interpreter and on every target."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.facts import Facts
from bpf.plan import Unit
from bpf.program import Program
from bpf.rewrite import convert_context, reduced
from bpf.rewrite.division import guard
from bpf.rewrite.internal import AX
from bpf.rewrite.loops import inline_loops
from bpf.spec.conventions import TYPED
from bpf.text import assemble
from engines import ENGINES, Options
from fuzz import border, genome
from fuzz.parity.xlated import typed
from jit.registry import TARGETS
from runtime import verifying
from verifier import Options as Asked
from verifier import verify
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

KIND = "sched_cls"
LOOP = "loop"
LIMITS = Limits(1_000_000, seconds=5.0)
PACKETS = (bytes(range(14)), bytes(range(90)))


def facts_of(program: Program) -> Facts | None:
    return verify(verifying.subject(program, KIND), Asked(log_level=0)).facts


def accepted(seed: int, order: str) -> tuple[Program, Facts]:
    """The first program near the border, from a seed on, that the verifier accepts."""
    random = Random(seed)
    while True:
        program = border.decode(genome.draw(random, 12), order)
        facts = facts_of(program)
        if facts is not None:
            return program, facts


def rewritten(program: Program, facts: Facts) -> Program:
    """All that can run on an engine, which has no register AX."""
    made = inline_loops(program, facts, 512)
    made = reduced(made, facts)
    guarded = guard(made)
    if all(insn is None or AX not in (insn.dst, insn.src) for insn in guarded.insns):
        made = guarded
    view = TYPED[KIND].view
    return convert_context(made, facts, view) if view is not None else made


def run(name: str, program: Program, packet: bytes) -> Outcome:
    unit = Unit((program,), program.maps, TYPED[KIND])
    return ENGINES[name].prepare(unit, Options(observe=True)).run(Input(packet=packet), World(), LIMITS)


def without_loops(outcome: Outcome) -> Outcome:
    """Without what tells a bpf_loop that is called from one that is written out: the call, what it leaves in R1-R5."""
    assert outcome.calls is not None
    assert outcome.registers is not None
    calls = tuple(call for call in outcome.calls if call.helper != LOOP)
    registers = tuple(None if 1 <= at <= 5 else value for at, value in enumerate(outcome.registers))
    return replace(outcome, calls=calls, registers=registers)


def assert_same(program: Program, facts: Facts) -> None:
    made = rewritten(program, facts)
    assert made.source == program
    for packet in PACKETS:
        expected = run("interpreter", program, packet)
        for name in ("interpreter", *TARGETS):
            if program.order in ENGINES[name].abilities.orders:
                outcome = run(name, made, packet)
                pair = [expected, outcome] if not facts.loops else [without_loops(expected), without_loops(outcome)]
                found = difference(*pair, stack=False)
                assert found.decided, (name, expected, outcome)
                assert not found, (name, found.what)


@pytest.mark.parametrize("order", ["little", "big"])
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_near_the_border(order: str, seed: int) -> None:
    assert_same(*accepted(seed, order))


@pytest.mark.deep
@pytest.mark.parametrize("order", ["little", "big"])
@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_many_near_the_border(order: str, seed: int) -> None:
    assert_same(*accepted(seed, order))


WRITTEN = {
    "decided branches": """r6 = 4; r7 = 9; if r6 > 3 goto +1; r7 = 5; if r7 == 9 goto on; r0 = 1; exit
        on: r0 = *(u32 *)(r1 + 0); if r0 > 60 goto away; r0 = 3; exit; away: r0 = 2; exit""",
    "a dead function": """r6 = r1; r1 = 3; call double; if r0 == 7 goto never; r7 = r0; r1 = *(u32 *)(r6 + 8)
        call double
        r0 += r7; exit; never: call lost; exit; lost: r0 = 0; exit; double: r0 = r1; r0 += r1; exit""",
    "divisions": "r2 = *(u32 *)(r1 + 8); r3 = 700; r3 /= r2; r0 = 77; r0 %= r2; w3 /= w2; r0 += r3; w0 %= w2; exit",
    "a loop": """*(u64 *)(r10 - 8) = 0; r3 = r10; r3 += -8; r6 = 3; r7 = 4; r8 = 5; r1 = 9; r2 = func[f]; r4 = 0
        call 181
        r0 += r6; r0 += r7; r0 += r8; r1 = *(u64 *)(r10 - 8); r0 += r1; exit
        f: r3 = *(u64 *)(r2 + 0); r3 += r1; *(u64 *)(r2 + 0) = r3; r0 = 0; if r1 != 6 goto +1; r0 = 1; exit""",
    "a loop that is too long": "r1 = 0x7fffffff; r2 = func[f]; r3 = 0; r4 = 0; call 181; exit; f: r0 = 1; exit",
    "needless jumps": "r0 = 1; may_goto +1; may_goto +0; goto +0; r0 += 1; if r0 != 2 goto +1; goto +0; r0 += 1; exit",
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_written(name: str) -> None:
    text = "\n".join(line.strip() for line in WRITTEN[name].replace("; ", "\n").splitlines())
    program = typed(assemble(text))
    facts = facts_of(program)
    assert facts is not None
    assert rewritten(program, facts).insns != program.insns
    assert_same(program, facts)
