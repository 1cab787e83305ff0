"""Run conformance tests on every engine, and judge.

The files state little-endian results. A little-endian engine is judged by the file and by the interpreter; a
big-endian one by the interpreter in its own byte order, and by the file too wherever both byte orders agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bpf.errors import BadProgram, BadText, CrossbpfError, Refused
from bpf.plan import DEFAULT_PLAN, Plan, Unit
from bpf.program import Program
from bpf.spec.conventions import SUITE
from engines import ENGINES, Engine, Options
from engines.judging import trial
from fuzz.suite.datafile import SuiteTest
from vm.outcome import Difference, Outcome
from vm.world import Input, Limits, World

Status = Literal["passed", "failed", "undecided"]
_OBSERVE = Options(observe=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one engine made of one test. message: why it did not pass."""

    test: SuiteTest
    engine: str
    status: Status
    message: str = ""


def groups(test: SuiteTest) -> frozenset[str]:
    """The RFC 9669 conformance groups that a test's instructions belong to; {"invalid"} for no program."""
    try:
        program = test.program("little")
    except CrossbpfError:
        return frozenset({"invalid"})
    return frozenset(insn.row.group for insn in program.insns if insn is not None)


def run_test(
    test: SuiteTest, engines: Sequence[Engine] | None = None, *, plan: Plan = DEFAULT_PLAN, limits: Limits | None = None
) -> Iterator[Verdict]:
    """One verdict per engine (default: all), the interpreter first."""
    limits = limits or Limits(seconds=2.0)
    chosen = list(engines or ENGINES.values())
    expected: dict[str, Outcome | CrossbpfError] = {}
    units: dict[str, Unit] = {}
    interpreter = ENGINES["interpreter"]
    for order in ("little", "big"):
        try:
            program: Program = test.program(order)
            units[order] = Unit((program,), convention=SUITE, plan=plan)
            prepared = interpreter.prepare(units[order], _OBSERVE)
            expected[order] = prepared.run(Input(test.memory), World(), limits)
        except (BadText, BadProgram, Refused) as error:
            expected[order] = error
    agree = _same(expected["little"], expected["big"])
    for engine in chosen:
        order = "little" if "little" in engine.abilities.orders else "big"
        by_file = order == "little" or agree
        reference = expected[order]
        if isinstance(reference, CrossbpfError):
            yield _refused(test, engine.name, str(reference))
        elif engine is interpreter:
            yield _by_file(test, engine.name, reference)
        else:
            entry = Input(test.memory)
            try:
                judged = trial(engine, units[order], reference, entry, World(), limits, options=_OBSERVE)
            except Refused as error:
                yield _refused(test, engine.name, str(error))
                continue
            yield _judge(test, engine.name, judged.found, judged.outcome, by_file)


def _same(little: Outcome | CrossbpfError, big: Outcome | CrossbpfError) -> bool:
    if isinstance(little, CrossbpfError) or isinstance(big, CrossbpfError):
        return isinstance(little, CrossbpfError) and isinstance(big, CrossbpfError)
    return (little.status, little.r0) == (big.status, big.r0)


def _refused(test: SuiteTest, engine: str, reason: str) -> Verdict:
    if test.error is not None:
        return Verdict(test, engine, "passed")
    return Verdict(test, engine, "failed", f"refused: {reason}")


def _by_file(test: SuiteTest, engine: str, outcome: Outcome) -> Verdict:
    if outcome.status == "limit":
        return Verdict(test, engine, "undecided", "the run hit its limit")
    if test.error is not None:
        if outcome.status == "done":
            return Verdict(
                test, engine, "failed", f"returned 0x{outcome.r0:x}, the file expects an error: {test.error}"
            )
        return _by_error(test, engine, outcome)
    if outcome.status != "done":
        return Verdict(test, engine, "failed", f"{outcome.summary()}, the file expects 0x{test.result or 0:x}")
    if outcome.r0 != test.result:
        return Verdict(test, engine, "failed", f"R0 is 0x{outcome.r0:x}, the file expects 0x{test.result or 0:x}")
    return Verdict(test, engine, "passed")


def _by_error(test: SuiteTest, engine: str, outcome: Outcome) -> Verdict:
    """A run that failed as the file wants; an external runtime must also say what the file says."""
    fault = outcome.fault
    if fault is not None and fault.kind == "error" and (test.error or "") not in fault.detail:
        return Verdict(test, engine, "failed", f"failed with {fault.detail!r}, the file expects {test.error!r}")
    return Verdict(test, engine, "passed")


def _judge(test: SuiteTest, engine: str, found: Difference, outcome: Outcome | None, by_file: bool) -> Verdict:
    if found:
        return Verdict(test, engine, "failed", f"{found.what} (by the interpreter)")
    assert outcome is not None
    # Where the surroundings leave the interpreter undecided, the file still says what must come of it.
    if by_file and (found.decided or found.why or outcome.status == "done"):
        return _by_file(test, engine, outcome)
    if not found.decided:
        return Verdict(test, engine, "undecided", found.why or f"ended with {outcome.status}")
    return Verdict(test, engine, "passed")
