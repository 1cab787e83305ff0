"""A JIT target in the emulator as an engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bpf.plan import Unit
from bpf.spec.conventions import NAMES
from emu.guest import Guest
from emu.machine import machine
from engines.base import Abilities, Engine, Options, Prepared
from engines.binding import bind, shown
from jit.image import Image
from jit.ops import Front, front
from jit.pipeline import compile_front
from jit.target import Target
from vm.cpus import Schedule
from vm.outcome import Outcome
from vm.step import Step
from vm.world import Input, Limits, World

_kept: tuple[Unit, bool, Front] | None = None


def shared_front(unit: Unit, *, observe: bool) -> Front:
    """The Ops of a unit; the last ones are kept, since the targets follow one another on the same unit."""
    global _kept
    if _kept is None or _kept[0] is not unit or _kept[1] != observe:
        _kept = (unit, observe, front(unit, unit.whole, observe=observe))
    return _kept[2]


class EmulatedPrepared(Prepared):
    """Machine code and the guest that runs it."""

    image: Image

    def __init__(self, unit: Unit, image: Image, options: Options) -> None:
        self.image = image
        machine(image.target, unit.plan)  # set up now, so that runs cost the same from the first on
        self._guest = Guest(unit, image, observe=options.observe, features=options.features)

    def run(self, entry: Input, world: World, limits: Limits) -> Outcome:
        """See Prepared."""
        return self._guest.run(entry, world, limits)

    def run_many(self, entries: Sequence[Input], world: World, limits: Limits) -> list[Outcome]:
        """See Prepared. Programs that change no memory run in batches inside the guest.

        The first input is run by itself too, which checks the calling convention; after an input that does not end
        normally the batch goes on behind it.
        """
        snapshot = world.snapshot()
        outcomes: list[Outcome] = []
        while len(outcomes) < len(entries):
            world.restore(snapshot)
            outcomes.append(self.run(entries[len(outcomes)], world, limits))
            if len(outcomes) < len(entries):
                outcomes += self._guest.run_batch(entries[len(outcomes) :], world, limits)
        return outcomes

    def run_cpus(self, entries: Sequence[Input], world: World, limits: Limits, schedule: Schedule) -> list[Outcome]:
        """See Prepared."""
        return self._guest.run_cpus(entries, world, limits, schedule)

    def trace(self, entry: Input, world: World, limits: Limits) -> Iterator[Step]:
        """See Prepared."""
        return self._guest.trace(entry, world, limits)

    def boundaries(self) -> frozenset[int]:
        """See Prepared."""
        return self._guest.visible()

    def count(self, entry: Input, world: World, limits: Limits) -> int:
        """Executed native instructions of a run."""
        return self._guest.count(entry, world, limits)


class EmulatedEngine(Engine):
    """One target's JIT with Unicorn as its CPU."""

    def __init__(self, target: Target) -> None:
        self.name = self.machine = target.name
        self.target = target
        self.abilities = Abilities(
            orders=frozenset({target.order}),
            plans=True,
            conventions=NAMES,
            shows=frozenset({"registers", "regions", "calls", "printed", "sent", "maps", "context", "packet"}),
            native=True,
        )

    def prepare(self, unit: Unit, options: Options | None = None) -> Prepared:
        """See Engine."""
        options, unit = options or Options(), bind(unit)
        image = compile_front(shared_front(unit, observe=options.observe), self.target, features=options.features)
        return shown(EmulatedPrepared(unit, image, options), unit)
