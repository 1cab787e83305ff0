"""What a mutant is: a fault that a JIT has had, put into ours by an edit of source text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bpf.plan import Unit
from bpf.program import Map
from bpf.spec.conventions import PACKET, PLAIN
from bpf.text import assemble
from engines import Engine
from fuzz.mutants.variant import variant
from fuzz.suite.tails import JUMPS
from jit.registry import TARGETS, backend
from jit.target import Target
from vm.world import Input

ARENA = Map("arena", kind="arena", max_entries=1, value_size=0)


@dataclass(frozen=True, slots=True)
class Edit:
    """`old`, which stands exactly once in the source of the module, becomes `new`."""

    module: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault.

    name      module of the table it stands in, and what is wrong, in a few words
    source    which fault of which JITs this is, in one line
    edits     the fault; nearly always one edit
    witness   a program that the mutant does differently: assembly, its lines separated by "; "
    on        the target that the witness shows it on
    observe   whether the witness is compiled with Options.observe
    packet    the witness's packet, where it needs one: it is then entered by the packet convention
    arena     whether the witness has an arena, as map 0; jumps: whether it has the suite's prog array there
    """

    name: str
    source: str
    edits: tuple[Edit, ...]
    witness: str
    on: str
    observe: bool = True
    packet: bytes = b""
    arena: bool = False
    jumps: bool = False

    @property
    def targets(self) -> tuple[Target, ...]:
        """The machines whose code it may change: those of the backend that it is in, or all."""
        folders = {edit.module.split(".")[1] for edit in self.edits}
        own = tuple(target for target in TARGETS.values() if backend(target).__module__.split(".")[1] in folders)
        return own or tuple(TARGETS.values())

    def engines(self) -> list[Engine]:
        """The engines of its targets with the fault in them; those of the registry stay as they are."""
        edits: dict[str, list[tuple[str, str]]] = {}
        for edit in self.edits:
            edits.setdefault(edit.module, []).append((edit.old, edit.new))
        return variant(self.targets, edits)

    def unit(self) -> Unit:
        """The witness, in the byte order of its target."""
        text = "\n".join(line.strip() for line in self.witness.split(";"))
        program = assemble(text, order=TARGETS[self.on].order, name=self.name)
        maps = (ARENA,) * self.arena or (JUMPS,) * self.jumps
        return Unit((program,), maps, PACKET if self.packet else PLAIN)

    @property
    def entry(self) -> Input:
        """What the witness is given."""
        return Input(packet=self.packet)


def faults_in(module: str, on: str) -> Callable[..., Mutant]:
    """What makes the mutants of one module, which are shown on one target unless they say another."""
    family = module.split(".")[1] if module.count(".") == 2 else "base"

    def fault(
        name: str, source: str, old: str, new: str, witness: str, *, also: Sequence[Edit] = (), **more: Any
    ) -> Mutant:
        edits = (Edit(module, old, new), *also)
        return Mutant(f"{family}/{name}", source, edits, witness, more.pop("on", on), **more)

    return fault
