"""The steps of ci/, .ci/run and the workflow: they parse, and they agree with each other and with the README."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_docs import readme_commands

ROOT = Path(__file__).resolve().parents[2]
NOT_STEPS = {"common.sh", "readme"}
STEPS = sorted(path.name for path in (ROOT / "ci").iterdir() if path.is_file() and path.name not in NOT_STEPS)
SHELL = shutil.which("sh")
BASH = shutil.which("bash") if sys.platform != "win32" else None  # Windows has another program of that name

needs_shell = pytest.mark.skipif(SHELL is None, reason="no POSIX shell")


def workflow() -> dict[Any, Any]:
    """The workflow file. YAML reads its key `on` as True."""
    read: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    return read


def test_the_steps_are_those_that_were_meant() -> None:
    assert STEPS == ["example", "layers", "lint", "test", "types"]


@needs_shell
@pytest.mark.parametrize("name", [*STEPS, *sorted(NOT_STEPS)])
def test_scripts_parse(name: str) -> None:
    assert SHELL is not None
    subprocess.run([SHELL, "-n", str(ROOT / "ci" / name)], check=True)


@pytest.mark.skipif(BASH is None, reason="no bash")
def test_the_run_parses() -> None:
    assert BASH is not None
    subprocess.run([BASH, "-n", str(ROOT / ".ci/run")], check=True)


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_scripts_can_be_executed() -> None:
    for path in (ROOT / ".ci/run", *(ROOT / "ci" / name for name in STEPS)):
        assert os.access(path, os.X_OK), path


def test_the_run_calls_every_step() -> None:
    (loop,) = re.findall(r"^for step in (.*); do$", (ROOT / ".ci/run").read_text("utf-8"), re.MULTILINE)
    assert sorted(loop.split()) == [f"ci/{step}" for step in STEPS]
    assert loop.split()[0] == "ci/test"  # it makes the environment that the others use


def test_the_workflow_runs_every_step_in_the_same_order() -> None:
    (loop,) = re.findall(r"^for step in (.*); do$", (ROOT / ".ci/run").read_text("utf-8"), re.MULTILINE)
    steps = workflow()["jobs"]["steps"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [f"sh {name}" for name in loop.split()]


def test_the_workflow_has_every_host() -> None:
    job = workflow()["jobs"]["steps"]
    matrix = job["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.13"]
    assert {re.sub(r"-\d[\d.]*", "", name) for name in matrix["os"]} == {"ubuntu", "ubuntu-arm", "macos", "windows"}
    assert job["runs-on"] == "${{ matrix.os }}"
    assert job["defaults"]["run"]["shell"] == "bash"
    (setup,) = [step for step in job["steps"] if step.get("uses", "").startswith("actions/setup-python@")]
    assert setup["with"]["python-version"] == "${{ matrix.python }}"


def test_the_workflow_can_only_read() -> None:
    read = workflow()
    assert set(read[True]) == {"push", "pull_request"}
    assert read["permissions"] == {"contents": "read"}


@needs_shell
@pytest.mark.skipif(os.name != "posix", reason="the commands are translated for Windows")
@pytest.mark.parametrize("number", [1, 2])
def test_the_commands_are_the_readmes(number: int) -> None:
    assert SHELL is not None
    script = str(ROOT / "ci/readme")
    done = subprocess.run([SHELL, script, str(number)], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip("\n") == readme_commands()[number - 1]


@needs_shell
def test_there_is_no_third_command() -> None:
    assert SHELL is not None
    done = subprocess.run([SHELL, str(ROOT / "ci/readme"), "3"], capture_output=True, check=False)
    assert done.returncode != 0
