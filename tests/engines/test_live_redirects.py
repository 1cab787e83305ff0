"""redirect_map, and programs that take sockets out of maps, answer as on the live kernel. Skipped without the kernel.

A test run of an xdp program sends nothing; the maps hold the loopback device and a socket of this process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import product

import pytest

from bpf.plan import Unit
from bpf.program import Map
from bpf.spec.conventions import TYPED
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble
from engines import ENGINES, syscall
from tests.live_kernel import live
from tests.runtime.live_calls import DESCRIBED, HERE, Live, Things, things
from vm.world import Input, Limits, World

pytestmark = live
GIVEN = Map("given", "array", 4, 16, 1)
TEXT = "r6 = {}; r2 = *(u64 *)(r6 + 0); r3 = *(u64 *)(r6 + 8); r1 = {}; call 51; exit"
KEYS = (0, 1, 2, 3, 1 << 32 | 1)
FLAGS = (0, 1, 2, 3, 4, 8, 9, 16, 24, 32, 1 << 32)


@pytest.fixture(scope="module")
def there() -> Iterator[Things]:
    with things() as found:
        yield found


@pytest.mark.parametrize(
    ("map_", "value"),
    [
        (Map("m", "xskmap", 4, 4, 3), 6), (Map("m", "devmap", 4, 4, 3), 1), (Map("m", "devmap", 4, 8, 3), 1),
        (Map("m", "devmap_hash", 4, 4, 3), 1), (Map("m", "cpumap", 4, 4, 3), 0),
    ],
    ids=lambda one: f"{one.kind}-{one.value_size}" if isinstance(one, Map) else "",
)  # fmt: skip
def test_any_key_and_flags(map_: Map, value: int, there: Things) -> None:
    if map_.kind == "xskmap" and 6 not in there.sockets:
        pytest.skip("no AF_XDP sockets here")
    key, data = (1).to_bytes(4, HERE), value.to_bytes(map_.value_size, HERE)
    unit = Unit((assemble(TEXT.format("map_value[idx:1][0]", "map[idx:0]"), order=HERE),), (map_, GIVEN), TYPED["xdp"])
    prepared = ENGINES["interpreter"].prepare(unit)
    with contextlib.ExitStack() as held:
        live = Live(map_, there)
        held.callback(live.close)
        assert live.update(key, data, 0) is None
        array = syscall.create_array("given", 16)
        held.callback(os.close, array)
        code = assemble(TEXT.format(f"map_value[fd:{array}][0]", f"map[fd:{live.descriptor}]"), order=HERE)
        program = syscall.load(code.encode(HERE), kind=PROGRAM_TYPES["xdp"].number)[0]
        held.callback(os.close, program)
        for index, flags in product(KEYS, FLAGS):
            given = index.to_bytes(8, HERE) + flags.to_bytes(8, HERE)
            syscall.write_value(array, given)
            world = World(net=DESCRIBED, elements={"m": [(key, data)], "given": [(0, given)]})
            mine = prepared.run(Input(packet=bytes(64)), world, Limits())
            assert (mine.status, mine.r0) == ("done", syscall.test_run(program, bytes(64))), (index, flags)


@pytest.mark.parametrize("kind", ["sockmap", "sockhash"])
def test_programs_take_sockets_out(kind: str, there: Things) -> None:
    map_, text = Map("m", kind, 4, 8, 3), "*(u32 *)(r10 - 4) = {}; r2 = r10; r2 += -4; r1 = {}; call 3; exit"
    world = World(net=DESCRIBED, elements={"m": [(1, 1), (2, 4)]})
    with contextlib.ExitStack() as held:
        live = Live(map_, there)
        held.callback(live.close)
        for index, cookie in ((1, 1), (2, 4)):
            assert live.update(index.to_bytes(4, HERE), cookie.to_bytes(8, HERE), 0) is None
        for index in (1, 1, 0, 2, 3, 9):
            code = assemble(text.format(index, f"map[fd:{live.descriptor}]"), order=HERE).encode(HERE)
            program = syscall.load(code, kind=syscall.SOCKET_FILTER)[0]
            held.callback(os.close, program)
            unit = Unit((assemble(text.format(index, "map[idx:0]"), order=HERE),), (map_,))
            mine = ENGINES["interpreter"].prepare(unit).run(Input(), world, Limits())
            assert mine.r0 & 0xFFFF_FFFF == syscall.test_run(program, bytes(64)), index
