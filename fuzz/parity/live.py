"""python -m fuzz.parity.live: the verifier and the live kernel asked the same, about generated programs.

Exit code 0 where they agree on all, 1 where they do not. A program of which the kernel walks more than --most
instructions is left out, and counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from bpf.errors import CrossbpfError
from bpf.plan import Unit
from bpf.program import program
from bpf.spec.conventions import TYPED
from engines import ENGINES
from engines.linux import unavailable
from fuzz import border, border_calls, genome
from fuzz.parity import guarded, judging, logs, malformed, mutated, oracle
from fuzz.parity.judging import CRASH, Given
from fuzz.parity.shapes import typed
from runtime import verifying
from verifier.options import ALL, BPF, NET_ADMIN, Options
from verifier.subject import Subject
from vm.world import Input, Limits, World


def _near(rng: Random) -> Subject:
    """The genome's verifier profile."""
    return verifying.subject(border.decode(genome.draw(rng, _SIZE), oracle.HOST), "sched_cls")


def _calling(rng: Random) -> Subject:
    """The verifier profile of programs that call."""
    return verifying.subject(border_calls.decode(genome.draw(rng, _SIZE), oracle.HOST), "sched_cls")


def _plain(rng: Random) -> Subject:
    """The genome's own programs."""
    return typed(verifying.subject(genome.decode(genome.draw(rng, _SIZE), oracle.HOST), "socket_filter"))


_SIZE = 20  # gestures of a genome
PROFILES: dict[str, Callable[[Random], Subject]] = {
    "border": _near,
    "calls": _calling,
    "guarded": guarded.subject,
    "malformed": malformed.subject,
    "mutated": mutated.of(guarded.subject),
    "plain": _plain,
}
CAPABILITIES = {"all": ALL, "bpf": frozenset({BPF, NET_ADMIN})}
_PACKET = bytes(range(64))


@dataclass
class Score:
    """Counts. faults: accepted here alone, and a run of it faulted."""

    all: int = 0
    long: int = 0
    unmade: int = 0
    bugs: int = 0
    accepted: int = 0
    verdict: int = 0
    errno: int = 0
    message: int = 0
    log: int = 0
    too_kind: int = 0
    faults: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"kernel": 0.0, "here": 0.0})
    lines: list[tuple[str, str, str]] = field(default_factory=list)

    def report(self, show: int, with_logs: bool) -> None:
        """Print it."""
        left = f"{self.long} too long, {self.unmade} with a map that is not made, {self.bugs} that break the kernel's"
        print(f"{self.all} programs ({self.accepted} accepted by the kernel); left out: {left}")
        for name, part in (("verdict", self.verdict), ("errno", self.errno), ("message", self.message)):
            print(f"  {name:8} {part:6d}  {100 * part / max(self.all, 1):6.2f} %")
        if with_logs:
            print(f"  log      {self.log:6d}  {100 * self.log / max(self.all, 1):6.2f} %")
        print(f"  accepted here only {self.too_kind}, of which a run faulted {self.faults}")
        print(f"  seconds: kernel {self.seconds['kernel']:.1f}, here {self.seconds['here']:.1f}")
        for sort in ("fault", "accepted here", "refused here", "crash", "errno", "message", "log"):
            groups = Counter(group for one, group, _ in self.lines if one == sort)
            for group, count in groups.most_common(show):
                print(f"\n{sort}: {count} x {group}")
                for line in [line for one, name, line in self.lines if (one, name) == (sort, group)][:2]:
                    print(f"  {line}")


def faults(subject: Subject, seed: int) -> bool:
    """Whether a run of a program that only the verifier accepts faults in the interpreter."""
    try:
        prog = program(subject.code, order=subject.order, maps=subject.maps)
        unit = Unit((prog,), subject.maps, TYPED[subject.type.name])
        prepared = ENGINES["interpreter"].prepare(unit)
        entry = Input(packet=_PACKET, stack_fill=seed & 0xFF)
        return prepared.run(entry, World(), Limits(instructions=100_000)).status == "fault"
    except (CrossbpfError, KeyError):
        return False


def compare(score: Score, subject: Subject, options: Options, name: str, most: int, with_logs: bool) -> None:
    """Ask both about one program."""
    start = time.perf_counter()
    answer = oracle.ask(subject, options, level=4)
    if answer.processed > most:
        score.long += 1
        return
    if "verifier bug" in answer.message:  # its own words for a fault of its own
        score.bugs += 1
        return
    if with_logs:
        answer = oracle.ask(subject, options, level=2)
    score.seconds["kernel"] += time.perf_counter() - start
    start = time.perf_counter()
    given = judging.answered(subject, replace(options, log_level=2 if with_logs else 0))
    score.seconds["here"] += time.perf_counter() - start
    score.all += 1
    score.accepted += not answer.errno
    sort, group = _difference(score, subject, answer, given, with_logs)
    if sort:
        kernel = f"{answer.errno} {answer.message}"
        line = f"{name}  {subject.type.name}  kernel: {kernel} | here: {given.errno} {judging.last(given.message)}"
        if sort == "log":
            line = f"{name}  {subject.type.name}\n      {logs.difference_text(answer.log, given.log)}"
        score.lines.append((sort, group, line))


def _difference(
    score: Score, subject: Subject, answer: oracle.Answer, given: Given, with_logs: bool
) -> tuple[str, str]:
    """Count one pair; what sort of difference it is, "" for none, and its group."""
    if given.errno == CRASH:
        return "crash", judging.shape(given.message)
    if (answer.errno == 0) != (given.errno == 0):
        if answer.errno:
            score.too_kind += 1
            faulty = faults(subject, 0) or faults(subject, 0xFF)
            score.faults += faulty
            return "fault" if faulty else "accepted here", judging.shape(answer.message)
        return "refused here", judging.shape(given.message)
    score.verdict += 1
    if answer.errno != given.errno:
        return "errno", judging.shape(answer.message)
    score.errno += 1
    same = not answer.errno or answer.message in (*given.message.splitlines(), judging.last(given.message))
    score.message += same
    if not same:
        return "message", judging.shape(answer.message)
    if with_logs:
        whole = answer.log.startswith("func#0 ")  # else it was too long for its room
        group = logs.difference_group(answer.log, given.log) if whole else ""
        score.log += not group
        return ("log", group) if group else ("", "")
    return "", ""


def keep(folder: Path, name: str, subject: Subject, caps: str) -> None:
    """Write a program down: `reproduce` reads it again."""
    record = {
        "kind": subject.type.name, "code": subject.code.hex(), "maps": [map_.name for map_ in subject.maps],
        "caps": caps, "types": {str(start): number for start, number in subject.types.items()},
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(record) + "\n", "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare."""
    parser = argparse.ArgumentParser(prog="fuzz.parity.live", description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profile", choices=PROFILES, default="border")
    parser.add_argument("--caps", choices=CAPABILITIES, default="all", help="bpf: without CAP_PERFMON")
    parser.add_argument("--logs", action="store_true", help="compare the logs of level 2 too")
    parser.add_argument("--most", type=int, default=20_000, help="instructions that the kernel may walk")
    parser.add_argument("--keep", type=Path, help="folder for programs on which they do not agree")
    parser.add_argument("--show", type=int, default=10)
    parser.add_argument("--full", action="store_true", help="print both answers with their logs; for one program")
    given = parser.parse_args(arguments)
    if reason := unavailable():
        print(reason, file=sys.stderr)
        return 2
    score = Score()
    options = Options(caps=CAPABILITIES[given.caps], log_level=0, seconds=60.0)
    for number in range(given.seed, given.seed + given.count):
        subject = PROFILES[given.profile](Random(number))
        before = len(score.lines)
        try:
            compare(score, subject, options, f"seed {number}", given.most, given.logs)
        except OSError:  # a map that the kernel does not make
            score.unmade += 1
            continue
        if given.keep and len(score.lines) > before:
            keep(given.keep, f"{given.profile}-{number}", subject, given.caps)
        if given.full:
            print(oracle.ask(subject, options, level=2).log)
            print("here:", judging.answered(subject, replace(options, log_level=2)).log, sep="\n")
    score.report(given.show, given.logs)
    return int(bool(score.lines))


if __name__ == "__main__":
    sys.exit(main())
