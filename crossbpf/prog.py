"""`crossbpf prog`: load, show, dump, run and pin programs, as bpftool does, over a pin directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bpf.errors import BadInput, CallFailed, CrossbpfError
from bpf.map_rules import NAME
from crossbpf import attaching, dumping
from crossbpf.bpftool import (
    PROG,
    Output,
    Words,
    caller,
    hexed,
    listed,
    number,
    one_map,
    only_one,
    permitted,
    pin_verbs,
    program,
    programs,
    show_objects,
    stored,
    verified,
    words,
)
from crossbpf.inputs import read_bytes, write_bytes
from crossbpf.loading import in_section, read_file
from crossbpf.machine import world as world_of
from crossbpf.net import net_option, network_said
from crossbpf.options import compile_options, in_kernel, loading
from crossbpf.types import context_for
from jit.registry import target as find_target
from jit.target import Target
from runtime import Kernel, MapObject, ProgramObject, hooks, xlating
from runtime.running import Runner, check_packet, compiled, measure
from runtime.types import named
from runtime.xlating import translated
from vm.network import carried

_LOAD = "[type TYPE] [map {idx N|name NAME} MAP] [pinmaps DIR] [autoattach]"


@click.group()
def prog() -> None:
    """Loaded programs: load, show, dump, run, pin, attach."""


for _command in (attaching.attach, attaching.detach, attaching.attached):
    prog.add_command(_command)


def _building(command: Any) -> Any:
    for option in (
        click.option("--big-endian", is_flag=True, help="Compile C, and read .bin and hex, as big-endian."),
        click.option("-I", "includes", multiple=True, metavar="DIR", help="Directory of C headers."),
        click.option("--cflags", default="", metavar="FLAGS", help="More options for the C compiler."),
        click.option("--cc", metavar="CMD", help="C compiler: a clang with the BPF target. Default: clang, else zig."),
    ):
        command = option(command)
    return command


@prog.command()
@words(f"FILE PATH {_LOAD}")
@loading
@_building
@permitted
@verified
@stored
def load(output: Output, given: Sequence[str], **options: Any) -> int:
    """Load the first program of FILE and pin it at PATH.

    Programs that its prog arrays hold come along. FILE is whatever `check` takes: C, an object, assembly, wire bytes.
    """
    return _load(output, Words(list(given), f"FILE PATH {_LOAD}"), first=True, **options)


@prog.command()
@words(f"FILE DIR {_LOAD}")
@loading
@_building
@permitted
@verified
@stored
def loadall(output: Output, given: Sequence[str], **options: Any) -> int:
    """Load all programs of FILE and pin each in DIR under its name. Of an object without programs, make its maps."""
    return _load(output, Words(list(given), f"FILE DIR {_LOAD}"), first=False, **options)


def _load(
    output: Output, line: Words, *, first: bool, caps: str | None, disabled: int, no_verify: bool, kernel: str | None,
    cc: str | None, cflags: str, includes: Sequence[str], big_endian: bool,
) -> int:  # fmt: skip
    file, path = line.next("FILE"), line.next("PATH")
    read = read_file(
        file, options=compile_options(cc, cflags, includes), order="big" if big_endian else "little", first=first
    )
    if first:
        read.refuse_none(file)
    found, declared = read.programs, read.programs[0].maps if read.programs else read.maps
    kind, maps_at, attaches = "", "", False
    with output.store.open() as system:
        reuse: dict[str, MapObject] = {}
        while line:
            match line.next("option"):
                case "type":
                    kind = named(word := line.next("TYPE"))
                    found = in_section(found, word)
                case "pinmaps":
                    maps_at = line.next("DIR")
                case "autoattach":
                    attaches = True
                case "map":
                    name = _map_name(line, declared)
                    reuse[name] = one_map(system, line)
                case word:
                    raise click.UsageError(f"what is {word!r}? {line.usage}")
        try:
            made: list[ProgramObject] = []
            loader = caller(caps, disabled)
            unit = Path(file).name[:NAME].partition(".")[0]
            if found:
                made = system.load(
                    found, kind=kind, caller=loader, kernel=kernel, reuse=reuse, portable=read.portable,
                    verify=not no_verify, unit=unit,
                )  # fmt: skip
                maps: Sequence[int] = made[0].maps
            else:
                created = system.create_maps(read.maps, read.order, caller=loader, reuse=reuse, unit=unit)
                maps = [one.id for one in created]
        except CrossbpfError as error:
            raise error.at(file=file) from None
        measure(system, made)
        xlating.measure(system, made)
        for one in made[:1] if first else made:
            system.pin(path if first else f"{path}/{one.name}", one)
        _pin_maps(system, maps, declared, maps_at)
        if attaches:
            for one in made:
                hooks.auto(system, one)
    return output.done()


def _map_name(line: Words, declared: Sequence[Any]) -> str:
    how = line.next("idx or name")
    if how == "name":
        name = line.next("NAME")
        if name not in [map_.name for map_ in declared]:
            raise BadInput(f"the object has no map named {name!r}")
        return name
    index = line.number("N")
    if how != "idx" or not 0 <= index < len(declared):
        raise BadInput(f"the object has no map {how} {index}")
    return str(declared[index].name)


def _pin_maps(system: Kernel, numbers: Sequence[int], declared: Sequence[Any], directory: str) -> None:
    for map_, made in zip(declared, (system.maps[one] for one in numbers), strict=True):
        if map_.pinned and map_.name not in system.pins:
            system.pin(map_.name, made)
        if directory and not map_.is_data:
            system.pin(f"{directory}/{map_.name}", made)


@prog.command(name="list")
@words(f"[{PROG}]")
@stored
def list_(output: Output, given: Sequence[str]) -> int:
    """Show loaded programs."""
    return _show(output, given)


@prog.command()
@words(f"[{PROG}]")
@stored
def show(output: Output, given: Sequence[str]) -> int:
    """Show loaded programs."""
    return _show(output, given)


def _show(output: Output, given: Sequence[str]) -> int:
    return show_objects(
        output, Words(list(given), PROG), programs, lambda system: list(system.programs.values()), _record, _text
    )


def _record(system: Kernel, one: ProgramObject, output: Output) -> dict[str, Any]:
    size = one.code_size
    record = dumping.head_record(one) | {
        "loaded_at": one.loaded_at, "uid": one.uid, "orphaned": False, "bytes_xlated": one.bytes_xlated,
        "jited": bool(size),
    }  # fmt: skip
    record |= {"bytes_jited": size} if size else {}
    record["bytes_memlock"] = one.bytes_xlated + 4095 & -4096
    record |= {"map_ids": list(one.map_ids)} if one.map_ids else {}
    return record | ({"pinned": system.pinned(one)} if output.files else {})


def _text(system: Kernel, one: ProgramObject, output: Output) -> str:
    size, when = one.code_size, datetime.fromtimestamp(one.loaded_at, UTC).astimezone()
    lines = [
        dumping.head(one),
        f"\tloaded_at {when:%Y-%m-%dT%H:%M:%S%z}  uid {one.uid}",
        f"\txlated {one.bytes_xlated}B  " + (f"jited {size}B" if size else "not jited")
        + f"  memlock {one.bytes_xlated + 4095 & -4096}B"
        + ("  map_ids " + ",".join(map(str, one.map_ids)) if one.map_ids else ""),
    ]  # fmt: skip
    return "\n".join([*lines, *(f"\tpinned {path}" for path in (system.pinned(one) if output.files else ()))])


_DUMP = "{xlated|jited} PROG [file FILE|opcodes|visual] [linum]"


@prog.command()
@words(_DUMP)
@click.option("--target", metavar="NAME", help="The machine to show code of. Default: this one.")
@stored
def dump(output: Output, given: Sequence[str], target: str | None) -> int:
    """Print programs: `xlated` is rewritten bytecode, `jited` is machine code.

    Rewritten means as it runs: accesses to the context go to where its fields really lie, and maps have their ids.
    `opcodes` adds the bytes, `linum` the places of source lines; `file` writes the bytes alone. `visual` prints the
    control-flow graph of bytecode in the DOT language. Where several programs have the name or tag, each comes below
    its first line of `prog show`.
    """
    line = Words(list(given), _DUMP)
    what = line.next("xlated or jited")
    if what not in ("xlated", "jited"):
        raise click.UsageError(f"{what!r} where xlated or jited belongs: {line.usage}")
    with output.store.open(write=False) as system:
        found = programs(system, line)
        file, said = "", set[str]()
        while line:
            word = line.next("option")
            if word == "file":
                file = line.next("FILE")
            elif word in ("opcodes", "linum") or (word == "visual" and what == "xlated"):
                said.add(word)
            else:
                raise click.UsageError(f"what is {word!r}? {line.usage}")
        if "visual" in said and (file or "opcodes" in said):
            raise click.UsageError(f"visual goes with neither file nor opcodes: {line.usage}")
        if len(found) > 1 and (file or "visual" in said):
            only_one(found, "programs")
        machine = find_target(target) if target is not None else None
        make = _xlated if what == "xlated" else _jited
        dumped = [(one, make(system, one, machine, said, record=output.record)) for one in found]
    if file:
        write_bytes(file, dumped[0][1].code)
        return output.done()
    if output.record and "visual" not in said:
        records = [dumping.head_record(one) | {"insns": made.shown} for one, made in dumped]
        output.show(records if len(records) > 1 else dumped[0][1].shown)
    else:
        above = [f"{dumping.head(one)}\n" if len(found) > 1 else "" for one in found]
        click.echo("\n\n".join(f"{head}{made.shown}" for head, (_, made) in zip(above, dumped, strict=True)))
    return 0


@dataclass(frozen=True, slots=True)
class _Dumped:
    """A dump of a program: its bytes, and what is shown of them."""

    code: bytes
    shown: Any


def _jited(system: Kernel, one: ProgramObject, machine: Target | None, said: set[str], *, record: bool) -> _Dumped:
    image = compiled(system, one, machine)
    form = {word: word in said for word in ("opcodes", "linum")}
    if record:
        return _Dumped(image.code, dumping.jited_records(image, one, **form))
    return _Dumped(image.code, "\n".join(dumping.jited_lines(image, one, **form)))


def _xlated(system: Kernel, one: ProgramObject, machine: Target | None, said: set[str], *, record: bool) -> _Dumped:
    made, form = translated(system, one), {word: word in said for word in ("opcodes", "linum")}
    code = dumping.xlated_bytes(made)
    if "visual" in said:
        return _Dumped(code, dumping.xlated_graph(made).rstrip("\n"))
    if record:
        return _Dumped(code, dumping.xlated_records(made, **form))
    return _Dumped(code, "\n".join(dumping.xlated_lines(made, **form)))


_RUN = "PROG [data_in FILE [data_out FILE [data_size_out N]]] [ctx_in FILE [ctx_out FILE [ctx_size_out N]]] [repeat N]"


@prog.command(name="run")
@words(_RUN)
@click.option("--engine", default="interpreter", show_default=True, metavar="NAME", help="What runs it.")
@click.option("--ctx", multiple=True, metavar="NAME=VALUE,...|FILE", help="Fields of the context, over ctx_in.")
@net_option
@in_kernel
@stored
def run_(output: Output, given: Sequence[str], engine: str, ctx: Sequence[str]) -> int:
    """Run a program as what its type says. Its maps keep what it does to them.

    data_in is the packet, or, for a program without a type, the memory that R1 and R2 describe. ctx_in is the context
    in the layout of linux/bpf.h: fields that are 0 have the values of a test run. `-` is standard input, and for
    data_out and ctx_out standard output, in hex.
    """
    line = Words(list(given), _RUN)
    options = dict.fromkeys(("data_in", "data_out", "data_size_out", "ctx_in", "ctx_out", "ctx_size_out"), "")
    options["repeat"] = "1"
    with output.store.open() as system:
        one = program(system, line)
        while line:
            word = line.next("option")
            if word not in options:
                raise click.UsageError(f"what is {word!r}? {line.usage}")
            options[word] = line.next(word)
        sizes = {name: _number(options[name] or "0", name) for name in ("repeat", "data_size_out", "ctx_size_out")}
        sizes["repeat"] = sizes["repeat"] or 1  # as the kernel takes 0
        data, before = (read_bytes(options[name]) if options[name] else b"" for name in ("data_in", "ctx_in"))
        runner = Runner(system, one, engine)
        check_packet(runner.convention, data)
        said = context_for(runner.convention, one.program, ctx)
        entry = runner.entry(data, said.context, before, said.record)
        world = world_of(one.program, compile_options())
        world.net = network_said()
        ran = runner.run(entry, world, repeat=sizes["repeat"])
    outcome = ran.outcome
    after = {"data_out": ran.data, "ctx_out": ran.context(before)}
    for name, size in (("data_out", "data_size_out"), ("ctx_out", "ctx_size_out")):
        if 0 < sizes[size] < len(after[name]) and outcome.status == "done":
            raise CallFailed("ENOSPC", f"{name} has {len(after[name])} bytes", place=f"{size} {sizes[size]}")
    for name, data in after.items():
        if options[name] not in ("", "-"):
            write_bytes(options[name], data)
    ended = "" if outcome.status == "done" else str(outcome.fault or outcome.status)
    printed, sent = list(outcome.printed or ()), [str(one) for one in carried(outcome.sent or (), ran.meaning)]
    if output.record:
        record: dict[str, Any] = {"retval": ran.retval, "duration": ran.nanoseconds}
        record |= {"meaning": ran.meaning} if ran.meaning else {}
        record |= {name: listed(data) for name, data in after.items() if options[name] == "-"}
        record |= {"sent": sent} if sent else {}
        output.show(record | ({"printed": printed} if printed else {}) | ({"error": ended} if ended else {}))
    else:
        for text in printed:
            click.echo(f"printk: {text}")
        for name, data in after.items():
            if options[name] == "-":
                click.echo(hexed(data))
        for text in sent:
            click.echo(text)
        if ended:
            click.echo(f"crossbpf: {one.name}: {ended}", err=True)
        else:
            means = f" ({ran.meaning})" if ran.meaning else ""
            click.echo(f"Return value: {ran.retval}{means}, duration (average): {ran.nanoseconds}ns")
    return 1 if ended else 0


def _number(word: str, what: str) -> int:
    found = number(word, what)
    if not 0 <= found < 1 << 32:
        raise BadInput(f"{word} is no number of 32 bits", place=what)
    return found


pin_verbs(prog, PROG, program)
