"""How a program is entered: what R1 and R2 hold, and which helpers exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bpf.spec import helpers


@dataclass(frozen=True, slots=True)
class Convention:
    """A calling convention of programs: its name, what it says, the helpers by number."""

    name: str
    help: str
    helpers: Mapping[int, helpers.Helper]

    def __hash__(self) -> int:
        return hash(self.name)


PLAIN = Convention("plain", "R1 = address of memory, R2 = its length; 0 and 0 without memory", helpers.KERNEL)
SUITE = Convention("suite", "as plain, with the public conformance suite's helpers", helpers.SUITE)
