"""The tables of helpers are the live kernel's: who may call what, what a call takes. `deep` asks for all of it."""

from __future__ import annotations

import platform
from dataclasses import replace

import pytest

from bpf.spec.prototypes import PROTOTYPES
from tests import probing
from tests.live_kernel import live

pytestmark = [
    live,
    pytest.mark.skipif(
        not platform.release().startswith(f"{probing.RELEASE}."), reason="the tables are of another kernel"
    ),
]
FIFTH = range(1, 212, 5)


def test_sets() -> None:
    assert list(probing.sets(("xdp", "cgroup_sock", "sk_lookup"), FIFTH)) == []


def test_properties() -> None:
    assert list(probing.properties(range(3, 212, 9))) == []


def test_arguments() -> None:
    assert list(probing.arguments(FIFTH)) == []


def test_packets_and_references() -> None:
    assert list(probing.packets((9, 26, 44, 84))) == []


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "allowed", lambda kind, attach="": {26: frozenset()})
    assert len(list(probing.sets(("xdp",), (26, 44)))) == 2
    monkeypatch.undo()
    wrong = probing.signature(2)
    monkeypatch.setattr(probing, "signature", lambda number, kind="", attach="": wrong)
    assert any("map_delete_elem R3" in line for line in probing.arguments((3,)))
    monkeypatch.undo()
    wrong = replace(probing.signature(9), changes_packet=False, acquires=True)
    monkeypatch.setattr(probing, "signature", lambda number, kind="", attach="": wrong)
    assert len(list(probing.packets((9,)))) == 6  # two of each of three types


@pytest.mark.deep
def test_everything() -> None:
    assert list(probing.sets()) == []
    assert list(probing.properties()) == []
    assert list(probing.arguments()) == []
    assert list(probing.packets()) == []
    assert len(PROTOTYPES) == 211
