"""--cpu, --cpus and --schedule of `crossbpf run` and `check`."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from crossbpf.cli import main
from crossbpf.pcap import write
from tests.interrupts import interruptible
from tests.live_kernel import live

RACE = Path(__file__).parents[2] / "examples" / "programs" / "race.bpfel.o"
FRAMES = [bytes(14 + number) for number in range(5)]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_cpus_have_the_same_packet(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys, "run", RACE, "--data-in", FRAMES[0].hex(), "--cpus", 3, "--engine", "riscv64", "--repeat", 2, "--json"
    )
    record = json.loads(out)
    assert code == 0
    assert [(one["packet"], one["cpu"], one["retval"]) for one in record["runs"]] == [(0, cpu, 2) for cpu in range(3)]
    (plain,) = record["maps"]["plain"].values()
    (atomic,) = record["maps"]["atomic"].values()
    assert (plain, atomic) == ("0200000000000000", "0600000000000000")  # each of two rounds has counted once


@pytest.mark.parametrize("engine", ["interpreter", "arm64", "native"])
def test_the_packets_of_a_capture_are_dealt_out(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = tmp_path / "in.pcap"
    capture.write_bytes(write(FRAMES))
    code, out, _ = run(capsys, "run", RACE, "--data-in", capture, "--cpus", 2, "--engine", engine)
    assert code == 0
    heads = [line.split(":")[0] for line in out.splitlines() if "returns" in line]
    assert heads == [f"packet {number} on CPU {number % 2}" for number in range(5)]
    lines = {line.split()[0]: line.split()[2:] for line in out.splitlines() if " 0x0 " in line}
    assert lines["plain"] == ["0x3"]  # three rounds, the last of one packet
    assert lines["atomic"] == ["0x5"]
    assert lines["per_cpu"] == ["0x3", "|", "0x2", "|", "0x0", "|", "0x0"]


POOL = RACE.parent / "pool.bpfel.o"


@pytest.mark.parametrize("engine", ["interpreter", "ppc64le", "native"])
def test_a_program_on_each_cpu(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The consumer finds something when the producer has gone first, which --schedule decides."""

    def returned(*options: object) -> list[str]:
        code, out, _ = run(
            capsys, "run", POOL, "--data-in", bytes(60).hex(), "--engine", engine, "--cpus", 3,
            "--prog", "consume,produce,consume", *options,
        )  # fmt: skip
        assert code == 0
        assert f"consume, produce, consume (sched_cls) on {engine}" in out
        return [line.split("(")[1].rstrip(")") for line in out.splitlines() if "returns" in line]

    assert returned("--schedule", "0,0") == ["TC_ACT_PIPE", "TC_ACT_OK", "TC_ACT_OK"]
    assert returned("--schedule", "1,1,1,0,0,0") == ["TC_ACT_OK", "TC_ACT_OK", "TC_ACT_PIPE"]


def test_another_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "run", RACE, "--data-in", FRAMES[0].hex(), "--cpu", 2, "--engine", "riscv64")
    assert "per_cpu  0x0  0x0 | 0x0 | 0x1 | 0x0" in out
    assert "CPU" not in out.replace("per_cpu", "")
    code, out, _ = run(
        capsys, "check", RACE, "--type", "xdp", "--packet", FRAMES[0].hex(), "--cpu", 3, "--target", "arm64", "--json"
    )
    assert code == 0
    assert json.loads(out)["engines"][0]["maps"]["per_cpu"]["00000000"][3] == "0100000000000000"


def test_a_trace_on_another_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cpu.s"
    path.write_text("call 8\nexit\n")
    code, out, _ = run(capsys, "trace", path, "--target", "arm64", "--cpu", 3, "--break", 1, "--json")
    assert code == 0
    assert json.loads(out)["parts"]["states"]["arm64"]["registers"][0] == "0x3"


def test_check_compares_each_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys, "check", RACE, "--type", "xdp", "--packet", FRAMES[0].hex(), "--cpus", 2, "--schedule", "1,0", "--json",
        "--target", "x86_64,riscv64",
    )  # fmt: skip
    engines = json.loads(out)["engines"]
    assert code == 0
    assert [one["verdict"] for one in engines] == ["reference", "agrees", "agrees"]
    assert all([cpu["r0"] for cpu in one["cpus"]] == ["0x2", "0x2"] for one in engines)


@live
def test_an_engine_with_one_cpu_falls_back(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", RACE, "--data-in", FRAMES[0].hex(), "--cpus", 2, "--engine", "linux"]
    code, out, err = run(capsys, *arguments)
    assert (code, out.count("returns 2")) == (0, 2)
    assert err.endswith("the interpreter runs it\n")
    code, _, err = run(capsys, *arguments, "--jit=require")
    assert (code, len(err.splitlines())) == (2, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cpus", 5], "1<=x<=4"), (["--cpu", 4], "0<=x<=3"), (["--schedule", "1"], "--schedule is for --cpus"),
        (["--cpus", 2, "--cpu", 1], "exclude each other"), (["--cpus", 2, "--schedule", "0,2"], "CPUs are 0 to 1"),
        (["--cpus", 2, "--schedule", "one"], "no schedule"),
        (["--cpus", 3, "--prog", "count,count"], "2 programs are named"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["run", "check"])
def test_what_is_refused(verb: str, options: list[object], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    if verb == "check":
        options = ["--entry" if option == "--prog" else option for option in options]
    code, _, err = run(capsys, verb, RACE, *options)
    assert code == 2
    assert words in err


@pytest.mark.parametrize("engine", [pytest.param("interpreter", marks=pytest.mark.deep), "arm64"])
def test_an_interrupt_ends_all_cpus(engine: str, tmp_path: Path) -> None:
    """One CPU is in an endless loop, one has ended, one waits for its turn."""
    path = tmp_path / "loop.s"
    path.write_text("call 8\nif r0 == 0 goto end\ncall 8\nif r0 == 2 goto -1\ncall 6\nend:\nexit\n")
    options = ["--type", "plain", "--cpus", "3", "--schedule", "0,1,2,2,2", "--engine", engine, "--seconds", "100"]
    with interruptible(["run", str(path), *options]) as process:
        tasks = Path(f"/proc/{process.pid}/task")
        while len(list(tasks.iterdir())) < 3:  # the threads of the CPUs that go on are there
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip() == "interrupted"
