"""The live kernel: what it loads gives the interpreter's results, what it refuses says so in the verifier's words.

Skipped, with the reason, where bpf() is absent or not permitted; tests/engines/test_wrapper.py needs neither.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.errors import Refused
from bpf.plan import Unit
from bpf.program import Map, Program
from bpf.text import assemble
from crossbpf.cli import main
from crossbpf.inputs import memory_beside, read_source
from engines import ENGINES, syscall
from engines.linux import LinuxEngine
from engines.surroundings import judge
from tests.engines.kernel import ready
from tests.live_kernel import live
from tests.strategies import running_programs
from vm.outcome import Difference, Outcome
from vm.world import Input, Limits, World

HERE = sys.byteorder
RELEASE = tuple(int(number) for number in re.findall(r"\d+", platform.release())[:2])
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytestmark = live


def run(text: str, given: Input | None = None, maps: tuple[Map, ...] = ()) -> Outcome:
    unit = Unit((assemble(text, order=HERE),), maps)
    return LinuxEngine().prepare(unit).run(given or Input(), World(), Limits())


def against(unit: Unit, given: Input) -> Difference:
    """The kernel's run beside the interpreter's."""
    expected = ENGINES["interpreter"].prepare(unit).run(given, World(), Limits())
    live = LinuxEngine()
    return judge(live, unit, expected, live.prepare(unit).run(given, World(), Limits()), given, World(), Limits())


# Runs --------------------------------------------------------------------------------------------


def test_what_is_shown() -> None:
    outcome = run("r6 = 7; r9 = 9; r0 = *(u8 *)(r1 + 1); r0 += r2; *(u8 *)(r1 + 0) = 255; exit", Input(b"\x05\x06\x07"))
    assert (outcome.status, outcome.r0) == ("done", 9)
    assert outcome.registers == (9, None, None, None, None, None, 7, None, None, 9)
    assert outcome.regions is not None
    assert outcome.regions["memory"] == b"\xff\x06\x07".ljust(4096, b"\0")


def test_r0_has_64_bits() -> None:
    assert run("r0 = 0xfedcba9876543210 ll; exit").r0 == 0xFEDC_BA98_7654_3210


def test_pointers_that_are_kept_are_the_same_address() -> None:
    text = """
        r6 = r1; r7 = r10; r7 += -16; r8 = map_value[idx:0][8]; r8 += -300; r9 = map[idx:0]
        r3 = map_value[idx:0][0]; *(u64 *)(r3 + 1) = r1; *(u64 *)(r3 + 16) = r8; *(u64 *)(r1 + 0) = r3
        r0 = r1; r0 += 0x123456; exit"""
    unit = Unit((assemble(text, order=HERE),), (Map("m", value_size=24, initial=bytes(24)),))
    assert against(unit, Input(bytes(12))) == Difference(skipped=("calls", "printed"))


def test_what_is_computed_from_a_pointer_is_not_compared() -> None:
    found = against(Unit((assemble("r0 = r1; r0 <<= 1; exit", order=HERE),)), Input())
    assert found == Difference(skipped=("calls", "printed"))  # no memory: 0, which is no address
    found = against(Unit((assemble("w0 = w1; exit", order=HERE),)), Input(b"123"))
    assert (found.what, found.decided) == ("", False)
    assert "where memory lies" in found.why


def test_the_machines_clock_is_not_the_worlds() -> None:
    found = against(Unit((assemble("call 5; exit", order=HERE),)), Input())
    assert found.why == "it calls ktime_get_ns, whose result is the machine's"


def test_read_only_data_is_known_to_the_verifier() -> None:
    """An index that would be out of bounds in general, from a map whose content is fixed."""
    text = "r2 = map_value[idx:0][0]; r2 = *(u64 *)(r2 + 0); r1 += r2; r0 = *(u8 *)(r1 + 0); exit"
    content = (5).to_bytes(8, HERE)
    fixed, open_ = Map("ro", initial=content, readonly=True), Map("rw", initial=content)
    assert run(text, Input(b"abcdefgh"), (fixed,)).r0 == ord("f")
    with pytest.raises(Refused, match="insn 3: math between map_value pointer and register with unbounded min value"):
        run(text, Input(b"abcdefgh"), (open_,))
    with pytest.raises(Refused, match="write into map forbidden"):
        run("r2 = map_value[idx:0][0]; *(u64 *)(r2 + 0) = 1; r0 = 0; exit", maps=(fixed,))


def test_descriptors_are_closed() -> None:
    def count() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    run("r0 = 0; exit")
    before = count()
    for length in range(4):
        run("r0 = r2; exit", Input(bytes(length)))
        with pytest.raises(Refused):
            run("r0 = *(u8 *)(r2 + 0); exit", Input(bytes(length)))
    assert count() == before


# Refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("r1 = 5; r0 = *(u64 *)(r1 + 0); exit", "insn 1: R1 invalid mem access 'scalar' (errno 13)"),
        ("r6 = 1; r0 = r7; exit", "insn 1: R7 !read_ok (errno 13)"),
        ("exit", "R0 !read_ok (errno 13)"),
        ("r0 = 0; exit; r0 = 1; exit", "unreachable insn 2 (errno 22)"),
        ("r0 = *(u8 *)(r1 + 8); exit", "insn 0: invalid access to map value, value_size=8 off=8 size=1; R1"),
        ("r0 = r10; exit", "cannot return stack pointer to the caller"),
        ("r0 = 1; again: goto again; exit", "errno 22"),
    ],
)
def test_the_verifiers_words(text: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        run(text, Input(bytes(8)))
    assert words in str(caught.value)


def test_the_whole_log_and_what_was_compiled() -> None:
    unit = Unit((assemble("r6 = 3; r0 = r6; exit", order=HERE),))
    loaded = LinuxEngine().prepare(unit).loaded(Input(), World())
    log = loaded.log(syscall.LOG_STATES)
    assert "r0 = r6" in log
    assert "R0=3" in log
    info = loaded.info()
    assert info.verified >= 3
    assert len(info.functions) == 2 or not info.jited
    assert sum(length for _, length in info.functions) == len(info.jited) or not info.jited
    assert len(info.xlated) == 8 * len(loaded.wrapped.program)


def test_a_table_with_the_kernel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def row(text: str) -> dict[str, str]:
        (tmp_path / "a.bpf").write_text(text)
        main(["check", str(tmp_path / "a.bpf"), "--target", "x86_64", "--engine", "linux", "--json"])
        rows = json.loads(capsys.readouterr().out)["engines"]
        assert [row["engine"] for row in rows] == ["interpreter", "x86_64", "linux"]
        return rows[-1]  # type: ignore[no-any-return]

    agrees = row("r0 = 5\nexit\n")
    assert (agrees["verdict"], agrees["r0"]) == ("agrees", "0x5")
    refused = row("r1 = 5\nr0 = *(u64 *)(r1 + 0)\nexit\n")
    assert (refused["verdict"], refused["reason"]) == (
        "refused", "insn 1: R1 invalid mem access 'scalar' (errno 13)",
    )  # fmt: skip
    undecided = row("call 7\nexit\n")
    assert undecided["verdict"] == "undecided"
    assert "it calls get_prandom_u32" in undecided["reason"]


# Programs ----------------------------------------------------------------------------------------

EXPECTED = json.loads((EXAMPLES / "expected.json").read_text())
REFUSED = {
    "packet": "invalid access to map value",  # a length of the packet itself, which it does not check
    "xxhash64": "invalid access to map value",
}
TOO_COMPLEX = {"checksum", "prime"}  # loops that the verifier follows for seconds before it gives up


@pytest.mark.parametrize("name", [name for name in EXPECTED if name not in TOO_COMPLEX])
def test_examples(name: str) -> None:
    path = str(EXAMPLES / f"{name}.{'bpfel' if HERE == 'little' else 'bpfeb'}.o")
    unit = Unit((read_source(path, paired=True).program_in(HERE),))
    given = Input(memory_beside(path))
    prepared = LinuxEngine().prepare(unit)
    if name in REFUSED:
        with pytest.raises(Refused, match=REFUSED[name]):
            prepared.run(given, World(), Limits())
        return
    for _ in range(2):
        assert prepared.run(given, World(), Limits()).r0 == int(EXPECTED[name]["result"], 0)
    assert not against(unit, given)


CONTROL = {
    "ja": "r0 = 1; goto over; back: r0 += 4; goto out; over: r0 += 2; goto back; out: exit",
    "gotol": "r0 = 1; gotol over; back: r0 += 4; gotol out; over: r0 += 2; gotol back; out: exit",
    "call_local": """
        r6 = 6; r7 = 7; r1 = 40; r2 = 2; call f; r0 += r6; r0 += r7; exit
        f: *(u64 *)(r10 - 8) = r1; r6 = 1; r7 = 1; r1 = r2; call g; r1 = *(u64 *)(r10 - 8); r0 += r1; exit
        g: r0 = r1; r6 = 99; exit""",
    "exit": "r6 = r2; r0 = 1; if r6 == 8 goto out; r6 = 3; exit; out: r7 = 5; exit",
    "call_helper": "r6 = r2; call 8; r0 = r6; exit",
}


@pytest.mark.parametrize("name", CONTROL)
def test_control_flow(name: str) -> None:
    found = against(Unit((assemble(CONTROL[name], order=HERE),)), Input(bytes(8)))
    assert found == Difference(skipped=("calls", "printed"))


def test_random_programs_agree() -> None:
    """What the verifier takes of them, with registers and stack that hold values which it does not know."""
    seen: Counter[str] = Counter()

    @settings(max_examples=250, database=None, derandomize=True, deadline=None)
    @given(prog=running_programs(), memory=st.binary(max_size=24))
    def agree(prog: Program, memory: bytes) -> None:
        unit = Unit((ready(prog).in_order(HERE),))
        try:
            found = against(unit, Input(memory))
        except Refused:
            seen["refused"] += 1
            return
        assert not found, found.what
        seen["agrees" if found.decided else found.why] += 1

    agree()
    assert seen["agrees"] >= 20, seen
