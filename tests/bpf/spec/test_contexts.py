"""Layouts are whole: fields do not overlap in either layout, and names mean fields."""

from __future__ import annotations

import pytest

from bpf.spec.contexts import LAYOUTS, OBJECT, OTHERS, REGIONS, VIEWS, Layout
from bpf.spec.program_types import PROGRAM_TYPES

each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


@each_layout
def test_fields_do_not_overlap(layout: Layout) -> None:
    ends = 0
    for one in layout.fields:
        assert one.offset >= ends, one.name
        ends = one.offset + one.size
        assert one.offset % min(one.size, 4) == 0
    assert ends <= layout.size
    ends = 0
    for one in sorted(layout.fields, key=lambda one: one.at):
        assert one.at >= ends, one.name
        ends = one.at + one.kept
        assert one.raw or one.at % one.kept == 0
    assert ends <= layout.internal
    assert layout.internal % 8 == 0


@each_layout
def test_pointers_have_64_bits(layout: Layout) -> None:
    for one in layout.fields:
        assert (one.kept == 8) or not one.pointer
        assert one.kept <= max(one.size, 8)


def test_the_views_name_fields_and_types() -> None:
    for name, view in (*VIEWS.items(), *OTHERS.items()):
        kind, dot, machine = name.partition(".")
        assert f"{PROGRAM_TYPES[kind].context}{dot}{machine}" == view.layout.name
        names = set(view.layout.by_name)
        assert view.hidden <= names
        assert view.writable <= names - view.hidden
        assert not {one for one in view.writable if view.layout.by_name[one].pointer == OBJECT}


@pytest.mark.parametrize("name", ["xdp_md", "__sk_buff"])
def test_no_field_lies_where_a_program_sees_it(name: str) -> None:
    """So that an access that was not converted gives another value."""
    assert not {one.name for one in LAYOUTS[name].fields if one.at == one.offset}


@pytest.mark.parametrize("name", REGIONS)
def test_memory_and_words_are_what_the_verifier_allows(name: str) -> None:
    """Contexts that run here allow the accesses of the regions that the verifier goes by; registers: x86_64's."""
    view = OTHERS.get(name) or OTHERS[f"{name}.x86_64"]
    places = range(view.layout.size + 8)
    for offset in [*places[:200], *places[-24:]]:
        for size in (1, 2, 4, 8):
            for write in (False, True):
                said = any(region.allows(offset, size, write=write) for region in REGIONS[name])
                assert (view.access(offset, size, write=write) is not None) == said, (offset, size, write)
