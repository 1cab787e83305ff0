"""What surrounds a program: its input, and the deterministic world that helpers act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bpf.plan import POISON, RECORD_WORDS

DIRTY = tuple((0x9E37_79B9_7F4A_7C15 * (2 * register + 3)) & (1 << 64) - 1 for register in range(RECORD_WORDS))
"""What registers hold that nobody set: upper and lower halves full of bits, all different."""


@dataclass(frozen=True, slots=True)
class Input:
    """What one run is given.

    memory      the bytes that R1 and R2 describe; empty: R1 = R2 = 0
    packet      the frame from its link-layer header on, for conventions with a context; network: where in it the
                network header is, which is where the packet's data begin
    metadata    how many of the packet's first bytes come before the frame (data_meta)
    context     field name -> value of the context, over what vm/contexts.py gives it
    registers   register number (1-9) -> value, over the convention's; the others hold the patterns of DIRTY.
                R0 always starts as the poison: no calling convention carries it in
    stack_fill  the byte that the BPF stack is full of
    """

    memory: bytes = b""
    registers: Mapping[int, int] = field(default_factory=dict)
    stack_fill: int = 0xA5
    packet: bytes = b""
    network: int = 14
    metadata: int = 0
    context: Mapping[str, int] = field(default_factory=dict)

    def entry_registers(self, address: int, context: int = 0) -> list[int]:
        """R0-R9 at entry, when the memory lies at `address` and the convention has a context, or not, at `context`."""
        values = list(DIRTY)
        values[1], values[2] = (context, 0) if context else (address, len(self.memory)) if self.memory else (0, 0)
        for register, value in self.registers.items():
            values[register] = value & (1 << 64) - 1
        values[0] = POISON
        return values


@dataclass(slots=True)
class World:
    """Clock, randomness, CPU, task: what helpers see and change. Part of the input; the same for every engine.

    clock    nanoseconds since boot; each reading moves it on by `tick`
    random   state of the random stream (any 64-bit number)
    cpu      number of the CPU
    pid_tgid, uid_gid, comm   the current task
    values   map name -> bytes of its first value, over what the object file says
    printed  lines that trace_printk wrote
    """

    clock: int = 1_000_000_000
    tick: int = 1_000
    random: int = 0x1234_5678_9ABC_DEF0
    cpu: int = 0
    pid_tgid: int = 4242 << 32 | 4243
    uid_gid: int = 1000 << 32 | 1000
    comm: bytes = b"crossbpf"
    values: dict[str, bytes] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)

    def snapshot(self) -> tuple[int, int, int]:
        """What a run can change, besides the printed lines."""
        return self.clock, self.random, self.cpu

    def restore(self, snapshot: tuple[int, int, int]) -> None:
        """Go back to a snapshot; nothing has been printed."""
        self.clock, self.random, self.cpu = snapshot
        self.printed.clear()


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run is given up.

    instructions  BPF instructions, for engines that count them
    seconds       wall time, for engines that don't
    may_goto      how often each activation of a function passes a may_goto before it goes elsewhere
    """

    instructions: int = 20_000_000
    seconds: float = 5.0
    may_goto: int = 65_536
