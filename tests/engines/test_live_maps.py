"""Maps of the live kernel: programs leave the same in them, declarations and updates fail in the same way.

Skipped, with the reason, where bpf() is absent or not permitted.
"""

from __future__ import annotations

import os
import sys
from collections import Counter

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bpf.errors import Refused
from bpf.map_rules import check_map
from bpf.plan import Unit
from bpf.program import Map
from bpf.spec.maps import MAP_TYPES, RULES
from bpf.text import assemble
from engines import ENGINES, syscall
from engines.judging import trial
from engines.linux import LinuxEngine, unavailable
from engines.live_maps import LiveMap
from tests.engines.map_programs import KEYED, QUEUES, RING, Op, keyed_ops, program_text, queue_ops, ring_ops
from vm.maps import new_map
from vm.world import Input, Limits, World

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable() or "the kernel is there")
HERE = sys.byteorder
SETTINGS = settings(max_examples=60, database=None, derandomize=True, deadline=None, phases=(Phase.generate,))


def agrees(map_: Map, ops: list[Op], seen: Counter[str]) -> None:
    unit = Unit((assemble(program_text(ops), order=HERE),), (map_,))
    given, world = Input(bytes(8 * len(ops))), World()
    expected = ENGINES["interpreter"].prepare(unit).run(given, world.copy(), Limits())
    assert expected.status == "done", expected.fault
    judged = trial(LinuxEngine(), unit, expected, given, world, Limits())
    assert not judged.found, (map_, ops, judged.found.what)
    seen["agrees" if judged.found.decided else judged.found.why] += 1
    if judged.found.decided:
        assert judged.outcome is not None
        assert judged.outcome.maps is not None


@pytest.mark.parametrize("map_", KEYED, ids=lambda map_: f"{map_.kind}-{map_.flags}")
def test_programs_on_keys(map_: Map) -> None:
    seen: Counter[str] = Counter()

    @SETTINGS
    @given(ops=keyed_ops(map_))
    def run(ops: list[Op]) -> None:
        agrees(map_, ops, seen)

    run()
    assert seen["agrees"] == sum(seen.values()), seen


@pytest.mark.parametrize("map_", QUEUES, ids=lambda map_: map_.kind)
def test_programs_on_queues(map_: Map) -> None:
    seen: Counter[str] = Counter()

    @SETTINGS
    @given(ops=queue_ops())
    def run(ops: list[Op]) -> None:
        agrees(map_, ops, seen)

    run()
    assert seen["agrees"] == sum(seen.values()), seen


def test_programs_on_ring_buffers() -> None:
    seen: Counter[str] = Counter()

    @SETTINGS
    @given(ops=ring_ops())
    def run(ops: list[Op]) -> None:
        agrees(RING, ops, seen)

    run()
    assert seen["agrees"] == sum(seen.values()), seen
