"""The context of a run: what is in it when nobody says, what can be set, and that it is read back as it was built."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.errors import BadInput
from bpf.plan import PAGE, PLANS, Unit
from bpf.spec.conventions import TYPED
from bpf.text import assemble
from tests.engines.contexts import WITH_FIELDS
from tests.engines.typed import FRAME
from vm.contexts import DERIVED, build, read_back
from vm.memory import lay_out
from vm.world import Input, World

ORDERS = ("little", "big")


def unit(name: str, order: str = "little", plan: str = "high") -> Unit:
    return Unit((assemble("r0 = 0; exit", order=order),), convention=TYPED[name], plan=PLANS[plan])


def fields(name: str, entry: Input, order: str = "little") -> dict[str, int]:
    bound = unit(name, order)
    start = bound.packet_start(len(entry.packet))
    return read_back(bound, build(bound, entry, start), start)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", WITH_FIELDS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_what_is_set_is_read_back(name: str, order: str, data: st.DataObject) -> None:
    view = TYPED[name].view
    assert view is not None
    numbers = [one for one in view.layout.fields if not one.pointer and one.name not in DERIVED]
    chosen = data.draw(st.lists(st.sampled_from(numbers), unique=True) if numbers else st.just([]))
    values = {one.name: data.draw(st.integers(0, (1 << 8 * one.kept) - 1)) for one in chosen}
    found = fields(name, Input(packet=data.draw(st.binary(max_size=70)), context=values), order)
    assert {one: found[one] for one in values} == values


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (FRAME, {"len": 46, "wire_len": 46, "pkt_type": 0, "protocol": 0x0008, "family": 2, "local_ip4": 0x0100A8C0}),
        (b"\xff" * 6 + FRAME[6:], {"pkt_type": 1}),
        (b"\x01" + FRAME[1:], {"pkt_type": 2}),
        (b"\x02" + FRAME[1:], {"pkt_type": 3}),
        (FRAME[:12] + b"\x86\xdd" + FRAME[14:], {"protocol": 0xDD86, "family": 10}),
        (FRAME[:12] + b"\x00\x20" + FRAME[14:], {"protocol": 0x0400, "family": 0}),
        (FRAME[:12] + b"\x00\x20\xff\xff" + FRAME[16:], {"protocol": 0x0100}),
        (FRAME[:20], {"len": 6, "family": 0}),
        (b"", {"len": 0, "pkt_type": 0, "protocol": 0, "ifindex": 1}),
    ],
)
def test_what_the_frame_says(frame: bytes, expected: dict[str, int]) -> None:
    found = fields("cgroup_skb", Input(packet=frame))
    assert {name: found[name] for name in expected} == expected


def test_where_data_begin() -> None:
    found = fields("xdp", Input(packet=bytes(64), metadata=4))
    assert (found["data_meta"], found["data"], found["data_end"]) == (0, 4, 64)
    assert fields("sched_cls", Input(packet=bytes(64)))["data"] == 0
    found = fields("cgroup_skb", Input(packet=bytes(64)))
    assert (found["data"], found["data_end"], found["len"]) == (14, 64, 50)


@pytest.mark.parametrize("plan", PLANS)
def test_the_regions_of_a_run(plan: str) -> None:
    bound = unit("xdp", plan=plan)
    cells = {cell.region.name: cell.region for cell in lay_out(bound, Input(packet=FRAME), World())}
    assert cells["packet"].start == bound.packet_start(len(FRAME))
    assert cells["context"].start == bound.context
    assert bound.context % 8 == 0
    if PLANS[plan].fence:
        for name in ("packet", "context"):
            assert (cells[name].start + cells[name].size) % PAGE == 0


@pytest.mark.parametrize(
    ("given_", "what"),
    [
        ({"nothing": 1}, "has no field 'nothing' to set"),
        ({"data": 1}, "has no field 'data' to set"),
        ({"len": 1}, "has no field 'len' to set"),
        ({"sk": 1}, "has no field 'sk' to set"),
        ({"mark": 1 << 32}, "does not fit 32 bits"),
        ({"tc_index": 1 << 16}, "does not fit 16 bits"),
        ({"mark": -(1 << 31) - 1}, "does not fit 32 bits"),
    ],
)
def test_what_cannot_be_set(given_: dict[str, int], what: str) -> None:
    with pytest.raises(BadInput, match=what):
        fields("sched_cls", Input(packet=FRAME, context=given_))


def test_negative_numbers_are_twos_complement() -> None:
    assert fields("sched_cls", Input(context={"mark": -1}))["mark"] == 0xFFFF_FFFF
