"""What the verbs with bpftool's spelling share: their words, the pin directory, hex, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from bpf.errors import BadInput
from runtime import Kernel, MapObject, ProgramObject, Store
from runtime.permission import ROOT, Caller, capabilities
from runtime.store import default_directory

PROG = "{ id ID | tag TAG | name NAME | pinned PATH }"
MAP = "{ id ID | name NAME | pinned PATH }"
One = TypeVar("One", ProgramObject, MapObject)
_OCTAL = re.compile("[+-]?0[0-7]+")
HOWS = {"id": "ID", "tag": "TAG", "name": "NAME", "pinned": "PATH"}


def pretty(value: Any, depth: int = 0) -> str:
    """JSON as bpftool indents it: a line for each member of an object, elements of an array behind each other."""
    end = "\n" + "    " * depth
    if isinstance(value, dict) and value:
        members = (f"{end}    {json.dumps(name)}: {pretty(item, depth + 1)}" for name, item in value.items())
        return "{" + ",".join(members) + end + "}"
    if isinstance(value, list | tuple) and value:
        return "[" + ",".join(pretty(item, depth + 1) for item in value) + end + "]"
    return json.dumps(value)


@dataclass
class Output:
    """Where answers go. json, pretty: as one record; files: name the paths that things are pinned at."""

    store: Store
    json: bool = False
    pretty: bool = False
    files: bool = False

    @property
    def record(self) -> bool:
        """Whether a record is wanted."""
        return self.json or self.pretty

    def show(self, record: Any) -> None:
        """Print a record."""
        click.echo(pretty(record) if self.pretty else json.dumps(record, separators=(",", ":")))

    def done(self) -> int:
        """The exit code of a verb that has nothing to say, after `null` where a record is wanted, as bpftool has it."""
        if self.record:
            self.show(None)
        return 0


def stored(command: Any) -> Any:
    """--bpffs, -j, -p, -f: turned into an argument `output`."""

    def made(*arguments: Any, bpffs: str | None, as_json: bool, pretty: bool, files: bool, **options: Any) -> Any:
        store = Store(Path(bpffs) if bpffs else default_directory())
        return command(*arguments, output=Output(store, as_json, pretty, files), **options)

    made.__doc__, made.__name__ = command.__doc__, command.__name__
    made.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    decorated: Any = made
    for option in (
        click.option("-f", "files", is_flag=True, help="Show the paths that it is pinned at."),
        click.option("-p", "--pretty", is_flag=True, help="As -j, indented."),
        click.option("-j", "--json", "as_json", is_flag=True, help="Print one JSON record, as bpftool does."),
        click.option("--bpffs", metavar="DIR", envvar="CROSSBPF_BPFFS", help="The pin directory. Default: the user's."),
    ):
        decorated = option(decorated)
    return decorated


def permitted(command: Any) -> Any:
    """--caps, --unprivileged-bpf-disabled, --kernel."""
    kernel = click.option("--kernel", metavar="RELEASE", help="Refuse what came later than this kernel, 5.4 say.")
    return capable(kernel(command))


def capable(command: Any) -> Any:
    """--caps, --unprivileged-bpf-disabled."""
    for option in (
        click.option(
            "--unprivileged-bpf-disabled", "disabled", type=click.IntRange(0, 2), default=2, show_default=True,
            help="The sysctl of that name.",
        ),
        click.option("--caps", metavar="CAP,...", help="The caller's capabilities, or none. Default: all."),
    ):  # fmt: skip
        command = option(command)
    return command


def verified(command: Any) -> Any:
    """--no-verify."""
    return click.option("--no-verify", is_flag=True, help="Take what the verifier rejects, too.")(command)


def caller(caps: str | None, disabled: int) -> Caller:
    """Who --caps says."""
    return ROOT if caps is None else Caller(capabilities(caps), disabled)


def number(word: str, what: str, base: int = 0) -> int:
    """A number as C's strtoul() reads it: 010 is 8 in base 0. Raises BadInput."""
    try:
        return int(word, 8 if not base and _OCTAL.fullmatch(word) else base)
    except ValueError:
        raise BadInput(f"{word!r} is no number", place=what) from None


@dataclass
class Words:
    """The words after a verb, taken one by one. usage: what is shown when they make no sense."""

    words: list[str]
    usage: str
    taken: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.words)

    def next(self, what: str) -> str:
        """The next word."""
        if not self.words:
            told = what.startswith("{") and what in self.usage
            raise click.UsageError(f"Missing {what}" + ("" if told else f": {self.usage}"))
        self.taken.append(self.words.pop(0))
        return self.taken[-1]

    def skip(self, *words: str) -> str:
        """The next word if it is one of these, else ""."""
        return self.next("") if self.words and self.words[0] in words else ""

    def expect(self, word: str) -> None:
        """The next word must be this."""
        if not self.skip(word):
            there = repr(self.words[0]) if self.words else "nothing"
            raise click.UsageError(f"{there} where {word!r} belongs: {self.usage}")

    def number(self, what: str) -> int:
        """The next word as a number."""
        return number(self.next(what), what)

    def end(self) -> None:
        """There is no more."""
        if self.words:
            raise click.UsageError(f"what is {self.words[0]!r}? {self.usage}")

    def bytes(self, size: int, what: str, stop: Sequence[str]) -> bytes:
        """`[hex] BYTE...` up to a word of `stop`: as many bytes as there should be."""
        base = 16 if self.skip("hex") else 0
        found: list[int] = []
        while self.words and self.words[0] not in stop:
            word = self.next(what)
            try:
                found.append(number(word, what, base))
            except BadInput:
                found.append(-1)
            if not 0 <= found[-1] <= 255:
                raise BadInput(f"{word!r} is no byte", place=what, remedy="write 0 to 255, 0x.., or `hex` first")
        if len(found) != size:
            raise BadInput(f"{len(found)} bytes are given, it has {size}", place=what)
        return bytes(found)


def programs(kernel: Kernel, words: Words) -> list[ProgramObject]:
    """Those that PROG names. Raises BadInput, CallFailed."""
    how = words.next(PROG)
    return kernel.find_programs(how, words.next(HOWS.get(how, PROG)))


def program(kernel: Kernel, words: Words) -> ProgramObject:
    """The one that PROG names."""
    return only_one(programs(kernel, words), "programs")


def maps(kernel: Kernel, words: Words) -> list[MapObject]:
    """Those that MAP names. Raises BadInput, CallFailed."""
    how = words.next(MAP)
    return kernel.find_maps(how, words.next(HOWS.get(how, MAP)))


def one_map(kernel: Kernel, words: Words) -> MapObject:
    """The one that MAP names."""
    return only_one(maps(kernel, words), "maps")


def only_one(found: list[One], what: str) -> One:
    """The one that was found. Raises BadInput where there are more."""
    if len(found) > 1:
        ids = ", ".join(str(one.id) for one in found)
        raise BadInput(f"several {what} match this handle", remedy=f"say which by id: {ids}")
    return found[0]


def hexed(data: bytes) -> str:
    """Bytes in hex, 16 a line, a gap after 8."""
    lines = (data[at : at + 16] for at in range(0, len(data), 16))
    return "\n".join("  ".join(part for part in (line[:8].hex(" "), line[8:].hex(" ")) if part) for line in lines)


def listed(data: bytes) -> list[str]:
    """Bytes as bpftool's JSON has them."""
    return [f"0x{byte:02x}" for byte in data]


def show_objects(
    output: Output, line: Words, found: Callable[[Kernel, Words], list[Any]], everything: Callable[[Kernel], list[Any]],
    record: Callable[[Kernel, Any, Output], dict[str, Any]], text: Callable[[Kernel, Any, Output], str],
) -> int:  # fmt: skip
    """Show the objects that the line names, or all; one that is named alone is a record and no list."""
    with output.store.open(write=False) as system:
        named = bool(line)
        objects = found(system, line) if line else everything(system)
        line.end()
        if output.record:
            records = [record(system, one, output) for one in objects]
            output.show(records[0] if named and len(records) == 1 else records)
        else:
            for one in objects:
                click.echo(text(system, one, output))
    return 0


def words(usage: str) -> Callable[[Any], Any]:
    """The argument of a verb that reads its own words."""
    return click.argument("given", nargs=-1, metavar=usage)


def pin_verbs(group: click.Group, usage: str, find: Callable[[Kernel, Words], ProgramObject | MapObject]) -> None:
    """`pin` and `unpin` of a group. usage: how one of it is named, which `find` reads."""

    @group.command()
    @words(f"{usage} PATH")
    @stored
    def pin(output: Output, given: Sequence[str]) -> int:
        """Pin one at one more path."""
        line = Words(list(given), f"{usage} PATH")
        with output.store.open() as system:
            one = find(system, line)
            system.pin(line.next("PATH"), one)
            line.end()
        return output.done()

    @group.command()
    @words("PATH")
    @stored
    def unpin(output: Output, given: Sequence[str]) -> int:
        """Take a pin away, as rm does on Linux; a program or map that nothing leads to any more is gone."""
        line = Words(list(given), "PATH")
        with output.store.open() as system:
            system.unpin(line.next("PATH"))
            line.end()
        return output.done()
