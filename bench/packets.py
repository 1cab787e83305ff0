"""Packets a second of an XDP filter on each engine: the firewall of the examples, which asks a trie and counts."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from bench.measure import Cell, Table, main
from bpf.errors import Refused
from bpf.object import load
from bpf.plan import Unit
from bpf.spec.conventions import TYPED
from engines import ENGINES, engine
from engines.base import Prepared
from vm.world import Input, Limits, World

FOLDER = Path(__file__).parent.parent / "examples" / "programs"
_END = {"little": "bpfel", "big": "bpfeb"}
_HERE = ("native", "linux")
_DROP, _PASS = 1, 2
_BLOCKED, _OTHERS = bytes((198, 51, 100)), bytes((10, 0, 0))


def frame(number: int) -> bytes:
    """A UDP packet; of four, one comes from the blocked network."""
    sender = (_OTHERS if number % 4 else _BLOCKED) + bytes((number % 256,))
    ip = bytes.fromhex("4500001e0001000040110000") + sender + bytes((10, 0, 0, 2))
    return bytes(12) + b"\x08\x00" + ip + bytes.fromhex("00010002000a00006869")


def world(order: str) -> World:
    """What the firewall's maps hold: 198.51.100.0/24 is blocked, and so are 63 other networks."""
    lengths = (24).to_bytes(4, order)  # type: ignore[arg-type]
    networks = [_BLOCKED, *(bytes((203, 0, number)) for number in range(63))]
    return World(elements={"rules": [(lengths + one + b"\0", _DROP) for one in networks]})


def _prepared() -> dict[str, tuple[str, Prepared]]:
    """Engine -> byte order of the program there, the program ready to run; without what this machine has not got."""
    found: dict[str, tuple[str, Prepared]] = {}
    for name in (*ENGINES, *_HERE):
        try:
            one = engine(name)
            order = "little" if "little" in one.abilities.orders else "big"
            (program,) = load((FOLDER / f"firewall.{_END[order]}.o").read_bytes())
            prepared = one.prepare(Unit((program,), convention=TYPED["xdp"]))
            outcome = prepared.run(Input(packet=frame(0)), world(order), Limits())
        except Refused:
            continue
        assert (outcome.status, outcome.r0) == ("done", _DROP), (name, outcome.summary())
        found[name] = order, prepared
    return found


def tables(quick: bool) -> list[Table]:
    """Packets a second, and the instructions that a packet takes."""
    packets = [Input(packet=frame(number)) for number in range(20 if quick else 400)]
    engines, limits = _prepared(), Limits()
    least = dict.fromkeys(engines, float("inf"))
    for _ in range(1 if quick else 5):
        for name, (order, prepared) in engines.items():  # in turns: a busy neighbour slows all of them
            here, start = world(order), time.perf_counter()
            dropped = sum(prepared.run(packet, here, limits).r0 == _DROP for packet in packets)
            least[name] = min(least[name], time.perf_counter() - start)
            assert dropped == len(packets) // 4, name
    rows: list[list[Cell]] = []
    for name, (order, prepared) in engines.items():
        outcome = prepared.run(packets[1], world(order), limits)
        executed = outcome.counts.get("instructions") or prepared.count(packets[1], world(order), limits)
        rate = len(packets) / least[name]
        rows.append([name, rate, rate * least["interpreter"] / len(packets), executed or ""])
    note = (
        "one run a packet, set-up and reading back included; ratio: to the interpreter in the same minute; executed: "
        "BPF instructions of a packet that passes, for targets native ones"
    )
    return [Table("An XDP filter", ["engine", "packets/s", "ratio", "executed"], rows, note)]


if __name__ == "__main__":
    sys.exit(main([tables], __doc__))
