"""When two outcomes differ, in which field first, and what could not be compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vm.outcome import Call, Difference, Fault, Outcome, difference

PRINT = Call("trace_printk", (1, 2, 3, 4, 5))
FULL = Outcome(
    "done",
    r0=5,
    registers=tuple(range(5, 15)),
    regions={"stack": bytes(8), "memory": b"abcd"},
    calls=(Call("ktime_get_ns", ()), PRINT),
    printed=("one", "two"),
    counts={"instructions": 3},
)


def test_equal() -> None:
    found = difference(FULL, replace(FULL))
    assert found == Difference()
    assert found.decided
    assert not found


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"r0": 6}, "R0 is 0x6, expected 0x5"),
        ({"registers": (5, 6, 7, 8, 9, 10, 11, 12, 13, 99)}, "R9 is 0x63, expected 0xe"),
        ({"calls": (Call("ktime_get_ns", ()),)}, "1 helper calls, expected 2"),
        ({"calls": (Call("unwind", (1,)), PRINT)}, "helper call 0 is unwind(0x1), expected ktime_get_ns()"),
        ({"printed": ("one",)}, "printed ['one'], expected ['one', 'two']"),
        ({"regions": {"stack": bytes(8), "memory": b"abcx"}}, "memory byte 3 is 0x78, expected 0x64"),
        ({"regions": {"stack": bytes(7) + b"\1", "memory": b"abcd"}}, "stack byte 7 is 0x01, expected 0x00"),
        (
            {"status": "fault", "fault": Fault("read", 0, 3, 0x40)},
            "ended with read fault of 0x40 at insn 3, expected 0x5",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_each_field(change: dict[str, object], what: str) -> None:
    assert difference(FULL, replace(FULL, **change)) == Difference(what)  # type: ignore[arg-type]


def test_the_first_difference_is_named() -> None:
    assert difference(FULL, replace(FULL, r0=6, printed=())).what.startswith("R0")


@pytest.mark.parametrize("name", ["registers", "regions", "calls", "printed"])
def test_what_one_does_not_show_is_skipped(name: str) -> None:
    bare = replace(FULL, **{name: None})  # type: ignore[arg-type]
    assert difference(FULL, bare) == difference(bare, FULL) == Difference(skipped=(name,))
    assert not difference(bare, bare).skipped


def test_counts_are_not_compared() -> None:
    assert not difference(FULL, replace(FULL, counts={"instructions": 99}))


def test_the_stack_can_be_left_out() -> None:
    other = replace(FULL, regions={"stack": b"12345678", "memory": b"abcd"})
    assert difference(FULL, other)
    assert not difference(FULL, other, stack=False)


@pytest.mark.parametrize("status", ["limit", "unspecified"])
def test_undecided(status: str) -> None:
    """Nothing is compared with a run that was given up or need not agree, whichever side it is on."""
    other = replace(FULL, status=status, r0=77)  # type: ignore[arg-type]
    for found in (difference(FULL, other), difference(other, FULL)):
        assert not found
        assert not found.decided


@pytest.mark.parametrize(
    "other",
    [Fault("write", 0, 3, 0x40), Fault("read", 1, 3, 0x40), Fault("read", 0, 4, 0x40), Fault("read", 0, 3, 0x48)],
)
def test_faults_are_equal_in_every_part(other: Fault) -> None:
    left = replace(FULL, status="fault", fault=Fault("read", 0, 3, 0x40), r0=0)
    assert not difference(left, replace(left))
    assert difference(left, replace(left, fault=other))


def test_after_a_fault_memory_counts_and_r0_does_not() -> None:
    left = replace(FULL, status="fault", fault=Fault("read", 0, 3, 0x40))
    assert not difference(left, replace(left, r0=99, registers=None, calls=FULL.calls))
    assert difference(left, replace(left, regions={"stack": bytes(8), "memory": b"abcx"})).what.startswith(
        "memory byte 3"
    )


def test_summaries() -> None:
    assert FULL.summary() == "0x5"
    assert Outcome("limit").summary() == "limit"
    assert str(Fault("abi", 0, -1, 0, "sp is odd")) == "abi fault (sp is odd)"
    assert str(Fault("write", 0, 7, 0x1000)) == "write fault of 0x1000 at insn 7"
