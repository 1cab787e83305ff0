"""Branch relaxation: every branch starts in its shortest form and grows until all of them reach.

Forms only grow, so the fixpoint exists and no two branches can push each other back and forth.
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything ends up. prefix[i]: bytes of the fixups before fixup i. distances[i]: of fixup i."""

    prefix: list[int]
    distances: list[int]


def relax(
    fixups: Sequence[Fixup], labels: Sequence[tuple[int, int]], forms: Mapping[str, Sequence[Form]], base: int
) -> Layout:
    """Choose the form of every fixup.

    labels: (bytes of straight code before the label, number of fixups before it). base: address of the code.
    Raises Refused where even the longest form does not reach.
    """
    while True:
        prefix = list(accumulate((forms[fixup.kind][fixup.form].size for fixup in fixups), initial=0))
        distances = []
        grown = False
        for index, fixup in enumerate(fixups):
            start = fixup.at + prefix[index]
            if fixup.label >= 0:
                straight, before = labels[fixup.label]
                distance = straight + prefix[before] - start
            else:
                distance = fixup.address - base - start
            form = forms[fixup.kind][fixup.form]
            if not form.low <= distance <= form.high:
                choices = forms[fixup.kind]
                reach = fixup.form
                while reach < len(choices) and not choices[reach].low <= distance <= choices[reach].high:
                    reach += 1
                if reach == len(choices):
                    raise Refused(f"{fixup.kind} over {distance} bytes: no form reaches that far")
                fixup.form = reach
                grown = True
            distances.append(distance)
        if not grown:
            return Layout(prefix, distances)
