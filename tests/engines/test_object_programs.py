"""Programs on storages, stacks and maps of sockets: the interpreter, every target and the host's CPU give the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from bpf.errors import NotHere, Refused
from bpf.object import load
from bpf.plan import Unit
from bpf.program import Map
from bpf.spec.conventions import TYPED
from bpf.text import assemble
from crossbpf.cc import compile_c
from engines import ENGINES, Engine, engine
from jit.registry import TARGETS
from tests.engines.object_programs import CASES, DEVICES, EACH, FIND, INODE, INODES, NET, OWN, STACKS, TYPED_CASES
from tests.engines.test_helper_programs import LIMITS, OBSERVE, agree, cpu, given, unit_of
from vm.outcome import difference
from vm.world import Input, World

__all__ = ["cpu"]
M64 = (1 << 64) - 1
each_case = pytest.mark.parametrize("name", CASES)


def engines(order: str) -> list[Engine]:
    return [ENGINES[target.name] for target in TARGETS.values() if target.order == order]


@each_case
@pytest.mark.parametrize("order", ["little", "big"])
def test_programs(name: str, order: str) -> None:
    case = CASES[name]
    chosen = engines(order)
    for one in chosen[hash_of(name) % len(chosen) :][:1]:
        outcome, _ = agree(one, unit_of(case, order), given(case), World(**case.world))
        assert outcome.status == "done", outcome.fault
        assert case.r0 is None or outcome.r0 == case.r0 & M64


def hash_of(name: str) -> int:
    """Which engine of a byte order a case runs on, so that each has its share."""
    return sum(name.encode())


@pytest.mark.deep
@each_case
def test_programs_on_every_engine(name: str, cpu: Engine) -> None:
    case = CASES[name]
    for one in (*engines("little"), *engines("big"), cpu):
        order = min(one.abilities.orders)
        outcome, _ = agree(one, unit_of(case, order), given(case), World(**case.world))
        assert (outcome.status, outcome.r0) == ("done", (case.r0 or 0) & M64)


@pytest.mark.parametrize("name", TYPED_CASES)
@pytest.mark.parametrize("order", ["little", "big"])
def test_programs_of_types(name: str, order: str) -> None:
    case = TYPED_CASES[name]
    unit = Unit((assemble(f"{case.text}; exit", order=order),), (case.map,), TYPED[case.kind])
    entry = Input(packet=bytes(64), context=case.context)
    world = World(net=replace(NET, **case.net), elements={"m": case.elements})
    expected = ENGINES["interpreter"].prepare(unit, OBSERVE).run(entry, world.copy(), LIMITS)
    assert expected.status == "done", expected.fault
    assert (expected.r0, expected.sent) == (case.r0 & M64, case.sent)
    chosen = engines(order)
    other = chosen[hash_of(name) % len(chosen)]
    assert not difference(expected, other.prepare(unit, OBSERVE).run(entry, world.copy(), LIMITS))


def outcome_of(name: str, world: World, order: str = "little") -> World:
    case = CASES[name]
    unit = unit_of(case, order)
    assert ENGINES["interpreter"].prepare(unit).run(given(case), world, LIMITS).status == "done"
    return world


def test_a_cgroups_value_has_its_id_and_how_the_program_is_attached() -> None:
    world = outcome_of("a cgroup's own", World(attach_type=3))
    key = (42).to_bytes(8, "little") + (3).to_bytes(8, "little")
    assert world.maps["own"].contents() == {key: (3).to_bytes(8, "little")}
    world = outcome_of("a cgroup's own of each CPU", World(cpu=1), "big")
    key = (42).to_bytes(8, "big") + bytes(8)
    zero, four = bytes(8), (4).to_bytes(8, "big")
    assert world.maps["own"].contents() == {key: (zero, four, zero, zero)}
    assert (OWN.max_entries, EACH.max_entries) == (0, 0)


def test_storage_has_room_for_64_values() -> None:
    """More inodes than that get none: Linux's has no such bound."""
    text = f"""r9 = 0; r7 = {INODE:#x} ll; r8 = {INODE + 70 * 4096:#x} ll
        again: r7 += 4096; r2 = r7; r1 = map[idx:0]; r3 = 0; r4 = 1; call 145; if r0 == 0 goto +1; r9 += 1
        if r7 < r8 goto again; r0 = r9; exit"""
    unit = Unit((assemble(text),), (INODES,))
    world = World(inodes={number: INODE + 4096 * number for number in range(1, 71)})
    outcome = ENGINES["interpreter"].prepare(unit).run(Input(), world, LIMITS)
    assert (outcome.status, outcome.r0) == ("done", 64)


def test_a_trace_is_what_user_space_reads() -> None:
    world = outcome_of("a trace twice", World(**CASES["a trace twice"].world))
    ((key, value),) = world.maps["stacks"].contents().items()  # type: ignore[union-attr]
    assert value == b"".join(word.to_bytes(8, "little") for word in (0xA, 0xB, 0xC, 0xD))
    assert int.from_bytes(key, "little") < STACKS.max_entries


SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct seen { __u64 count; __u32 stack; };
struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct seen);
} tasks SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_STACK_TRACE);
    __uint(max_entries, 16);
    __uint(key_size, 4);
    __uint(value_size, 8 * 4);
} stacks SEC(".maps");
SEC("raw_tp/sched_switch") int count(void *ctx)
{
    void *task = (void *)bpf_get_current_task_btf();
    struct seen *seen = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!seen)
        return 0;
    seen->count++;
    seen->stack = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
    return seen->count;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_program_in_c(order: Literal["little", "big"], tmp_path: Path) -> None:
    path = tmp_path / "storage.c"
    path.write_text(SOURCE, encoding="utf-8")
    try:
        (prog,) = load(compile_c(path, order))
    except NotHere as reason:
        pytest.skip(str(reason))
    tasks = next(map_ for map_ in prog.maps if map_.name == "tasks")
    assert (tasks.value_size, tasks.max_entries) == (16, 0)
    unit, world = Unit((prog,), convention=TYPED["raw_tracepoint"]), World(user_stack=(0x400, 0x500))
    for one in engines(order):
        outcome, mine = agree(one, unit, Input(), world)
        assert (outcome.status, outcome.r0) == ("done", 1), outcome.fault
        ((stack, trace),) = mine.maps["stacks"].contents().items()  # type: ignore[union-attr]
        assert trace == b"".join(word.to_bytes(8, order) for word in (0x400, 0x500, 0, 0))
        value = mine.maps["tasks"].value((4243).to_bytes(4, order))
        assert value == (1).to_bytes(8, order) + stack + bytes(4)


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_program_cannot_write_a_devmap(order: str) -> None:
    text = f"{FIND.replace('r0 = *(u32 *)(r0 + 0)', '*(u32 *)(r0 + 0) = 7')}; exit"
    unit = Unit((assemble(text, order=order),), (DEVICES,), TYPED["xdp"])
    for one in (ENGINES["interpreter"], engines(order)[0]):
        world = World(elements={"m": [(2, 1)]})
        outcome = one.prepare(unit).run(Input(packet=bytes(64)), world, LIMITS)
        assert outcome.fault is not None
        assert outcome.fault.kind == "write"


def test_who_may_call_what() -> None:
    for helper, kind in ((52, "xdp"), (60, "sk_skb"), (82, "sock_ops"), (107, "xdp"), (81, "sk_msg")):
        with pytest.raises(Refused, match="program of this type cannot use helper"):
            Unit((assemble(f"call {helper}; exit"),), (Map("m", "sockmap", 4, 4, 4),), TYPED[kind])


@pytest.mark.parametrize("kind", ["sockmap", "xskmap", "task_storage", "stack_trace"])
def test_a_map_of_another_kind_is_a_fault(kind: str) -> None:
    size = 8 if kind in ("task_storage", "stack_trace") else 4
    map_ = Map("m", kind, 4, size, 0 if kind == "task_storage" else 4, flags=int(kind == "task_storage"))
    unit = Unit((assemble("r1 = map[idx:0]; r2 = 0; r3 = 0; r4 = 0; call 145; exit"),), (map_,))
    outcome = engine("interpreter").prepare(unit).run(Input(), World(), LIMITS)
    assert outcome.fault is not None
    assert outcome.fault.kind == "map operation"
