"""The command line as a process that a test may interrupt."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _heed() -> None:
    """A shell starts what runs in the background with interrupts ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def interruptible(arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """crossbpf in a session of its own. Nothing of it is left afterwards, whatever the test finds."""
    if sys.platform == "win32":
        pytest.skip("signals are POSIX")
    if not Path("/proc/self/task").exists():
        pytest.skip("no /proc here")
    with subprocess.Popen(
        [sys.executable, "-m", "crossbpf", *arguments],
        cwd=ROOT, start_new_session=True, preexec_fn=_heed, stderr=subprocess.PIPE, text=True,  # noqa: PLW1509
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
