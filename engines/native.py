"""The host's own CPU as an engine: compiled code runs natively in a process of its own, which may crash."""

from __future__ import annotations

import atexit
import contextlib
import io
import mmap
import os
import pickle
import platform
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from bpf.errors import BadInput, Refused
from bpf.plan import MAX_FUNCTIONS, MAX_HELPERS, PAGE, POISON, RECORD_WORDS, STUB_SIZE, TABLES, Plan, Unit
from bpf.spec.conventions import NAMES
from engines.base import Abilities, Engine, Options, Prepared
from engines.binding import bind, shown
from engines.emulated import EmulatedPrepared, shared_front
from engines.native_child import LENGTH, Callbacks, Load, Run, send
from engines.native_cpus import RunCpus
from engines.native_rescue import here
from jit import host
from jit.host import HostCode
from jit.image import Image
from jit.pipeline import compile_front
from jit.registry import target
from jit.target import Target
from vm.cpus import Schedule
from vm.maps.bound import named_regions
from vm.memory import lay_out
from vm.network import Sent
from vm.outcome import Call, Fault, Outcome, located
from vm.services import SERVICES, Packet
from vm.step import Step
from vm.world import Input, Limits, World

_PATTERN = 0xC0FF_EE00_0000_0000  # what registers hold that belong to nobody: pattern + index
_ANSWER_LIMIT = 1 << 30
_START = 30.0  # seconds that a new process has until it answers


def host_target() -> Target:
    """The target that this machine's CPU executes. Raises Refused with the reason."""
    if sys.platform not in ("linux", "darwin"):
        raise Refused(f"the native engine needs Linux or macOS, this is {sys.platform}")
    try:
        found = target(platform.machine())
    except BadInput:
        found = None
    if found is None or not found.host:
        raise Refused(f"there is no native engine for a {platform.machine()} CPU")
    if mmap.PAGESIZE != PAGE:
        raise Refused(f"pages have {mmap.PAGESIZE} bytes here, the plans are made for {PAGE}")
    return found


class _Gone(Exception):
    """The process has ended, or was ended because it took too long."""

    def __init__(self, fault: Fault | None) -> None:
        super().__init__()
        self.fault = fault


class _Plain(pickle.Unpickler):
    """Reads numbers, bytes, strings, tuples, lists and dicts: what a process with broken memory says is no program."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name}")


class Worker:
    """The process that runs code; started when it is needed, and again after it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.loaded: object = None  # whose code it holds
        atexit.register(self.stop)
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._process = None  # it is our parent's
        self.loaded = None

    def stop(self) -> None:
        """End the process."""
        process, self._process, self.loaded = self._process, None, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # what was not sent goes nowhere
                    assert pipe is not None
                    pipe.close()

    def ask(self, message: object, seconds: float) -> dict[str, Any]:
        """Send a message and wait for the answer. Raises _Gone."""
        if self._process is None:
            self._process = self._start()
            seconds += _START
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            send(process.stdin, message)
            answer = self._answer(process.stdout, time.monotonic() + seconds)
        except TimeoutError:
            self.stop()
            raise _Gone(None) from None
        except (OSError, EOFError):
            self.stop()
            raise _Gone(Fault("error", detail=f"its process ended with exit code {process.returncode}")) from None
        except (pickle.UnpicklingError, ValueError, IndexError, AttributeError, KeyError, TypeError):
            self.stop()
            raise _Gone(Fault("error", detail="the code broke the process that ran it")) from None
        if "killed" in answer:
            self.loaded = None
            raise _Gone(Fault("error", detail=f"killed by {_signal_name(int(answer['killed']))}"))
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
        return subprocess.Popen(
            [sys.executable, "-c", "from engines.native_serve import main; main()"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )  # fmt: skip

    def _answer(self, pipe: IO[bytes], deadline: float) -> dict[str, Any]:
        (length,) = LENGTH.unpack(_read(pipe.fileno(), LENGTH.size, deadline))
        if length > _ANSWER_LIMIT:
            raise ValueError(length)
        answer = _Plain(io.BytesIO(_read(pipe.fileno(), length, deadline))).load()
        if not isinstance(answer, dict):
            raise TypeError(answer)
        return answer


def _read(file: int, size: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < size:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([file], [], [], left)[0]:
            raise TimeoutError
        piece = os.read(file, min(size - len(data), 1 << 20))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


_WORKER: list[Worker] = []


def worker() -> Worker:
    """The worker of this process."""
    if not _WORKER:
        _WORKER.append(Worker())
    return _WORKER[0]


class NativePrepared(Prepared):
    """Machine code for the host's CPU."""

    image: Image

    def __init__(self, unit: Unit, image: Image, options: Options) -> None:
        self.image = image
        self._unit = unit
        self._observe = options.observe
        self._target = image.target
        self._helpers = {
            number: (found.name, found.arguments) for number, found in unit.calls.items() if not found.inline
        }
        plan = unit.plan
        self._record, self._block = plan.harness, plan.harness + TABLES
        self._host, pieces = host_pieces(self._target, plan, self._block, (*self._helpers, *SERVICES))
        pieces += [
            (plan.entries, MAX_FUNCTIONS * STUB_SIZE, image.entries),
            (plan.code, len(image.code) + PAGE - 1 & -PAGE, image.code),
        ]
        # The code of each program ends where that of the next one starts.
        ends = [plan.code + image.functions[main] for main in unit.mains[1:]] + [plan.code + len(image.code)]
        functions = [frozenset(plan.entry(index) for index in unit.callees(start)) for start in unit.starts]
        self._callbacks = Callbacks(
            self._target.homes[:11], self._host.entered, self._host.checked,
            tuple(zip(ends, functions, strict=True)), frozenset(map(plan.entry, unit.later)),
        )  # fmt: skip
        counters = (plan.counters.start, plan.counters.size)
        saved = here(self._host.saved)
        if image.rescues and not saved:
            raise Refused(f"programs that read the kernel's structures do not run on this CPU under {sys.platform}")
        self._load = Load(
            pieces, plan.exit, self._block, self._record, counters, self._host.flush, image.rescues,
            self._target.homes[:11], saved, unit.order,
        )  # fmt: skip
        self._be_loaded(Limits().seconds)

    def _be_loaded(self, seconds: float) -> None:
        """Have the worker hold this code. Raises Refused, _Gone."""
        host = worker()
        if host.loaded is not self:
            host.loaded = None
            answer = host.ask(self._load, seconds)
            if "refused" in answer:
                raise Refused(str(answer["refused"]))
            host.loaded = self

    def run(self, entry: Input, world: World, limits: Limits) -> Outcome:
        """See Prepared. A run that kills its process shows neither memory nor calls."""
        try:
            self._be_loaded(limits.seconds)
            given, request = self._request(entry, world, limits)
            answer = worker().ask(request, limits.seconds)
            if "refused" in answer:
                worker().stop()
                raise Refused(str(answer["refused"]))
            self._keep(answer, world)
            return self._outcome(answer, given, answer["printed"], answer["sent"])
        except _Gone as gone:
            return Outcome("fault" if gone.fault else "limit", fault=gone.fault)

    def run_cpus(self, entries: Sequence[Input], world: World, limits: Limits, schedule: Schedule) -> list[Outcome]:
        """See Prepared. What kills the process on one CPU ends all of them, and nobody can say which it was."""
        schedule.check(self._unit, len(entries))
        try:
            self._be_loaded(limits.seconds)
            asked = [self._request(entry, world, limits, schedule.entered(cpu)) for cpu, entry in enumerate(entries)]
            runs = [replace(run, world=asked[0][1].world) for _, run in asked]
            answer = worker().ask(RunCpus(runs, schedule), limits.seconds)
            if "refused" in answer:
                worker().stop()
                raise Refused(str(answer["refused"]))
            self._keep(answer, world)
            return [
                self._outcome(report, given, printed, sent)
                for report, (given, _), (printed, sent) in zip(answer["cpus"], asked, answer["told"], strict=True)
            ]
        except _Gone as gone:
            return [Outcome("unspecified" if gone.fault else "limit", fault=gone.fault)] * schedule.cpus

    def _request(self, entry: Input, world: World, limits: Limits, program: int = 0) -> tuple[list[int], Run]:
        unit, machine, code = self._unit, self._target, self._host
        cells = lay_out(unit, entry, world)
        address = next((cell.region.start for cell in cells if cell.region.name == "memory"), 0)
        values = dict(
            zip(machine.homes, (*entry.entry_registers(address, unit.context), unit.plan.stack), strict=False)
        )
        given = [values.get(name, _PATTERN + index) for index, name in enumerate(code.entered)]
        poison = {machine.homes[number]: POISON + number for number in range(1, 6)}
        words = {host.ENTRY + at: value for at, value in enumerate(given)}
        words[host.TARGET] = unit.plan.entry(unit.mains[program])
        words |= {
            host.DESTROYED + at: poison.get(name, _PATTERN + 0x100 + at) for at, name in enumerate(code.destroyed)
        }
        request = Run(
            cells, words, self._helpers, world.plain(unit.order), unit.order, machine.alignment, machine.bias,
            limits.seconds, self._record, 8 * RECORD_WORDS, Packet.of(unit, entry), limits.may_goto,
            named_regions(unit), unit.plan.handles, limits.tail_calls, self._callbacks,
        )  # fmt: skip
        return given, request

    @staticmethod
    def _keep(answer: dict[str, Any], world: World) -> None:
        """The world as the process has left it."""
        world.restore(answer["world"])
        world.printed[:] = answer["printed"]
        world.sent[:] = [Sent(*sent) for sent in answer["sent"]]

    def _outcome(
        self, answer: dict[str, Any], given: list[int], printed: Sequence[str], sent: Sequence[tuple[Any, ...]]
    ) -> Outcome:
        block, order = answer["block"], self._unit.order
        fault, r0, registers = None, 0, None
        if answer["fault"] is not None:
            kind, back, address, detail = answer["fault"]
            words = f"{self._target.sp} {detail}" if detail else ""
            fault = Fault(kind, 0, self.image.pc_at(back - 1) if back else -1, address, words)
        elif answer["exit"] is not None:
            r0 = answer["exit"]
        elif broken := self._broken(block, given):
            fault = Fault("abi", 0, -1, 0, broken)
        else:
            r0 = block[host.RESULT]
            if self._observe:
                data = answer["record"]
                registers = tuple(int.from_bytes(data[at : at + 8], order) for at in range(0, len(data), 8))
        return Outcome(
            status="fault" if fault else "done",
            r0=r0,
            registers=registers,
            regions=answer["regions"],
            calls=tuple(Call(name, arguments) for name, arguments in answer["calls"]),
            printed=tuple(printed),
            sent=tuple(Sent(*one) for one in sent),
            fault=located(fault, self._unit),
            maps=answer["maps"],
        )

    def _broken(self, block: list[int], given: list[int]) -> str:
        """What the program did not put back before it returned, or ""."""
        sp, expected = block[host.FINAL_SP], block[host.HOST_SP]
        if sp != expected:
            return f"{self._target.sp} is 0x{sp:x} after the run, expected 0x{expected:x}"
        values = dict(zip(self._host.entered, given, strict=True))
        for at, name in enumerate(self._host.checked):
            value = block[host.SAVED + at]
            if value != values[name]:
                return f"callee-saved {name} is 0x{value:x} after the run, expected 0x{values[name]:x}"
        return ""

    def trace(self, entry: Input, world: World, limits: Limits) -> Iterator[Step]:
        """The same code in the emulator: a CPU that runs freely stops nowhere."""
        return self._emulated().trace(entry, world, limits)

    def boundaries(self) -> frozenset[int]:
        """See Prepared."""
        return self._emulated().boundaries()

    def _emulated(self) -> EmulatedPrepared:
        return EmulatedPrepared(self._unit, self.image, Options(observe=self._observe))


def host_pieces(
    machine: Target, plan: Plan, block: int, helpers: tuple[int, ...]
) -> tuple[HostCode, list[tuple[int, int, bytes]]]:
    """The code around a program's own: the trampoline in the exit page, the stubs; each (address, room, bytes)."""
    module = import_module(machine.host)
    code: HostCode = module.host_code(machine, plan.exit, block)
    stubs = bytearray(MAX_HELPERS * STUB_SIZE)
    for number in helpers:
        at = number * STUB_SIZE
        stub: bytes = module.stub(number, plan.stub(number), code.common)
        stubs[at : at + len(stub)] = stub
    return code, [(plan.exit, PAGE, code.code), (plan.stubs, len(stubs), bytes(stubs))]


class NativeEngine(Engine):
    """The host's CPU. Raises Refused where there is none that crossbpf compiles for."""

    name = "native"

    def __init__(self) -> None:
        self.target = host_target()
        self.machine = self.target.name
        self.abilities = Abilities(
            orders=frozenset({self.target.order}),
            plans=True,
            conventions=NAMES,
            shows=frozenset({"registers", "regions", "calls", "printed", "sent", "maps", "context", "packet"}),
            native=True,
        )

    def prepare(self, unit: Unit, options: Options | None = None) -> Prepared:
        """See Engine."""
        options, unit = options or Options(), bind(unit)
        plan = unit.plan
        if plan.stack >> 47:
            raise Refused(f"plan {plan.name} uses addresses that belong to the kernel")
        if any(region.writeonly for region in unit.map_regions):
            raise Refused("no memory of this machine can be written but not read, as BPF_F_WRONLY_PROG wants it")
        if unit.order != self.target.order:
            raise Refused(f"a {unit.order}-endian program does not run on this {self.target.name} host")
        image = compile_front(shared_front(unit, observe=options.observe), self.target, features=options.features)
        try:
            return shown(NativePrepared(unit, image, options), unit)
        except _Gone as gone:
            raise Refused(f"the native engine does not start: {gone.fault or 'it takes too long'}") from None
