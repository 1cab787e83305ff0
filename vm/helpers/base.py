"""The helpers' side of the contract with engines."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from bpf.order import Order
from bpf.plan import POISON
from vm.cpus import ALONE, Turn
from vm.maps.bound import NO_MAPS, Bound
from vm.memory import Memory
from vm.services import NO_PACKET, Packet
from vm.world import World


@dataclass(frozen=True, slots=True)
class Exit:
    """Returned by a helper to end the whole run with this R0."""

    r0: int


@dataclass(frozen=True, slots=True)
class Invoke:
    """Yielded by a helper that calls back: call the function with this address; the helper goes on with its R0.

    arguments  R1 and on; the rest of R1-R5 hold the poison. R10 is a frame below the caller's
    """

    function: int
    arguments: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a helper acts: the world, the run's memory, maps and packet, the byte order of the program.

    turn  what it has to do with other CPUs
    """

    world: World
    memory: Memory
    order: Order
    maps: Bound = NO_MAPS
    packet: Packet = NO_PACKET
    turn: Turn = ALONE


Calling = Generator[Invoke, int, int | Exit]
Helper = Callable[[Place, Sequence[int]], int | Exit | Calling]
"""A helper: (place, R1-R5) -> R0. One that calls functions of the program is a generator of Invoke.

May raise OutOfReach or vm.services.Trap, which faults the calling instruction.
"""


def entered(invoke: Invoke) -> list[int]:
    """R1-R5 where a function starts that a helper calls."""
    given = [argument & (1 << 64) - 1 for argument in invoke.arguments]
    return [*given, *(POISON + register for register in range(len(given) + 1, 6))]
