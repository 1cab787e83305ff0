"""Programs judged in a process of their own: what kills it, or keeps it for ever, is a finding about its program.

The emulator is a large C library, and code that it does not expect can make it abort. The worker has the same door as
oracles.judge_genome; it is started when it is needed, and again after it has died.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from multiprocessing.connection import Connection
from typing import Any, Self

from bpf.errors import NotHere
from bpf.order import Order
from engines import ENGINES, Engine, engine
from engines.judging import PATIENCE
from fuzz.genome import decode
from fuzz.oracles import LIMITS, Finding, judge_genome
from vm.world import Input, Limits

_START = 60.0  # seconds that a new process has until it answers


class _Died(Exception):
    """The process has ended or had to be ended; the text says how."""


class Worker:
    """The process that judges. Use it in a `with` block, which ends it."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def judge(
        self,
        genome: Sequence[int],
        entry: Input,
        engines: Sequence[Engine],
        *,
        bare: bool = False,
        limits: Limits = LIMITS,
        trace: bool = False,
        observe: bool = True,
        patience: int = PATIENCE,
    ) -> Finding | None:
        """As judge_genome. After a death each engine gets a process of its own, to see whose doing it was."""
        how: dict[str, Any] = {"bare": bare, "limits": limits, "trace": trace, "observe": observe, "patience": patience}
        longest = _START + 2 * len(engines) * (1 + patience) * limits.seconds  # each has its own, shorter limits
        try:
            return self._ask((tuple(genome), entry, [_portable(one) for one in engines], how), longest)
        except _Died as died:
            words = str(died)
        if len(engines) > 1:
            for one in engines:
                found = self.judge(genome, entry, [one], **how)
                if found is not None:
                    return found
            words += ", but not again with each engine by itself"
        order: Order = "little" if any("little" in one.abilities.orders for one in engines) else "big"
        names = ", ".join(one.name for one in engines)
        return Finding(names, decode(genome, order, bare=bare), entry, words)

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join()
            self._pipe.close()

    def _ask(self, message: object, seconds: float) -> Finding | None:
        """Send a message and wait for the answer. Raises _Died, and whatever judging raises."""
        if self._process is None:
            self._start()
        try:
            self._pipe.send(message)
            if not self._pipe.poll(seconds):
                self.stop()
                raise _Died(f"kept its process for more than {seconds:g} s")
            answer = self._pipe.recv()
        except (OSError, EOFError):
            self._process.join(_START)
            ending = _ending(self._process.exitcode)
            self.stop()
            raise _Died(f"the process died with {ending}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    def _start(self) -> None:
        context = _context()
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), name="crossbpf worker", daemon=True)
        with _uninterrupted():
            process.start()
            self._process = process
        theirs.close()
        with contextlib.suppress(OSError, EOFError):
            if self._pipe.poll(_START) and self._pipe.recv() == "ready":
                return
        self.stop()
        raise NotHere("no worker process can be started", remedy="run with --in-process")


@cache
def _context() -> Any:
    """How processes are started: a fork of ours would share the guests' memory with us, so a server is forked that
    has imported what a worker needs and nothing else. Where there is none, each imports it anew.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back; a process started meanwhile never sees one: it is for us to end it."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its start would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection) -> None:
    """What the process does: judge until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe.send("ready")
    with contextlib.suppress(EOFError, OSError):
        while True:
            genome, entry, engines, how = pipe.recv()
            answer: object
            try:
                chosen = [engine(one) if isinstance(one, str) else one for one in engines]
                answer = judge_genome(genome, entry, chosen, **how)
            except Exception as error:  # noqa: BLE001 (it is raised on the other side)
                answer = error
            pipe.send(answer)


def _portable(one: Engine) -> Engine | str:
    """An engine as it can be sent: its name, if it is one of ours."""
    return one.name if ENGINES.get(one.name) is one else one


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"exit code {code}"
