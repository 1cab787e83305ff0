"""The comparisons with Linux: records become programs, answers are scored, logs compared, programs generated."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fuzz.parity import guarded, judging, live, logs, malformed, oracle, records, verdicts
from fuzz.parity.judging import CRASH, Given
from fuzz.parity.records import Case, case
from tests.verifier import programs
from tests.verifier.live import needs_linux
from verifier import Options, verify
from verifier.options import ALL
from verifier.raw import slots
from verifier.structure import structure
from verifier.subject import Subject

END = "b7 95"


def listed(name: str, words: str, **fields: Any) -> dict[str, Any]:
    """A record of the sets whose maps are {kind: slots}."""
    record = {
        "set": "6.1", "name": name, "prog_type": 1, "expected_attach_type": 0, "flags": 0,
        "insns": programs.code(words).hex(), "maps": {}, "kfuncs": [], "attach_name": None, "func_info": None,
        "btf_types": None, "btf_strings": None, "expect": "ACCEPT", "message": None, "message_unpriv": None,
        "live": {"accepted": True, "errno": 0, "processed": 2, "last_line": ""}, "unpriv_612": True,
    }  # fmt: skip
    return record | fields


def named(name: str, words: str, **fields: Any) -> dict[str, Any]:
    """A record of the set whose maps have names."""
    record = {
        "set": "asm-6.12", "name": name, "file": "some", "section": "socket", "prog_type": 1,
        "expected_attach_type": 0, "flags": 128, "insns": programs.code(words).hex(), "map_relocs": [], "maps": [],
        "kfunc_insns": [], "expect": "success", "messages": [], "messages_unpriv": [],
        "live": {"accepted": True, "errno": 0},
    }  # fmt: skip
    return record | fields


def refused(errno: int, message: str) -> dict[str, Any]:
    """What the kernel said."""
    return {"accepted": False, "errno": errno, "processed": 0, "last_line": message}


class TestRecords:
    """Both sorts of record."""

    def test_maps_by_kind(self) -> None:
        """Slots get the number of their map; special values get types behind the program's own."""
        made = case(
            listed("a", f"18:1:1 0 18:2:2 0:0:0:0:8 18:3:1 0 {END}", maps={"map_array_48b": [2], "map_kptr": [0, 4]})
        )
        raws = slots(made.subject.code, "little")
        assert [raws[pc].imm for pc in (0, 2, 3, 4)] == [1, 0, 8, 1]
        assert [map_.value_size for map_ in made.subject.maps] == [48, 24]
        btf = made.subject.btf
        assert btf is not None and btf[made.subject.maps[1].value_type].name == "btf_ptr"
        assert structure(made.subject, made.options).maps == [1, 0]

    def test_a_descriptor_without_a_map_stays_one(self) -> None:
        """It must not become the number of a map."""
        made = case(listed("a", f"18:1:1:0:70 0 {END}", maps={"map_array_48b": []}))
        assert verify(made.subject, made.options).message == "fd 70 is not pointing to valid bpf_map"
        with pytest.raises(ValueError, match="the descriptor of no map"):
            case(listed("a", f"18:1:1 0 {END}", maps={"map_array_48b": []}))

    def test_maps_by_name(self) -> None:
        """A name may be cut short; one that the list lacks is a section of data; None is no map."""
        maps = [{"name": "map_hash_8b", "type": 1, "ks": 8, "vs": 8, "n": 1, "flags": 0},
                {"name": "map_prog1_socket", "type": 3, "ks": 4, "vs": 4, "n": 4, "flags": 0}]  # fmt: skip
        relocations = [[0, 1, "map_prog1_socke"], [2, 2, ".data.bytes"], [4, 1, None]]
        made = case(named("a", f"18:1:1:0:9 0 18:2 0 18:3:1:0:55 0 {END}", maps=maps, map_relocs=relocations))
        raws = slots(made.subject.code, "little")
        assert [(raws[pc].src, raws[pc].imm) for pc in (0, 2, 4)] == [(1, 1), (2, 2), (1, 55)]
        assert [map_.kind for map_ in made.subject.maps] == ["hash", "prog_array", "array"]

    def test_functions_have_types(self) -> None:
        """Records by name leave them out: all are static and return an int."""
        made = case(named("a", "85:0:1:0:1 95 30 95"))
        assert made.subject.types == {0: 3, 2: 4}
        assert structure(made.subject, made.options).starts == [0, 2, 4]

    def test_flags(self) -> None:
        """The sets number alignment differently; sleeping is a flag, a section or a type."""
        assert [case(listed("a", END, flags=flag)).options.strict for flag in (1, 2)] == [False, True]
        assert [case(named("a", END, flags=flag)).options.strict for flag in (1, 2)] == [True, False]
        sleepers = [listed("a", END, flags=16), named("a", END, section="uprobe.s"), named("a", END, prog_type=31)]
        assert all(case(record).subject.sleepable for record in sleepers)
        assert not case(listed("a", END)).subject.sleepable

    def test_verdicts(self) -> None:
        """EPERM without a word is no answer of the verifier."""
        assert case(listed("a", END)).verdict == 0
        assert case(listed("a", END, live=refused(13, "R1 !read_ok"))).verdict == 13
        assert case(listed("a", END, live=refused(1, ""))).verdict is None
        assert case(listed("a", END, live=None)).verdict is None
        assert case(listed("a", END), unprivileged=True).options.caps == frozenset()

    def test_kernel_functions_and_targets(self) -> None:
        """By name, or by the number that they had."""
        made = case(named("a", f"85:0:2:0:64242 {END}", prog_type=26, section="iter/task", kfunc_insns=[0]))
        assert (made.subject.kfuncs, made.subject.target) == ({0: "bpf_iter_num_new"}, "task")
        made = case(listed("a", f"85:0:2:0:5 {END}", kfuncs=[["some", 0]], attach_name="where", prog_type=2))
        assert (made.subject.kfuncs, made.subject.target) == ({0: "some"}, "")


RECORDS = [
    listed("right", END),
    listed("wrong register", "bf:0:3 95", expect="REJECT", live=refused(13, "R3 !read_ok")),
    listed("accepted there", "95", live={"accepted": True, "errno": 0, "processed": 1, "last_line": ""}),
    listed("refused there", END, live=refused(22, "nonsense 5")),
    listed("another errno", "bf:0:3 95", live=refused(22, "R3 !read_ok")),
    listed("other words", "bf:0:3 95", live=refused(13, "R4 !read_ok")),
    listed("not asked", END, live=None, expect="REJECT"),
    named(
        "by name", "bf:0:3 95", expect="failure", messages=["first", "R3 !read"], live={"accepted": False, "errno": 13}
    ),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of records and logs."""
    (tmp_path / "verifier_tests.json.gz").write_bytes(gzip.compress(json.dumps(RECORDS).encode()))
    text = [verify(case(record).subject, Options(log_level=2)).log for record in RECORDS[:2]]
    found = [{"set": "6.1", "name": RECORDS[0]["name"], "log2": text[0]},
             {"set": "6.1", "name": RECORDS[1]["name"], "log2": text[1].replace("r0 = r3", "r0 = r4")}]  # fmt: skip
    (tmp_path / "verifier_logs.json.gz").write_bytes(gzip.compress(json.dumps(found).encode()))
    return tmp_path


class TestVerdicts:
    """python -m fuzz.parity.verdicts."""

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_score(self, data: Path, jobs: int, capsys: pytest.CaptureFixture[str]) -> None:
        """Each sort of disagreement is counted and shown; what was never asked is scored apart."""
        saved = data / "saved"
        arguments = ["--data", str(data / "verifier_tests.json.gz"), "--jobs", str(jobs), "--save", str(saved)]
        assert verdicts.main(arguments) == 1
        shown = capsys.readouterr().out
        assert "with a verdict of the kernel's verifier: 7 programs" in shown
        assert "  verdict       5 /     7   71.43 %   accepted here only: 1" in shown
        assert "  errno         4 /     7   57.14 %" in shown
        assert "  message       3 /     5   60.00 %   of 5 refused, 5 with words" in shown
        assert "accepted here: 6.1 | refused there | kernel: 22 nonsense 5 | here: 0" in shown
        assert "refused here: 6.1 | accepted there | kernel: 0 | here: 13 R0 !read_ok" in shown
        assert "errno: 6.1 | another errno | kernel: 22 R3 !read_ok | here: 13 R3 !read_ok" in shown
        assert "message: 6.1 | other words | kernel: 13 R4 !read_ok | here: 13 R3 !read_ok" in shown
        assert "never asked, against what their authors expect: 1 programs" in shown
        assert len(saved.read_text().splitlines()) == len(RECORDS)

    def test_chosen_ones(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """By set, by name; 0 where all agree; a file that is not there is said."""
        path = str(data / "verifier_tests.json.gz")
        assert verdicts.main(["--data", path, "--set", "asm-6.12"]) == 0
        assert verdicts.main(["--data", path, "--only", "right", "--unpriv"]) == 0
        assert verdicts.main(["--data", path, "--structure"]) == 0
        assert verdicts.main(["--data", str(data / "nothing")]) == 2
        assert "No such file" in capsys.readouterr().err

    def test_a_fault_of_the_verifier_is_an_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is counted as a crash, with its place."""

        def broken(subject: Subject, options: Options) -> Given:
            raise ZeroDivisionError("oh")

        monkeypatch.setattr(judging, "verified", broken)
        _, given = judging.judge(judging.Task(RECORDS[0]))
        assert given.errno == CRASH
        assert "ZeroDivisionError: oh" in given.message

    def test_words(self) -> None:
        """A sentence may stand among several lines; an endless loop is named by what comes after it."""
        one = case(RECORDS[1])
        assert judging.same_message(one, Given(13, "invalid access\nR3 !read_ok")) is True
        assert judging.same_message(one, Given(13, "R3 !read_ok!")) is False
        assert judging.same_message(case(RECORDS[0]), Given(13, "R3")) is None
        loop = replace(one, message="old state: R10=fp0")
        assert judging.same_message(loop, Given(22, "infinite loop detected at insn 1")) is True
        assert judging.shape("a\nR3 off=-8 size=0x10") == "RN off=N size=N"


class TestLogs:
    """python -m fuzz.parity.logs."""

    def test_what_is_compared(self) -> None:
        """Addresses are masked, tables and figures left out, a cut log goes as far as it goes."""
        text = (
            "func#0 @0\nLive regs before insn:\n      0: 01........ (b7) r0 = 0\n  1   1: 0......... (95) exit\n"
            "0: (18) r1 = 0xffff8881c14f2400       ; R1\n(0) frame 0 insn 5 +live -8 \n"
            "(2,5) live stack update done in 2 iterations\nprocessed 2 insns (limit 1000000)\n"
        )
        read = logs.read(text)
        assert read.lines == ["func#0 @0", "0: (18) r1 = 0xADDRESS       ; R1"]
        assert (read.figures, read.whole) == ("processed 2 insns (limit 1000000)", True)
        cut = logs.read("a\nb\nhalf\n...\nend")
        assert (cut.lines, cut.whole) == (["a", "b"], False)
        assert logs.first_difference(cut, logs.read("a\nb\nc\nd")) == -1
        assert logs.first_difference(logs.read("a\nb"), logs.read("a\nb\nc")) == 2
        assert logs.first_difference(logs.read("a\nb"), logs.read("a\nc")) == 1

    def test_score(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """One is the same, one differs in a line, which is shown with the one before it."""
        assert logs.main(["--data", str(data)]) == 1
        shown = capsys.readouterr().out
        assert "logs 2: identical 1 (50.0 %)" in shown
        assert "kernel 0: (bf) r0 = r4" in shown
        assert "here   0: (bf) r0 = r3" in shown
        assert logs.main(["--data", str(data), "--only", "right", "--full"]) == 0
        assert logs.main(["--data", str(data / "nothing")]) == 2

    def test_pairs_of_one_name(self) -> None:
        """In their order."""
        found = [listed("a", END), listed("b", END), listed("a", "95")]
        texts = [{"set": "6.1", "name": "a", "log2": "one"}, {"set": "6.1", "name": "a", "log2": "two"}]
        assert [(record["insns"][:2], text) for record, text in logs.pairs(found, texts)] == [
            ("b7", "one"),
            ("95", "two"),
        ]


PROFILES: dict[str, Callable[[Random], Subject]] = {"guarded": guarded.subject, "malformed": malformed.subject}


class TestPrograms:
    """Generated ones."""

    @pytest.mark.parametrize("profile", PROFILES)
    def test_they_are_what_their_seed_says(self, profile: str) -> None:
        """And the verifier has an answer to each."""
        for seed in range(60):
            one, other = (PROFILES[profile](Random(seed)) for _ in range(2))
            assert one.code == other.code
            verdict = verify(one, Options(log_level=0, processed=3000))
            assert verdict.accepted or verdict.errno

    def test_guarded_ones_are_well_formed(self) -> None:
        """Each slot is an instruction, in functions that can be told apart; many are accepted, not all."""
        accepted = 0
        for seed in range(60):
            subject = guarded.subject(Random(seed))
            shape = structure(subject, Options())
            accepted += verify(subject, Options(log_level=0, processed=3000)).accepted
            for pc, row in enumerate(shape.rows):
                assert row is not None or shape.rows[pc - 1] is not None
        assert 15 < accepted < 55

    def test_a_run_that_faults(self) -> None:
        """What only this verifier accepts is run."""
        assert live.faults(programs.subject("b7:2:0:0:8 79:0:2 95"), 0)
        assert not live.faults(programs.subject(END), 0)


class TestLive:
    """The live kernel asked the same."""

    pytestmark = needs_linux

    def test_malformed(self) -> None:
        """The same errno and the same sentence for each, before the walk and at its start."""
        assert _disagreements("malformed", 150) == []

    def test_near_the_border(self) -> None:
        """Nearly all verdicts agree, and none is one too kind whose run faults."""
        found = [line for profile in ("border", "guarded") for line in _disagreements(profile, 40)]
        assert len([one for one in found if one[0] != "message"]) <= 1
        assert not [one for one in found if one[0] in ("fault", "crash")]

    @pytest.mark.deep
    @pytest.mark.parametrize("profile", live.PROFILES)
    @pytest.mark.parametrize("caps", live.CAPABILITIES)
    def test_many(self, profile: str, caps: str) -> None:
        """At least 98 of a hundred agree."""
        found = _disagreements(profile, 1500, caps)
        assert len([one for one in found if one[0] != "message"]) <= 30
        assert not [one for one in found if one[0] in ("fault", "crash")]

    def test_who_asks(self) -> None:
        """A thread gives capabilities up and takes them back."""
        leak = programs.subject("bf:0:10 95")
        without = Options(caps=live.CAPABILITIES["bpf"])
        for options in (without, Options(), without):
            assert oracle.ask(leak, options).errno == verify(leak, options).errno
        assert ALL - without.caps == {"CAP_PERFMON", "CAP_SYS_ADMIN"}

    def test_the_command(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Exit codes; programs on which the two differ are kept."""
        assert live.main(["--count", "5", "--profile", "malformed", "--keep", str(tmp_path), "--logs"]) == 0
        assert "5 programs" in capsys.readouterr().out
        assert not list(tmp_path.iterdir())
        live.keep(tmp_path, "one", malformed.subject(Random(1)), "all")
        assert json.loads((tmp_path / "one.json").read_text())["kind"] in (
            "socket_filter",
            "xdp",
            "kprobe",
            "sched_cls",
            "syscall",
        )


def _disagreements(profile: str, count: int, caps: str = "all") -> list[tuple[str, str, str]]:
    score = live.Score()
    options = Options(caps=live.CAPABILITIES[caps], log_level=0, seconds=60.0)
    for seed in range(count):
        with suppress(OSError):  # a map that the kernel does not make
            live.compare(score, live.PROFILES[profile](Random(seed)), options, f"seed {seed}", 5000, False)
    return score.lines


def test_a_case_has_all_that_is_compared() -> None:
    """Every field is filled in by a record of either sort."""
    assert {type(case(record)) for record in RECORDS} == {Case}
    assert records.OTHERS & 0xFF == 0xE4
