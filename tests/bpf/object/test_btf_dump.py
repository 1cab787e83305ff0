"""How types are printed: as bpftool prints them where it is installed, and as C that compiles to the same types."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from elfs import EXAMPLES, ORDERS, built, compiled
from elfs import PROGRAMS as PROGRAMS_THERE
from hypothesis import given
from typelists import EVERY_KIND, KERNEL, type_lists

from bpf.errors import BadObject
from bpf.object.btf import COMPOSITE, ENUMS, Btf, Kind, Member, Type
from bpf.object.btf_c import c_header
from bpf.object.btf_check import btf
from bpf.object.btf_raw import json_records, raw_lines
from bpf.object.btf_wire import decode
from bpf.object.parts import raw_types

BPFTOOL = shutil.which("bpftool")
needs_bpftool = pytest.mark.skipif(BPFTOOL is None, reason="no bpftool")
PROGRAMS = ("types", "maps", "core_target")


@pytest.mark.parametrize("form", ["raw", "c", "json"])
@pytest.mark.parametrize("name", ["types", "every_kind"])
def test_goldens(name: str, form: str, golden: Callable[[str, str], None]) -> None:
    prebuilt = PROGRAMS_THERE / "types.bpfel.o"  # another compiler numbers types in another order
    types = btf(EVERY_KIND) if name == "every_kind" else raw_types(prebuilt.read_bytes())
    texts = {
        "raw": lambda: "".join(f"{line}\n" for line in raw_lines(types)),
        "c": lambda: c_header(types),
        "json": lambda: json.dumps({"types": json_records(types)}, indent=1) + "\n",
    }
    golden(f"btf/{name}.{form}.txt", texts[form]())


def bpftool(*arguments: str) -> str:
    assert BPFTOOL is not None
    done = subprocess.run([BPFTOOL, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@needs_bpftool
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_raw_and_json_are_bpftools(name: str, order: str, tmp_path: Path) -> None:
    data = built(name, order)
    path = tmp_path / "x.o"
    path.write_bytes(data)
    assert list(raw_lines(raw_types(data))) == bpftool("btf", "dump", "file", str(path)).splitlines()
    assert json_records(raw_types(data)) == json.loads(bpftool("-j", "btf", "dump", "file", str(path)))["types"]


def header_of(path: Path) -> str:
    """What bpftool prints as C, in the order of the types: from 7.5 on it sorts them, if it is not told not to."""
    assert BPFTOOL is not None
    arguments = [BPFTOOL, "btf", "dump", "file", str(path), "format", "c"]
    done = subprocess.run([*arguments, "unsorted"], capture_output=True, text=True, check=False)
    return bpftool(*arguments[1:]) if done.returncode else done.stdout


SHIPPED = sorted(path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*.o"))


@needs_bpftool
@pytest.mark.parametrize(
    "name",
    [one if n % 14 == 0 else pytest.param(one, marks=pytest.mark.deep) for n, one in enumerate(SHIPPED)],
    ids=str,
)
def test_shipped_objects_are_dumped_as_by_bpftool(name: Path) -> None:
    path = EXAMPLES / name
    types = raw_types(path.read_bytes())
    assert list(raw_lines(types)) == bpftool("btf", "dump", "file", str(path)).splitlines()
    assert json_records(types) == json.loads(bpftool("-j", "btf", "dump", "file", str(path)))["types"]
    assert c_header(types) == header_of(path)


@needs_bpftool
@pytest.mark.skipif(not KERNEL.is_file(), reason="this kernel has no types")
def test_the_kernels_types_are_bpftools() -> None:
    types = decode(KERNEL.read_bytes())
    assert list(raw_lines(types)) == bpftool("btf", "dump", "file", str(KERNEL)).splitlines()


# C ---------------------------------------------------------------------------------------------------------------


def shape(types: Btf, number: int, *, whole: bool = False) -> Any:
    """A type by value; named types by name, but for the one that is asked for."""
    one = types[number]
    if not number:
        return "void"
    kind = "ENUM" if one.kind in ENUMS else one.kind.name
    if one.kind in COMPOSITE and (whole or not one.name):
        return kind, one.name, one.size, [(m.name, m.offset, m.bits, shape(types, m.type)) for m in one.members]
    if one.kind in ENUMS and (whole or not one.name):
        return kind, one.name, one.size, sorted(one.values)
    if one.kind is Kind.INT:
        return kind, one.size, one.encoding
    if one.kind is Kind.FLOAT:
        return kind, one.size
    if one.kind is Kind.ARRAY:
        return kind, one.count, shape(types, one.type)
    if one.kind is Kind.FUNC_PROTO:
        return kind, shape(types, one.type), [shape(types, param.type) for param in one.params]
    if one.kind is Kind.FWD:
        return ("UNION" if one.flag else "STRUCT"), one.name
    if one.name and not (whole and one.kind is Kind.TYPEDEF) and one.kind is not Kind.TYPE_TAG:
        return kind, one.name
    return kind, one.name, shape(types, one.type)


def shapes(types: Btf) -> dict[tuple[str, str], Any]:
    """Every named type that C declares."""
    found = {}
    for number, one in enumerate(types.types):
        if number and one.name and (one.kind in COMPOSITE or one.kind in ENUMS or one.kind is Kind.TYPEDEF):
            found.setdefault(
                ("ENUM" if one.kind in ENUMS else one.kind.name, one.name), shape(types, number, whole=True)
            )
    return found


def recompiled(types: Btf, order: str, folder: Path) -> dict[tuple[str, str], Any]:
    """The named types of a header that uses each of them."""
    words = {"STRUCT": "struct ", "UNION": "union ", "ENUM": "enum ", "TYPEDEF": ""}
    uses = "".join(f"{words[kind]}{name} *use{n};\n" for n, (kind, name) in enumerate(shapes(types)))
    return shapes(raw_types(compiled(c_header(types) + uses, order, folder)))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_c_compiles_to_the_same_types(name: str, order: str, tmp_path: Path) -> None:
    types = raw_types(built(name, order))
    again = recompiled(types, order, tmp_path)
    for key, value in shapes(types).items():
        assert again[key] == value, key


def test_every_kind_compiles_to_the_same_types(tmp_path: Path) -> None:
    types = btf(EVERY_KIND)
    again = recompiled(types, "little", tmp_path)
    assert {key: value for key, value in shapes(types).items() if again[key] != value} == {}


@pytest.mark.deep
@pytest.mark.skipif(not KERNEL.is_file(), reason="this kernel has no types")
def test_the_kernels_types_compile(tmp_path: Path) -> None:
    assert compiled(c_header(decode(KERNEL.read_bytes())), "little", tmp_path)


@given(type_lists())
def test_any_types_are_c_or_one_error(types: list[Type]) -> None:
    try:
        text = c_header(btf(types))
    except BadObject as error:
        assert "which C cannot say" in str(error)
    else:
        assert text.count("{") == text.count("}")


UNSAYABLE = {
    "overlap": (Type(Kind.STRUCT, "s", 8, members=(Member("a", 1, 0), Member("b", 1, 16))),),
    "anonymous circle": (
        Type(Kind.STRUCT, "", 8, members=(Member("p", 3, 0),)), Type(Kind.PTR, type=2),
        Type(Kind.STRUCT, "s", 8, members=(Member("x", 2, 0),)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", UNSAYABLE)
def test_what_c_cannot_say(what: str) -> None:
    types = btf((EVERY_KIND[0], *UNSAYABLE[what]))
    with pytest.raises(BadObject, match=r"section \.BTF: type \d+: .*, which C cannot say \(dump it with format raw\)"):
        c_header(types)


def test_names_that_several_types_have() -> None:
    int_ = EVERY_KIND[0]
    same = [
        Type(Kind.STRUCT, "s", 4 * n, members=tuple(Member("abc"[k], 1, 32 * k) for k in range(n))) for n in (1, 2, 3)
    ]
    text = c_header(btf((int_, *same)))
    assert [line for line in text.splitlines() if line.startswith("struct")] == [
        "struct s {", "struct s___2 {", "struct s___3 {",
    ]  # fmt: skip
