"""Branch relaxation: every branch starts in its shortest form and grows until all of them reach.

Forms only grow, so the fixpoint exists and no two branches can push each other back and forth.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from bpf.errors import Refused


@dataclass(frozen=True, slots=True)
class Form:
    """One encoding of a branch: its size in bytes, and the least and greatest distance from its first byte."""

    size: int
    low: int
    high: int


class Fixup:
    """A branch or call whose distance is not known yet.

    at       bytes of straight code before it (fixups not counted)
    kind     which forms it has: a key of the backend's `forms`
    args     operands for the encoder
    label    number of the label it goes to, or -1
    address  where label is -1: the absolute address it goes to
    form     index of the form chosen so far
    """

    __slots__ = ("address", "args", "at", "form", "kind", "label")

    def __init__(self, at: int, kind: str, args: tuple[int, ...], label: int, address: int = 0) -> None:
        self.at = at
        self.kind = kind
        self.args = args
        self.label = label
        self.address = address
        self.form = 0


class Labels:
    """Places in the code, by number.

    straight  bytes of straight code before the place
    before    number of fixups before it
    """

    __slots__ = ("before", "straight")

    def __init__(self, count: int = 0) -> None:
        self.straight = array("q", bytes(8 * count))
        self.before = array("q", bytes(8 * count))

    def __len__(self) -> int:
        return len(self.straight)

    def add(self, straight: int, before: int) -> int:
        """A new label there; its number."""
        self.straight.append(straight)
        self.before.append(before)
        return len(self.straight) - 1


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything ends up. prefix[i]: bytes of the fixups before fixup i. distances[i]: of fixup i."""

    prefix: list[int]
    distances: list[int]


def relax(fixups: Sequence[Fixup], labels: Labels, forms: Mapping[str, Sequence[Form]], base: int) -> Layout:
    """Choose the form of every fixup. base: address of the code.

    Raises Refused where even the longest form does not reach.

    Rounds go through the fixups forward and backward in turn, and each takes the growth of its own round into account
    as far as it has come: so a chain in which every branch just reaches over the next settles in one round.
    """
    backward = False
    while True:
        old = list(accumulate((forms[fixup.kind][fixup.form].size for fixup in fixups), initial=0))
        growth = [0] * (len(fixups) + 1)  # of this round: of all fixups before i (forward) or from i on (backward)
        distances = [0] * len(fixups)
        for index in range(len(fixups) - 1, -1, -1) if backward else range(len(fixups)):
            fixup = fixups[index]
            if fixup.label >= 0:
                before = labels.before[fixup.label]
                distance = labels.straight[fixup.label] + old[before] - fixup.at - old[index]
                if backward and before > index:
                    distance += growth[index + 1] - growth[before]
                elif not backward and before <= index:
                    distance += growth[before] - growth[index]
            else:
                distance = fixup.address - base - fixup.at - old[index] - (0 if backward else growth[index])
            distances[index] = distance
            here, there = (index + 1, index) if backward else (index, index + 1)
            growth[there] = growth[here] + _grow(fixup, forms[fixup.kind], distance)
        if not growth[0 if backward else -1]:
            return Layout(old, distances)
        backward = not backward


def _grow(fixup: Fixup, choices: Sequence[Form], distance: int) -> int:
    """Give the fixup the first form, from its present one on, that reaches; the bytes by which it has grown."""
    reach = fixup.form
    while reach < len(choices) and not choices[reach].low <= distance <= choices[reach].high:
        reach += 1
    if reach == len(choices):
        raise Refused(f"{fixup.kind} over {distance} bytes: no form reaches that far")
    grown = choices[reach].size - choices[fixup.form].size
    fixup.form = reach
    return grown
