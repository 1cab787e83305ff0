"""Programs that work on maps: sequences of operations as text, and a body of written ones. Every engine runs them.

A program leaves what each operation gave in its memory, 8 bytes an operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from bpf.program import Map
from bpf.spec.maps import NO_PREALLOC

LOOKUP, UPDATE, DELETE, PUSH, POP, PEEK, PERCPU = 1, 2, 3, 87, 88, 89, 195
OUTPUT, RESERVE, SUBMIT, DISCARD, QUERY = 130, 131, 132, 133, 134

KEYED = (
    Map("m", "array", 4, 8, 5), Map("m", "percpu_array", 4, 8, 5), Map("m", "hash", 4, 8, 5),
    Map("m", "hash", 4, 8, 5, flags=NO_PREALLOC), Map("m", "percpu_hash", 4, 8, 5),
    Map("m", "percpu_hash", 4, 8, 5, flags=NO_PREALLOC), Map("m", "lru_hash", 4, 8, 64),
    Map("m", "lru_percpu_hash", 4, 8, 64), Map("m", "lpm_trie", 8, 8, 5, flags=NO_PREALLOC),
)  # fmt: skip
QUEUES = (Map("m", "queue", 0, 8, 3), Map("m", "stack", 0, 8, 3))
RING = Map("m", "ringbuf", 0, 0, 4096)


@dataclass(frozen=True)
class Op:
    """One operation. key: a number, of a trie (prefix length, data)."""

    name: str
    key: int | tuple[int, int] = 0
    value: int = 0
    flags: int = 0


def _key(key: int | tuple[int, int]) -> str:
    first, second = key if isinstance(key, tuple) else (key, 0)
    return f"*(u32 *)(r10 - 16) = {first}; *(u32 *)(r10 - 12) = {second}; r2 = r10; r2 += -16"


def _value(value: int, register: int) -> str:
    return f"r1 = 0x{value:x} ll; *(u64 *)(r10 - 32) = r1; r{register} = r10; r{register} += -32"


def _call(helper: int) -> str:
    return f"r1 = map[idx:0]; call {helper}"


def _text(op: Op, n: int) -> str:
    """The operation; what it gives is in R0."""
    done = f"done{n}"
    through = f"if r0 == 0 goto {done}"
    if op.name == "update":
        return f"{_value(op.value, 3)}; {_key(op.key)}; r4 = {op.flags}; {_call(UPDATE)}"
    if op.name == "delete":
        return f"{_key(op.key)}; {_call(DELETE)}"
    if op.name == "lookup":
        return f"{_key(op.key)}; {_call(LOOKUP)}; {through}; r0 = *(u64 *)(r0 + 0)\n{done}:"
    if op.name == "bump":  # in place
        return (
            f"{_key(op.key)}; {_call(LOOKUP)}; {through}; r1 = *(u64 *)(r0 + 0); r1 += {op.value & 0xFFFF};"
            f" *(u64 *)(r0 + 0) = r1; r0 = r1\n{done}:"
        )
    if op.name == "stale":  # an update behind the back of a pointer, which then still sees the old value, or not
        return (
            f"{_key(op.key)}; {_call(LOOKUP)}; {through}; r7 = r0; {_value(op.value, 3)}; {_key(op.key)}; r4 = 0;"
            f" {_call(UPDATE)}; r0 = *(u64 *)(r7 + 0)\n{done}:"
        )
    if op.name == "push":
        return f"{_value(op.value, 2)}; r3 = {op.flags}; {_call(PUSH)}"
    if op.name in ("pop", "peek"):
        helper = POP if op.name == "pop" else PEEK
        return f"{_value(7, 2)}; {_call(helper)}; r1 = *(u64 *)(r10 - 32); r0 ^= r1"
    if op.name == "output":
        return f"{_value(op.value, 2)}; r3 = {op.flags >> 2 & 7}; r4 = {op.flags & 3}; {_call(OUTPUT)}"
    if op.name == "record":
        end = SUBMIT if op.flags & 1 else DISCARD
        size = 8 + (op.key if isinstance(op.key, int) else 0)
        return (
            f"r2 = {size}; r3 = {op.flags >> 1}; {_call(RESERVE)}; {through}; r1 = {op.value & 0xFFFF};"
            f" *(u64 *)(r0 + 0) = r1; r1 = r0; r2 = 0; call {end}; r0 = 1\n{done}:"
        )
    assert op.name == "query"
    return f"r2 = {op.flags}; {_call(QUERY)}"


def program_text(ops: Sequence[Op]) -> str:
    """A program that does the operations, R1 being memory of 8 bytes for each."""
    steps = [f"{_text(op, n)}\n*(u64 *)(r9 + {8 * n}) = r0" for n, op in enumerate(ops)]
    return "\n".join(["r9 = r1", "r7 = 0", *steps, "r0 = 0; exit"])


def keyed_ops(map_: Map) -> st.SearchStrategy[list[Op]]:
    """Operations on a map with keys."""
    key: st.SearchStrategy[int | tuple[int, int]] = st.integers(0, 6)
    if map_.kind == "lpm_trie":
        key = st.tuples(st.sampled_from([0, 1, 7, 8, 16, 31, 32, 33]), st.sampled_from([0, 1, 0x80, 0xFF, 0x1234, -1]))
    names = st.sampled_from(["update", "update", "delete", "lookup", "bump", "stale"])
    flags = st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 8, 0x7FFFFFFF])
    op = st.builds(Op, names, key, st.integers(1, (1 << 64) - 1), flags)
    return st.lists(op, min_size=1, max_size=14)


def queue_ops() -> st.SearchStrategy[list[Op]]:
    """Operations on a queue or a stack."""
    names = st.sampled_from(["push", "push", "pop", "peek"])
    flags = st.sampled_from([0, 0, 0, 1, 2, 3, 4])
    return st.lists(st.builds(Op, names, st.just(0), st.integers(1, (1 << 64) - 1), flags), min_size=1, max_size=14)


def ring_ops() -> st.SearchStrategy[list[Op]]:
    """Operations on a ring buffer. Records are 8 bytes, or so long that few fit (and then are discarded)."""
    value = st.integers(1, (1 << 64) - 1)
    return st.lists(
        st.one_of(
            st.builds(Op, st.just("output"), st.just(0), value, st.integers(0, 31)),
            st.builds(Op, st.just("record"), st.just(0), value, st.sampled_from([0, 1, 1, 2])),
            st.builds(Op, st.just("record"), st.sampled_from([992, 2000, 4080, 5000]), value, st.just(0)),
            st.builds(Op, st.just("query"), st.just(0), st.just(0), st.integers(0, 5)),
        ),
        min_size=1,
        max_size=14,
    )
