"""Random programs with a context agree on every engine, in both byte orders, and with the live kernel."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.errors import Refused
from bpf.plan import PLANS, Unit
from bpf.spec.contexts import VIEWS
from bpf.spec.conventions import TYPED
from bpf.text import assemble
from engines import ENGINES, Options
from engines.linux import LinuxEngine
from engines.lockstep import lockstep
from engines.surroundings import judge
from tests.engines.contexts import WITH_FIELDS, context_programs, frames
from tests.live_kernel import live
from vm.outcome import difference
from vm.world import Input, Limits, World

NAMES = [name for name in WITH_FIELDS if name != "flow_dissector"]
LIMITS = Limits(seconds=2.0)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_they_agree(name: str, data: st.DataObject) -> None:
    text = data.draw(context_programs(name))
    entry = Input(packet=data.draw(frames()))
    plan = PLANS[data.draw(st.sampled_from(sorted(PLANS)))]
    for order in ("little", "big"):
        unit = Unit((assemble(text, order=order),), convention=TYPED[name], plan=plan)
        expected = ENGINES["interpreter"].prepare(unit).run(entry, World(), LIMITS)
        assert expected.status == "done"
        for engine in ENGINES.values():
            if order in engine.abilities.orders:
                outcome = engine.prepare(unit, Options(observe=True)).run(entry, World(), LIMITS)
                found = difference(expected, outcome)
                assert found.decided, engine.name
                assert not found, (engine.name, found.what)


LIVE = ("xdp", "sched_cls", "sched_act", "socket_filter", "cgroup_skb", "lwt_in", "raw_tracepoint")


@live
@pytest.mark.parametrize("name", LIVE)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_live_kernel_agrees(name: str, data: st.DataObject) -> None:
    text = data.draw(context_programs(name))
    fields = dict.fromkeys(("args[0]", "args[1]", "args[9]"), 1 << 64) if name == "raw_tracepoint" else {}
    if TYPED[name].view is VIEWS["sched_cls"]:
        fields = dict.fromkeys(("mark", "priority", "cb[0]", "cb[3]"), 1 << 32) | {"gso_segs": 1 << 16}
    given_ = {field: data.draw(st.integers(0, end - 1), label=field) for field, end in fields.items()}
    entry = Input(packet=data.draw(frames()) if name != "raw_tracepoint" else b"", context=given_)
    unit = Unit((assemble(text, order=sys.byteorder),), convention=TYPED[name])
    expected = ENGINES["interpreter"].prepare(unit).run(entry, World(), LIMITS)
    try:
        outcome = LinuxEngine().prepare(unit).run(entry, World(), LIMITS)
    except Refused as reason:
        assert "does not take this packet" in str(reason)
        return
    found = judge(LinuxEngine(), unit, expected, outcome, entry, World(), LIMITS)
    assert not found, found.what


@pytest.mark.parametrize("name", ["arm64", "s390x"])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_traces_stop_at_the_programs_own_instructions(name: str, data: st.DataObject) -> None:
    (order,) = ENGINES[name].abilities.orders
    prog = assemble(data.draw(context_programs("sched_cls")), order=order)
    unit, entry = Unit((prog,), convention=TYPED["sched_cls"]), Input(packet=data.draw(frames()))
    options = Options(observe=True)
    one, other = ENGINES["interpreter"].prepare(unit, options), ENGINES[name].prepare(unit, options)
    assert lockstep(one, other, entry, World(), Limits()) is None
    pcs = [step.pc for step in one.trace(entry, World(), Limits())]
    assert all(prog.insns[pc] is not None for pc in pcs)
    for before, after in pairwise(pcs):
        insn = prog.insns[before]
        assert insn is not None
        assert after == before + insn.slots or insn.row.jumps or insn.row.kind.value in ("call", "exit")
