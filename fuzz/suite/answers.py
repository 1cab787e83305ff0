"""What the suite's programs must give, recorded: so the interpreter, which judges everybody else, is judged too.

A line of answers.txt is the name of a case, then for little- and big-endian programs a digest of R0 and of what was
stored, then who said so: `linux` where a live kernel's JIT gave the same R0, R6-R9 and memory when the line was
written.

    python -m fuzz.suite.answers     record them anew, on a machine with a live kernel
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bpf.errors import Refused
from bpf.order import ORDERS, Order
from bpf.plan import DEFAULT_PLAN, Unit
from engines import ENGINES, Engine, engine, surroundings
from fuzz.suite.exercise import Case
from vm.outcome import Outcome
from vm.world import Input, Limits, World

FILE = Path(__file__).with_name("answers.txt")
LIMITS = Limits(instructions=50_000_000, seconds=20.0, may_goto=50)


def digest(outcome: Outcome) -> str:
    """R0 and the bytes of all maps, in 16 hexadecimal digits. Holds under the default plan."""
    found = hashlib.sha256(f"{outcome.status} {outcome.r0:x}".encode())
    for name, content in (outcome.regions or {}).items():
        if name.startswith("map "):
            found.update(content)
    return found.hexdigest()[:16]


@cache
def answers() -> dict[tuple[str, Order], str]:
    """(name of a case, byte order) -> digest."""
    found = {}
    for line in FILE.read_text(encoding="ascii").splitlines():
        name, *digests, _ = line.split("\t")
        found.update({(name, order): value for order, value in zip(ORDERS, digests, strict=True)})
    return found


def confirmed() -> list[str]:
    """The names of the cases that a live kernel has confirmed."""
    lines = FILE.read_text(encoding="ascii").splitlines()
    return [line.split("\t")[0] for line in lines if line.endswith("\tlinux")]


def record(names: Iterator[tuple[Case, Case]], kernel: Engine | None) -> Iterator[str]:
    """The lines of pairs of cases, one in each byte order."""
    for pair in names:
        digests, said = [], "-"
        for order, case in zip(ORDERS, pair, strict=True):
            unit = Unit((case.program,), convention=case.convention, plan=DEFAULT_PLAN)
            outcome = ENGINES["interpreter"].prepare(unit).run(case.entry, World(), LIMITS)
            assert outcome.status == "done", case.name
            digests.append(digest(outcome))
            if kernel is not None and order in kernel.abilities.orders:
                said = "linux" if _agrees(kernel, unit, outcome, case.entry) else "-"
        yield "\t".join((pair[0].name, *digests, said))


def _agrees(kernel: Engine, unit: Unit, expected: Outcome, entry: Input) -> bool:
    """Whether the kernel loads it and gives the same. Raises AssertionError for a difference."""
    try:
        outcome = kernel.prepare(unit).run(entry, World(), LIMITS)
    except Refused:
        return False
    found = surroundings.judge(kernel, unit, expected, outcome, entry, World(), LIMITS)
    assert not found, (unit.programs[0].name, found.what)
    return found.decided


def main() -> None:
    """Record all."""
    from fuzz.suite.generated import NAMES, cases

    pairs = (
        pair for name in NAMES for pair in zip(*(_untargeted(cases(name, order)) for order in ORDERS), strict=True)
    )
    lines = list(record(pairs, engine("linux")))
    FILE.write_text("\n".join(lines) + "\n", encoding="ascii")
    print(f"{len(lines)} cases, {sum(line.endswith('linux') for line in lines)} of them confirmed by the kernel")


def _untargeted(found: Iterator[Case]) -> Iterator[Case]:
    return (case for case in found if not case.target)


if __name__ == "__main__":
    main()
