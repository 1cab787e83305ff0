"""What all that an event sets off has in common: programs are run, and where packets end is written down."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from bpf.errors import BadInput
from bpf.spec.attach import ATTACH_TYPES
from bpf.spec.hooks import Hook
from runtime import chain, hooks
from runtime.chain import Said, Step
from runtime.kernel import Attachment, Kernel, MapObject, ProgramObject
from runtime.running import Runner
from vm.network import Network, Sent
from vm.world import Input, Limits, World

ARRIVALS = 256  # of one event; broadcasts multiply


@dataclass(frozen=True, slots=True)
class Fate:
    """Where a packet has come to an end.

    what   dropped, sent (on the wire of a device), crossed (to the peer of a device, where it goes on), stack (of the
           device that it came in by), queued (at a socket), passed, denied
    where  the name of a device, or a socket
    why    in words; of what crossed the peer
    """

    what: str
    where: str
    why: str
    packet: bytes
    hop: int = 0

    def __str__(self) -> str:
        """In words."""
        size = f"{len(self.packet)} bytes"
        words = {
            "sent": f"leaves {self.where}, {size}", "crossed": f"leaves {self.where}", "passed": "goes on",
            "stack": f"goes up the stack from {self.where}, {size}", "queued": f"received by {self.where}, {size}",
            "dropped": "dropped", "denied": "denied",
        }  # fmt: skip
        return words[self.what] + (f"{' for' if self.what == 'crossed' else ':'} {self.why}" if self.why else "")


@dataclass
class Fired:
    """What an event has set off.

    trail   programs that ran and where packets ended, in order
    queues  cookie of a socket -> what it has received
    """

    trail: list[Step | Fate] = field(default_factory=list)
    queues: dict[int, list[bytes]] = field(default_factory=dict)

    @property
    def steps(self) -> list[Step]:
        """The programs that ran."""
        return [one for one in self.trail if isinstance(one, Step)]

    @property
    def fates(self) -> list[Fate]:
        """Where packets ended."""
        return [one for one in self.trail if isinstance(one, Fate) and one.what != "crossed"]

    @property
    def ended(self) -> bool:
        """Whether every program ran to its end."""
        return all(step.ran.outcome.status == "done" for step in self.steps)


class Firing:
    """One event on its way. hops: how far a packet may come."""

    def __init__(
        self, kernel: Kernel, world: World, engine: str, hops: int, limits: Limits, runners: dict[int, Runner]
    ) -> None:
        self.kernel = kernel
        self.world = world
        self.engine = engine
        self.hops = hops
        self.limits = limits
        self.fired = Fired()
        self.arrivals = 0
        self._runners = runners

    @property
    def net(self) -> Network:
        """What is described."""
        return self.world.net

    def runner(self, program: ProgramObject) -> Runner:
        """A program on the engine."""
        if program.id not in self._runners:
            self._runners[program.id] = Runner(self.kernel, program, self.engine)
        return self._runners[program.id]

    def program(self, number: int, where: str) -> ProgramObject:
        """The program of an entry of a map. Raises BadInput where it is not loaded."""
        if number not in self.kernel.programs:
            raise BadInput(f"entry {where} names program {number}, which is not loaded")
        return self.kernel.programs[number]

    @contextlib.contextmanager
    def noted(self) -> Iterator[list[Step]]:
        """The programs that run meanwhile, once they have."""
        start, steps = len(self.fired.trail), list[Step]()
        yield steps
        steps += (one for one in self.fired.trail[start:] if isinstance(one, Step))

    def step(self, where: str, program: ProgramObject, given: Input, hop: int) -> Step:
        """Run a program."""
        ran = self.runner(program).run(given, self.world, self.limits)
        step = Step(where, program, given, ran, hop)
        self.fired.trail.append(step)
        return step

    def chain(self, hook: Hook, place: str, event: Input, hop: int) -> Said:
        """Run the programs at a hook; copies that one sends are on their way before the next one runs."""

        def one(attached: Attachment, given: Input) -> Step:
            where = hooks.shown(self.kernel, attached.hook, attached.place)
            self.world.attach_type = ATTACH_TYPES.get(attached.hook, 0)
            step = self.step(where, self.kernel.programs[attached.program], given, hop)
            for sent in step.ran.outcome.sent or ():
                if sent.clone:
                    self.copied(sent, replace(chain.after(step), packet=sent.packet, metadata=0), hop)
            return step

        return chain.run(hook, hooks.effective(self.kernel, hook, place), event, one)

    def copied(self, sent: Sent, event: Input, hop: int) -> None:
        """A program has sent a copy."""
        raise NotImplementedError

    def end(self, what: str, where: str, packet: bytes, hop: int, why: str = "") -> None:
        """A packet has come to its end."""
        self.fired.trail.append(Fate(what, where, why, packet, hop))

    def faulted(self, where: str, event: Input, hop: int) -> None:
        """A program that did not run to its end: its packet goes nowhere."""
        self.end("dropped", where, event.packet, hop, "the program did not run to its end")

    def too_far(self, where: str, event: Input, hop: int) -> bool:
        """Whether the packet has come as far as it may; then it ends here."""
        self.arrivals += 1
        if hop <= self.hops and self.arrivals <= ARRIVALS:
            return False
        limit = f"{self.hops} hops" if hop > self.hops else f"{ARRIVALS} arrivals of one event"
        self.end("dropped", where, event.packet, hop, f"the limit of {limit}")
        return True


def socket_name(cookie: int) -> str:
    """What a socket is called."""
    return f"socket {cookie}"


def _raw(made: MapObject, key: int | bytes) -> bytes:
    return key if isinstance(key, bytes) else key.to_bytes(made.declared.key_size, made.order)


def value_of(made: MapObject, key: int | bytes) -> bytes:
    """The value of a key, zeros where there is none."""
    found = None if made.state is None else made.state.value(_raw(made, key))
    return found if isinstance(found, bytes) else bytes(made.declared.value_size)


def cookie_of(made: MapObject, key: int | bytes) -> int:
    """The socket of an entry."""
    return int.from_bytes(value_of(made, key), made.order)
