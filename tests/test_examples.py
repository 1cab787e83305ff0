"""The shipped examples give their published answers on every engine, under every plan, from objects and from C."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bpf.errors import NotHere
from bpf.plan import PLANS
from crossbpf.cc import find
from crossbpf.inputs import memory_beside, read_source
from engines.compare import compare
from jit.registry import TARGETS
from vm.world import Input

EXAMPLES = Path(__file__).parents[1] / "examples"
EXPECTED = json.loads((EXAMPLES / "expected.json").read_text())


def _compiler() -> bool:
    try:
        find(None)
    except NotHere:
        return False
    return True


def test_there_are_at_least_eight_and_each_has_its_objects() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.c")}
    assert names == set(EXPECTED)
    assert len(names) >= 8
    for name in names:
        assert (EXAMPLES / f"{name}.bpfel.o").is_file()
        assert (EXAMPLES / f"{name}.bpfeb.o").is_file()


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", EXPECTED)
def test_object(name: str, plan: str) -> None:
    path = str(EXAMPLES / f"{name}.bpfel.o")
    rows = compare(read_source(path, paired=True).program_in, Input(memory_beside(path)), plan=PLANS[plan])
    assert {row.engine for row in rows} == {"interpreter", *TARGETS}
    for row in rows:
        assert row.verdict in ("reference", "agrees"), (row.engine, row.reason)
        assert row.outcome is not None
        assert row.outcome.r0 == int(EXPECTED[name]["result"], 0), row.engine


@pytest.mark.skipif(not _compiler(), reason="no C compiler with a BPF target here: pip install 'crossbpf[cc]'")
@pytest.mark.parametrize("name", ["packet", "siphash"])
def test_source(name: str) -> None:
    path = str(EXAMPLES / f"{name}.c")
    rows = compare(read_source(path).program_in, Input(memory_beside(path)))
    assert len(rows) == len(TARGETS) + 2
    for row in rows:
        assert row.verdict in ("reference", "agrees"), (row.engine, row.reason)
        assert row.outcome is not None
        assert row.outcome.r0 == int(EXPECTED[name]["result"], 0), row.engine
