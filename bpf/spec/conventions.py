"""How a program is entered: what R1 and R2 hold, and which helpers exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bpf.spec import helpers


@dataclass(frozen=True, slots=True)
class Convention:
    """A calling convention of programs: its name, what it says, the helpers by number.

    context  whether R1 is the address of a context
    """

    name: str
    help: str
    helpers: Mapping[int, helpers.Helper]
    context: bool = False

    def __hash__(self) -> int:
        return hash(self.name)


PLAIN = Convention("plain", "R1 = address of memory, R2 = its length; 0 and 0 without memory", helpers.KERNEL)
PACKET = Convention("packet", "R1 = a context that stands for a packet, R2 = 0", helpers.KERNEL, context=True)
SUITE = Convention("suite", "as plain, with the public conformance suite's helpers", helpers.SUITE)
