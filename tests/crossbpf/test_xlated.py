"""`dump xlated`: what the kernel makes of an accepted program, as golden files and against the live kernel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crossbpf import dumping
from fuzz.parity import xlated as parity
from runtime import verifying
from runtime.xlating import Translated, xlated
from tests.crossbpf.xlated_programs import MAPS, PROGRAMS, made
from tests.verifier.live import needs_linux
from verifier import Options, verify

each = pytest.mark.parametrize("name", PROGRAMS)
FEW = parity.CAPABILITIES["bpf"]
IDS = tuple(range(1, len(MAPS) + 1))
TAG = "0123456789abcdef"


def section(name: str, options: Options | None = None) -> str:
    program, kind = made(name)
    assert verify(verifying.subject(program, kind), options).accepted
    after = xlated(program, kind, options)
    lines = dumping.xlated_lines(Translated(after, IDS, TAG))
    return "\n".join([f"# {name}", *(line for line in lines if not line.startswith("; ")), ""])


@each
def test_accepted(name: str) -> None:
    program, kind = made(name)
    verdict = verify(verifying.subject(program, kind))
    assert verdict.accepted, verdict.log


def test_dumps(golden: Callable[[str, str], None]) -> None:
    golden("verifier/xlated.txt", "\n".join(section(name) for name in PROGRAMS))


def test_dumps_of_others(golden: Callable[[str, str], None]) -> None:
    """Who lacks CAP_PERFMON has masks and barriers; who lacks CAP_BPF keeps dead code, as a trap."""
    none = Options(frozenset(), log_level=0)
    masks = [name for name in PROGRAMS if "mask" in name]
    texts = [section(name, FEW) for name in masks] + [section("dead code without a function", none)]
    golden("verifier/xlated-others.txt", "\n".join(texts))


@needs_linux[0]
@needs_linux[1]
@each
def test_as_the_kernel_has_it(name: str) -> None:
    ours, theirs = parity.both(*made(name))
    assert ours == theirs


@needs_linux[0]
@needs_linux[1]
@each
def test_without_perfmon(name: str) -> None:
    """Masks and barriers are the kernel's too."""
    program, kind = made(name)
    if not verify(verifying.subject(program, kind), FEW).accepted:
        pytest.skip("refused without CAP_PERFMON")
    ours, theirs = parity.both(program, kind, FEW)
    assert ours == theirs


@each
def test_the_other_byte_order(name: str) -> None:
    """A program of the other order becomes the same instructions, but where a part of a field lies elsewhere in it."""
    program, kind = made(name)
    little, big = xlated(program, kind), xlated(program.in_order("big"), kind)
    assert big.order == "big"
    assert big is not program
    if name != "fields of the context":
        assert big.insns == little.insns


@needs_linux[0]
@needs_linux[1]
@pytest.mark.deep
@pytest.mark.parametrize("caps", parity.CAPABILITIES)
def test_generated(caps: str) -> None:
    assert parity.main(["--count", "2000", "--caps", caps]) == 0
