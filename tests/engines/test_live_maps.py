"""Maps of the live kernel: programs leave the same in them, declarations and updates fail in the same way.

Skipped, with the reason, where bpf() is absent or not permitted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bpf.errors import MapRefused
from bpf.map_rules import MAX_CPUS, OF_MAPS, check_map, fits
from bpf.plan import Unit
from bpf.program import Map
from bpf.spec.errno import NUMBERS
from bpf.spec.maps import LOCAL, MAP_TYPES, PER_CGROUP, RDONLY, RULES
from bpf.text import assemble
from engines import ENGINES, syscall
from engines.judging import trial
from engines.linux import LinuxEngine
from engines.syscall import LoadError
from engines.value_info import KEY, VALUE, value_info
from tests.engines.map_programs import KEYED, QUEUES, RING, Op, keyed_ops, program_text, queue_ops, ring_ops
from tests.live_kernel import live
from vm.world import Input, Limits, World

pytestmark = live
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


# Maps in maps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["array_of_maps", "hash_of_maps"])
def test_maps_in_maps(kind: str) -> None:
    inner = Map("first", "hash", 4, 8, 4)
    maps = (Map("m", kind, 4, 4, 4, maps=(1, -1, 2), inner=inner), inner, Map("second", "hash", 4, 8, 4))
    text = """
        r9 = r1; *(u32 *)(r10 - 4) = 2; r1 = map[idx:0]; r2 = r10; r2 += -4; call 1; if r0 == 0 goto none
        *(u64 *)(r10 - 16) = 9; r1 = r0; r2 = r10; r2 += -4; r3 = r10; r3 += -16; r4 = 0; call 2
        none: *(u64 *)(r9 + 0) = r0
        *(u32 *)(r10 - 4) = 1; r1 = map[idx:0]; r2 = r10; r2 += -4; call 1; if r0 == 0 goto nothing; r0 = 1
        nothing: *(u64 *)(r9 + 8) = r0; r0 = 0; exit"""
    unit = Unit((assemble(text, order=HERE),), maps)
    expected = ENGINES["interpreter"].prepare(unit).run(Input(bytes(16)), World(), Limits())
    judged = trial(LinuxEngine(), unit, expected, Input(bytes(16)), World(), Limits())
    assert (judged.found.what, judged.found.decided) == ("", True)
    assert expected.maps is not None
    assert expected.maps["second"] == {(2).to_bytes(4, HERE): (9).to_bytes(8, HERE)}


INNER = Map("inner", "array", 4, 8, 4)


# Declarations --------------------------------------------------------------------------------------

SIZES = st.sampled_from([0, 1, 2, 4, 5, 8, 16, 64, 259, 260, 261, 4096, 32 << 10, (32 << 10) + 1])
SIZES |= st.sampled_from([6, 12, 24, 1016, 1017, 1024, 512, 513, 65407, 65408, (4 << 20) - 280, (4 << 20) - 279])
SIZES |= st.sampled_from([(4 << 20) - 53, (4 << 20) - 52, 4 << 20, (4 << 20) + 1])
COUNTS = st.sampled_from([0, 0, 1, 1, 2, 3, 16, 4096, 8192, 12288, 1 << 16])
FLAGS = st.lists(st.sampled_from([1 << bit for bit in range(20) if bit not in (14, 15, 16)]), max_size=2).map(sum)
MADE = sorted(RULES)
STORES = dict.fromkeys(LOCAL, (4, 8)) | dict.fromkeys(PER_CGROUP, (16, 8))
OFTEN = {
    "lpm_trie": (8, 8),
    "perf_event_array": (4, 4),
    "ringbuf": (0, 0),
    "user_ringbuf": (0, 0),
    "xskmap": (4, 4),
    "queue": (0, 8),
    "stack": (0, 8),
    "bloom_filter": (0, 8),
    "cgroup_array": (4, 4),
    "arena": (0, 0),
    "array_of_maps": (4, 4),
    "hash_of_maps": (4, 4),
    **STORES,
}
NEEDED = {kind: rules.needs for kind, rules in RULES.items() if rules.needs}
SPECIAL = st.sampled_from([None, None, None, None, 0, 4, 6, 8])


@pytest.mark.parametrize("outer", ["array_of_maps", "hash_of_maps"])
@pytest.mark.parametrize("kind", [*MADE, "prog_array"])
def test_maps_that_a_map_of_maps_takes(kind: str, outer: str) -> None:
    key, value = OFTEN.get(kind, (4, 4 if kind == "prog_array" else 8))
    entries = 0 if kind in STORES else 4096 if "ringbuf" in kind else 4
    first = Map("m", kind, key, value, entries, flags=NEEDED.get(kind, 0), inner=INNER)
    alike = [first, replace(first, max_entries=2 * first.max_entries), replace(first, flags=first.flags | RDONLY)]
    alike += [replace(first, value_size=2 * value), INNER]
    with contextlib.ExitStack() as held:

        def create(map_: Map, inner: int = 0) -> int:
            types = (value_info(map_, HERE), KEY, VALUE) if map_.kind in LOCAL else None
            given = map_.key_size, map_.value_size, map_.max_entries, map_.flags
            descriptor = syscall.create_map("m", MAP_TYPES[map_.kind].number, *given, inner, types)
            held.callback(os.close, descriptor)
            return descriptor

        template = create(first, create(INNER) if kind in OF_MAPS else 0)
        mine = Map("m", outer, 4, 4, 4, inner=first)
        try:
            live, error = create(mine, template), 0
        except OSError as refused:
            live, error = 0, refused.errno or 0
        try:
            check_map(mine)
            assert not error
        except MapRefused as reason:
            assert reason.errno == error
            return
        for number, one in enumerate(alike):
            try:
                descriptor = create(one)
            except OSError:
                continue  # such a map cannot be
            try:
                syscall.update(live, number.to_bytes(4, HERE) if outer == "hash_of_maps" else bytes(4),
                               descriptor.to_bytes(4, HERE))  # fmt: skip
            except OSError as refused:
                assert refused.errno == errno.EINVAL
                assert not fits(mine, one, ()), (first, one)
            else:
                assert fits(mine, one, ()), (first, one)


@pytest.mark.parametrize("kind", MADE)
def test_declarations_are_refused_alike(kind: str) -> None:
    declarations(kind, 40)


@pytest.mark.deep
@pytest.mark.parametrize("kind", MADE)
def test_many_declarations_are_refused_alike(kind: str) -> None:
    declarations(kind, 1500)


def declarations(kind: str, examples: int) -> None:
    usual_key, usual_value = OFTEN.get(kind, (4, 8))
    often = st.booleans()
    inner = syscall.create_map("inner", MAP_TYPES["array"].number, 4, 8, 4) if kind in OF_MAPS else 0

    @settings(SETTINGS, max_examples=examples)
    @given(
        key=SIZES, value=SIZES, count=COUNTS, flags=FLAGS, usual=st.tuples(often, often, often), lock=SPECIAL,
        timer=SPECIAL,
    )  # fmt: skip
    def run(
        key: int, value: int, count: int, flags: int, usual: tuple[bool, ...], lock: int | None, timer: int | None
    ) -> None:
        key, value = usual_key if usual[0] else key, usual_value if usual[1] else value
        flags |= NEEDED.get(kind, 0) if usual[2] else 0
        if kind in PER_CGROUP:
            lock = timer = None  # the types of their keys would have to be the kernel's
        if lock is not None and (timer is not None or lock + 4 > value):
            lock = None  # such types are none: BTF is refused before the map is looked at
        timer = None if timer is not None and timer + 16 > value else timer
        map_ = Map("m", kind, key, value, count, flags=flags, lock=lock, timer=timer, inner=INNER)
        try:
            check_map(map_)
            refused = ""
        except MapRefused as reason:
            refused = reason.name or "too large for here"
        if kind == "cpumap" and 64 < count <= MAX_CPUS:
            return  # a matter of the kernel's configuration
        if refused == "too large for here" or max(key, value, 4096 * (kind == "arena")) * count > 64 << 20:
            return  # or for the kernel
        typed = lock is not None or timer is not None or kind in LOCAL
        if typed and (key % 4 or (lock is not None and lock % 4) or (timer is not None and timer % 8)):
            return
        types = (value_info(map_, HERE), KEY, VALUE) if typed and value else None
        try:
            descriptor = syscall.create_map("m", MAP_TYPES[kind].number, key, value, count, flags, inner, types)
        except LoadError:
            return  # the kernel takes no such types
        except OSError as error:
            assert error.errno in (errno.ENOMEM, NUMBERS.get(refused)), (map_, refused, error)
            return
        os.close(descriptor)
        assert not refused, (map_, refused)

    try:
        run()
    finally:
        if inner:
            os.close(inner)
