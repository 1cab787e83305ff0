"""Several files as one: names, data, maps, types and lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from elfs import ORDERS, built, compiled, outcome

from bpf.errors import BadObject, Refused
from bpf.object import Object, link, load
from bpf.object.btf import Kind


def both(order: str) -> Object:
    return Object(link([(f"{name}.o", built(name, order)) for name in ("link_a", "link_b")]))


@pytest.mark.parametrize("order", ORDERS)
class TestLinked:
    def test_functions_and_variables_of_both(self, order: str) -> None:
        opened = both(order)
        program = opened.program(opened.choose(name="linked")[0])
        assert outcome(program).r0 == 10 * (3 * 7 + 2) + 100000 + (1 + 200) + (2 + 5)
        assert [function.name for function in program.functions] == [
            "linked", "kept", "same_name", "replaced", "helper_function", "same_name",
        ]  # fmt: skip
        assert [map_.name for map_ in program.maps] == [".data"]

    def test_the_other_way_round(self, order: str) -> None:
        opened = Object(link([(f"{name}.o", built(name, order)) for name in ("link_b", "link_a")]))
        assert outcome(opened.program(opened.choose(name="linked")[0])).r0 == 230 + 100000 + 201 + 79

    def test_maps_of_both(self, order: str) -> None:
        opened = both(order)
        program = opened.program(opened.choose(name="with_maps")[0])
        assert [(map_.name, map_.kind, map_.max_entries) for map_ in program.maps] == [
            ("own", "array", 1), ("shared", "hash", 7),
        ]  # fmt: skip
        assert [map_.name for map_ in opened.maps] == ["own", "unused_here", "shared"]
        assert opened.license == "GPL"

    def test_types_and_lines_of_both(self, order: str) -> None:
        opened = both(order)
        program = opened.program(opened.choose(name="linked")[0])
        assert program.btf is not None
        for function in program.functions:
            assert program.btf[program.types[function.start]].name == function.name
            assert program.btf[program.types[function.start]].kind is Kind.FUNC
        files = {Path(line.file).name for line in program.lines.values()}
        assert files == {"link_a.c", "link_b.c"}
        for line in program.lines.values():
            text = (Path(__file__).parents[2] / "data" / "objects" / Path(line.file).name).read_text().splitlines()
            assert line.text in ("", text[line.line - 1].strip())

    def test_what_neither_defines(self, order: str) -> None:
        with pytest.raises(Refused, match=r"function helper_function is not defined \(.*--link"):
            load(built("link_a", order), name="linked")

    def test_a_name_defined_twice(self, order: str) -> None:
        with pytest.raises(BadObject, match=r"b\.o: replaced is defined here and in a\.o"):
            link([("a.o", built("link_b", order)), ("b.o", built("link_b", order))])

    def test_core_relocations_of_both(self, order: str, tmp_path: Path) -> None:
        first = """#include <bpf/bpf_core_read.h>
            struct s { int a, b; } __core; int g(struct s *s); SEC("x") int f(struct s *s) { return s->b + g(s); }"""
        second = """#include <bpf/bpf_core_read.h>
            struct t { int c, d, e; } __core; __noinline int g(struct t *t) { return t->e; }
            SEC("x") int id(void *c) { return bpf_core_type_id_local(struct t); }"""
        files = [(name, compiled(text, order, tmp_path)) for name, text in (("a.o", first), ("b.o", second))]
        opened = Object(link(files))
        words = [n.to_bytes(4, "big" if order == "big" else "little") for n in (1, 20, 300)]
        assert outcome(opened.program(opened.choose(name="f")[0]), b"".join(words)).r0 == 320
        number = outcome(opened.program(opened.choose(name="id")[0])).r0
        assert opened.types is not None
        assert opened.types[number].name == "t"


def test_files_of_both_byte_orders() -> None:
    with pytest.raises(BadObject, match=r"b\.o: big-endian, and a\.o is little-endian"):
        link([("a.o", built("link_a", "little")), ("b.o", built("link_b", "big"))])


def test_licenses_that_differ(tmp_path: Path) -> None:
    text = 'char l[] __attribute__((section("license"), used)) = "MIT"; int f(void) { return 1; }'
    with pytest.raises(BadObject, match=r"b\.o: section license says something else"):
        link([("a.o", built("link_a", "little")), ("b.o", compiled(text, "little", tmp_path))])


def test_a_broken_file_is_named() -> None:
    with pytest.raises(BadObject, match=r"b\.o: not an ELF file"):
        link([("a.o", built("link_a", "little")), ("b.o", b"nonsense")])
    with pytest.raises(BadObject, match="no files"):
        link([])
