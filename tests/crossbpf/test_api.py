"""The public functions, where the README's examples do not reach."""

from __future__ import annotations

import crossbpf
from jit.registry import TARGETS


def test_packets() -> None:
    program = crossbpf.assemble("r6 = r1; r0 = *(u16 *)skb[2]; exit")
    frame = bytes(range(32))
    assert crossbpf.interpret(program, packet=frame).r0 == 0x1011
    assert {crossbpf.run(program, target, packet=frame).r0 for target in TARGETS} == {0x1011}
    rows = crossbpf.compare(program, packet=frame)
    assert {row.verdict for row in rows} == {"reference", "agrees"}
