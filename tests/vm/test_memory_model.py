"""Memory against a dictionary of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.plan import PAGE, Region
from vm.memory import Cell, Memory, OutOfReach

M64 = (1 << 64) - 1
BASE = 0x10_0000
TOP = (1 << 64) - PAGE
REGIONS = (
    Region("one", BASE, 2 * PAGE),
    Region("next to it, read-only", BASE + 2 * PAGE, PAGE, readonly=True),
    Region("behind a gap", BASE + 4 * PAGE, 100),
    Region("the last page", TOP, PAGE),
)
NEAR = st.builds(
    lambda edge, distance: (edge + distance) & M64,
    st.sampled_from([BASE, BASE + PAGE, BASE + 2 * PAGE, BASE + 3 * PAGE, BASE + 4 * PAGE, BASE + 5 * PAGE, TOP, 0]),
    st.integers(-20, 20),
)
ACCESS = st.tuples(NEAR, st.binary(max_size=40))


def content(region: Region) -> bytes:
    """Some bytes."""
    return bytes((region.first_page >> 12) + at & 0xFF for at in range(region.mapped))


def fresh() -> tuple[Memory, dict[int, int], set[int]]:
    """A memory; the same as a dictionary; the addresses that can be written."""
    model, writable = {}, set()
    for region in REGIONS:
        for at, byte in enumerate(content(region)):
            model[region.first_page + at] = byte
            if not region.readonly:
                writable.add(region.first_page + at)
    return Memory([Cell(region, content(region)) for region in REGIONS]), model, writable


MEMORY, MODEL, WRITABLE = fresh()


@given(NEAR, st.integers(0, 40))
def test_read(address: int, size: int) -> None:
    addresses = [(address + at) & M64 for at in range(size)]
    missing = [at for at in addresses if at not in MODEL]
    MEMORY.reset()
    if missing:
        with pytest.raises(OutOfReach) as caught:
            MEMORY.read(address, size)
        assert (caught.value.address, caught.value.kind) == (missing[0], "read")
    else:
        assert MEMORY.read(address, size) == bytes(MODEL[at] for at in addresses)


@given(st.lists(ACCESS, max_size=5))
def test_writes(accesses: list[tuple[int, bytes]]) -> None:
    """A write ends at the first byte out of reach; what came before it stays."""
    model = dict(MODEL)
    MEMORY.reset()
    seen: list[tuple[int, bytes]] = []
    MEMORY.writes = seen
    for address, data in accesses:
        bad = None
        for at, byte in enumerate(data):
            bad = (address + at) & M64
            if bad not in WRITABLE:
                break
            model[bad] = byte
            bad = None
        if bad is None:
            MEMORY.write(address, data)
        else:
            with pytest.raises(OutOfReach) as caught:
                MEMORY.write(address, data)
            assert (caught.value.address, caught.value.kind) == (bad, "write")
    assert {
        region.name: bytes(model[region.first_page + at] for at in range(region.mapped)) for region in REGIONS
    } == MEMORY.contents()
    again = dict(MODEL)
    for address, piece in seen:
        again.update(zip(range(address, address + len(piece)), piece, strict=True))
    assert again == model
    MEMORY.writes = None


@given(NEAR, st.integers(1, 40), st.booleans())
def test_first_bad(address: int, size: int, write: bool) -> None:
    reachable = WRITABLE if write else MODEL.keys()
    missing = [(address + at) & M64 for at in range(size) if (address + at) & M64 not in reachable]
    assert MEMORY.first_bad(address, size, write) == (missing[0] if missing else None)


def test_reset_and_addresses() -> None:
    memory, _, _ = fresh()
    memory.write(BASE, b"changed")
    memory.reset()
    assert memory.contents() == {region.name: content(region) for region in REGIONS}
    assert memory.address("behind a gap") == BASE + 4 * PAGE
    assert memory.address("nobody") == 0
