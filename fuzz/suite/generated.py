"""crossbpf's own suite, generated from the table of semantics and judged by the interpreter, row by row."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any, Literal

from bpf.errors import CrossbpfError, Refused
from bpf.isa import ROW, ROWS
from bpf.order import Order
from bpf.plan import DEFAULT_PLAN, PLANS, Plan, Unit
from engines import ENGINES, Engine, engine
from engines.compare import part
from engines.judging import trial
from engines.plugin import plugins
from fuzz.suite.answers import LIMITS, answers, digest
from fuzz.suite.bare import bare_cases
from fuzz.suite.exercise import Case
from fuzz.suite.flow import long_programs
from fuzz.suite.reach import reach
from fuzz.suite.rows import exercises
from vm.outcome import Outcome
from vm.world import Input, Limits, World

Status = Literal["passed", "failed", "refused", "undecided"]

LONG = "long"
PATIENCE = 2
NAMES = (*(row.name for row in ROWS if not row.external), LONG)
"""What the suite is made of: every row that can run, and long programs of all of them."""


def cases(name: str, order: Order, every: int = 1) -> Iterator[Case]:
    """The cases of one of NAMES, in a byte order. every: take only every so manieth of a sweep's operands."""
    if name == LONG:
        yield from long_programs(order)
        return
    yield from exercises(ROW[name], order, every)
    yield from reach(ROW[name], order)


@dataclass(frozen=True, slots=True)
class Result:
    """What one engine made of one case. message: why it has not passed; hangs: because it did not end."""

    row: str
    case: str
    engine: str
    status: Status
    evaluations: int
    message: str = ""
    hangs: bool = False


def run_row(
    name: str, engines: Sequence[Engine], plan: Plan, every: int = 1, seconds: float = LIMITS.seconds
) -> Iterator[Result]:
    """All cases of one of NAMES on the engines that it is for; those without maps get what can be done without.

    seconds: the time limit of a run on those. One that has hung twice is not asked about the rest of the row.
    """
    for order in ("little", "big"):
        group = [candidate for candidate in engines if candidate.abilities.maps and order in candidate.abilities.orders]
        if group:
            for case in cases(name, order, every):
                aimed = [candidate for candidate in group if case.target in ("", candidate.machine or case.target)]
                recorded = answers().get((case.name, order)) if every == 1 and plan is DEFAULT_PLAN else None
                yield from run_case(case, aimed, plan, recorded=recorded)
    bare = [candidate for candidate in engines if not candidate.abilities.maps]
    hung: Counter[str] = Counter()
    for case, memory in bare_cases(name) if bare else ():
        for candidate in bare:
            if hung[candidate.name] >= PATIENCE:
                why = f"not run: it has hung {PATIENCE} times on this instruction"
                yield Result(case.row, case.name, candidate.name, "undecided", case.evaluations, why)
                continue
            limits = replace(LIMITS, seconds=seconds)
            for result in run_case(case, [candidate], plan, Input(memory), limits=limits):
                hung[candidate.name] += result.hangs
                yield result


def run_case(
    case: Case, engines: Sequence[Engine], plan: Plan, entry: Input | None = None, recorded: str | None = None,
    limits: Limits = LIMITS,
) -> Iterator[Result]:  # fmt: skip
    """One case on engines of its byte order. The interpreter's answer is compared with the recorded digest."""
    if not engines:
        return
    entry = entry or case.entry
    unit = Unit((case.program,), convention=case.convention, plan=plan)
    expected = ENGINES["interpreter"].prepare(unit).run(entry, World(), LIMITS)
    for candidate in engines:
        if candidate.name == "interpreter":
            status, message = _judge_answer(expected, recorded)
            yield Result(case.row, case.name, candidate.name, status, case.evaluations, message)
            continue
        try:
            judged = trial(candidate, unit, expected, entry, World(), limits)
        except Refused as reason:
            yield Result(case.row, case.name, candidate.name, "refused", case.evaluations, str(reason))
            continue
        found, hangs = judged.found, judged.outcome is not None and judged.outcome.status == "limit"
        if found:
            message = found.what if hangs else found.what + _place(candidate, unit, entry)
            yield Result(case.row, case.name, candidate.name, "failed", case.evaluations, message, hangs)
        else:
            status = "passed" if found.decided else "undecided"
            yield Result(case.row, case.name, candidate.name, status, case.evaluations, found.why)


def _judge_answer(outcome: Outcome, recorded: str | None) -> tuple[Status, str]:
    if outcome.status != "done":
        return "failed", outcome.summary()
    if recorded is not None and digest(outcome) != recorded:
        return "failed", f"gives {digest(outcome)}, the recorded answer is {recorded}"
    return "passed", ""


def _place(candidate: Engine, unit: Unit, entry: Input) -> str:
    """Where the states part, in words."""
    if not candidate.abilities.plans:
        return ""
    try:
        parting = part(candidate, unit, entry, World(), LIMITS)
    except CrossbpfError:
        return ""
    if parting is None or parting.pc < 0:
        return ""
    registers = parting.before.registers if parting.before else ()
    state = ", ".join(f"R{n}=0x{value:x}" for n, value in enumerate(registers))
    return f"; parts at insn {parting.pc}: {parting.what} ({state})"


def _work(
    name: str, engines: Sequence[str], commands: Sequence[str], plan: str, every: int, seconds: float
) -> list[Result]:
    """In a worker process: one of NAMES on engines, which are made there."""
    return list(run_row(name, [*map(engine, engines), *plugins(commands)], PLANS[plan], every, seconds))


def run_suite(
    names: Sequence[str], engines: Sequence[str], commands: Sequence[str] = (), *, plan: str = "high", every: int = 1,
    seconds: float = LIMITS.seconds, jobs: int = 1,
) -> Iterator[list[Result]]:  # fmt: skip
    """The results of each of the names as it is done, in any order, from `jobs` processes.

    engines: names; commands: external runtimes; seconds: time limit of a run of those.

    A process that dies gives a failed result for what it was at.
    """
    unfinished = set(names)
    try:
        for results in _in_processes(names, (engines, commands, plan, every, seconds), jobs):
            unfinished.discard(results[0].row if results else "")
            yield results
    except BrokenProcessPool:
        for name in sorted(unfinished, key=names.index):
            try:
                yield from _in_processes([name], (engines, commands, plan, every, seconds), 1)
            except BrokenProcessPool:
                yield [Result(name, name, "a process", "failed", 0, "died, and nothing is known of what it ran")]


def _in_processes(names: Sequence[str], how: tuple[Any, ...], jobs: int) -> Iterator[list[Result]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        waiting = [pool.submit(_work, name, *how) for name in names]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
