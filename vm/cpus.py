"""Several CPUs of one World, of which one goes on at a time: a baton that they hand on at helper calls.

Which CPU goes on when is data (a Schedule), so a race happens in the same way on every engine and in every run. Each
CPU's run has a thread, since a guest that is in the middle of a helper call can only wait there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from bpf.errors import BadInput, Refused
from bpf.plan import Unit
from bpf.spec.layout import CPUS
from vm.network import Sent
from vm.outcome import Outcome
from vm.world import World

_M64 = (1 << 64) - 1
_PATIENCE = 0.1  # seconds that a CPU has to end after an interrupt


@dataclass(frozen=True, slots=True)
class Schedule:
    """How many CPUs there are, and which of them goes on at each step: at the start, before and after each helper call.

    order     CPUs, over and over; by default one after the other
    seed      instead of an order: each step draws one
    programs  the number of the program of the unit that each CPU enters; by default programs[0]

    A CPU whose turn it is but which has ended, or waits for a lock, gives it to the next one up (after the last the
    first). Raises BadInput.
    """

    cpus: int
    order: tuple[int, ...] = ()
    seed: int | None = None
    programs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.cpus <= CPUS:
            raise BadInput(f"{self.cpus} CPUs", remedy=f"there are 1 to {CPUS}")
        for cpu in self.order:
            if not 0 <= cpu < self.cpus:
                raise BadInput(f"CPU {cpu} in a schedule of {self.cpus}", remedy=f"CPUs are 0 to {self.cpus - 1}")
        if self.programs and len(self.programs) != self.cpus:
            raise BadInput(f"{len(self.programs)} programs for {self.cpus} CPUs", remedy="name one for each")

    @classmethod
    def read(cls, cpus: int, text: str) -> Self:
        """From its text: a seed, or CPUs separated by commas; "" for one after the other. Raises BadInput."""
        try:
            numbers = [int(part, 0) for part in text.split(",")] if text else []
        except ValueError:
            raise BadInput(f"{text!r} is no schedule", remedy="a seed, or CPUs in turn with commas, as 0,0,1") from None
        return cls(cpus, seed=numbers[0]) if len(numbers) == 1 else cls(cpus, tuple(numbers))

    def first(self, cpus: int) -> Schedule:
        """The schedule of its first CPUs alone."""
        if cpus == self.cpus:
            return self
        order = tuple(cpu for cpu in self.order if cpu < cpus)
        return replace(self, cpus=cpus, order=order, programs=self.programs[:cpus])

    def check(self, unit: Unit, inputs: int) -> None:
        """Raises BadInput or Refused for a unit that cannot be run like this."""
        if inputs != self.cpus:
            raise BadInput(f"{inputs} inputs for {self.cpus} CPUs")
        for number in self.programs:
            if not 0 <= number < len(unit.programs):
                raise BadInput(f"program {number} of {len(unit.programs)}")
        if any(self.programs) and unit.tail_calls:  # the stack has room for those of programs[0]
            raise Refused("another program than the first is entered, and there are tail calls")

    def entered(self, cpu: int) -> int:
        """The number of the program that a CPU enters."""
        return self.programs[cpu] if self.programs else 0

    def wanted(self, step: int) -> int:
        """The CPU whose turn a step is."""
        if self.seed is None:
            return self.order[step % len(self.order)] if self.order else step % self.cpus
        drawn = (self.seed * 0x2545_F491_4F6C_DD1D + (step + 1) * 0x9E37_79B9_7F4A_7C15) & _M64  # splitmix64
        drawn = (drawn ^ drawn >> 30) * 0xBF58_476D_1CE4_E5B9 & _M64
        drawn = (drawn ^ drawn >> 27) * 0x94D0_49BB_1331_11EB & _M64
        return (drawn ^ drawn >> 31) % self.cpus


class Turn:
    """What the run on one CPU sees of the others."""

    __slots__ = ("_turns", "cpu")

    def __init__(self, cpu: int = 0, turns: Turns | None = None) -> None:
        self.cpu = cpu
        self._turns = turns

    def step(self) -> None:
        """A helper call is about to start, or has ended: another CPU may go on here."""
        if self._turns is not None:
            self._turns.step(self.cpu)

    def wait(self) -> bool:
        """Let the others go on until one has opened a lock; False where none ever will."""
        return self._turns is not None and self._turns.wait(self.cpu)

    def opened(self) -> None:
        """A lock is open: CPUs that wait try again."""
        if self._turns is not None:
            self._turns.opened()


ALONE = Turn()
"""The turn of a run on the only CPU."""


class _GivenUpError(Exception):
    """The runs are not wanted any more."""


class Turns:
    """The CPUs of one run. World.cpu is the one that goes on; lines and packets are told by who sent them."""

    def __init__(self, schedule: Schedule, world: World) -> None:
        self._schedule = schedule
        self._world = world
        self._go = [threading.Semaphore(0) for _ in range(schedule.cpus)]
        self._over = threading.Semaphore(0)
        self._running = set(range(schedule.cpus))
        self._waiting: set[int] = set()
        self._steps = 0
        self._stuck = False
        self._given_up = False
        self._errors: list[Exception] = []
        self._marks = 0, 0
        self._printed: list[list[str]] = [[] for _ in range(schedule.cpus)]
        self._sent: list[list[Sent]] = [[] for _ in range(schedule.cpus)]

    def of(self, cpu: int) -> Turn:
        """What the run on a CPU gets."""
        return Turn(cpu, self)

    def run(self, bodies: Sequence[Callable[[], object]], stop: Callable[[], None] | None = None) -> None:
        """Run a body for each CPU, to the end of all. Raises what the first of them has raised.

        stop: ends a body that is at work, after an interrupt; without it, that body goes on until its next step or to
        the end of the process, which it does not hold up.
        """
        threads = [
            threading.Thread(target=self._serve, args=(cpu, body), name=f"crossbpf CPU {cpu}", daemon=True)
            for cpu, body in enumerate(bodies)
        ]
        before = self._world.cpu
        for thread in threads:
            thread.start()
        try:
            self._hand_on()
            self._over.acquire()
        finally:  # after an interrupt one may still be at work
            self._given_up = True
            for waiting in self._go:
                waiting.release()
            for thread in threads:
                thread.join(_PATIENCE)
                while stop is not None and thread.is_alive():
                    stop()
                    thread.join(_PATIENCE)
            self._world.cpu = before
        if self._errors:
            raise self._errors[0]

    def said(self) -> list[tuple[list[str], list[Sent]]]:
        """The lines and packets of each CPU."""
        return list(zip(self._printed, self._sent, strict=True))

    def told(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The outcomes of the CPUs, each with its own lines and packets."""
        return [
            replace(outcome, printed=tuple(printed), sent=tuple(sent))
            for outcome, (printed, sent) in zip(outcomes, self.said(), strict=True)
        ]

    def step(self, cpu: int) -> None:
        """See Turn. A CPU calls it, as the others of this class, when it is the one that goes on."""
        self._leave(cpu)
        to = self._next()
        if to != cpu:
            self._go[to].release()
            self._go[cpu].acquire()
            if self._given_up:
                raise _GivenUpError
        self._enter(cpu)

    def wait(self, cpu: int) -> bool:
        """See Turn."""
        self._waiting.add(cpu)
        self.step(cpu)
        return not self._stuck

    def opened(self) -> None:
        """See Turn."""
        self._waiting.clear()

    def _next(self) -> int:
        """The CPU that goes on; where all that are left wait for a lock, none will ever be opened."""
        ready = self._running - self._waiting
        if not ready:
            self._stuck = True
            self._waiting.clear()
            ready = self._running
        wanted = self._schedule.wanted(self._steps)
        self._steps += 1
        return min(ready, key=lambda cpu: (cpu - wanted) % self._schedule.cpus)

    def _hand_on(self) -> None:
        (self._go[self._next()] if self._running else self._over).release()

    def _serve(self, cpu: int, body: Callable[[], object]) -> None:
        self._go[cpu].acquire()
        if self._given_up:
            return
        try:
            self._enter(cpu)
            body()
        except _GivenUpError:
            return
        except Exception as error:  # noqa: BLE001 (it is raised again by who waits)
            self._errors.append(error)
        self._leave(cpu)
        self._running.discard(cpu)
        self._hand_on()

    def _enter(self, cpu: int) -> None:
        world = self._world
        world.cpu = cpu
        self._marks = len(world.printed), len(world.sent)

    def _leave(self, cpu: int) -> None:
        printed, sent = self._marks
        self._printed[cpu] += self._world.printed[printed:]
        self._sent[cpu] += self._world.sent[sent:]
