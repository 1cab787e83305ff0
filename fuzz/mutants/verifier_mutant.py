"""What a mutant of the verifier is: a fault that a verifier has had, put into ours, and a program that it lets through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bpf.object.btf import Btf, Kind, Type
from bpf.program import Map, Program
from bpf.text import assemble
from fuzz.border import DATA, LIST, TABLE
from fuzz.mutants.mutant import Edit
from fuzz.mutants.variant import judging
from fuzz.soundness import UNPRIVILEGED, Breach, Judge, Run, explore, held_against, strict
from verifier import Options
from verifier.verify import walked
from vm.world import Input, World

RING = Map("ring", "ringbuf", 0, 0, 4096)
LOCKED = Map("locked", "array", 4, 8, 1, lock=4)
MAPS = (DATA, TABLE, LIST, RING, LOCKED)
"""The maps of all witnesses. The hash table has an element of key 0."""

_TYPES = Btf((
    Type(Kind.TYPEDEF, "void"),
    Type(Kind.INT, "int", 4, encoding=1, bits=32),
    Type(Kind.INT, "long", 8, encoding=1, bits=64),
    Type(Kind.FUNC_PROTO, "", type=2),
    Type(Kind.FUNC, "function", type=3),
))  # fmt: skip
_FUNCTION = 4
KEYS = "*(u32 *)(r10 - 8) = {key}; r2 = r10; r2 += -8; r1 = map[idx:{map}]; call 1; "
DATA_ADDRESS = "r9 = map_value[idx:0][0]; "
NUMBER = DATA_ADDRESS + "r1 = *(u64 *)(r9 + 0); "
END = "r0 = 0; exit"
PACKET = "r7 = *(u32 *)(r1 + 76); r8 = *(u32 *)(r1 + 80); "
MERGE = DATA_ADDRESS + "r8 = *(u64 *)(r9 + 0); " + "r0 = 0; " * 8
"""Ahead of two paths that meet: R8 chooses. What is first explored is remembered where they meet."""


def look_up(key: int, map_: int = 1) -> str:
    """A lookup of a key, its result in R0."""
    return KEYS.format(key=key, map=map_)


@dataclass(frozen=True, slots=True)
class VerifierMutant:
    """One fault.

    name     module of the table it stands in, and what is wrong, in a few words
    source   which fault of which verifiers this is, in one line
    edits    the fault
    witness  a program on which the property fails: assembly, its lines separated by "; ", on MAPS
    kind     the witness's program type; caps: of who loads it (None: all)
    prune    whether it is a fault of pruning: else every state is explored
    data     words of eight bytes that the data map starts with; packet: what the program is given
    """

    name: str
    source: str
    edits: tuple[Edit, ...]
    witness: str
    kind: str = "sched_cls"
    caps: frozenset[str] | None = None
    prune: bool = False
    data: tuple[int, ...] = (0,)
    packet: bytes = bytes(64)

    def judge(self) -> Judge:
        """The verifier with the fault in it; the real one stays as it is."""
        edits: dict[str, list[tuple[str, str]]] = {}
        for edit in self.edits:
            edits.setdefault(edit.module, []).append((edit.old, edit.new))
        found: Judge = judging(edits)
        return found

    def program(self) -> Program:
        """The witness."""
        text = "\n".join(line.strip() for line in self.witness.split(";"))
        made = assemble(text, name=self.name)
        types = {one.start: _FUNCTION for one in made.functions} if len(made.functions) > 1 else {}
        return replace(made, maps=MAPS, btf=_TYPES, types=types, section=self.kind)

    @property
    def options(self) -> Options:
        """How the witness is verified."""
        options = Options(log_level=0) if self.caps is None else Options(log_level=0, caps=self.caps)
        return options if self.prune else strict(options)

    def breach(self, judge: Judge = walked) -> Breach | None:
        """What the property says of the witness, as a verifier sees it; None too where that refuses it."""
        explored = explore(self.program(), self.kind, self.options, judge)
        return held_against(explored, self.run()) if explored.verdict.accepted else None

    def run(self) -> Run:
        """The run of the witness."""
        data = b"".join(word.to_bytes(8, "little") for word in self.data)
        world = World(values={"data": data}, elements={"table": [(0, bytes(range(48)))]})
        return Run(self.program(), self.kind, Input(packet=self.packet), world)


def faults_in(family: str, module: str) -> Callable[..., VerifierMutant]:
    """What makes the mutants of one module of the verifier. None for the old text: all edits are in `also`."""

    def fault(
        name: str, source: str, old: str, new: str, witness: str, *, also: Sequence[Edit] = (), **more: Any
    ) -> VerifierMutant:
        edits = (Edit(module, old, new), *also)
        return VerifierMutant(f"{family}/{name}", source, edits, witness, **more)

    return fault


def unprivileged(make: Callable[..., VerifierMutant]) -> Callable[..., VerifierMutant]:
    """As `make`, with a witness that somebody without capabilities loads."""

    def fault(*arguments: Any, **more: Any) -> VerifierMutant:
        return make(*arguments, kind="socket_filter", caps=UNPRIVILEGED, **more)

    return fault
