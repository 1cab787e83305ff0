"""C to BPF: find a clang and run it.

Three compilers will do, in this order: the one the user names, `clang` on PATH if it has the BPF target, the clang
inside the `ziglang` package. All get our own headers (crossbpf/include) after the user's, and before what a clang of
the host finds by itself; zig's finds nothing else but the compiler's own.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bpf.errors import BadInput, NotHere
from bpf.order import Order

INCLUDE = Path(__file__).parent / "include"

_REMEDY = "pip install 'crossbpf[cc]', or install clang with the BPF target"
_CLANG_TRIPLE = {"little": "bpfel", "big": "bpfeb"}
_ZIG_TRIPLE = {"little": "bpfel-freestanding", "big": "bpfeb-freestanding"}

# -ffreestanding also keeps LLVM from turning loops into calls of memset; a jump table would need gotox, and unwind
# tables and stack protectors have no meaning for BPF. A relative compilation directory makes objects reproducible.
_FLAGS = (
    "-O2", "-g", "-c", "-ffreestanding", "-fno-jump-tables", "-fno-stack-protector", "-fno-sanitize=all",
    "-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-fdebug-compilation-dir=.",
)  # fmt: skip

# The machine whose registers bpf/bpf_tracing.h names: what `kprobe` is for in a byte order (bpf/spec/registers.py).
_MACHINE = {"little": "-D__TARGET_ARCH_x86", "big": "-D__TARGET_ARCH_s390"}

# Headers that nobody ships, because they are of the machine: name -> how to make one.
_MADE = {"vmlinux.h": "crossbpf btf dump file /sys/kernel/btf/vmlinux format c > vmlinux.h"}
_MISSING = re.compile(r"'(?:.*/)?([^/']+)' file not found")

_ERROR = re.compile(r"^(?:(?P<file>.+?):(?P<line>\d+):(?:\d+:)? )?(?:fatal )?error: (?P<message>.+)$", re.MULTILINE)


class CompileError(BadInput):
    """The compiler refused the source. The first error is the message; `details` is everything it wrote."""

    def __init__(self, message: str, *, file: str, place: str = "", details: str = "", remedy: str = "") -> None:
        super().__init__(message, file=file, place=place, remedy=remedy)
        self.details = details


@dataclass(frozen=True, slots=True)
class Compiler:
    """How to call a compiler. argv: the program and what always precedes the options; zig: whether it is `zig cc`."""

    argv: tuple[str, ...]
    zig: bool = False

    def command(
        self,
        source: str | Path,
        order: Order,
        output: str | Path,
        cflags: Sequence[str] = (),
        includes: Sequence[str | Path] = (),
        mcpu: str = "v4",
    ) -> list[str]:
        """The whole command line that compiles `source` to an object of byte order `order` ("little", "big")."""
        triple = (_ZIG_TRIPLE if self.zig else _CLANG_TRIPLE)[order]
        paths = [part for path in (*includes, INCLUDE) for part in ("-I", str(path))]
        machine = [] if any("__TARGET_ARCH_" in flag for flag in cflags) else [_MACHINE[order]]
        return [
            *self.argv, "-target", triple, f"-mcpu={mcpu}", *_FLAGS, *machine, *paths, *cflags, str(source),
            "-o", str(output),
        ]  # fmt: skip


def find(cc: str | None = None) -> Compiler:
    """The compiler to use. cc: a program or a command line (`clang-19`, `zig cc`); None searches.

    Raises NotHere when there is none, or not the one named.
    """
    if cc is not None:
        return _named(cc)
    clang = shutil.which("clang")
    if clang is not None and _has_bpf(clang):
        return Compiler((clang,))
    if importlib.util.find_spec("ziglang") is not None:
        return Compiler((sys.executable, "-m", "ziglang", "cc"), zig=True)
    why = f"{clang} lacks the BPF target" if clang else "no clang on PATH"
    raise NotHere(f"no compiler for BPF: {why}, and no ziglang package", remedy=_REMEDY)


def _named(cc: str) -> Compiler:
    words = [cc] if shutil.which(cc) else shlex.split(cc)
    if not words or shutil.which(words[0]) is None:
        raise NotHere(f"no compiler {cc!r}", remedy=_REMEDY)
    if Path(words[-1]).stem in ("zig", "ziglang"):
        words.append("cc")
    return Compiler(tuple(words), zig=len(words) > 1 and words[-1] == "cc")


def _has_bpf(clang: str) -> bool:
    try:
        done = subprocess.run(  # noqa: S603  the user's own compiler
            [clang, "-print-targets"], capture_output=True, text=True, check=False
        )
    except OSError:
        return False
    return "bpfel" in done.stdout.split()


def compile_c(
    path: str | Path,
    order: Order,
    *,
    cc: str | None = None,
    cflags: Sequence[str] = (),
    includes: Sequence[str | Path] = (),
    mcpu: str = "v4",
) -> bytes:
    """Compile a C file and return the bytes of the ELF object.

    order: "little" or "big". cflags come last, so they win. Raises NotHere without a compiler, BadInput for a file
    that is not there, CompileError (a BadInput) for what the compiler refuses.
    """
    if not Path(path).is_file():
        raise BadInput("no such file", file=str(path))
    compiler = find(cc)
    with tempfile.TemporaryDirectory(prefix="crossbpf-") as scratch:
        output = Path(scratch, "out.o")
        command = compiler.command(path, order, output, cflags, includes, mcpu)
        try:
            done = subprocess.run(  # noqa: S603  the user's own compiler
                command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=_environment(scratch)
            )
        except OSError as error:
            raise NotHere(f"cannot run {command[0]}: {error.strerror}", remedy=_REMEDY) from None
        said = done.stderr.decode("utf-8", "replace")
        if done.returncode or not output.is_file():
            raise _refused(str(path), said, done.returncode)
        return output.read_bytes()


def _environment(scratch: str) -> dict[str, str]:
    """Zig caches under the home directory, which may be read-only or shared: let it do so in `scratch`."""
    environment = dict(os.environ)
    environment.setdefault("ZIG_GLOBAL_CACHE_DIR", str(Path(scratch, "global")))
    environment.setdefault("ZIG_LOCAL_CACHE_DIR", str(Path(scratch, "local")))
    return environment


def _refused(path: str, said: str, code: int) -> CompileError:
    found = _ERROR.search(said)
    if found is None:
        last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), f"exit status {code}")
        return CompileError(f"the compiler failed: {last}", file=path, details=said)
    place = f"line {found['line']}" if found["line"] else ""
    missing = _MISSING.match(found["message"])
    remedy = _MADE.get(missing[1], "") if missing else ""
    return CompileError(found["message"], file=found["file"] or path, place=place, details=said, remedy=remedy)
