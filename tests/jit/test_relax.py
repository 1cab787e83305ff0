"""Branch relaxation: every branch reaches, none is longer than it must be, and the layout adds up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.errors import Refused
from bpf.plan import Unit
from jit.ops import front
from jit.registry import TARGETS, backend
from jit.relax import Fixup, Form, Labels, relax
from jit.target import Target
from tests.jit.test_images import everything

BASE = 1 << 40
FORMS: Mapping[str, Sequence[Form]] = {
    "cond": (Form(2, -126, 129), Form(6, -(1 << 31), (1 << 31) - 1)),
    "near": (Form(2, -10, 12), Form(3, -20, 25), Form(5, -45, 60), Form(9, -(1 << 31), (1 << 31) - 1)),
    "flat": (Form(4, -30, 30), Form(4, -90, 90), Form(12, -(1 << 31), (1 << 31) - 1)),
    "call": (Form(5, -(1 << 31), (1 << 31) - 1),),
}


def placed(*places: tuple[int, int]) -> Labels:
    """Labels: (bytes of straight code before it, branches before it) of each."""
    labels = Labels()
    for place in places:
        labels.add(*place)
    return labels


@dataclass(frozen=True)
class Code:
    """Straight code with branches in it: gaps[i] bytes before branch i, a target for each branch.

    A target is (branches before it, bytes of the gap there before it), or minus the distance of an address below BASE.
    """

    kinds: tuple[str, ...]
    gaps: tuple[int, ...]  # one more than branches
    targets: tuple[tuple[int, int] | int, ...]

    def build(self) -> tuple[list[Fixup], Labels]:
        """Fixups and labels as a backend leaves them."""
        starts = [sum(self.gaps[:n]) for n in range(len(self.gaps))]  # straight bytes where gap n starts
        fixups: list[Fixup] = []
        labels = Labels()
        for number, (kind, target) in enumerate(zip(self.kinds, self.targets, strict=True)):
            at = starts[number + 1]
            if isinstance(target, int):
                fixups.append(Fixup(at, kind, (), -1, BASE - target))
            else:
                before, into = target
                fixups.append(Fixup(at, kind, (), labels.add(starts[before] + into, before)))
        return fixups, labels

    def positions(self, sizes: Sequence[int]) -> tuple[list[int], list[int]]:
        """(start, distance) of each branch when branch i takes sizes[i] bytes: gaps and branches laid out in turn."""
        gap_starts, starts, at = [], [], 0
        for gap, size in zip(self.gaps, [*sizes, 0], strict=True):
            gap_starts.append(at)
            starts.append(at + gap)
            at += gap + size
        ends = [
            -target if isinstance(target, int) else gap_starts[target[0]] + target[1]
            for target in self.targets
        ]  # fmt: skip
        return starts[:-1], [end - start for start, end in zip(starts, ends, strict=False)]

    def fits(self, chosen: Sequence[int]) -> list[bool]:
        """Whether each branch reaches in its chosen form."""
        forms = [FORMS[kind][form] for kind, form in zip(self.kinds, chosen, strict=True)]
        _, distances = self.positions([form.size for form in forms])
        return [form.low <= distance <= form.high for form, distance in zip(forms, distances, strict=True)]


@st.composite
def codes(draw: st.DrawFn) -> Code:
    """Code in which many branches are near the edge of their reach."""
    count = draw(st.integers(0, 24))
    gaps = tuple(draw(st.lists(st.integers(0, 40), min_size=count + 1, max_size=count + 1)))
    kinds = tuple(draw(st.lists(st.sampled_from(list(FORMS)), min_size=count, max_size=count)))
    place = st.integers(0, count).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, gaps[n])))
    target = st.one_of(place, place, place, st.integers(1, 200))
    return Code(kinds, gaps, tuple(draw(st.lists(target, min_size=count, max_size=count))))


@given(codes())
def test_every_branch_reaches_and_the_layout_adds_up(code: Code) -> None:
    fixups, labels = code.build()
    layout = relax(fixups, labels, FORMS, BASE)
    chosen = [fixup.form for fixup in fixups]
    sizes = [FORMS[fixup.kind][fixup.form].size for fixup in fixups]
    starts, distances = code.positions(sizes)
    assert all(code.fits(chosen))
    assert layout.distances == distances
    assert layout.prefix == [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    assert [fixup.at + layout.prefix[number] for number, fixup in enumerate(fixups)] == starts
    assert relax(fixups, labels, FORMS, BASE) == layout  # a fixpoint


@given(codes())
def test_no_branch_is_longer_than_it_must_be(code: Code) -> None:
    fixups, labels = code.build()
    relax(fixups, labels, FORMS, BASE)
    chosen = [fixup.form for fixup in fixups]
    for number, form in enumerate(chosen):
        for shorter in range(form):
            assert not code.fits([*chosen[:number], shorter, *chosen[number + 1 :]])[number]


@given(codes(), st.randoms(use_true_random=False))
def test_the_order_of_growth_does_not_matter(code: Code, random: object) -> None:
    """Growing one branch at a time by one form, any that does not reach, ends in the same forms: the least ones."""
    fixups, labels = code.build()
    relax(fixups, labels, FORMS, BASE)
    chosen = [0] * len(fixups)
    while short := [number for number, fits in enumerate(code.fits(chosen)) if not fits]:
        chosen[random.choice(short)] += 1  # type: ignore[attr-defined]
    assert chosen == [fixup.form for fixup in fixups]


@pytest.mark.parametrize(
    ("gap", "form"), [(0, 0), (127, 0), (128, 1), (1000, 1)], ids=["next", "just", "one more", "far"]
)  # fmt: skip
def test_forwards(gap: int, form: int) -> None:
    fixup = Fixup(0, "cond", (), 0)
    layout = relax([fixup], placed((gap, 1)), FORMS, BASE)
    assert (fixup.form, layout.distances) == (form, [gap + FORMS["cond"][form].size])


@pytest.mark.parametrize(("gap", "form"), [(0, 0), (126, 0), (127, 1)], ids=["itself", "just", "one more"])
def test_backwards(gap: int, form: int) -> None:
    fixup = Fixup(gap, "cond", (), 0)
    layout = relax([fixup], placed((0, 0)), FORMS, BASE)
    assert (fixup.form, layout.distances) == (form, [-gap])


def test_to_an_address() -> None:
    fixup = Fixup(100, "call", (), -1, BASE - 0x1000)
    assert relax([fixup], placed(), FORMS, BASE).distances == [-0x1000 - 100]


def test_nothing_to_do() -> None:
    layout = relax([], placed((5, 0)), FORMS, BASE)
    assert (layout.prefix, layout.distances) == ([0], [])


def test_one_that_grows_pushes_all_the_others() -> None:
    """Thirty branches in a row, each of which just reaches: when the last has to grow, so has the one before it."""
    count, reach = 30, FORMS["cond"][0].high
    ends = [reach - 2 * (count - n) for n in range(count)]
    just = Code(("cond",) * count, (0,) * count + (1000,), tuple((count, end) for end in ends))
    fixups, labels = just.build()
    relax(fixups, labels, FORMS, BASE)
    assert [fixup.form for fixup in fixups] == [0] * count
    pushed = Code(just.kinds, just.gaps, (*just.targets[:-1], (count, ends[-1] + 1)))
    fixups, labels = pushed.build()
    relax(fixups, labels, FORMS, BASE)
    assert [fixup.form for fixup in fixups] == [1] * count


def test_too_far_for_every_form() -> None:
    with pytest.raises(Refused):
        relax([Fixup(0, "call", (), 0)], placed((1 << 31, 1)), FORMS, BASE)
    with pytest.raises(Refused):
        relax([Fixup(0, "call", (), -1, BASE - (1 << 31) - 1)], placed(), FORMS, BASE)


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_the_forms_of_a_backend_are_what_they_say(target: Target) -> None:
    """At both ends of its reach every branch that compilation leaves has its size; longer forms reach further."""
    program = everything(target.order)
    machine = backend(target)(target, front(Unit((program,)), program), target.features)
    machine.compile()
    unit = machine.unit
    for kind, forms in machine.forms.items():
        assert [form.size for form in forms] == sorted(form.size for form in forms), kind
        assert all(a.low >= b.low and a.high <= b.high for a, b in pairwise(forms)), kind
        assert min(-forms[-1].low, forms[-1].high) >= 16 << 20, kind
    for kind, args in {(fixup.kind, fixup.args) for fixup in machine.fixups}:
        for number, form in enumerate(machine.forms[kind]):
            for distance in (-(-form.low // unit) * unit, -4, 0, 4, form.high // unit * unit):
                code = machine.encode_fixup(kind, args, number, distance)
                assert len(code) == form.size, (kind, args, form, distance)
