"""Loaded programs in Python: run them, look into their maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from bpf.errors import BadInput, CallFailed
from bpf.order import Order
from bpf.program import Map, Program
from bpf.spec.hooks import CGROUPS, ONE
from bpf.spec.maps import ANY
from runtime import elements, hooks
from runtime.fired import Fired
from runtime.firing import HOPS, event_for, fire
from runtime.kernel import Kernel, MapObject, ProgramObject
from runtime.permission import ROOT, Caller
from runtime.running import Ran, run, translated
from vm.maps import MapState, Value
from vm.maps.batch import Batch
from vm.maps.ring import PerfState, RingState
from vm.world import World

Key = bytes | int


class MapView:
    """A map as bpf() shows it. Keys are bytes, or numbers, which take the program's byte order.

    view[key] is a memoryview of the map's memory, of a per-CPU map one for each CPU; view[key] = value sets it, on all.
    """

    def __init__(self, made: MapObject, kernel: Kernel) -> None:
        self._made = made
        self._kernel = kernel

    @property
    def map(self) -> MapObject:
        """What the map is."""
        return self._made

    @property
    def state(self) -> MapState:
        """Its state, with bpf()'s operations. Raises BadInput for a map that has no contents of its own."""
        if self._made.state is None:
            raise BadInput(f"map {self._made.name} of type {self._made.declared.kind} has no values to look at")
        return self._made.state

    def _key(self, key: Key) -> bytes:
        return key.to_bytes(self._made.declared.key_size, self._made.order) if isinstance(key, int) else key

    def __getitem__(self, key: Key) -> memoryview | Sequence[memoryview | None]:
        """Raises KeyError."""
        state, raw = self.state, self._key(key)
        value = state.value(raw)
        if isinstance(value, tuple):
            return tuple(state.lookup(raw, cpu) for cpu in range(len(value)))
        found = state.lookup(raw)
        if found is not None and self._made.frozen:
            return found.toreadonly()
        if found is None and value is not None:
            return memoryview(value)
        if found is None:
            raise KeyError(key)
        return found

    def get(self, key: Key, default: memoryview | None = None) -> memoryview | Sequence[memoryview | None] | None:
        """The value of a key, or the default."""
        try:
            return self[key]
        except KeyError:
            return default

    def __setitem__(self, key: Key, value: bytes | int) -> None:
        """Raises CallFailed."""
        self.update(key, value)

    def __delitem__(self, key: Key) -> None:
        """Raises KeyError, CallFailed."""
        try:
            elements.delete(self._kernel, self._made, self._key(key))
        except CallFailed as failed:
            if failed.name == "ENOENT":
                raise KeyError(key) from None
            raise

    def update(self, key: Key, value: bytes | int, flags: int = ANY) -> None:
        """Set the value of a key: NOEXIST only a new one's, EXIST only one's that is there. Raises CallFailed."""
        raw = value.to_bytes(self._made.declared.value_size, self._made.order) if isinstance(value, int) else value
        elements.update(self._kernel, self._made, self._key(key), raw, flags)

    def take(self, key: Key = b"") -> Value:
        """The value of a key, which is deleted; what is next of a queue or stack. Raises CallFailed."""
        return elements.take(self._made, self._key(key))

    def lookup_batch(self, start: bytes | None = None, count: int = 64, *, delete: bool = False) -> Batch:
        """At most `count` elements, from where the last batch ended (`out`); delete: and they are gone then."""
        return elements.lookup_batch(self._made, start, count, delete=delete)

    def update_batch(self, given: Mapping[Key, bytes] | Sequence[tuple[Key, Value]], flags: int = 0) -> Batch:
        """Set values, until one fails."""
        pairs = given.items() if isinstance(given, Mapping) else given
        return elements.update_batch(self._kernel, self._made, [(self._key(key), value) for key, value in pairs], flags)

    def delete_batch(self, keys: Sequence[Key], flags: int = 0) -> Batch:
        """Delete keys, until one fails."""
        return elements.delete_batch(self._made, [self._key(key) for key in keys], flags)

    def __contains__(self, key: Key) -> bool:
        return self.state.value(self._key(key)) is not None

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self.state.keys()))

    def __len__(self) -> int:
        return len(list(self.state.keys()))

    def items(self) -> Iterator[tuple[bytes, Value]]:
        """Keys and copies of values."""
        for key in self:
            value = self.state.value(key)
            if value is not None:
                yield key, value

    def records(self) -> list[memoryview]:
        """What programs have put into a ring buffer, as views of its memory, or into a perf event array."""
        state = self.state
        if isinstance(state, RingState):
            return state.records()
        if not isinstance(state, PerfState):
            raise BadInput(f"map {self._made.name} of type {self._made.declared.kind} has no records")
        return [memoryview(record) for record in state.contents() if isinstance(record, bytes)]


class Loaded:
    """Programs that are loaded together, and their maps, in memory only.

    programs  by name, in the order of the object; the first is the one that is run unless another is named
    maps      by name
    world     what helpers see besides maps
    """

    def __init__(
        self, programs: Sequence[Program], *, kind: str = "", caller: Caller = ROOT, kernel: str | None = None,
        portable: bool = False, verify: bool = True, world: World | None = None, maps: Sequence[Map] = (),
        order: Order = "little",
    ) -> None:  # fmt: skip
        """See Kernel.load, which says what is raised. maps, order: those of an object that has no programs."""
        self.kernel = Kernel()
        self.world = world or World()
        made: list[ProgramObject] = []
        if programs:
            made = self.kernel.load(programs, kind=kind, caller=caller, kernel=kernel, portable=portable, verify=verify)
        else:
            self.kernel.create_maps(maps, order, caller=caller)
        for program in made:
            translated(self.kernel, program)  # what no engine runs is refused now
        self.programs: Mapping[str, ProgramObject] = {one.name: one for one in made}
        self.maps: Mapping[str, MapView] = {one.name: MapView(one, self.kernel) for one in self.kernel.maps.values()}
        for one in self.kernel.maps.values():
            if one.state is not None:
                one.state.describe(self.world.net)

    def run(
        self, name: str | None = None, data: bytes = b"", *, context: Mapping[str, int] | None = None,
        engine: str = "interpreter", repeat: int = 1,
    ) -> Ran:  # fmt: skip
        """Run a program on any engine, as what its type says; maps and world keep what it does.

        data: its packet, or its memory; context: fields by name. Raises BadInput, Refused.
        """
        if not self.programs:
            raise BadInput("there is no program to run")
        chosen = self._named(name) if name is not None else next(iter(self.programs.values()))
        return run(
            self.kernel, chosen, data, fields=context, engine_name=engine, repeat=repeat, world=self.world
        )  # fmt: skip

    def _named(self, name: str) -> ProgramObject:
        if name not in self.programs:
            raise BadInput(f"no program named {name!r}", remedy="there is " + ", ".join(self.programs))
        return self.programs[name]

    def attach(self, name: str, hook: str, **how: Any) -> None:
        """Attach a program to a hook: "xdp:eth0". how: see runtime.hooks.attach. Raises BadInput, CallFailed."""
        hooks.attach(self.kernel, self._named(name), *hooks.hook_named(self.kernel, hook), **how)

    def detach(self, name: str, hook: str) -> None:
        """Take a program away from a hook. Raises BadInput, CallFailed."""
        hooks.detach(self.kernel, *hooks.hook_named(self.kernel, hook), self._named(name))

    def fire(
        self, hook: str, data: bytes = b"", *, context: Mapping[str, int] | None = None, engine: str = "interpreter",
        hops: int = HOPS,
    ) -> Fired:  # fmt: skip
        """Let an event happen at a hook. Where nothing is attached, the programs are for its time that belong there.

        Those are the ones whose section means the hook, and those without a section whose type fits.

        data: a frame from its link-layer header on, or a socket's data; context: fields by name. Raises BadInput,
        Refused.
        """
        chosen, place = hooks.hook_named(self.kernel, hook)
        if not hooks.at(self.kernel, chosen, place):
            flags = hooks.MULTI if chosen.rule == CGROUPS else ""
            fitting = [program for program in self.programs.values() if hooks.belongs(program, chosen, place)]
            if chosen.rule == ONE and len(fitting) > 1:
                names = ", ".join(program.name for program in fitting)
                raise BadInput(
                    f"{len(fitting)} programs belong to {hook}, which has one", remedy=f"attach one of {names}"
                )
        else:
            fitting = []
        with ExitStack() as stack:
            for program in fitting:
                hooks.attach(self.kernel, program, chosen, place, flags=flags)
                stack.callback(hooks.detach, self.kernel, chosen, place, program)
            return fire(
                self.kernel, chosen, place, event_for(chosen, data, context), world=self.world, engine=engine, hops=hops
            )
