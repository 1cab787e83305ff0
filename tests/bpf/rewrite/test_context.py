"""Converted accesses give what the user layout says, byte for byte, in both byte orders."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.errors import Refused
from bpf.facts import Facts
from bpf.isa import Insn
from bpf.plan import Unit
from bpf.program import Line, Program, program
from bpf.rewrite import convert_context, replace
from bpf.spec.contexts import OBJECT, Field
from bpf.spec.conventions import TYPED, Convention
from bpf.text import assemble
from engines.binding import bind
from engines.interpreter import InterpreterEngine
from tests.engines.contexts import WITH_FIELDS
from verifier.provenance import provenance
from vm.contexts import DERIVED
from vm.outcome import Outcome
from vm.world import Input, Limits, World

ORDERS = ("little", "big")
each_order = pytest.mark.parametrize("order", ORDERS)
each_type = pytest.mark.parametrize("convention", [TYPED[name] for name in WITH_FIELDS], ids=WITH_FIELDS)


def run(text: str, order: str, convention: Convention, entry: Input) -> Outcome:
    unit = Unit((assemble(text, order=order),), convention=convention)
    outcome = InterpreterEngine().prepare(unit).run(entry, World(), Limits())
    assert outcome.status == "done", outcome
    return outcome


def pattern(one: Field) -> int:
    """A value of a field in which every byte is another one."""
    return int.from_bytes(bytes(0x81 + (one.offset * 7 + n) % 0x70 for n in range(one.kept)), "big")


def numbers(convention: Convention) -> dict[str, int]:
    assert convention.view is not None
    return {
        one.name: pattern(one) for one in convention.view.layout.fields if not one.pointer and one.name not in DERIVED
    }


@each_order
@each_type
def test_every_load_gives_the_bytes_of_the_user_layout(convention: Convention, order: str) -> None:
    view = convention.view
    assert view is not None
    values = numbers(convention)
    user = bytearray(view.layout.size)
    for name, value in values.items():
        one = view.layout.by_name[name]
        user[one.offset : one.offset + one.size] = value.to_bytes(one.size, order)  # type: ignore[arg-type]
    entry = Input(context=values)
    loads: list[tuple[int, int, str]] = []
    for size in (1, 2, 4, 8):
        for offset in range(0, view.layout.size, size):
            for sign in "us" if size < 8 else "u":
                found = view.access(offset, size, write=False, signed=sign == "s")
                if found is not None and found.name in values:
                    loads.append((offset, size, sign))
    assert loads or convention.name == "flow_dissector"
    for start in range(0, len(loads), 32):
        part = loads[start : start + 32]
        text = "; ".join(
            f"r2 = *({sign}{8 * size} *)(r1 + {offset}); *(u64 *)(r10 - {8 * n + 8}) = r2"
            for n, (offset, size, sign) in enumerate(part)
        )
        outcome = run(f"{text}; r0 = 0; exit", order, convention, entry)
        assert outcome.regions is not None
        stack = outcome.regions["stack"]
        for n, (offset, size, sign) in enumerate(part):
            one = view.layout.at(offset)
            assert one is not None
            lies = user[offset : offset + size]
            if one.kept <= size and not one.raw:  # as in Linux: all of it
                lies = bytearray(values[one.name].to_bytes(size, order))  # type: ignore[arg-type]
            elif one.reach and order == "big":  # the parts are those of a number of two bytes
                lies = user[offset + 2 : offset + 2 + size]
            raw = int.from_bytes(lies, order, signed=sign == "s")  # type: ignore[arg-type]
            at = len(stack) - 8 * n - 8
            assert int.from_bytes(stack[at : at + 8], order) == raw & (1 << 64) - 1, (offset, size, sign)  # type: ignore[arg-type]


@each_order
@each_type
def test_every_store_changes_its_field_alone(convention: Convention, order: str) -> None:
    view = convention.view
    assert view is not None
    values = numbers(convention)
    for one in view.layout.fields:
        if one.name not in view.writable:
            continue
        value = 0x1234_5678_9ABC & (1 << 8 * one.size) - 1 if not one.ceiling else 0x1234
        for form in ("r2 = 0x{0:x} ll; *(u{1} *)(r1 + {2}) = r2", "*(u{1} *)(r1 + {2}) = 0x1234"):
            text = f"r0 = 1; {form.format(value, 8 * one.size, one.offset)}; exit"
            outcome = run(text, order, convention, Input(context=values))
            expected = (value if "ll" in text else 0x1234) & (1 << 8 * one.kept) - 1
            assert outcome.context is not None
            changed = {name: now for name, now in outcome.context.items() if name in values and now != values[name]}
            assert changed == {one.name: expected}


@each_type
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_not_allowed_is_refused(convention: Convention, data: st.DataObject) -> None:
    view = convention.view
    assert view is not None
    size = data.draw(st.sampled_from((1, 2, 4, 8)))
    offset = data.draw(st.integers(-8, view.layout.size + 8))
    write = data.draw(st.booleans())
    access = f"*(u{8 * size} *)(r1 {offset:+d})"
    prog = assemble(f"r0 = 1; r2 = 0; {access} = r2; exit" if write else f"r0 = 0; r0 = {access}; r0 = 1; exit")
    one = view.access(offset, size, write=write)
    pc = 2 if write else 1
    if one is None:
        with pytest.raises(Refused, match=f"insn {pc}: invalid bpf_context access off={offset} size={size}"):
            bind(Unit((prog,), convention=convention))
    elif one.pointer == OBJECT and one.name != "sk":
        with pytest.raises(Refused, match="not described"):
            bind(Unit((prog,), convention=convention))
    else:
        assert bind(Unit((prog,), convention=convention)).programs[0].source is prog


def test_a_constant_distance_is_part_of_the_offset() -> None:
    for order in ORDERS:
        text = "r2 = r1; r2 += 4; r0 = *(u32 *)(r2 + 4); r2 += -4; r3 = *(u8 *)(r2 + 9); r0 += r3; exit"
        expected = 0x11223344 + (0x33 if order == "little" else 0x22)
        assert run(text, order, TYPED["sched_cls"], Input(context={"mark": 0x11223344})).r0 == expected


def test_atomics_on_the_context_are_refused() -> None:
    prog = assemble("r2 = 1; lock *(u32 *)(r1 + 8) += r2; r0 = 0; exit")
    with pytest.raises(Refused, match="insn 1: BPF_ATOMIC stores into R1 ctx is not allowed"):
        bind(Unit((prog,), convention=TYPED["sched_cls"]))


def test_jumps_lines_and_names_arrive() -> None:
    text = (
        "r2 = *(u8 *)(r1 + 9); if r2 != 7 goto out; r0 = 2; out: r0 = *(u8 *)(r1 + 10); call f; exit; f: r0 = 2; exit"
    )
    given_ = assemble(text)
    prog = program(given_.insns, name="p", names={6: "f"}, lines={0: Line("a.c", 1), 3: Line("a.c", 2)})
    convention = TYPED["sched_cls"]
    assert convention.view is not None
    after = convert_context(prog, provenance(prog, convention.view, convention.helpers), convention.view)
    assert after.source is prog
    assert after.origin == (0, 0, 0, 1, 2, 3, 3, 3, 4, 5, 6, 7)
    assert [function.name for function in after.functions] == ["p", "f"]
    assert after.line_at(5) == Line("a.c", 2)
    assert after.line_at(2) == Line("a.c", 1)


def test_nothing_to_convert_is_the_same_program() -> None:
    prog = assemble("r0 = 1; exit")
    view = TYPED["xdp"].view
    assert view is not None
    after = convert_context(prog, Facts(), view)
    assert after == prog
    assert after.source is prog


def test_a_second_pass_keeps_the_first_source() -> None:
    prog = assemble("r0 = 1; r0 += 2; exit")
    again: tuple[Insn, ...] = tuple(insn for insn in assemble("r0 += 1; r0 += 1; exit").insns[:2] if insn)
    first = replace(prog, {1: again})
    second = replace(first, {0: again})
    assert second.source is prog
    assert second.origin == (0, 0, 1, 1, 2)


def test_a_jump_that_no_longer_reaches() -> None:
    far: Program = assemble("if r1 == 0 goto +32766; " + "r0 = *(u8 *)(r1 + 9); " * 32766 + "exit")
    view = TYPED["sched_cls"].view
    assert view is not None
    with pytest.raises(Refused, match=r"insn 0: .* would have to jump"):
        convert_context(far, provenance(far, view, TYPED["sched_cls"].helpers), view)
