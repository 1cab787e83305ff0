"""How a program is entered: what R1 and R2 hold, and which helpers exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from bpf.spec import helpers
from bpf.spec.contexts import ATTACHED, VIEWS, View
from bpf.spec.program_types import PROGRAM_TYPES, ProgramType


@dataclass(frozen=True, slots=True)
class Convention:
    """A calling convention of programs: its name, what it says, the helpers by number.

    context  whether R1 is the address of a context
    type     the program type that it is
    view     what the context is like; None for one with nothing to read there
    """

    name: str
    help: str
    helpers: Mapping[int, helpers.Helper]
    context: bool = False
    type: ProgramType | None = None
    view: View | None = None

    def __hash__(self) -> int:
        return hash(self.name)


PLAIN = Convention("plain", "R1 = address of memory, R2 = its length; 0 and 0 without memory", helpers.of_type(""))
PACKET = Convention("packet", "R1 = a context that stands for a packet, R2 = 0", helpers.of_type(""), context=True)
SUITE = Convention("suite", "as plain, with the public conformance suite's helpers", helpers.SUITE)

TYPED: Mapping[str, Convention] = MappingProxyType({
    name: Convention(
        name, f"R1 = the address of a {view.layout.name}", helpers.of_type(name), context=True,
        type=PROGRAM_TYPES[name], view=view,
    )
    for name, view in VIEWS.items()
})  # fmt: skip
"""The program types that run here, by name."""

OF_ATTACH: Mapping[str, Convention] = MappingProxyType({
    "xdp_devmap": replace(TYPED["xdp"], name="xdp_devmap", view=ATTACHED["xdp"]["xdp_devmap"])
})  # fmt: skip
"""Attach type -> how its programs are entered, where that is not as their type says: entries of a devmap see where a
frame goes (egress_ifindex)."""

NAMES = frozenset({PLAIN.name, PACKET.name, SUITE.name, *TYPED, *OF_ATTACH})
"""All conventions."""
