"""`crossbpf prog`, `map` and `features`: bpftool's words, text and JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bpf.errors import BadInput
from crossbpf import cc, load
from crossbpf.bpftool import hexed
from crossbpf.cli import main
from jit.registry import TARGETS
from tests.handmade import DATA, OBJECT, Name, Part, elf, words

ROOT = Path(__file__).resolve().parents[2]
SOURCE = str(ROOT / "tests" / "data" / "objects" / "runtime.c")
CRC = str(ROOT / "examples" / "crc32")


@pytest.fixture(scope="session")
def object_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("object") / "runtime.o"
    try:
        path.write_bytes(cc.compile_c(SOURCE, "little"))
    except cc.NotHere as error:
        pytest.skip(str(error))
    return str(path)


class Prompt:
    """A command line with a pin directory of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.capsys = capsys
        self.folder = folder
        monkeypatch.setenv("CROSSBPF_BPFFS", str(folder / "bpffs"))

    def __call__(self, line: str, code: int = 0) -> str:
        """What a command prints; its error where it has another exit code than 0."""
        found = main(line.split())
        printed = self.capsys.readouterr()
        assert found == code, (line, printed.out, printed.err)
        return printed.out if not code or printed.out else printed.err

    def record(self, line: str) -> Any:
        return json.loads(self(f"{line} -j"))

    def run(self, program: str, code: int = 0) -> str:
        """`prog run` of a program on a packet."""
        (self.folder / "frame").write_bytes(bytes(14))
        return self(f"prog run {program} data_in {self.folder / 'frame'}", code)


@pytest.fixture
def prompt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Prompt:
    return Prompt(capsys, monkeypatch, tmp_path)


@pytest.fixture
def loaded(prompt: Prompt, object_file: str) -> Prompt:
    prompt(f"prog loadall {object_file} d")
    return prompt


class TestPrograms:
    def test_list(self, loaded: Prompt) -> None:
        text = loaded("prog list -f")
        assert re.search(
            r"^\d: xdp  name count  tag [0-9a-f]{16}  gpl\n"
            r"\tloaded_at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}  uid \d+\n"
            r"\txlated \d+B  jited \d+B  memlock 4096B  map_ids \d,\d,\d\n"
            r"\tpinned d/count$",
            text, re.MULTILINE,
        )  # fmt: skip
        assert text.count("\n\tpinned") == 3
        assert len(loaded.record("prog show")) == 3

    def test_one(self, loaded: Prompt) -> None:
        one = loaded.record("prog show name count")
        assert list(one) == [
            "id", "type", "name", "tag", "gpl_compatible", "loaded_at", "uid", "orphaned", "bytes_xlated", "jited",
            "bytes_jited", "bytes_memlock", "map_ids",
        ]  # fmt: skip
        assert loaded.record(f"prog show id {one['id']}") == loaded.record(f"prog show tag {one['tag']}") == one
        assert loaded.record("prog show pinned d/count -f") == one | {"pinned": ["d/count"]}

    def test_load_takes_the_first(self, prompt: Prompt, object_file: str) -> None:
        prompt(f"prog load {object_file} one type socket_filter")
        (one,) = prompt.record("prog list")
        assert one["type"] == "socket_filter"

    def test_pins_keep_it(self, loaded: Prompt) -> None:
        loaded("prog pin name jump again")
        loaded("prog unpin d/jump")
        assert loaded.run("pinned again").startswith("Return value: 5, duration (average): ")
        loaded("prog unpin again")
        assert "no program with name jump: ENOENT" in loaded.run("name jump", 2)
        assert {one["name"] for one in loaded.record("map list")} == {"counts", "each", "runtime.rodata", "runtime.bss"}

    def test_maps_keep_what_runs_do(self, loaded: Prompt) -> None:
        for engine, count in (("interpreter", 2), ("arm64", 4), ("riscv64", 6)):
            loaded.run(f"name count repeat 2 --engine {engine}")
            shown = loaded("map lookup name counts key 7 0 0 0")
            assert shown == f'{{\n    "key": 7,\n    "value": {count}\n}}\n'
        assert "(load it with --big-endian, or from an object of" in loaded.run("name count --engine s390x", 2)

    def test_data(self, prompt: Prompt) -> None:
        (prompt.folder / "in").write_bytes(bytes.fromhex(Path(f"{CRC}.mem").read_text()))
        for end, engine in (("el", "arm64"), ("eb", "s390x")):
            prompt(f"prog load {CRC}.bpf{end}.o crc/{end}")
            record = prompt.record(f"prog run pinned crc/{end} data_in {prompt.folder / 'in'} --engine {engine}")
            assert record["retval"] == 0xCBF43926
        out = prompt.folder / "out"
        prompt(f"prog run pinned crc/el data_in {prompt.folder / 'in'} data_out {out}")
        assert out.read_bytes() == (prompt.folder / "in").read_bytes()
        text = prompt(f"prog run pinned crc/el data_in {prompt.folder / 'in'} data_out -")
        assert text.splitlines()[0] == hexed(out.read_bytes())

    def test_faults_and_lines(self, prompt: Prompt) -> None:
        (prompt.folder / "f.bpf").write_text("r0 = *(u64 *)(r1 + 0)\nexit\n")
        prompt(f"prog load {prompt.folder / 'f.bpf'} f")
        assert "f: read fault" in prompt("prog run name f", 1)
        record = json.loads(prompt("prog run name f -j", 1))
        assert record["error"].startswith("read fault")

    def test_xlated(self, loaded: Prompt) -> None:
        number = loaded.record("map show name counts")["id"]
        text = loaded("prog dump xlated name count")
        assert f"   4: (18) r1 = map[id:{number}]\n   6: (85) call __htab_map_lookup_elem#" in text
        assert "; seen += step;\n" in text
        assert re.search(r"; seen \+= step; \[file:\S+ line_num:\d+ line_col:\d+\]",
                         loaded("prog dump xlated name count linum"))  # fmt: skip
        assert f"\n       18 11 00 00 {number:02x} 00 00 00  00 00 00 00 00 00 00 00\n" in loaded(
            "prog dump xlated name count opcodes"
        )
        records = loaded.record("prog dump xlated name count opcodes")
        assert records[0]["disasm"] == "(62) *(u32 *)(r10 - 4) = 7"
        assert records[0]["opcodes"] == {
            "code": "0x62", "src_reg": "0x0", "dst_reg": "0xa", "off": ["0xfc", "0xff"],
            "imm": ["0x07", "0x00", "0x00", "0x00"],
        }  # fmt: skip
        loaded(f"prog dump xlated name count file {loaded.folder / 'x'}")
        assert len((loaded.folder / "x").read_bytes()) == loaded.record("prog show name count")["bytes_xlated"]

    @pytest.mark.parametrize("target", [name for name, target in TARGETS.items() if target.order == "little"])
    def test_jited(self, loaded: Prompt, target: str) -> None:
        tag = loaded.record("prog show name count")["tag"]
        text = loaded(f"prog dump jited name count --target {target} opcodes linum")
        assert text.startswith(f"bpf_prog_{tag}_count:\n   0:\t")
        (record,) = loaded.record(f"prog dump jited name count --target {target}")
        assert record["name"] == f"bpf_prog_{tag}_count"
        assert record["insns"][0]["pc"] == "0x0"
        loaded(f"prog dump jited name count --target {target} file {loaded.folder / 'j'}")
        code = (loaded.folder / "j").read_bytes()
        shown = "".join(re.findall(r"^\t([0-9a-f ]+)$", text, re.MULTILINE)).replace(" ", "")
        assert code.hex() == shown

    def test_functions_have_names(self, prompt: Prompt) -> None:
        (prompt.folder / "f.bpf").write_text("call f\nexit\nf:\nr0 = 7\nexit\n")
        prompt(f"prog load {prompt.folder / 'f.bpf'} f")
        assert "\nf:\n; r0 = 7\n   2: (b7) r0 = 7\n" in prompt("prog dump xlated pinned f")
        assert prompt("prog dump jited pinned f").count("bpf_prog_") == 2
        assert prompt("prog dump jited pinned f --target s390x")

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("prog load FILE", "Missing PATH"), ("prog load FILE x kind y", "what is 'kind'?"),
            ("prog load FILE x type strange", "no program type named 'strange'"),
            ("prog load FILE x map idx 9 id 1", "the object has no map idx 9"),
            ("prog load FILE x map name zz id 1", "the object has no map named 'zz'"),
            ("prog load FILE x --caps none", "needs CAP_BPF where unprivileged_bpf_disabled is 2: EPERM"),
            ("prog load FILE x --caps CAP_BPF", "needs CAP_NET_ADMIN: EPERM"),
            ("prog load FILE x --kernel 4.5", "came in Linux 4.6, --kernel is 4.5: EINVAL"),
            ("prog load FILE ../x", "nothing can be pinned at '../x'"),
            ("prog load no-such.o x", "no-such.o: no such file"),
            ("prog show id 9", "no program with id 9: ENOENT"), ("prog show number 9", "is not named by 'number'"),
            ("prog dump native id 1", "'native' where xlated or jited belongs"),
            ("prog run id 1 data_in no-such", "no-such: no such file"), ("prog run id 1 repeat x", "'x' is no number"),
            ("prog run id 1 ctx f", "what is 'ctx'?"), ("prog run id", "Missing"),
            ("prog dump jited id 1 --target mips", "mips"),
        ],
    )  # fmt: skip
    def test_usage(self, loaded: Prompt, object_file: str, line: str, message: str) -> None:
        before = loaded("prog list -f")
        assert message in loaded(line.replace("FILE", object_file), 2)
        assert loaded("prog list -f") == before

    def test_two_of_one_name(self, loaded: Prompt, object_file: str) -> None:
        loaded(f"prog loadall {object_file} e")
        assert len(loaded.record("prog show name count")) == 2
        assert "say which by id:" in loaded.run("name count", 2)

    def test_dumps_of_several(self, loaded: Prompt, object_file: str) -> None:
        loaded(f"prog loadall {object_file} e")
        heads = loaded("prog show name jump").splitlines()[::3]
        for what in ("xlated", "jited"):
            text = loaded(f"prog dump {what} name jump")
            assert [line for line in text.splitlines() if line in heads] == heads
            first, second = loaded.record(f"prog dump {what} name jump")
            assert list(first) == ["id", "type", "name", "tag", "gpl_compatible", "insns"]
            assert loaded.record(f"prog dump {what} id {second['id']}") == second["insns"]
        for word in (f"file {loaded.folder / 'x'}", "visual"):
            assert "several programs match this handle" in loaded(f"prog dump xlated name jump {word}", 2)

    def test_the_graph(self, loaded: Prompt) -> None:
        graph = loaded("prog dump xlated name count visual")
        assert graph.startswith('digraph "count" {\n')
        assert graph.endswith("\n}\n")
        assert "call __htab_map_lookup_elem#" in graph
        heads, edges = re.findall(r"^  b(\d+) \[", graph, re.MULTILINE), re.findall(r"b(\d+) -> b(\d+);", graph)
        assert len(heads) > 2
        assert {end for edge in edges for end in edge} == set(heads)

    @pytest.mark.parametrize(
        "line",
        [
            "prog pin name count x", "prog unpin d/last", "prog load FILE y", "prog loadall FILE y",
            "prog attach name count xdp:eth0", "net attach xdp name count dev eth0", "map freeze name each",
            "map create x type prog_array key 4 value 4 entries 1 name x", "map delete name jumps key 1 0 0 0",
            "map update name counts key 1 0 0 0 value 1 0 0 0 0 0 0 0", "prog dump xlated name count file OUT",
        ],
    )  # fmt: skip
    def test_no_answer_is_null(self, loaded: Prompt, object_file: str, line: str) -> None:
        line = line.replace("FILE", object_file).replace("OUT", str(loaded.folder / "out"))
        assert loaded(f"{line} -j") == "null\n"

    def test_errors_as_records(self, prompt: Prompt) -> None:
        assert json.loads(prompt("prog show id 9 -j", 2))["error"] == "no program with id 9: ENOENT"
        assert json.loads(prompt("prog show id -p", 2)) == {
            "error": "Missing ID: { id ID | tag TAG | name NAME | pinned PATH }", "file": "", "place": "prog show",
            "remedy": "see `crossbpf prog show --help`",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("verb", "words"),
        [
            ("prog run", ""), ("check", ""), ("verify", "a --jobs x"), ("prog dump", "--target"),
            ("map create", "x --nothing"), ("", "frobnicate"),
        ],
    )  # fmt: skip
    def test_usage_is_a_line(self, prompt: Prompt, verb: str, words: str) -> None:
        said = prompt(f"{verb} {words}", 2)
        assert said.startswith(f"crossbpf: {verb}")
        assert said.endswith("--help`)\n")
        assert said.count("\n") == 1

    @pytest.mark.parametrize("line", ["prog list", "map show", "net list", "cgroup tree", "prog unpin x"])
    def test_a_pin_directory_that_is_none(self, prompt: Prompt, line: str) -> None:
        (prompt.folder / "file").write_text("")
        for path in ("file", "file/below"):
            assert "file: is no directory" in prompt(f"{line} --bpffs {prompt.folder / path}", 2)


class TestMaps:
    def test_create_and_show(self, prompt: Prompt) -> None:
        prompt("map create m/h type hash key 4 value 8 entries 16 name h flags 1")
        assert prompt("map show -f") == (
            "1: hash  name h  flags 0x1\n\tkey 4B  value 8B  max_entries 16  memlock 4096B\n\tpinned m/h\n"
        )
        assert prompt.record("map show name h") == {
            "id": 1, "type": "hash", "name": "h", "flags": 1, "bytes_key": 4, "bytes_value": 8, "max_entries": 16,
            "bytes_memlock": 4096, "frozen": 0,
        }  # fmt: skip

    def test_elements(self, prompt: Prompt) -> None:
        prompt("map create h type hash key 4 value 8 entries 2 name h")
        prompt("map update name h key 1 0 0 0 value hex 0a 0b 0 0 0 0 0 0 noexist")
        assert "EEXIST" in prompt("map update pinned h key 1 0 0 0 value 0 0 0 0 0 0 0 0 noexist", 2)
        assert "ENOENT" in prompt("map update id 1 key 0x02 0 0 0 value 0 0 0 0 0 0 0 0 exist", 2)
        prompt("map update id 1 key 0x02 0 0 0 value 1 2 3 4 5 6 7 8 any")
        assert prompt("map dump id 1") == (
            "key: 01 00 00 00  value: 0a 0b 00 00 00 00 00 00\n"
            "key: 02 00 00 00  value: 01 02 03 04 05 06 07 08\nFound 2 elements\n"
        )
        assert prompt.record("map lookup id 1 key 1 0 0 0") == {
            "key": ["0x01", "0x00", "0x00", "0x00"], "value": ["0x0a", "0x0b", *["0x00"] * 6],
        }  # fmt: skip
        assert prompt("map getnext id 1") == "key: None\nnext key:\n01 00 00 00\n"
        assert prompt("map getnext id 1 key 1 0 0 0") == "key:\n01 00 00 00\nnext key:\n02 00 00 00\n"
        assert "ENOENT" in prompt("map getnext id 1 key 2 0 0 0", 2)
        prompt("map delete id 1 key 1 0 0 0")
        assert prompt("map lookup id 1 key 1 0 0 0", 1) == "key:\n01 00 00 00\n\nNot found\n"
        assert json.loads(prompt("map lookup id 1 key 1 0 0 0 -j", 1)) is None

    def test_values_without_keys(self, prompt: Prompt) -> None:
        for kind, first, (put, take) in (("stack", "02", ("push", "pop")), ("queue", "01", ("enqueue", "dequeue"))):
            prompt(f"map create {kind} type {kind} value 4 entries 2 name {kind}")
            for number in (1, 2):
                prompt(f"map {put} name {kind} value {number} 0 0 0")
            assert "E2BIG" in prompt(f"map {put} name {kind} value 3 0 0 0", 2)
            assert prompt(f"map peek name {kind}") == f"value: {first} 00 00 00\n"
            assert prompt(f"map {take} name {kind}") == f"value: {first} 00 00 00\n"
            assert prompt.record(f"map {take} name {kind}") == {"value": [f"0x0{3 - int(first)}", *["0x00"] * 3]}
            assert prompt(f"map {take} name {kind}", 1) == "Error: empty map\n"
            assert json.loads(prompt(f"map peek name {kind} -j", 1)) is None
        prompt("map create h type hash key 4 value 4 entries 1 name h")
        assert "map h of type hash is no queue or stack: EINVAL" in prompt("map pop name h", 2)

    def test_a_frozen_map(self, prompt: Prompt) -> None:
        prompt("map create a type array key 4 value 4 entries 1 name a")
        prompt("map freeze name a")
        assert "map a is frozen: EPERM" in prompt("map freeze name a", 2)
        assert "EPERM" in prompt("map update name a key 0 0 0 0 value 1 0 0 0", 2)
        assert prompt("map show name a").endswith("  memlock 4096B\n\tfrozen\n")

    def test_whose_a_prog_array_is(self, loaded: Prompt) -> None:
        assert loaded("map show name jumps").endswith("memlock 4096B\n\towner_prog_type xdp  owner jited\n")
        record = loaded.record("map show name jumps")
        assert (record["owner_prog_type"], record["owner_jited"]) == ("xdp", True)
        loaded("map create own type prog_array key 4 value 4 entries 1 name own flags 8")
        assert "owner" not in loaded("map show name own")

    def test_data_sections(self, loaded: Prompt) -> None:
        shown = {one["name"]: one["flags"] for one in loaded.record("map show")}
        assert (shown["runtime.bss"], shown["runtime.rodata"]) == (0x400, 0x480)
        assert loaded("map dump name runtime.bss") == loaded("map dump name .bss")

    def test_dumps_of_several(self, loaded: Prompt, object_file: str) -> None:
        loaded(f"prog loadall {object_file} e")
        first, second = loaded.record("map dump name .bss")
        assert first["name"] == second["name"] == "runtime.bss"
        assert first["elements"][0]["formatted"]["value"] == {".bss": [{"seen": 0}]}
        assert [list(one) for one in json.loads(loaded("map dump name .bss"))] == [
            ["id", "type", "name", "flags", "elements"]
        ] * 2  # fmt: skip
        for name in ("a", "b"):
            loaded(f"map create {name} type hash key 4 value 4 entries 2 name same")
        loaded("map update pinned b value 5 0 0 0 noexist key 010 0 0 0")
        heads = [line for line in loaded("map show name same").splitlines() if line[0] != "\t"]
        assert loaded("map dump name same") == (
            f"{heads[0]}\nFound 0 elements\n\n{heads[1]}\nkey: 08 00 00 00  value: 05 00 00 00\nFound 1 element\n"
        )
        assert "several maps match this handle" in loaded("map lookup name same key 0 0 0 0", 2)

    def test_long_names_are_cut(self, prompt: Prompt) -> None:
        prompt("map create x type array key 4 value 4 entries 1 name a_name.of.18_chars")
        assert prompt.record("map show pinned x")["name"] == "a_name.of.18_ch"

    def test_values_of_tasks(self, prompt: Prompt) -> None:
        prompt("map create t type task_storage key 4 value 4 entries 0 flags 1 name t")
        prompt("map update name t key 7 0 0 0 value 1 0 0 0")
        assert prompt("map dump name t") == "key: 07 00 00 00  value: 01 00 00 00\nFound 1 element\n"
        assert "ENOTSUPP" in prompt("map getnext name t", 2)
        assert "max_entries is 1, and must be 0: EINVAL" in prompt(
            "map create u type task_storage key 4 value 4 entries 1 flags 1 name u", 2
        )

    def test_long_elements_take_lines(self, prompt: Prompt) -> None:
        prompt("map create a type array key 4 value 20 entries 1 name a")
        assert prompt("map dump id 1") == (
            "key:\n00 00 00 00\nvalue:\n" + " ".join(["00"] * 8) + "  " + " ".join(["00"] * 8)
            + "\n00 00 00 00\nFound 1 element\n"
        )  # fmt: skip

    def test_every_cpu(self, loaded: Prompt) -> None:
        loaded.run("name jump")
        (first, second) = loaded.record("map dump name each")
        assert [one["cpu"] for one in first["values"]] == [0, 1, 2, 3]
        assert second["values"][0] == {"cpu": 0, "value": ["0x01", *["0x00"] * 7]}
        assert second["formatted"] == {"key": 1, "values": [{"cpu": cpu, "value": int(not cpu)} for cpu in range(4)]}
        loaded("map create p type percpu_hash key 4 value 8 entries 1 name p")
        loaded("map update name p key 1 0 0 0 value 2 0 0 0 0 0 0 0")
        assert "key:\n01 00 00 00\nvalue (CPU 00): 02 00 00 00 00 00 00 00\n" in loaded("map dump name p")

    def test_values_by_their_types(self, loaded: Prompt) -> None:
        loaded.run("name count repeat 2")
        assert loaded("map dump name counts") == '[{\n        "key": 7,\n        "value": 2\n    }\n]\n'
        assert json.loads(loaded("map dump name .bss")) == [{"key": 0, "value": {".bss": [{"seen": 4}]}}]
        (one,) = loaded.record("map dump name .rodata")
        assert one["formatted"]["value"] == {".rodata": [{"step": 2}]}
        loaded("map pin name counts kept")
        loaded("prog unpin d/count")
        loaded("prog unpin d/jump")
        loaded("prog unpin d/last")
        assert loaded("map dump name counts").startswith("key: 07 00 00 00  value: 02")

    def test_programs_and_maps_as_values(self, loaded: Prompt) -> None:
        loaded("map update name jumps key 1 0 0 0 value name count")
        assert "Return value: 2" in loaded.run("name jump")
        loaded("map create i type array key 4 value 8 entries 1 name i")
        loaded("map create o type array_of_maps key 4 value 4 entries 2 name o inner_map name i")
        loaded("map update name o key 1 0 0 0 value pinned i")
        number = loaded.record("map show name i")["id"]
        assert loaded("map dump name o") == f"key: 01 00 00 00  value: {number:02x} 00 00 00\nFound 1 element\n"

    def test_an_object_with_maps_only(self, prompt: Prompt, tmp_path: Path) -> None:
        inner, outer = (2, 4, 8, 1, 0, 42, 0, 0, 1), (12, 4, 4, 2, 0, 0, 0, 42, 0)
        parts = {"maps": Part(words(*inner, *outer), DATA), ".data": Part(b"12345678", DATA)}
        path = tmp_path / "maps.o"
        path.write_bytes(elf(parts, {"in": Name("maps", 0, OBJECT), "out": Name("maps", 36, OBJECT)}))
        assert "maps.o: no program, only maps (`crossbpf prog loadall` makes them)" in prompt(f"prog load {path} p", 2)
        assert "no global function" in prompt(f"run {path}", 2)
        prompt(f"prog loadall {path} p pinmaps m")
        number = prompt.record("map show pinned m/in")["id"]
        assert f"01 00 00 00  value: {number:02x} 00 00 00" in prompt("map dump pinned m/out")
        made = load(str(path))
        assert (sorted(made.maps), list(made.programs)) == ([".data", "in", "out"], [])
        with pytest.raises(BadInput, match="there is no program to run"):
            made.run()

    def test_shared(self, prompt: Prompt, object_file: str) -> None:
        prompt("map create mine type hash key 4 value 8 entries 8 name mine")
        prompt(f"prog loadall {object_file} a map name counts name mine pinmaps maps")
        prompt(f"prog loadall {object_file} b map name counts pinned mine")
        prompt.run("pinned a/count")
        prompt.run("pinned b/count")
        assert prompt.record("map dump pinned mine")[0]["value"][0] == "0x02"
        assert prompt.record("map show pinned maps/each")["name"] == "each"

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("map create x type hsah key 4 value 8 entries 1", "no map type 'hsah'"),
            ("map create x type hash key 4 value 8 entries 0 name x", "max_entries is 0"),
            ("map create x type queue key 0 value 8 entries 1 name x --caps none --unprivileged-bpf-disabled 0",
             "map x of type queue needs CAP_BPF: EPERM"),
            ("map create x type ringbuf key 0 value 0 entries 4096 name x --kernel 5.7",
             "map type ringbuf came in Linux 5.8"),
            ("map create x type array key four", "'four' is no number"), ("map lookup id 1 key 1", "1 bytes are given"),
            ("map lookup id 1 key 1 0 0 x", "'x' is no byte"), ("map lookup id 1", "'key' belongs"),
            ("map update id 1 key 1 0 0 0", "'value' belongs"), ("map delete id 1 key 1 0 0 0", "EINVAL"),
            ("map show id 1 2", "what is '2'?"),
            ("map create x type hash key 4 value 4 entries 1", "map name not specified"),
            ("map create x type hash key 4 value 4 entries 1 name a-b", "letters, digits, _ and . only: EINVAL"),
            ("map create x type prog_array key 4 value 4 entries 0 name x", "max_entries is 0: EINVAL"),
            ("map create x type prog_array key 4 value 4 entries 1 flags 1 name x",
             "flags 0x1 are not allowed: EINVAL"),
            ("map create x type array_of_maps key 4 value 4 entries 1 name x",
             "map x: what its maps are like is not said: EINVAL (add `inner_map MAP`)"),
            ("map update id 1 key 1 0 0 0 key 1 0 0 0", "key is said twice"),
            ("map update id 1 any value 1 0 0 0 0 0 0 0 any", "any is said twice"),
        ],
    )  # fmt: skip
    def test_usage(self, prompt: Prompt, line: str, message: str) -> None:
        prompt("map create a type array key 4 value 8 entries 4 name a")
        assert message in prompt(line, 2)

    def test_pins(self, prompt: Prompt) -> None:
        prompt("map create a type array key 4 value 8 entries 4 name a")
        prompt("map pin name a /sys/fs/bpf/b")
        prompt("map unpin a")
        assert prompt.record("map show name a -f")["pinned"] == ["b"]
        prompt("map unpin b")
        assert prompt("map list") == ""


class TestFeatures:
    def test_by_release(self, prompt: Prompt) -> None:
        text = prompt("features")
        assert re.search(r"^5\.17 +helpers +find_vma loop strncmp", text, re.MULTILINE)

    def test_of_a_release(self, prompt: Prompt) -> None:
        text = prompt("features --kernel 5.4")
        assert "atomic64_fetch_add (5.12)" in text
        record = json.loads(prompt("features --kernel 5.4 --json"))
        there = {one["name"]: one["there"] for one in record["map_types"]}
        assert there["devmap_hash"] and not there["ringbuf"]
        assert "is not a kernel release" in prompt("features --kernel new", 2)
        assert json.loads(prompt("features --kernel 5.4 -p")) == record

    def test_check_refuses_too(self, prompt: Prompt) -> None:
        (prompt.folder / "a.bpf").write_text("r1 = 1\nr1 = atomic64_fetch_add((u64 *)(r10 - 8), r1)\nr0 = 0\nexit\n")
        file = prompt.folder / "a.bpf"
        assert "insn 1: atomic64_fetch_add came in Linux 5.12, --kernel is 5.4" in prompt(
            f"check {file} --kernel 5.4", 2
        )
        prompt(f"check {file} --kernel 5.12 --target x86_64")
