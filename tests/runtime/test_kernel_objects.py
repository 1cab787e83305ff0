"""Loading, sharing, finding and pinning, without a disk."""

from __future__ import annotations

from dataclasses import replace

import pytest
from samples import COUNTS, built, counter, text

from bpf.errors import BadInput, CallFailed, Refused
from bpf.map_rules import fits
from bpf.program import Map
from jit.registry import TARGETS
from runtime import Kernel, elements
from runtime.kernel import pin_path
from runtime.running import bind, compiled, measure, run
from vm.world import World


def fails(name: str) -> object:
    return pytest.raises(CallFailed, match=f": {name}$")


@pytest.fixture
def kernel() -> Kernel:
    return Kernel(clock=lambda: 7.9)


def test_programs_share_maps(kernel: Kernel) -> None:
    first, second = kernel.load([counter(), counter(name="again")])
    assert [run(kernel, one).retval for one in (first, second, first)] == [1, 2, 3]
    assert first.maps == second.maps
    assert first.loaded_at == 7


@pytest.mark.parametrize("target", TARGETS)
def test_every_machine_changes_the_same_map(kernel: Kernel, target: str) -> None:
    order = TARGETS[target].order
    (one,) = kernel.load([counter().in_order(order)])
    assert [run(kernel, one, engine_name=name).retval for name in ("interpreter", target, target)] == [1, 2, 3]


def test_a_tail_call_takes_what_the_array_holds(kernel: Kernel) -> None:
    programs = {one.name: one for one in kernel.load(built())}
    (jumps,) = kernel.find_maps("name", "jumps")
    assert run(kernel, programs["jump"]).retval == 5
    elements.update(kernel, jumps, b"\1\0\0\0", programs["count"])
    assert run(kernel, programs["jump"], engine_name="arm64").retval == 2
    elements.delete(kernel, jumps, b"\1\0\0\0")
    assert run(kernel, programs["jump"]).retval == 1
    assert [map_.name for map_ in bind(kernel, programs["jump"]).maps.values()] == ["jumps"]


def test_programs_of_two_loads_in_one_array(kernel: Kernel) -> None:
    """Their maps have the same name and other numbers."""
    programs = {one.name: one for one in kernel.load(built())}
    other = Map("counts", "array", 4, 8, 4)
    (late,) = kernel.load([counter(Map("spare"), other, number=1, name="late")])
    (jumps,) = kernel.find_maps("name", "jumps")
    elements.update(kernel, jumps, b"\1\0\0\0", late)
    elements.update(kernel, jumps, b"\2\0\0\0", programs["count"])
    assert [run(kernel, programs["jump"], engine_name=name).retval for name in ("interpreter", "riscv64")] == [1, 2]
    assert elements.lookup(kernel.maps[late.map_ids[0]], b"\1\0\0\0") == b"\2" + bytes(7)


def test_prog_arrays_take_one_type(kernel: Kernel) -> None:
    jumps = kernel.create_map(Map("jumps", "prog_array", 4, 4, 2))
    first, second = kernel.load([text("r0 = 0; exit", "a", "xdp"), text("r0 = 0; exit", "b", "socket")])
    elements.update(kernel, jumps, bytes(4), first)
    for value, error in ((second, "EINVAL"), (b"1234", "EBADF")):
        with fails(error):
            elements.update(kernel, jumps, b"\1\0\0\0", value)
    with fails("E2BIG"):
        elements.update(kernel, jumps, b"\2\0\0\0", first)
    with fails("ENOENT"):
        elements.delete(kernel, jumps, b"\1\0\0\0")
    assert list(elements.dump(jumps)) == [(bytes(4), b"\1\0\0\0")]
    assert elements.next_key(jumps, None) == bytes(4)


def test_maps_of_maps(kernel: Kernel) -> None:
    inner = Map("inner", "array", 4, 8, 4)
    outer = Map("outer", "array_of_maps", 4, 4, 2, inner=inner, maps=(-1, 1))
    look = """
        r1 = 1; *(u32 *)(r10 - 4) = r1; r2 = r10; r2 += -4; r1 = map[idx:0]; call 1; if r0 == 0 goto out; r1 = r0
        r2 = r10; r2 += -4; call 1; if r0 == 0 goto out; r1 = 1; lock *(u64 *)(r0 + 0) += r1; r0 = *(u64 *)(r0 + 0)
        out: ; exit"""
    (one,) = kernel.load([text(look, maps=(outer, inner))])
    assert fits(outer, inner, ())
    assert [run(kernel, one, engine_name=name).retval for name in ("interpreter", "x86_64")] == [1, 2]
    holder, held = (kernel.maps[number] for number in one.maps)
    assert elements.lookup(holder, b"\1\0\0\0") == held.id.to_bytes(4, "little")
    fresh = kernel.create_map(replace(inner, name="fresh"))
    elements.update(kernel, holder, b"\1\0\0\0", fresh)
    assert run(kernel, one).retval == 1
    assert elements.lookup(held, b"\1\0\0\0") == b"\2" + bytes(7)
    with fails("EINVAL"):
        elements.update(kernel, holder, bytes(4), kernel.create_map(Map("wrong", "array", 4, 16, 4)))
    kernel.pin("p", one)
    kernel.collect()
    assert fresh.id in kernel.maps and held.id not in kernel.maps


def test_a_map_can_be_taken_instead(kernel: Kernel) -> None:
    there = kernel.create_map(replace(COUNTS, name="there"))
    (one,) = kernel.load([counter()], reuse={"counts": there})
    assert run(kernel, one).retval == 1
    assert one.map_ids == (there.id,)
    assert elements.lookup(there, b"\1\0\0\0") == b"\1" + bytes(7)
    with fails("EINVAL"):
        kernel.load([counter(replace(COUNTS, max_entries=9))], reuse={"counts": there})


def test_maps_pinned_by_name_are_found_again(kernel: Kernel) -> None:
    pinned = replace(COUNTS, pinned=True)
    (first,) = kernel.load([counter(pinned)])
    kernel.pin("counts", kernel.maps[first.maps[0]])
    (second,) = kernel.load([counter(pinned)])
    assert first.maps == second.maps


def test_a_load_that_fails_leaves_nothing(kernel: Kernel) -> None:
    wrong = Map("wrong", "array", 4, 0, 4)
    with pytest.raises(Refused, match="map wrong"):
        kernel.load([counter(COUNTS, wrong)])
    assert not kernel.maps and kernel.next_map == 1


def test_elements_answer_as_bpf_does(kernel: Kernel) -> None:
    made = kernel.create_map(Map("h", "hash", 4, 8, 1))
    elements.update(kernel, made, b"aaaa", b"12345678", elements.FLAGS["noexist"])
    for key, flags, error in ((b"aaaa", "noexist", "EEXIST"), (b"bbbb", "exist", "ENOENT"), (b"bbbb", "any", "E2BIG")):
        with fails(error):
            elements.update(kernel, made, key, b"12345678", elements.FLAGS[flags])
    with pytest.raises(CallFailed, match="EINVAL"):
        elements.update(kernel, made, b"a", b"12345678")
    assert elements.next_key(made, None) == b"aaaa"
    with fails("ENOENT"):
        elements.next_key(made, b"aaaa")
    with fails("ENOENT"):
        elements.delete(kernel, made, b"bbbb")
    elements.delete(kernel, made, b"aaaa")
    assert elements.lookup(made, b"aaaa") is None


@pytest.mark.parametrize(("flags", "read", "write"), [(8, True, False), (0x10, False, True)])
def test_maps_for_reading_or_writing_only(kernel: Kernel, flags: int, read: bool, write: bool) -> None:
    made = kernel.create_map(replace(COUNTS, flags=flags))
    for allowed, act in (
        (read, lambda: elements.lookup(made, bytes(4))),
        (write, lambda: elements.update(kernel, made, bytes(4), bytes(8))),
    ):
        if allowed:
            act()
        else:
            with fails("EPERM"):
                act()


def test_frozen_data(kernel: Kernel) -> None:
    programs = {one.name: one for one in kernel.load(built())}
    (rodata,) = kernel.find_maps("name", ".rodata")
    assert rodata.frozen
    with fails("EPERM"):
        elements.update(kernel, rodata, bytes(4), bytes(8))
    (bss,) = kernel.find_maps("name", ".bss")
    run(kernel, programs["count"])
    assert elements.lookup(bss, bytes(4)) == b"\2" + bytes(7)


def test_data_of_a_run(kernel: Kernel) -> None:
    (one,) = kernel.load([text("*(u8 *)(r1 + 1) = 7; r0 = r2; exit")])
    ran = run(kernel, one, b"abc")
    assert (ran.data, ran.retval) == (b"a\7c", 3)
    (one,) = kernel.load([text("r6 = r1; r0 = *(u16 *)skb[12]; exit", section="socket")])
    frame = bytes(range(64))
    assert {run(kernel, one, frame, engine_name=name).retval for name in ("interpreter", "ppc64le")} == {0x1A1B}
    with pytest.raises(BadInput, match="0 runs"):
        run(kernel, one, repeat=0)


def test_code_of_no_byte_order_runs_everywhere(kernel: Kernel) -> None:
    (portable,) = kernel.load([text("r0 = 7; exit")], portable=True)
    assert [run(kernel, portable, engine_name=target).retval for target in TARGETS] == [7] * 6
    (fixed,) = kernel.load([text("r0 = 7; exit")])
    with pytest.raises(Refused, match="little-endian"):
        run(kernel, fixed, engine_name="s390x")
    assert compiled(kernel, portable, TARGETS["s390x"]).code


def test_the_size_of_machine_code_is_measured(kernel: Kernel) -> None:
    made = kernel.load([text("r0 = 7; exit"), text("r0 = 7; exit").in_order("big")])
    measure(kernel, made)
    assert all(size > 0 for one in made for size in one.jited.values())


def test_worlds_are_left_as_they_were(kernel: Kernel) -> None:
    world = World()
    (one,) = kernel.load([counter()])
    run(kernel, one, world=world)
    assert not world.maps and not world.programs


def test_names(kernel: Kernel) -> None:
    first, second = kernel.load([counter(), counter(name="other")])
    kernel.pin("/sys/fs/bpf/x/y", first)
    kernel.pin("m", kernel.maps[1])
    assert kernel.find_programs("pinned", "x/y") == kernel.find_programs("id", "1") == [first]
    assert kernel.find_programs("tag", first.tag.upper()) == [first, second]
    assert kernel.find_programs("name", "other") == [second]
    assert kernel.pinned(first) == ["x/y"]
    for path in ("x", "x/y", "x/y/z"):
        with fails("EEXIST"):
            kernel.pin(path, second)
    for how, what, error in (("id", "9", "ENOENT"), ("pinned", "m", "EINVAL"), ("pinned", "n", "ENOENT")):
        with fails(error):
            kernel.find_programs(how, what)
    for how, what in (("id", "x"), ("colour", "red")):
        with pytest.raises(BadInput):
            kernel.find_maps(how, what)
    with fails("ENOENT"):
        kernel.unpin("n")


@pytest.mark.parametrize("path", ["", "/", "../x", "a/../b", "a\nb", "/sys/fs/bpf/"])
def test_no_pin_outside(path: str) -> None:
    with pytest.raises(BadInput):
        pin_path(path)
