"""What an analysis knows of a program, per instruction; passes read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # at run time bpf.program imports this module
    from bpf.program import Map


class Base(Enum):
    """What the base register of an access points to."""

    CONTEXT = "context"
    PACKET = "packet"
    MAP_VALUE = "map value"
    STACK = "stack"
    OBJECT = "object"
    """A structure of the kernel's, by a pointer that BTF describes."""

    ARENA = "arena"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Pointer:
    """A base pointer. offset: how far it lies from the start of the context; 0 for every other base."""

    base: Base
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Mask:
    """How a pointer that moves is kept inside its object where the processor guesses wrongly.

    limit     bytes that it may move at most
    negative  what moves it is no positive number; constant: and the same on all paths
    source    what moves it is the src register, not the dst
    """

    limit: int
    negative: bool
    constant: bool
    source: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of one program, by the slots of the program as given. What is empty is not known.

    pointers   slot of a load, store or atomic that can be reached -> its base pointer
    unreached  slots that no path comes to; both of an lddw
    spills     slot of a call -> how many spills before it, and fills behind it, may go
    loops      slot of a call of bpf_loop whose flags are 0 on all paths -> first slot of its only callback
    maps       slot of a helper's call -> the map that it works on, on all paths
    masks      slot of an addition or subtraction -> how it is masked
    barriers   slots before which, and barriers_behind: behind which, no mispredicted path may come
    narrowed   slots of 64-bit arithmetic on an arena's pointer, of which only the low half counts
    stacks     by number of a function: bytes of stack that it uses
    privileged  who loads the program holds CAP_BPF
    writes_packet  some path, which may be only mispredicted, stores through a packet pointer
    constants  slot of a call of a kernel function that wants a constant in R1 -> what that is
    """

    pointers: Mapping[int, Pointer] = field(default_factory=dict)
    unreached: frozenset[int] = frozenset()
    spills: Mapping[int, int] = field(default_factory=dict)
    loops: Mapping[int, int] = field(default_factory=dict)
    maps: Mapping[int, Map] = field(default_factory=dict)
    masks: Mapping[int, Mask] = field(default_factory=dict)
    barriers: frozenset[int] = frozenset()
    barriers_behind: frozenset[int] = frozenset()
    narrowed: frozenset[int] = frozenset()
    stacks: tuple[int, ...] = ()
    writes_packet: bool = False
    privileged: bool = True
    constants: Mapping[int, int] = field(default_factory=dict)

    @property
    def probes(self) -> frozenset[int]:
        """Slots of probe loads: those of the kernel's structures, which give 0 where nothing is there."""
        return frozenset(pc for pc, pointer in self.pointers.items() if pointer.base is Base.OBJECT)
