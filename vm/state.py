"""The state of the interpreter between two instructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vm.cpus import ALONE, Turn
from vm.helpers import Calling
from vm.maps.bound import NO_MAPS, Bound
from vm.memory import Memory
from vm.outcome import Call, Fault, Status
from vm.services import Packet
from vm.world import World


@dataclass(slots=True)
class State:
    """A run in the middle: what the next instruction sees.

    registers  R0-R10, then the program's immediates
    frames     per active local call: (return slot, R6, R7, R8, R9, passes)
    calling    helpers that wait for a function they have called: (frames before the call, the helper)
    final      R0-R9 where the program has ended and its timers go on; None before
    outer      R6-R9 at entry; tails: tail calls that the run may still take
    passes     how often the active function may still pass a may_goto; allowance: what a function starts with
    ran_out    how many may_goto have found no passes left
    turn       what the run has to do with other CPUs
    """

    registers: list[int]
    memory: Memory
    world: World
    packet: Packet
    passes: int
    allowance: int
    outer: Sequence[int] = ()
    tails: int = 0
    pc: int = 0
    frames: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    calling: list[tuple[int, Calling]] = field(default_factory=list)
    ran_out: int = 0
    calls: list[Call] = field(default_factory=list)
    executed: int = 0
    ended: Status | None = None
    fault: Fault | None = None
    overruns: list[tuple[int, int]] = field(default_factory=list)
    maps: Bound = NO_MAPS
    final: list[int] | None = None
    turn: Turn = ALONE
