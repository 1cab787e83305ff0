"""C of real types, as people write it, on every engine and on the live kernel."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bpf.errors import NotHere
from bpf.object import load
from bpf.plan import Unit
from bpf.program import Program
from bpf.spec.contexts import LAYOUTS
from bpf.spec.conventions import TYPED
from crossbpf import cc
from engines import ENGINES, Options
from engines.linux import LinuxEngine, unavailable
from engines.surroundings import judge
from tests.engines.typed import FRAME
from vm.outcome import difference
from vm.world import Input, Limits, World

SOURCE = Path(__file__).parents[1] / "data" / "types" / "packets.c"


@dataclass(frozen=True)
class Case:
    """A program of packets.c with its type, what it returns and what it leaves."""

    name: str
    type: str
    r0: int
    packet: bytes = FRAME
    after: bytes = b""
    context: dict[str, int] = field(default_factory=dict)


OTHER = FRAME[:36] + b"\x00\x50" + FRAME[38:]
CASES = (
    Case("dns_filter", "xdp", 1),
    Case("dns_filter", "xdp", 3, OTHER, OTHER[:34] + OTHER[36:38] + OTHER[34:36] + OTHER[38:]),
    Case("dns_filter", "xdp", 2, FRAME[:41]),
    Case("hop", "sched_cls", 0, FRAME, FRAME[:22] + b"\x3f" + FRAME[23:24] + b"\x01\x00" + FRAME[26:],
         {"mark": 60, "cb[1]": 63}),
    Case("hop", "sched_cls", 2, FRAME[:22] + b"\x01" + FRAME[23:]),
    Case("only_udp", "cgroup_skb", 1, context={"priority": 2}),
    Case("only_udp", "cgroup_skb", 0, FRAME[:23] + b"\x06" + FRAME[24:]),
    Case("snap", "socket_filter", 46, context={"cb[0]": 46 << 16}),
)  # fmt: skip


HEADED = (
    "xdp_md", "__sk_buff", "bpf_sock", "bpf_sock_addr", "bpf_sock_ops", "sk_msg_md", "bpf_sk_lookup", "sk_reuseport_md",
    "bpf_sysctl", "bpf_sockopt", "bpf_cgroup_dev_ctx",
)  # fmt: skip
"""The contexts that our own headers declare as structures."""


@pytest.fixture(scope="module")
def programs() -> dict[tuple[str, str], Program]:
    try:
        cc.find()
    except NotHere as error:
        pytest.skip(str(error))
    found = {}
    for order in ("little", "big"):
        data = cc.compile_c(SOURCE, order)
        for case in CASES:
            found[case.name, order] = load(data, name=case.name)[0]
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.r0}")
def test_c_of_a_type(case: Case, programs: dict[tuple[str, str], Program]) -> None:
    entry = Input(packet=case.packet)
    for order in ("little", "big"):
        unit = Unit((programs[case.name, order],), convention=TYPED[case.type])
        expected = ENGINES["interpreter"].prepare(unit).run(entry, World(), Limits())
        assert (expected.status, expected.r0 & 0xFFFF_FFFF) == ("done", case.r0)
        assert expected.packet == (case.after or case.packet)
        assert expected.context is not None
        assert {name: expected.context[name] for name in case.context} == case.context
        for engine in ENGINES.values():
            if order in engine.abilities.orders:
                outcome = engine.prepare(unit, Options(observe=True)).run(entry, World(), Limits())
                assert not difference(expected, outcome), engine.name
        if order == sys.byteorder and not unavailable():
            outcome = LinuxEngine().prepare(unit).run(entry, World(), Limits())
            found = judge(LinuxEngine(), unit, expected, outcome, entry, World(), Limits())
            assert not found, found.what
            assert outcome.packet == (case.after or case.packet)


def test_the_headers_have_the_same_layouts(tmp_path: Path) -> None:
    lines = ["#include <linux/bpf.h>", "#include <bpf/bpf_helpers.h>"]
    for name in HEADED:
        lines.append(f'_Static_assert(sizeof(struct {name}) == {LAYOUTS[name].size}, "size");')
        lines += [
            f'_Static_assert(__builtin_offsetof(struct {name}, {one.name}) == {one.offset}, "{one.name}");'
            for one in LAYOUTS[name].fields
        ]
    path = tmp_path / "layouts.c"
    path.write_text("\n".join([*lines, 'SEC("xdp") int f(void) { return 0; }', ""]))
    try:
        cc.compile_c(path, "little")
    except NotHere as error:
        pytest.skip(str(error))
