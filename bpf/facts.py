"""What an analysis knows of a program, per instruction; passes read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Base(Enum):
    """What the base register of an access points to."""

    CONTEXT = "context"
    PACKET = "packet"
    MAP_VALUE = "map value"
    STACK = "stack"
    OBJECT = "object"
    """A structure of the kernel's, by a pointer that BTF describes."""

    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Pointer:
    """A base pointer. offset: how far it lies from the start of the context; 0 for every other base."""

    base: Base
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of one program.

    pointers   slot of a load, store or atomic that can be reached -> its base pointer
    constants  slot of a call of a kernel function that wants a constant in R1 -> what that is
    """

    pointers: Mapping[int, Pointer] = field(default_factory=dict)
    constants: Mapping[int, int] = field(default_factory=dict)

    @property
    def probes(self) -> frozenset[int]:
        """Slots of probe loads: those of the kernel's structures, which give 0 where nothing is there."""
        return frozenset(pc for pc, pointer in self.pointers.items() if pointer.base is Base.OBJECT)
