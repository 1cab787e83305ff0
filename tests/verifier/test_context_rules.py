"""What a context allows, by program type and attach type: pinned as a golden, and what the live kernel says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import pytest

from bpf.isa import ROW, make
from bpf.program import program
from bpf.spec.attach import ATTACH_TYPES
from bpf.spec.contexts import ATTACHED, LAYOUTS, REGIONS, VIEWS
from bpf.spec.program_types import PROGRAM_TYPES
from tests.verifier import live
from verifier.context import Access, access, invalid
from verifier.kernel_types import kernel_types
from verifier.options import ALL, Options
from verifier.subject import Subject
from verifier.types import SCALAR
from verifier.types import name as type_name

NAMES = sorted({*VIEWS, *REGIONS})
PLAIN = {"sk_lookup": "sk_lookup", "netfilter": "netfilter"}  # the one attach type of types that check it
PRIVILEGED = Options()
WIDEST = 320  # bytes of regions that are tried


def attaches(name: str) -> list[int]:
    """The attach types that a type's context depends on, else one that it takes."""
    found = [ATTACH_TYPES[one] for one in ATTACHED.get(name, {})]
    if name in ("cgroup_sock", "xdp"):
        found.insert(0, 0)
    return found or [ATTACH_TYPES[PLAIN[name]] if name in PLAIN else 0]


class Try(NamedTuple):
    """An access that is tried."""

    size: int
    off: int
    write: bool
    signed: bool


def tries(name: str) -> Iterator[Try]:
    """Every access around a type's context."""
    last = LAYOUTS[PROGRAM_TYPES[name].context].size if name in VIEWS else REGIONS[name][-1].end
    offsets = [*range(-8, min(last, WIDEST) + 9), *(range(last - 8, last + 8) if WIDEST < last < 32000 else ())]
    for size, off in product((1, 2, 4, 8), offsets):
        yield Try(size, off, write=False, signed=False)
        yield Try(size, off, write=True, signed=False)
        if size < 8:
            yield Try(size, off, write=False, signed=True)


def found_in(name: str, attach: int) -> Subject:
    """A program of a type."""
    return Subject(b"", "little", PROGRAM_TYPES[name], attach)


def word_of(found: Access) -> str:
    """What a load gives, as the log writes it."""
    types = kernel_types()
    return type_name(found.type) + (types[found.id].name if found.id and types is not None else "")


def ours(name: str, attach: int, one: Try, options: Options = PRIVILEGED) -> Access | None:
    """What the rules say."""
    return access(found_in(name, attach), one.off, one.size, one.write, options, signed=one.signed)


def summary(name: str, attach: int) -> str:
    """What is allowed, briefly: per field its offset, then operations as size@part."""
    view = VIEWS.get(name)
    lines: dict[tuple[int, str], list[str]] = {}
    for one in tries(name):
        found = ours(name, attach, one)
        if found is None:
            continue
        field = view.layout.at(one.off) if view is not None else None
        start = field.offset if field is not None else one.off & -8
        what = "w" if one.write else "s" if one.signed else "r"
        word = "" if one.write or found.type == SCALAR else f"={word_of(found)}"
        lines.setdefault((start, field.name if field is not None else ""), []).append(
            f"{what}{one.size}@{one.off - start}{word}"
        )
    text, before, more = "", "", ""
    for (start, label), operations in sorted(lines.items()):
        allowed = " ".join(operations)
        if allowed == before and not label:
            more = f"  ... {start}: same\n"
            continue
        text += more + f"  {start} {label}".rstrip() + (f": {allowed}\n" if allowed != before else ": same\n")
        before, more = allowed, ""
    text += more
    return text


def test_what_is_allowed(golden: Callable[[str, str], None]) -> None:
    text, seen = "", {}
    for name in NAMES:
        for attach in attaches(name):
            allowed = summary(name, attach)
            same = seen.setdefault((name, allowed), attach)
            text += f"{name} {attach}\n" + (allowed if same == attach else f"  as {same}\n")
    golden("verifier/contexts.txt", text)


@pytest.mark.parametrize("name", ATTACHED)
def test_attach_types_share_out_what_the_type_allows(name: str) -> None:
    """What any attach type allows is what the conversion of a context carries out."""
    view = VIEWS[name]
    for one in tries(name):
        some = any(ours(name, attach, one) for attach in attaches(name))
        if name == "xdp":
            assert not ours(name, 0, one) or view.access(one.off, one.size, write=one.write, signed=one.signed)
        else:
            assert some == (view.access(one.off, one.size, write=one.write, signed=one.signed) is not None), one


@pytest.mark.parametrize(
    ("off", "size", "write"), [(76, 4, False), (80, 4, False), (152, 8, True)], ids=["data", "data_end", "tstamp"]
)
def test_what_a_cgroup_may_do_with_packets_takes_cap_bpf(off: int, size: int, write: bool) -> None:
    one = Try(size, off, write, signed=False)
    assert ours("cgroup_skb", 0, one) is not None
    assert ours("cgroup_skb", 0, one, Options(caps=ALL - {"CAP_BPF"})) is not None  # CAP_SYS_ADMIN stands for it
    assert ours("cgroup_skb", 0, one, Options(caps=frozenset({"CAP_NET_ADMIN"}))) is None
    assert ours("cgroup_skb", 0, Try(8, 152, write=False, signed=False), Options(caps=frozenset())) is not None


def test_a_tracepoint_has_nothing_in_front_of_its_record() -> None:
    assert ours("tracepoint", 0, Try(8, -8, write=False, signed=False)) is None
    assert ours("tracepoint", 0, Try(8, 0, write=False, signed=False)) is None
    assert ours("tracepoint", 0, Try(8, 8, write=False, signed=False)) is not None


def _code(one: Try, result: int) -> bytes:
    size = 8 * one.size
    if one.write:
        body = (make(ROW[f"st{size}"], 1, off=one.off),)
    else:
        body = (make(ROW[f"ldsx{size}" if one.signed else f"ldx{size}"], 2, 1, off=one.off),)
    return program((*body, make(ROW["mov64_imm"], imm=result), make(ROW["exit"])), order=sys.byteorder).encode()


def _agrees(name: str, attach: int, step: int) -> None:
    kind = PROGRAM_TYPES[name].number
    flags = live.SLEEPABLE if name == "syscall" else 0
    for result in (1, 0):
        answer = live.load(f"r0 = {result}; exit", kind, attach, prog_flags=flags)
        if not answer.errno:
            break
    else:
        pytest.skip(f"this kernel has no programs of type {name}: {answer}")
    for number, one in enumerate(tries(name)):
        if number % step:
            continue
        found, where = ours(name, attach, one), (name, attach, one)
        answer = live.load(_code(one, result), kind, attach, level=2, prog_flags=flags)
        if found is None:
            if name == "tracepoint" and one.off < 0 and not one.write:
                continue  # Linux has a hole here
            assert answer.errno == 13, where
            assert answer.reason == invalid(found_in(name, attach), one.off, one.size, one.write), where
        else:
            assert answer.errno == 0, (where, answer)
            if not one.write:
                word = word_of(found)
                assert answer.register(2).partition("(")[0] == word or word == "scalar", (where, answer)


CASES = [(name, attach) for name in NAMES for attach in attaches(name)]


class TestTheLiveKernel:
    """Every access: verdict, reason and what a load gives."""

    pytestmark = live.needs_linux

    @pytest.mark.parametrize(("name", "attach"), CASES)
    def test_agrees_here_and_there(self, name: str, attach: int) -> None:
        _agrees(name, attach, 41)

    @pytest.mark.deep
    @pytest.mark.parametrize(("name", "attach"), CASES)
    def test_agrees(self, name: str, attach: int) -> None:
        _agrees(name, attach, 1)
