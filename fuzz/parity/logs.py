"""python -m fuzz.parity.logs: how many logs of level 2 are, line by line, those that Linux wrote.

Addresses are masked; the tables of live registers and stack slots are left out, and so is the line of figures, which is
counted apart. A log that was cut is compared as far as it goes. Exit code 1 where one differs.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.parity import judging, oracle, records
from fuzz.parity.judging import DATA, Task
from fuzz.parity.records import Case

_ADDRESS = re.compile(r"0xffff[0-9a-f]{12}\b")
_TABLE = re.compile(r"(?: {4}| *\d+ ) *\d+: [.\d]{10} ")
_SLOTS = re.compile(r"\([\d,]+\) (?:frame \d+ insn|live stack update)")
_KFUNC = re.compile(r"(\(85\) call \w+)#\d{4,}( *)")
_FIGURES = re.compile(r"processed \d+ insns")
_CUT = "..."
_SHOWN = 160


@dataclass
class Reading:
    """A log as it is compared. figures: the line of them, "" for none; whole: it was not cut."""

    lines: list[str]
    figures: str
    whole: bool


def read(text: str) -> Reading:
    """Leave out and mask what is not compared."""
    lines: list[str] = []
    figures, whole = "", True
    for line in text.splitlines():
        if line == _CUT:
            whole = False
            break
        if _FIGURES.match(line):
            figures = line
        elif line != "Live regs before insn:" and not _TABLE.match(line) and not _SLOTS.match(line):
            line = _KFUNC.sub(r"\1 ", line)  # the running kernel's number of it, and what it moves
            lines.append(_ADDRESS.sub("0xADDRESS", line.rstrip()))
    if not whole and lines:
        lines.pop()
    return Reading(lines, figures, whole)


def first_difference(kernel: Reading, here: Reading) -> int:
    """The number of the first line that differs, -1 for none."""
    for number, (one, other) in enumerate(zip(kernel.lines, here.lines, strict=False)):
        if one != other:
            return number
    if len(here.lines) < len(kernel.lines) or (kernel.whole and len(here.lines) > len(kernel.lines)):
        return min(len(kernel.lines), len(here.lines))
    return -1


def difference_group(kernel: str, here: str) -> str:
    """What sort of difference is first between two logs, "" for none."""
    one, other = read(kernel), read(here)
    at = first_difference(one, other)
    return _group(_line(one, at), _line(other, at)) if at >= 0 else ""


def difference_text(kernel: str, here: str) -> str:
    """The first lines that differ."""
    one, other = read(kernel), read(here)
    at = first_difference(one, other)
    lines = (("after", _line(one, at - 1)), ("kernel", _line(one, at)), ("here", _line(other, at)))
    return "\n      ".join(f"{who:6} {line[:_SHOWN]}" for who, line in lines)


def _line(reading: Reading, at: int) -> str:
    return "" if at < 0 else reading.lines[at] if at < len(reading.lines) else "(end)"


@dataclass
class Score:
    """Counts, and where the others part."""

    all: int = 0
    same: int = 0
    figures: int = 0
    lines: int = 0
    agreed: int = 0
    crashes: int = 0
    parts: list[tuple[str, str]] = field(default_factory=list)  # group, text

    def add(self, case: Case, text: str, given: judging.Given) -> None:
        """One pair of logs."""
        self.all += 1
        kernel, here = read(text), read(given.log)
        at = first_difference(kernel, here)
        self.lines += len(kernel.lines)
        self.agreed += at if at >= 0 else len(kernel.lines)
        self.crashes += given.errno == judging.CRASH
        if at < 0:
            self.same += 1
            self.figures += kernel.figures == here.figures
            return
        group = _group(_line(kernel, at), _line(here, at))
        if given.errno == judging.CRASH:
            group = judging.shape(given.message)
        self.parts.append((group, f"{case.set} | {case.name} | line {at}\n      {difference_text(text, given.log)}"))

    def report(self, show: int) -> None:
        """Print it."""
        print(f"logs {self.all}: identical {self.same} ({_percent(self.same, self.all)})")
        print(f"  figures too {self.figures} ({_percent(self.figures, self.same)} of these), crashes {self.crashes}")
        print(f"  lines before the first difference {self.agreed} of {self.lines}")
        for group, count in Counter(group for group, _ in self.parts).most_common(show):
            print(f"\n{count} x {group}")
            for text in [text for name, text in self.parts if name == group][: min(show, 3)]:
                print(f"  {text}")


def _group(kernel: str, here: str) -> str:
    """What sort of difference: the parts of the two lines that differ, without numbers."""
    (insn, _, state), (insn_here, _, state_here) = kernel.partition(";"), here.partition(";")
    if insn == insn_here:
        kernel, here = state, state_here
    ones, others = kernel.split(), here.split()
    parts = [word for word in ones if word not in others][:2], [word for word in others if word not in ones][:2]
    return " / ".join(judging.shape(" ".join(words)) or "(nothing)" for words in parts)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def pairs(found: Iterable[dict[str, Any]], logs: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Records with their logs; of several with one name in a set, in their order."""
    by_name: dict[tuple[str, str], list[str]] = defaultdict(list)
    for log in logs:
        by_name[log["set"], log["name"]].append(log["log2"])
    for record in found:
        waiting = by_name.get((record["set"], record["name"]))
        text = waiting.pop(0) if waiting and record["live"] is not None else ""
        if text:
            yield record, text


def _live(found: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Records with what the live kernel writes for them."""
    for record in found:
        case = records.case(record)
        if case.verdict is not None:
            answer = oracle.ask(case.subject, case.options, case.flags & records.OTHERS, 2)
            if answer.log.startswith("func#0 "):  # else it was too long for its room
                yield record, answer.log


def main(arguments: Sequence[str] | None = None) -> int:
    """Score; 0 where all agree."""
    parser = argparse.ArgumentParser(prog="fuzz.parity.logs", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the records and their logs")
    parser.add_argument("--set", action="append", help="only this set")
    parser.add_argument("--only", default="", help="only programs with this in their name or file")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--show", type=int, default=10, help="groups of differences; 0: the figures alone")
    parser.add_argument("--live", action="store_true", help="compare with logs that the live kernel writes now")
    parser.add_argument("--structure", action="store_true", help="only what is decided before the walk")
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of a program")
    parser.add_argument("--full", action="store_true", help="print both logs of each program that is chosen")
    given = parser.parse_args(arguments)
    try:
        found = records.load(given.data / "verifier_tests.json.gz")
        logs = [] if given.live else records.load(given.data / "verifier_logs.json.gz")
    except OSError as error:
        print(f"{given.data}: {error.strerror}; name the folder with --data", file=sys.stderr)
        return 2
    chosen = [
        record
        for record in found
        if (not given.set or record["set"] in given.set) and given.only in f"{record['name']} {record.get('file')}"
    ]
    both = list(_live(chosen) if given.live else pairs(chosen, logs))
    tasks = [Task(record, False, given.structure, 2, given.seconds) for record, _ in both]
    score = Score()
    for (_, text), (case, answer) in zip(both, judging.judge_all(tasks, given.jobs), strict=True):
        score.add(case, text, answer)
        if given.full:
            print(f"=== {case.set} | {case.name}: kernel\n{text}\n=== here\n{answer.log}")
    score.report(given.show)
    return int(score.same < score.all)


if __name__ == "__main__":
    sys.exit(main())
