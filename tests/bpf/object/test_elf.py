"""Loading what clang makes: structure, data, calls across sections, lines, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from elfs import EXAMPLES, NAMES, ORDERS, Surgeon, compiled, example

from bpf.errors import BadObject, Refused
from bpf.isa import ROW, Insn, make
from bpf.object import Object, load
from bpf.object.btf import LINKAGE, Kind, Type
from bpf.object.dwarf import line_table
from bpf.object.parts import open_parts
from bpf.object.relocation import R_BPF_64_32, R_BPF_64_ABS64
from bpf.order import Order
from bpf.plan import Unit
from bpf.program import Program
from tests.handmade import (
    DATA,
    FUNC,
    GLOBAL,
    HIDDEN,
    LOCAL,
    NOTYPE,
    OBJECT,
    OTHER,
    SECTION,
    UNDEF,
    Name,
    Part,
    answer,
    elf,
    insns,
    pointing,
    types_part,
    words,
)
from vm.interpreter import Interpreter
from vm.world import Input, Limits, World


def targets(program: Program, op: str) -> dict[int, str]:
    """Slot -> name of the function that the call or lddw there means."""
    starts = {function.start: function.name for function in program.functions}
    return {
        pc: starts[pc + 1 + insn.distance]
        for pc, insn in enumerate(program.insns)
        if insn is not None and insn.row.op == op
    }


def data_references(program: Program) -> set[tuple[str, int]]:
    """(map, offset) of each lddw that points into data."""
    wide = (insn for insn in program.insns if insn is not None and insn.row.name == "lddw_map_idx_value")
    return {(program.maps[insn.imm & 0xFFFFFFFF].name, insn.imm >> 32) for insn in wide}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", NAMES)
class TestExamples:
    def test_structure(self, name: str, order: str) -> None:
        (program,) = load(example(name, order))
        static = re.findall(r"^static __noinline .*?(\w+)\(", (EXAMPLES / f"{name}.c").read_text(), re.MULTILINE)
        assert (program.name, program.order) == (name, order)
        assert program.functions[0].name == name
        assert sorted(function.name for function in program.functions[1:]) == sorted(static)
        assert set(targets(program, "call_local").values()) == set(static)

    def test_every_line_is_the_source_line_it_names(self, name: str, order: str) -> None:
        (program,) = load(example(name, order))
        source = (EXAMPLES / f"{name}.c").read_text().splitlines()
        assert program.lines
        for line in program.lines.values():
            assert line.file == f"examples/{name}.c"
            assert line.text == source[line.line - 1].strip()
        for function in program.functions:
            assert function.start in program.lines, function.name

    def test_wire_form_has_no_trace_of_relocation(self, name: str, order: str) -> None:
        (program,) = load(example(name, order))
        code = program.encode()
        assert len(code) == 8 * len(program)
        assert all(insn is None or isinstance(insn, Insn) for insn in program.insns)
        for map_name, offset in data_references(program):
            assert 0 <= offset < next(m.value_size for m in program.maps if m.name == map_name)


@pytest.mark.parametrize("order", ORDERS)
def test_data_sections_become_maps(order: str) -> None:
    maps = {map_.name: map_ for map_ in load(example("sha256", order))[0].maps}
    assert set(maps) == {".bss", ".data", ".rodata"}
    assert maps[".rodata"].readonly
    assert not maps[".data"].readonly
    assert not maps[".bss"].readonly
    assert maps[".data"].initial[:4] == 0x6A09E667.to_bytes(4, "big" if order == "big" else "little")
    assert maps[".bss"].initial == bytes(maps[".bss"].value_size)
    assert maps[".rodata"].value_size == 256
    assert (maps[".data"].kind, maps[".data"].key_size, maps[".data"].max_entries) == ("array", 4, 1)


CROSS = """
#include <bpf/bpf_helpers.h>
static __noinline long in_text(long x) { return x * 3; }
__noinline SEC("other") long in_other(long x) { return in_text(x) + 1; }
static __noinline long unused_but_kept(long x) { return x; }
SEC("kept") long keep(long x) { return unused_but_kept(x); }
static __noinline long callback(__u32 i, void *p) { *(long *)p += in_text(i); return 0; }
SEC("xdp") long first(struct xdp_md *ctx)
{
	long sum = 0;
	bpf_loop(4, callback, &sum, 0);
	return in_other(sum) + in_text(ctx->data);
}
SEC("xdp") long second(struct xdp_md *ctx) { return in_text(ctx->data_end); }
"""


@pytest.mark.parametrize("order", ORDERS)
class TestSections:
    def test_calls_and_function_pointers_across_sections(self, order: str, tmp_path: Path) -> None:
        data = compiled(CROSS, order, tmp_path)
        (program,) = load(data, name="first")
        assert program.functions[0].name == "first"
        assert {function.name for function in program.functions} == {"first", "in_text", "in_other", "callback"}
        called = targets(program, "call_local")
        by_caller = {(program.functions[program.function_at(pc)].name, name) for pc, name in called.items()}
        assert by_caller == {
            ("first", "in_other"), ("first", "in_text"), ("in_other", "in_text"), ("callback", "in_text"),
        }  # fmt: skip
        assert set(targets(program, "func").values()) == {"callback"}

    def test_which_programs(self, order: str, tmp_path: Path) -> None:
        data = compiled(CROSS, order, tmp_path)
        assert [(entry.name, entry.section) for entry in Object(data).entries] == [
            ("in_other", "other"), ("keep", "kept"), ("first", "xdp"), ("second", "xdp"),
        ]  # fmt: skip
        assert [program.name for program in load(data)] == ["in_other"]
        assert [program.name for program in load(data, section="xdp")] == ["first", "second"]
        assert [program.name for program in load(data, section="xdp", name="second")] == ["second"]

    def test_a_choice_that_is_not_there(self, order: str, tmp_path: Path) -> None:
        data = compiled(CROSS, order, tmp_path)
        with pytest.raises(BadObject, match=r"x\.o: no global function third in section xdp \(there is in_other in"):
            load(data, file="x.o", section="xdp", name="third")
        with pytest.raises(BadObject, match="no global function callback"):
            load(data, name="callback")
        with pytest.raises(BadObject, match="no global function in section tc"):
            load(data, section="tc")


def test_text_is_taken_when_no_section_is_named(tmp_path: Path) -> None:
    source = "__attribute__((noinline)) int f(int x) { return x + 1; } int g(int x) { return f(x); }"
    data = compiled(source, "little", tmp_path)
    assert [(program.name, len(program.functions)) for program in load(data)] == [("f", 1), ("g", 2)]
    data = compiled(source, "little", tmp_path, "-ffunction-sections")
    assert [(entry.name, entry.section) for entry in Object(data).entries] == [("f", ".text.f"), ("g", ".text.g")]
    assert [program.name for program in load(data, name="g")] == ["g"]


@pytest.mark.parametrize("order", ORDERS)
def test_a_call_by_a_pointer(order: str, tmp_path: Path) -> None:
    source = """static __attribute__((noinline)) int triple(int x) { return 3 * x; }
    int f(int x) { int (*volatile g)(int) = triple; return g(7); }"""
    (program,) = load(compiled(source, order, tmp_path))
    assert set(targets(program, "func").values()) == {"triple"}
    assert [insn.row.name for insn in program.insns if insn is not None].count("callx") == 1
    unit = Unit((program,))
    assert Interpreter(unit, program).run(Input(), World(), Limits()).r0 == 21


def test_string_literals_and_constants_are_data(tmp_path: Path) -> None:
    source = 'int f(unsigned char *p, unsigned long n) { return "0123456789abcdef"[n & 15] + p[0]; }'
    (program,) = load(compiled(source, "little", tmp_path))
    (map_,) = program.maps
    assert map_.name.startswith(".rodata.str")
    assert map_.initial == b"0123456789abcdef\0"
    assert map_.readonly


def test_an_address_inside_a_section(tmp_path: Path) -> None:
    source = "int a[3] = {7}; int b[9] = {1, 2, 3}; int f(int *p, long i) { return b[i] += a[i] += *p; }"
    (program,) = load(compiled(source, "big", tmp_path))
    assert data_references(program) == {(".data", 0), (".data", 12)}
    (map_,) = program.maps
    assert map_.initial[:4] == (7).to_bytes(4, "big")
    assert map_.initial[12:20] == bytes((0, 0, 0, 1, 0, 0, 0, 2))


def test_without_debug_information(tmp_path: Path) -> None:
    (program,) = load(compiled("int f(int x) { return x + 1; }", "little", tmp_path, "-g0"))
    assert not program.lines
    assert program.functions[0].name == "f"


@pytest.mark.parametrize("order", ORDERS)
def test_every_dwarf_version_says_the_lines_that_btf_says(order: str, tmp_path: Path) -> None:
    tables = []
    for version in (2, 3, 4, 5):
        parts = open_parts(compiled(CROSS, order, tmp_path, f"-gdwarf-{version}"))
        elf = parts.elf
        table = line_table(elf)
        tables.append({place: (Path(line.file).name, line.line, line.column) for place, line in table.items()})
        assert parts.ext.lines
        heads = {(symbol.section, symbol.value) for symbol in elf.symbols}
        for (section, offset), line in parts.ext.lines.items():
            owner = elf.named(section)
            assert owner
            if (owner.index, offset) not in heads:  # there BTF has the function's first line
                found = table[max(place for place in table if (owner.index, 0) <= place <= (owner.index, offset))]
                assert (found.file, found.line, found.column) == (line.file, line.line, line.column)
    assert len(tables[0]) > 20
    assert all(table == tables[0] for table in tables)


MAPS = """
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, __u64); } counts SEC(".maps");
SEC("xdp") long with_map(void *ctx) { __u32 key = 0; return (long)bpf_map_lookup_elem(&counts, &key); }
SEC("xdp") long without_map(void *ctx) { return 2; }
"""
REFUSED = {
    "kfunc": (
        'extern int kf(int) __attribute__((section(".ksyms"))); int f(int x) { return kf(x) + 1; }',
        "f", r"kernel function kf is not implemented",
    ),
    "undefined function": ("int other(int); int f(int x) { return other(x) + 1; }", "f", "function other is not def"),
    "undefined variable": ("extern int other; int f(int x) { return other; }", "f", "variable other is not defined"),
    "own section": (
        '__attribute__((section("mine"))) int v; int f(int x) { return v += x; }', "f", "reference to section mine",
    ),
}  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("what", REFUSED)
def test_refused_by_name(what: str, order: str, tmp_path: Path) -> None:
    source, name, message = REFUSED[what]
    with pytest.raises(Refused, match=message) as caught:
        load(compiled(source, order, tmp_path), file="x.o", name=name)
    assert caught.value.remedy
    assert str(caught.value).startswith("x.o: section ")


def test_what_is_not_reached_is_not_refused(tmp_path: Path) -> None:
    (program,) = load(compiled(MAPS, "little", tmp_path), name="without_map")
    assert len(program) == 2
    assert not program.maps


@pytest.mark.parametrize("order", ORDERS)
def test_addresses_in_data_stay_the_bytes_of_the_file(order: Order) -> None:
    data = words(5, 0, 9, 0, order=order)
    parts = {"xdp": Part(pointing(order), relocations={0: ".data"}),
             ".data": Part(data, DATA, {0: (R_BPF_64_ABS64, "v"), 8: (R_BPF_64_ABS64, "gone")})}  # fmt: skip
    symbols = {"f": Name("xdp"), ".data": Name(".data", 0, SECTION, LOCAL), "v": Name(".data", 8, OBJECT)}
    (program,) = load(elf(parts, symbols | {"gone": Name(UNDEF, 0, NOTYPE)}, order))
    assert program.maps[0].initial == data


def test_tentative_definition_is_refused(tmp_path: Path) -> None:
    data = compiled("int v; int f(int x) { return v += x; }", "little", tmp_path, "-fcommon", "-fdata-sections")
    with pytest.raises(Refused, match="variable v is in no section"):
        load(data)


def test_unknown_instruction_names_its_place(tmp_path: Path) -> None:
    source = 'int f(int x) { __asm__ volatile(".8byte 0xf7" : : : "memory"); return x; }'
    with pytest.raises(BadObject, match=r"section \.text\+0x\w+: function f: unknown opcode 0xf7"):
        load(compiled(source, "little", tmp_path))


def test_no_global_function(tmp_path: Path) -> None:
    with pytest.raises(BadObject, match="no global function"):
        load(compiled("static __attribute__((used)) int f(int x) { return x; }", "little", tmp_path))


def entries(symbols: dict[str, Name], section: str = "xdp", machine: int = 247) -> list[str]:
    """The entries of an object that has two programs, of two instructions each, in one section."""
    opened = Object(elf({section: Part(2 * answer(2))}, symbols, machine=machine))
    for entry in opened.entries:
        opened.program(entry)
    return [entry.name for entry in opened.entries]


def test_a_name_without_a_type_is_a_function_where_no_other_is() -> None:
    both = {"f": Name("xdp", size=16), "g": Name("xdp", 16, size=16)}
    assert entries({**both, "label": Name("xdp", 8, NOTYPE)}) == ["f", "g"]
    assert entries({"f": Name("xdp", size=16), "g": Name("xdp", 16, NOTYPE)}) == ["f", "g"]
    assert entries({"f": Name("xdp"), "g": Name("xdp", 16, NOTYPE)}) == ["f", "g"]


def test_a_file_of_the_time_before_bpf_had_a_number() -> None:
    assert entries({"f": Name("xdp"), "g": Name("xdp", 16)}, machine=0) == ["f", "g"]


def test_hidden_functions() -> None:
    """Programs are in sections of their own; elsewhere a hidden function is called, and static for the verifier."""
    names = {"f": Name("xdp", 0, FUNC, GLOBAL | HIDDEN), "g": Name("xdp", 16)}
    assert entries(names) == ["f", "g"]
    assert entries({name: replace(one, section=".text") for name, one in names.items()}, ".text") == ["g"]
    types = [Type(Kind.FUNC_PROTO), *(Type(Kind.FUNC, name, type=1, linkage=1) for name in names)]
    opened = Object(elf({"xdp": Part(2 * answer(2)), ".BTF": types_part(types)}, names))
    assert opened.types
    assert [LINKAGE[one.linkage] for one in opened.types.types if one.kind is Kind.FUNC] == ["static", "global"]


@pytest.mark.parametrize(("known", "kept"), [("main", [0, 2]), ("other", [])])
def test_types_of_functions_are_whole_or_none(known: str, kept: list[int]) -> None:
    """As with libbpf, which takes none where the first function has none: its section has another name, say."""
    types = [Type(Kind.FUNC_PROTO), Type(Kind.FUNC, "f", type=1, linkage=1), Type(Kind.TYPEDEF, known, type=1),
             Type(Kind.TYPEDEF, "lib", type=1)]  # fmt: skip
    table = types_part(types)
    names = [table.data.rindex(name.encode()) - table.data.rindex(b"\0f\0") for name in (known, "lib")]
    functions = b"".join(words(name, 1, 0, 2) for name in names)
    ext = words(0x1EB9F, 24, 0, 4 + len(functions), 4 + len(functions), 0) + words(8) + functions
    call = insns(make(ROW["call_local"], 0, imm=-1), make(ROW["exit"]))
    parts = {"main": Part(call, relocations={0: (R_BPF_64_32, "g")}), "lib": Part(answer(2)), ".BTF": table,
             ".BTF.ext": Part(ext, OTHER)}  # fmt: skip
    (program,) = load(elf(parts, {"f": Name("main"), "g": Name("lib")}), name="f")
    assert sorted(program.types) == kept


class TestBroken:
    """Files that no compiler made. Everything is one BadObject, made from a real object of each byte order."""

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "not an ELF file"),
            (b"\x7fELF", "broken ELF file"),
            (b"#!/bin/sh\n", "not an ELF file"),
            (b"\x7fELF" + bytes(60), "broken ELF file"),
        ],
    )
    def test_not_an_object(self, data: bytes, message: str) -> None:
        with pytest.raises(BadObject, match=message):
            load(data)

    @pytest.mark.parametrize("order", ORDERS)
    def test_truncated_anywhere(self, order: str) -> None:
        data = example("crc32", order)
        for size in range(0, len(data) - 1, 37):
            with pytest.raises(BadObject):
                load(data[:size])

    @pytest.mark.parametrize("order", ORDERS)
    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("machine", 62, "machine EM_X86_64, not for BPF"),
            ("type", 2, "type ET_EXEC, not a relocatable object"),
            ("shnum", 0, "without sections"),
            ("shnum", 0xFFFF, "broken ELF file"),
            ("shoff", 1 << 40, "broken ELF file"),
            ("shstrndx", 9999, "broken ELF file"),
        ],
    )
    def test_header(self, order: str, field: str, value: int, message: str) -> None:
        with pytest.raises(BadObject, match=message):
            load(Surgeon(example("crc32", order)).header(field, value))

    @pytest.mark.parametrize("order", ORDERS)
    def test_32_bit(self, order: str) -> None:
        data = bytearray(example("crc32", order))
        data[4] = 1
        with pytest.raises(BadObject, match="32-bit ELF file"):
            load(bytes(data))

    @pytest.mark.parametrize("order", ORDERS)
    @pytest.mark.parametrize(
        ("section", "field", "value", "message"),
        [
            (".rodata", "size", 1 << 60, r"section \d+ \.rodata: section of \d+ bytes ends after the file"),
            (".text", "size", 12, "is 12 bytes long"),
            (".text", "flags", 1 << 11 | 6, "compressed section"),
            (".text", "flags", 2, "no global function"),
            (".rodata", "flags", 0, "reference to section .rodata"),
            (".rel.text", "info", 999, r"section \.rel\.text: relocations of section 999"),
            (".symtab", "entsize", 0, "broken ELF file"),
            (".symtab", "link", 999, "broken ELF file"),
            (".symtab", "size", 24, "names symbol 5, which is not there"),
        ],
    )
    def test_section_header(self, order: str, section: str, field: str, value: int, message: str) -> None:
        with pytest.raises((BadObject, Refused), match=message):
            load(Surgeon(example("crc32", order)).section(section, field, value))

    @pytest.mark.parametrize("order", ORDERS)
    def test_relocations_with_addends(self, order: str) -> None:
        surgeon = Surgeon(example("crc32", order))
        surgeon.section(".rel.text", "entsize", 24)
        with pytest.raises(BadObject, match=r"section \.rel\.text: relocations with addends \(SHT_RELA\)"):
            load(surgeon.section(".rel.text", "type", 4))

    @pytest.mark.parametrize("order", ORDERS)
    def test_bss_that_claims_the_memory_of_the_machine(self, order: str) -> None:
        with pytest.raises(BadObject, match=r"section \d+ \.bss: section of \d+ bytes; all together may have"):
            load(Surgeon(example("sieve", order)).section(".bss", "size", 1 << 50))

    @pytest.mark.parametrize("order", ORDERS)
    def test_call_to_where_no_function_starts(self, order: str) -> None:
        (program,) = load(example("crc32", order))
        (pc,) = targets(program, "call_local")
        starts = {entry.place for entry in Object(example("crc32", order)).entries}
        ((_, start),) = starts
        broken = Surgeon(example("crc32", order)).content(
            ".text", start + 8 * pc + 4, (3).to_bytes(4, "big" if order == "big" else "little")
        )
        with pytest.raises(
            BadObject, match=r"section \.text\+0x\w+: call to section \.text\+0x\w+, where no function starts"
        ):
            load(broken)

    @pytest.mark.parametrize("order", ORDERS)
    @pytest.mark.parametrize(
        ("section", "offset", "message"),
        [
            (".BTF", 0, r"section \.BTF\+0x0: no BTF magic number"),
            (".BTF.ext", 24, r"section \.BTF\.ext\+0x18: table ends after its section"),
        ],
    )
    def test_types(self, order: str, section: str, offset: int, message: str) -> None:
        with pytest.raises(BadObject, match=message):
            load(Surgeon(example("crc32", order)).content(section, offset, b"\x7f\xff\xff\x7f"))

    @pytest.mark.parametrize("order", ORDERS)
    @pytest.mark.parametrize(
        ("section", "field", "value"),
        [
            (".debug_line", "", 0x7FFFFF7F), (".debug_line", "", 0xFFFFFFFF), (".debug_line", "size", 1 << 50),
            (".debug_line", "flags", 1 << 11), (".debug_str", "offset", 1 << 40), (".rel.debug_line", "info", 999),
            (".rel.debug_line", "entsize", 0), (".rel.debug_line", "type", 4),
        ],
    )  # fmt: skip
    def test_no_program_needs_debug_information(self, order: Order, section: str, field: str, value: int) -> None:
        """Nor does one get lines of it that are wrong; .BTF.ext has its own."""
        given = example("crc32", order)
        said = set(open_parts(given).ext.lines.values())
        patched = Surgeon(given)
        data = (
            patched.section(section, field, value) if field else patched.content(section, 0, words(value, order=order))
        )
        (program,) = load(data)
        assert [insn for insn in program.insns if insn] == [insn for insn in load(given)[0].insns if insn]
        assert set(program.lines.values()) <= said or section == ".debug_str"
