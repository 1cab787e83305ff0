"""python -m fuzz.parity.verdicts: how many recorded programs get the verdict, errno and words that Linux gave them.

Each disagreement is a line; they are grouped by what the kernel said. Exit code 1 where there is one.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from engines import syscall
from fuzz.parity import judging, oracle, records
from fuzz.parity.judging import CRASH, DATA, Given, Task
from fuzz.parity.records import Case


@dataclass
class Score:
    """Counts of one comparison, and the lines of what disagrees."""

    all: int = 0
    verdict: int = 0
    errno: int = 0
    refused: int = 0
    message: int = 0
    worded: int = 0
    processed: int = 0
    counted: int = 0
    crashes: int = 0
    too_kind: int = 0
    lines: list[tuple[str, str, str]] = field(default_factory=list)  # sort of disagreement, group, line

    def add(self, case: Case, given: Given, errno: int) -> None:
        """One program that the kernel gave `errno`."""
        self.all += 1
        if given.errno == CRASH:
            self.crashes += 1
            self.note("crash", judging.shape(given.message), case, given)
            return
        if (given.errno == 0) != (errno == 0):
            self.too_kind += errno != 0
            sort = "accepted here" if errno else "refused here"
            self.note(sort, judging.shape(_words(case) if errno else given.message), case, given)
        else:
            self.verdict += 1
            if given.errno == errno:
                self.errno += 1
            else:
                self.note("errno", judging.shape(_words(case)), case, given)
        if errno:
            self.refused += 1
            same = judging.same_message(case, given)
            self.worded += same is not None
            self.message += same is True
            if same is False and given.errno == errno:
                self.note("message", judging.shape(_words(case)), case, given)
        elif given.errno == 0 and case.processed:
            self.counted += 1
            self.processed += case.processed == given.processed

    def note(self, sort: str, group: str, case: Case, given: Given) -> None:
        """A disagreement, as a line."""
        kernel = "not asked" if case.verdict is None else f"{case.verdict} {_words(case)}".rstrip()
        here = f"{given.errno} {judging.last(given.message)}" if given.errno != CRASH else judging.last(given.message)
        self.lines.append((sort, group, f"{sort}: {case.set} | {case.name} | kernel: {kernel} | here: {here}".rstrip()))

    def report(self, title: str, show: int) -> None:
        """Print it."""
        print(f"{title}: {self.all} programs")
        print(f"  verdict   {_share(self.verdict, self.all)}   accepted here only: {self.too_kind}")
        print(f"  errno     {_share(self.errno, self.all)}")
        print(f"  message   {_share(self.message, self.worded)}   of {self.refused} refused, {self.worded} with words")
        if self.counted:
            print(f"  processed {_share(self.processed, self.counted)}   equal counts of instructions")
        print(f"  crashes   {self.crashes}")
        if not show:
            return
        for sort in ("crash", "accepted here", "refused here", "errno", "message"):
            groups = Counter(group for one, group, _ in self.lines if one == sort)
            if groups:
                print(f"\n{sort}: {sum(groups.values())}")
            for group, count in groups.most_common(show):
                print(f"  {count} x {group}")
                for line in [line for one, name, line in self.lines if (one, name) == (sort, group)][:show]:
                    print(f"      {line}")


def _words(case: Case) -> str:
    return case.message or (case.said[-1] if case.said else "")


def _share(part: int, whole: int) -> str:
    return f"{part:5d} / {whole:5d}  {100 * part / whole:6.2f} %" if whole else "    0 /     0       - "


def main(arguments: Sequence[str] | None = None) -> int:
    """Score; 0 where all agree."""
    parser = argparse.ArgumentParser(prog="fuzz.parity.verdicts", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "verifier_tests.json.gz", help="the records")
    parser.add_argument("--set", action="append", help="only this set")
    parser.add_argument("--only", default="", help="only programs with this in their name, file or expected words")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--show", type=int, default=10, help="groups, and lines of each; 0: the figures alone")
    parser.add_argument("--unpriv", action="store_true", help="score the verdicts for a loader without capabilities")
    parser.add_argument("--live", action="store_true", help="compare with what the live kernel says now")
    parser.add_argument("--structure", action="store_true", help="only what is decided before the walk")
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of a program")
    parser.add_argument("--save", type=Path, help="write a line per program, for diff(1)")
    given = parser.parse_args(arguments)
    try:
        found = records.load(given.data)
    except OSError as error:
        print(f"{given.data}: {error.strerror}; name the records with --data", file=sys.stderr)
        return 2
    chosen = [
        record
        for record in found
        if (not given.set or record["set"] in given.set) and given.only in f"{record['name']} {record.get('file')}"
    ]
    tasks = (Task(record, given.unpriv, given.structure, 0, given.seconds) for record in chosen)
    scores = _score(tasks, given)
    for title, score in scores.items():
        if score.all:
            score.report(title, given.show)
    return int(any(score.lines for score in scores.values()))


def _asked_now(case: Case) -> Case:
    """The same program with the live kernel's verdict and words."""
    if case.verdict is None:
        return case
    answer = oracle.ask(case.subject, case.options, case.flags & records.OTHERS, syscall.LOG_STATS)
    return replace(case, verdict=answer.errno, message=answer.message, said=())


def _score(tasks: Iterable[Task], options: argparse.Namespace) -> dict[str, Score]:
    """Sort the answers into what has a verdict of the kernel's verifier, and what its authors expect."""
    asked, expected = Score(), Score()
    unprivileged, shape = options.unpriv, options.structure
    saved: list[str] = []
    for recorded, given in judging.judge_all(tasks, options.jobs):
        case = _asked_now(recorded) if options.live and not unprivileged else recorded
        saved.append(f"{case.set} | {case.name} | {given.errno} | {judging.last(given.message)}")
        if unprivileged:
            if case.unprivileged is not None:
                one = replace(case, verdict=0 if case.unprivileged else 1, message="", said=case.said_unprivileged)
                asked.add(one, given, 0 if case.unprivileged else given.errno or 1)
        elif shape and not given.errno:
            continue
        elif case.verdict is not None:
            asked.add(case, given, case.verdict)
        elif case.expected is not None:
            expected.add(case, given, 0 if case.expected else given.errno or 22)
    if options.save is not None:
        options.save.write_text("\n".join(saved) + "\n", "utf-8")
    what = "refused before the walk" if shape else "with a verdict of the kernel's verifier"
    return {
        "without capabilities" if unprivileged else what: asked,
        "never asked, against what their authors expect": expected,
    }


if __name__ == "__main__":
    sys.exit(main())
