"""python -m fuzz.parity.live: generated programs near the border, judged here and by the live kernel.

A program that the two disagree on is written to a file. Exit code 1 where there is one.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from bpf.program import Program
from fuzz import border, genome
from fuzz.parity import logs, oracle
from runtime import verifying
from verifier import Options, verify

_PROFILES: dict[str, tuple[Callable[..., Program], str]] = {"border": (border.decode, "sched_cls"), "plain": (genome.decode, "socket_filter")}


def main(arguments: list[str] | None = None) -> int:
    """Judge programs; see the module's text."""
    parser = argparse.ArgumentParser(prog="fuzz.parity.live", description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=20, help="gestures of a program, at most")
    parser.add_argument("--profile", choices=sorted(_PROFILES), default="border")
    parser.add_argument("--logs", action="store_true", help="compare logs of level 2 too")
    parser.add_argument("--keep", type=Path, help="folder for the programs that the two disagree on")
    parser.add_argument("--show", type=int, default=10)
    options = parser.parse_args(arguments)
    decode, kind = _PROFILES[options.profile]
    random = Random(options.seed)
    figures: Counter[str] = Counter()
    for number in range(options.count):
        genes = genome.draw(random, options.size)
        made = verifying.subject(decode(genes, sys.byteorder), kind)
        asked = Options(log_level=2 if options.logs else 1)
        ours = verify(made, asked)
        try:
            theirs = oracle.ask(made, asked)
        except OSError:  # a map that this kernel does not make
            figures["not asked"] += 1
            continue
        same = ours.errno == theirs.errno
        figures["programs"] += 1
        figures["accepted by Linux"] += theirs.errno == 0
        figures["same verdict"] += ours.accepted == (theirs.errno == 0)
        figures["same errno"] += same
        message = ours.message.splitlines()[-1] if ours.message else ""
        said = message == theirs.message
        figures["same sentence"] += same and (said or not theirs.errno)
        if options.logs:
            said &= _comparable(ours.log) == _comparable(theirs.log)
            figures["same log"] += same and said
        if not same or (options.logs and not said):
            if figures["shown"] < options.show:
                figures["shown"] += 1
                print(f"seed {options.seed} program {number}: Linux {theirs.errno} {theirs.message!r}, here {ours.errno} {message!r}")
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                _keep(options.keep / f"{options.seed}-{number}.txt", genes, ours.log, theirs.log)
    del figures["shown"]
    for name, count in figures.items():
        print(f"{name:20} {count:7} {100 * count / figures['programs']:6.2f} %")
    return 0 if figures["same errno"] == figures["programs"] else 1


def _comparable(log: str) -> list[str]:
    """A log without what depends on the machine or on how stack slots are looked at."""
    return logs.read(log).lines


def _keep(path: Path, genes: tuple[int, ...], ours: str, theirs: str) -> None:
    path.write_text(f"genome: {genes}\n\nhere:\n{ours}\n\nLinux:\n{theirs}\n")


if __name__ == "__main__":
    sys.exit(main())
