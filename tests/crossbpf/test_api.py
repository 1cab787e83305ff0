"""The public functions, where the README's examples do not reach."""

from __future__ import annotations

import pytest

import crossbpf
from jit.registry import TARGETS


def test_packets() -> None:
    program = crossbpf.assemble("r6 = r1; r0 = *(u16 *)skb[2]; exit")
    frame = bytes(range(32))
    assert crossbpf.interpret(program, packet=frame).r0 == 0x1011
    assert {crossbpf.run(program, target, packet=frame).r0 for target in TARGETS} == {0x1011}
    rows = crossbpf.compare(program, packet=frame)
    assert {row.verdict for row in rows} == {"reference", "agrees"}


def test_programs_of_a_type() -> None:
    frame = bytes(range(40))
    words = "r2 = *(u32 *)(r1 + 8); r2 += 1; *(u32 *)(r1 + 8) = r2; r0 = *(u32 *)(r1 + 0); exit"
    program = crossbpf.assemble(words)
    outcome = crossbpf.interpret(program, frame, type="tc", context={"mark": 6})
    assert (outcome.r0, outcome.packet) == (40, frame)
    assert outcome.context is not None and outcome.context["mark"] == 7
    for target in ("s390x", "arm64"):
        found = crossbpf.run(program, target, frame, type="sched_cls", context={"mark": 6})
        assert (found.r0, found.context) == (40, outcome.context | {"protocol": found.context["protocol"]})  # type: ignore[index]
    rows = crossbpf.compare(program, frame, type="tc", context={"mark": 6}, targets=["riscv64"])
    assert [row.verdict for row in rows] == ["reference", "agrees"]
    with pytest.raises(crossbpf.CrossbpfError, match="no program type named 'x'"):
        crossbpf.interpret(program, type="x")
    with pytest.raises(crossbpf.CrossbpfError, match="entered as plain has no context to set"):
        crossbpf.interpret(program, context={"mark": 1})
