"""Types that are read when they are asked for are those that are read at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpf.errors import BadObject
from bpf.object.btf import VOID, Btf, Kind, Member, Param, Type, Value, Variable
from bpf.object.btf_lazy import open_types
from bpf.object.btf_wire import decode, encode

KERNEL = Path("/sys/kernel/btf/vmlinux")
EVERY = Btf((
    VOID, Type(Kind.INT, "int", 4, encoding=1, bits=32), Type(Kind.PTR, type=4),
    Type(Kind.ARRAY, type=1, index=1, count=3),
    Type(Kind.STRUCT, "s", 8, members=(Member("a", 1, 0), Member("b", 1, 32))),
    Type(Kind.UNION, "u", 4, members=(Member("a", 1, 0),)), Type(Kind.ENUM, "e", 4, values=(Value("one", 1),)),
    Type(Kind.FWD, "f"), Type(Kind.TYPEDEF, "t", type=4), Type(Kind.CONST, type=1),
    Type(Kind.FUNC_PROTO, type=1, params=(Param("x", 1), Param("y", 2))), Type(Kind.FUNC, "s", type=10, linkage=1),
    Type(Kind.VAR, "v", type=1, linkage=1), Type(Kind.DATASEC, ".data", 4, variables=(Variable(12, 0, 4),)),
    Type(Kind.FLOAT, "double", 8), Type(Kind.DECL_TAG, "tag", type=4, component=1), Type(Kind.TYPE_TAG, "rcu", type=4),
    Type(Kind.ENUM64, "big", 8, values=(Value("large", 1 << 40),)), Type(Kind.STRUCT, "last", 0),
))  # fmt: skip


@pytest.mark.parametrize("order", ["little", "big"])
def test_every_kind(order: str) -> None:
    data = encode(EVERY, order)
    found, whole = open_types(data), decode(data)
    assert list(found.types) == list(whole.types)
    assert len(found) == len(EVERY)
    assert found[18].name == "last"
    assert found.types[1:3] == list(whole.types[1:3])


def test_names() -> None:
    found = open_types(encode(EVERY))
    assert found.named("s") == [4, 11]
    assert found.find("s", Kind.FUNC) == 11
    assert found.find("s", Kind.TYPEDEF) is None
    assert found.named("nothing") == found.named("") == []


def test_something_else() -> None:
    with pytest.raises(BadObject, match="no BTF magic number"):
        open_types(b"ELF")


@pytest.mark.skipif(not KERNEL.is_file(), reason="this kernel has no types")
def test_the_kernels() -> None:
    found = open_types(KERNEL.read_bytes())
    number = found.find("task_struct", Kind.STRUCT)
    assert number is not None
    assert found[number].members
    assert found[len(found) - 1].kind in Kind
