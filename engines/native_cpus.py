"""Several CPUs in the process that runs compiled code: threads of it, of which one goes on at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bpf.plan import Region
from engines.native_child import Host, Run, Seat, in_time
from vm.cpus import Schedule, Turns


@dataclass(frozen=True, slots=True)
class RunCpus:
    """A run on each CPU of a schedule. All have the same world."""

    runs: Sequence[Run]
    schedule: Schedule


class _Seats(Turns):
    """CPUs that take turns in the one memory of a process: what each has for itself is put aside meanwhile."""

    def __init__(self, machine: Host, wanted: RunCpus) -> None:
        super().__init__(wanted.schedule, wanted.runs[0].world)
        self._machine = machine
        self.shared = {region.first_page for _, region in wanted.runs[0].maps}
        self._aside: list[list[tuple[Region, bytes]]] = []
        self.seats: list[Seat] = []
        for cpu, run in enumerate(wanted.runs):
            self.seats.append(replace(machine.set_up(run), turn=self.of(cpu)))
            self._aside.append([])
            self._put_aside(cpu)

    def _own(self, cpu: int) -> Iterator[Region]:
        machine, cells = self._machine, self.seats[cpu].wanted.cells
        yield from (cell.region for cell in cells if cell.region.first_page not in self.shared)
        yield from machine.fixed()

    def _put_aside(self, cpu: int) -> None:
        view = self._machine.view
        self._aside[cpu] = [(one, bytes(view(one.first_page, one.mapped))) for one in self._own(cpu)]

    def _enter(self, cpu: int) -> None:
        machine, seat = self._machine, self.seats[cpu]
        machine.only(seat.wanted.cells)
        for region, content in self._aside[cpu]:
            machine.allocate(region)[:] = content
        machine.seat = seat
        super()._enter(cpu)

    def _leave(self, cpu: int) -> None:
        super()._leave(cpu)
        self._put_aside(cpu)


def run_cpus(machine: Host, wanted: RunCpus) -> dict[str, Any]:
    """Runs on several CPUs to their ends."""
    seats = _Seats(machine, wanted)
    reports: list[dict[str, Any]] = [{} for _ in seats.seats]

    def body(cpu: int) -> None:
        reports[cpu] = machine.to_its_end(seats.seats[cpu])

    with in_time(wanted.runs[0].seconds):
        seats.run([partial(body, cpu) for cpu in range(len(reports))])
    world, maps = wanted.runs[0].world, seats.seats[-1].maps
    contents = maps.contents()
    for report, seat in zip(reports, seats.seats, strict=True):
        for cell in seat.wanted.cells:
            if cell.region.first_page in seats.shared:
                report["regions"][cell.region.name] = bytes(machine.view(cell.region.first_page, cell.region.mapped))
        report["maps"] = contents
    told = [([*printed], [tuple(sent) for sent in packets]) for printed, packets in seats.said()]
    return {
        "cpus": reports, "told": told, "world": world.snapshot(), "printed": list(world.printed),
        "sent": [tuple(sent) for sent in world.sent],
    }  # fmt: skip
