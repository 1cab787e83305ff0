"""Options that several verbs share, and what they turn into."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import click
from rich.console import Console

from bpf.errors import BadInput
from bpf.plan import PLANS, Plan
from crossbpf.inputs import CompileOptions
from engines import ENGINES, Engine, engine

Decorator = Callable[[Any], Any]


class Duration(click.ParamType[float]):
    """A time as `1s`, `500ms` or `2m`; a bare number is seconds. Its value is seconds."""

    name = "time"
    _UNITS: ClassVar = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See click."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|)", value.strip())
        if match is None:
            self.fail(f"{value!r} is no time: 1s, 500ms, 2m", param, ctx)
        return float(match[1]) * self._UNITS[match[2]]


DURATION = Duration()


def loading(command: Any) -> Any:
    """--link, --btf, --kconfig, --ksyms, --machine: what an object needs besides itself (see `compile_options`)."""
    for name, help_, metavar in (
        ("kconfig", "Kernel configuration for externs: a value, or a file of such lines.", "NAME=VALUE|FILE"),
        ("machine", "What the program finds in the kernel: memory, symbols, tasks, as JSON.", "FILE"),
        ("ksyms", "Addresses of kernel symbols for externs: one, or a file like /proc/kallsyms.", "NAME=ADDRESS|FILE"),
        ("btf", "Types of the machine to run for, for CO-RE: a file, or `kernel`. Default: the object's own.", "FILE"),
        ("link", "Link this object or C file too.", "FILE"),
    ):
        command = click.option(
            f"--{name}", f"_{name}", multiple=name not in ("btf", "machine"), metavar=metavar, help=help_,
            expose_value=False, callback=_keep,
        )(command)  # fmt: skip
    return command


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    context.meta[f"crossbpf.{parameter.name}"] = value
    return value


def in_kernel(command: Any) -> Any:
    """--machine, for a program that is loaded already."""
    return click.option(
        "--machine", "_machine", metavar="FILE", help="What the program finds in the kernel: memory, tasks, as JSON.",
        expose_value=False, callback=_keep,
    )(command)  # fmt: skip


def compiling(command: Any) -> Any:
    """--cc, --cflags, -I, --entry, --big-endian; --link, --btf, --kconfig, --ksyms, --machine."""
    command = loading(command)
    for option in (
        click.option("--big-endian", is_flag=True, help="Read .bin and hex input as big-endian wire form."),
        click.option("--entry", metavar="NAME", help="Function to run, of an object or C file with several."),
        click.option("-I", "includes", multiple=True, metavar="DIR", help="Directory of C headers."),
        click.option("--cflags", default="", metavar="FLAGS", help="More options for the C compiler."),
        click.option("--cc", metavar="CMD", help="C compiler: a clang with the BPF target. Default: clang, else zig."),
    ):
        command = option(command)
    return command


def compile_options(cc: str | None = None, cflags: str = "", includes: Sequence[str] = ()) -> CompileOptions:
    """What --cc, --cflags and -I say, and of the command in hand what `loading` has."""
    context = click.get_current_context(silent=True)
    said = context.meta if context is not None else {}
    return CompileOptions(
        cc, tuple(shlex.split(cflags)), tuple(includes), tuple(said.get("crossbpf._link", ())),
        said.get("crossbpf._btf"), tuple(said.get("crossbpf._kconfig", ())), tuple(said.get("crossbpf._ksyms", ())),
        said.get("crossbpf._machine"),
    )  # fmt: skip


def engines_named(names: str | None, more: str | None = None) -> list[Engine] | None:
    """--target, and --engine in addition: names separated by commas; None for all. Raises BadInput."""
    if names is None and more is None:
        return None
    found = list(ENGINES.values()) if names is None else _engines(names, "--target")
    return list(dict.fromkeys([*found, *([] if more is None else _engines(more, "--engine"))]))


def _engines(names: str, option: str) -> list[Engine]:
    found = [engine(name.strip()) for name in names.split(",") if name.strip()]
    if not found:
        raise BadInput("names no engine", file=option)
    return found


def plans_named(names: str) -> list[Plan]:
    """--plan: names separated by commas, or all. Raises BadInput."""
    if names == "all":
        return list(PLANS.values())
    unknown = [name for name in names.split(",") if name not in PLANS]
    if unknown:
        raise BadInput(f"no plan named {unknown[0]!r}", file="--plan", remedy="plans: " + ", ".join((*PLANS, "all")))
    return [PLANS[name] for name in names.split(",")]


def wide_console() -> Console:
    """Standard output for tables: as wide as the terminal, or as wide as they need where there is none."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=500)


def hexadecimal(value: int) -> str:
    """A 64-bit number as the tables show it."""
    return f"0x{value:x}"
