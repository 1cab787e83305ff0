"""Somebody else's runtime as an engine, over the public suite's plugin protocol.

The program goes to the command's standard input as space-separated hex bytes (little-endian wire form), the memory
as hex bytes in the first argument, if there is any; the command prints R0 in hex and exits with 0. Whatever else it
does, crash, hang, eat memory, print garbage, is an Outcome that says so and never an exception.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

from bpf.errors import BadInput, Refused
from bpf.plan import Unit
from engines.base import Abilities, Engine, Options, Prepared
from vm.outcome import Fault, Outcome
from vm.step import Step
from vm.world import Input, Limits, World

OUTPUT_LIMIT = 1 << 20
MEMORY_LIMIT = 4 << 30
_TEXT = 300  # characters of a plugin's words that are kept
_NAME = 60  # characters of its name, the command without the folders
_RESULT = re.compile("(?:0[xX])?[0-9a-fA-F]+")


def _bounds() -> Callable[[], None] | None:
    """What the child calls before it becomes the plugin: bounds on memory, files and core dumps (POSIX only)."""
    if sys.platform == "win32":
        return None
    import resource

    # The address space comes last: where this process has more than that already, nothing can be allocated after it.
    limits = tuple(
        (what, (value, value))
        for what, value in (
            (resource.RLIMIT_FSIZE, OUTPUT_LIMIT),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_AS, MEMORY_LIMIT),
        )
    )

    def bound() -> None:
        for what, both in limits:
            try:  # noqa: SIM105 (a context manager would be an allocation)
                resource.setrlimit(what, both)
            except (ValueError, OSError):  # a stricter bound is there already
                pass

    return bound


class PluginPrepared(Prepared):
    """A program for the plugin; each run is a process of its own."""

    def __init__(self, command: tuple[str, ...], unit: Unit) -> None:
        self._command = command
        self._code = unit.programs[0].encode("little").hex(" ").encode()

    def run(self, entry: Input, world: World, limits: Limits) -> Outcome:
        """One process. Only the memory of the input reaches it."""
        arguments = [*self._command, *([entry.memory.hex()] if entry.memory else [])]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                process = subprocess.Popen(  # noqa: S603 (running the user's command is the point)
                    arguments, stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True,
                    preexec_fn=_bounds(),  # noqa: PLW1509 (nothing between fork and exec takes a lock)
                )  # fmt: skip
            except (OSError, subprocess.SubprocessError) as error:  # too long an argument, say: that of this program
                return _fault(f"cannot be started: {error}")
            try:
                process.communicate(self._code, timeout=limits.seconds)
            except subprocess.TimeoutExpired:
                return Outcome("limit")
            finally:
                _kill(process)
            return _outcome(process.returncode, _said(out), _said(err))

    def trace(self, entry: Input, world: World, limits: Limits) -> Iterator[Step]:
        """The protocol shows no steps."""
        raise Refused("a plugin cannot be traced")


def _kill(process: subprocess.Popen[Any]) -> None:
    """End the plugin and whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _said(file: IO[bytes]) -> str:
    """What was written, in one line that every terminal and report can show."""
    file.seek(0)
    words = " ".join(file.read(OUTPUT_LIMIT).decode("utf-8", "replace").split())
    return words if words.isprintable() else "".join(c if c.isprintable() else "?" for c in words)


def _outcome(code: int, said: str, complained: str) -> Outcome:
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return _fault(f"crashed with {name}", complained)
    if code:
        return _fault(complained or said or f"exit code {code}")
    if not _RESULT.fullmatch(said):
        return _fault(f"printed no result but {said[:_TEXT]!r}", complained)
    if len(said.lower().removeprefix("0x").lstrip("0")) > 16:
        return _fault(f"printed a result of more than 64 bits: {said[:_TEXT]}")
    return Outcome("done", int(said, 16))


def _fault(*words: str) -> Outcome:
    return Outcome("fault", fault=Fault("error", detail=": ".join(_cut(word) for word in words if word)))


def _cut(words: str) -> str:
    """The beginning and the end of long words: some runtimes say first what is wrong, others last."""
    return words if len(words) <= _TEXT else f"{words[: _TEXT // 2]} ... {words[-_TEXT // 2 :]}"


class PluginEngine(Engine):
    """An external command. Raises BadInput for one that is empty or not there."""

    def __init__(self, command: str) -> None:
        try:
            self._command = tuple(shlex.split(command))
        except ValueError as error:
            raise BadInput(f"is no command: {error}", file="--plugin") from None
        if not self._command:
            raise BadInput("is empty", file="--plugin")
        if shutil.which(self._command[0]) is None:
            raise BadInput("plugin cannot be started: no such command", file=self._command[0])
        self._text = command
        self.name = " ".join(("plugin", *(re.split(r"[/\\]", word)[-1] or word for word in self._command)))[:_NAME]
        self.abilities = Abilities(
            orders=frozenset({"little"}), plans=False, conventions=frozenset({"plain", "suite"}), shows=frozenset(),
            maps=False,
        )  # fmt: skip

    def in_python(self) -> tuple[str, str]:
        """See Engine."""
        return "from engines.plugin import PluginEngine", f"PluginEngine({self._text!r})"

    def prepare(self, unit: Unit, options: Options | None = None) -> PluginPrepared:
        """See Engine. Refuses programs that need more than code and memory."""
        if unit.maps:
            raise Refused(f"{self.name} takes no maps")
        if unit.convention.context:
            raise Refused(f"{self.name} takes no packets")
        if any(insn is not None and insn.row.external for insn in unit.programs[0].insns):
            raise Refused(f"{self.name} takes nothing of the kernel's BTF")
        return PluginPrepared(self._command, unit)


def plugins(commands: Sequence[str]) -> list[PluginEngine]:
    """An engine for each command; commands that are called the same are numbered."""
    found: list[PluginEngine] = []
    for command in commands:
        found.append(PluginEngine(command))
        same = sum(engine.name == found[-1].name for engine in found)
        if same > 1:
            found[-1].name += f" ({same})"
    return found
