"""The relocations of LLVM's BPF backend: all of them occur, and each is judged where it stands."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from elfs import ORDERS, Surgeon, built, compiled

from bpf.errors import BadObject
from bpf.object import load
from bpf.object.parts import open_parts
from bpf.object.reader import Elf, Relocation, Section, Symbol, read
from bpf.object.relocation import (
    NAMES,
    R_BPF_64_32,
    R_BPF_64_64,
    R_BPF_64_ABS32,
    R_BPF_64_ABS64,
    R_BPF_64_NODYLD32,
    kind_name,
    relocated,
)


@pytest.mark.parametrize("order", ORDERS)
def test_a_compiler_makes_every_kind(order: str) -> None:
    found: dict[int, set[str]] = {}
    for name in ("maps", "link_a"):
        for section in read(built(name, order)).sections:
            for relocation in section.relocations.values():
                found.setdefault(relocation.kind, set()).add(section.name)
    assert found[R_BPF_64_64] >= {"xdp", "tc", "syscall"}
    assert found[R_BPF_64_32] == {"syscall"}
    assert found[R_BPF_64_NODYLD32] >= {".BTF", ".BTF.ext"}
    assert ".maps" in found[R_BPF_64_ABS64]
    assert set(found) <= set(NAMES)


@pytest.mark.parametrize("order", ORDERS)
def test_32_bit_addresses_of_debug_information(order: str) -> None:
    kinds = {relocation.kind for section in read(built("data", order, "-gdwarf-5")).sections
             for relocation in section.relocations.values() if section.name.startswith(".debug")}  # fmt: skip
    assert R_BPF_64_ABS32 in kinds


@pytest.mark.parametrize("order", ["little", "big"])
def test_data_with_relocations_applied(order: str) -> None:
    mark = "<" if order == "little" else ">"
    data = struct.pack(mark + "IIQ", 5, 7, 1 << 40)
    kinds = ((0, R_BPF_64_ABS32), (4, R_BPF_64_NODYLD32), (8, R_BPF_64_ABS64))
    section = Section(0, ".x", code=False, allocated=True, writable=False, data=data)
    section.relocations = {at: Relocation(at, kind, 0) for at, kind in kinds}
    elf = Elf(order, (section,), (Symbol("s", "OBJECT", "GLOBAL", hidden=False, section=0, value=0xFFFFFFFE),))
    assert struct.unpack(mark + "IIQ", relocated(elf, section)) == (3, 5, (1 << 40) + 0xFFFFFFFE)


@pytest.mark.parametrize(
    ("offset", "kind", "symbol", "message"),
    [
        (0, R_BPF_64_64, 0, r"section \.x\+0x0: relocation R_BPF_64_64 in data"),
        (0, 77, 0, "relocation of type 77 in data"),
        (6, R_BPF_64_ABS32, 0, r"section \.x\+0x6: relocation outside of its section"),
        (0, R_BPF_64_ABS64, 9, "names symbol 9, which is not there"),
    ],
)
def test_relocations_of_data_that_cannot_be(offset: int, kind: int, symbol: int, message: str) -> None:
    section = Section(0, ".x", code=False, allocated=True, writable=False, data=bytes(8))
    section.relocations = {offset: Relocation(offset, kind, symbol)}
    elf = Elf("little", (section,), (Symbol("s", "OBJECT", "GLOBAL", hidden=False, section=0, value=0),))
    with pytest.raises(BadObject, match=message):
        relocated(elf, section)


@pytest.mark.parametrize("kind", [R_BPF_64_ABS64, R_BPF_64_ABS32, R_BPF_64_NODYLD32, R_BPF_64_32, 99])
def test_relocations_that_no_instruction_has(kind: int) -> None:
    data = built("maps", "little")
    surgeon = Surgeon(data)
    start = surgeon.get(surgeon._section(".rellonely" if b".rellonely\0" in data else ".reltc") + 24, "Q")
    surgeon.put(start + 8, "I", kind)
    with pytest.raises(BadObject, match=rf"relocation {kind_name(kind)} on lddw_imm"):
        load(bytes(surgeon.data), name="lonely")


@pytest.mark.parametrize("order", ORDERS)
def test_types_know_where_variables_are(order: str, tmp_path: Path) -> None:
    """Offsets in a DATASEC are relocations too."""
    source = "int a = 1; long b = 2; char c = 3; int f(void) { return a + b + c; }"
    parts = open_parts(compiled(source, order, tmp_path))
    where = {symbol.name: symbol.value for symbol in parts.elf.symbols if symbol.kind == "OBJECT"}
    assert parts.types is not None
    assert {parts.types[n].name: at for at, n in parts.variables(".data").items()} == where
