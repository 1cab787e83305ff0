"""One recorded program judged by the verifier, and what its answer is compared with."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from fuzz.parity import records
from fuzz.parity.records import Case
from verifier.options import Options
from verifier.rejection import Rejection
from verifier.structure import structure
from verifier.subject import Subject
from verifier.verify import verify

DATA = Path(__file__).parents[3] / "shared" / "data" / "kernel"
CRASH = -1
_BATCH = 12


@dataclass(frozen=True, slots=True)
class Given:
    """The verifier's answer. errno: 0 for accepted, CRASH for a fault of its own, which `message` then shows."""

    errno: int
    message: str
    log: str = ""
    processed: int = 0


def verified(subject: Subject, options: Options) -> Given:
    """What the whole verifier says."""
    verdict = verify(subject, options)
    return Given(0 if verdict.accepted else verdict.errno, verdict.message, verdict.log, verdict.processed)


def shaped(subject: Subject, options: Options) -> Given:
    """What is decided before the walk; what is not refused there counts as accepted."""
    lines: list[str] = []
    try:
        structure(subject, options, lines)
    except Rejection as refusal:
        return Given(refusal.errno, refusal.message, "\n".join([*lines, refusal.message]))
    return Given(0, "", "\n".join(lines))


@dataclass(frozen=True, slots=True)
class Task:
    """What to do with a record. level: of the log; seconds: time limit of one program."""

    record: dict[str, object]
    unprivileged: bool = False
    only_shape: bool = False
    level: int = 0
    seconds: float = 0.0


def judge(task: Task) -> tuple[Case, Given]:
    """Verify one record. Raises nothing: a fault of the verifier is an answer."""
    case = records.case(task.record, unprivileged=task.unprivileged)
    options = replace(case.options, log_level=task.level, seconds=task.seconds)
    return case, answered(case.subject, options, shaped if task.only_shape else verified)


def answered(subject: Subject, options: Options, how: Callable[[Subject, Options], Given] = verified) -> Given:
    """The verifier's answer, its own fault being one."""
    try:
        return how(subject, options)
    except RecursionError:
        return Given(CRASH, "RecursionError")
    except Exception:  # noqa: BLE001 - whatever it is, it is counted and shown
        return Given(CRASH, "".join(traceback.format_exc(limit=-2)))


def judge_all(tasks: Iterable[Task], jobs: int) -> Iterator[tuple[Case, Given]]:
    """All of them in their order, in `jobs` processes."""
    if jobs <= 1:
        yield from map(judge, tasks)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
        yield from pool.map(judge, tasks, chunksize=_BATCH)


def last(message: str) -> str:
    """The last line of a message."""
    lines = [line for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def same_message(case: Case, given: Given) -> bool | None:
    """Whether the verifier says what the kernel said; None where that is not recorded."""
    if case.message.startswith(("old state:", "cur state:")):  # what follows this sentence
        return "infinite loop detected" in given.message
    if case.message:
        return case.message in (given.message, last(given.message)) or case.message in given.message.splitlines()
    return case.said[-1] in given.message if case.said else None


def shape(message: str) -> str:
    """A message without its numbers, to group by."""
    return re.sub(r"0x[0-9a-f]+|-?\d+", "N", last(message))[:100]
