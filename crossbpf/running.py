"""`crossbpf run`: one program of a type on one engine, on a packet or on each of a capture."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from bpf.errors import BadInput, CallFailed, Refused
from bpf.plan import Unit
from bpf.program import Program
from bpf.spec.conventions import Convention
from crossbpf import pcap
from crossbpf.bpftool import caller, capable, verified
from crossbpf.cpus import cpu_options, schedule_named
from crossbpf.inputs import memory_bytes, read_source, write_bytes
from crossbpf.machine import world as world_of
from crossbpf.maps import map_option, map_record, show_maps
from crossbpf.net import net_option, network_said
from crossbpf.options import compile_options, compiling, hexadecimal, plans_named, wide_console
from crossbpf.types import context_for, convention_named, convention_of
from engines import Engine, Prepared, engine
from engines.compare import Row
from engines.iterating import inputs as iterated
from engines.iterating import iterates
from runtime.permission import may_load
from runtime.running import data_after, entry_for
from runtime.types import UNSPEC
from runtime.verifying import accept
from vm.contexts import build, read_back
from vm.cpus import Schedule
from vm.network import Sent, carried
from vm.outcome import Outcome
from vm.world import Input, Limits, World

AUTO, REQUIRE = "auto", "require"


@dataclass(frozen=True, slots=True)
class Run:
    """A run. number: of the packet; before: the context before it; seconds: of one run, the mean of the repeated.

    cpu: which one of several it was on.
    """

    number: int
    given: Input
    outcome: Outcome
    before: Mapping[str, int]
    printed: Sequence[str]
    seconds: float
    cpu: int | None = None

    def sent(self, convention: Convention) -> list[Sent]:
        """Where packets go."""
        ended = self.outcome.status == "done" and convention.type is not None
        meaning = convention.type.meaning(self.outcome.r0) if ended and convention.type else ""
        return carried(self.outcome.sent or (), meaning)

    def changed(self) -> dict[str, tuple[int, int]]:
        """Context fields that the program has changed: before and after."""
        after = self.outcome.context or {}
        return {name: (self.before[name], value) for name, value in after.items() if self.before.get(name) != value}


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--prog", metavar="NAME,...", help="Which program of an object or C file; with --cpus one for each CPU.")
@click.option("--type", "kind", metavar="NAME", help="Program type, or plain. Default: what the section's name says.")
@click.option(
    "--data-in", metavar="FILE|HEX", help="The packet: raw or hex bytes, or a .pcap file, whose packets run in turn."
)
@click.option("--packets", type=click.IntRange(1), metavar="N", help="Only the first N packets of a capture.")
@click.option("--ctx", multiple=True, metavar="NAME=VALUE,...|FILE", help="Fields of the context.")
@map_option
@net_option
@click.option(
    "--repeat",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Runs per packet, each on the packet as given.",
)
@click.option("--data-out", metavar="FILE", help="Write the packet after the run; a .pcap file holds all of them.")
@click.option("--engine", "name", default="native", show_default=True, metavar="NAME", help="Where to run.")
@cpu_options
@click.option(
    "--jit",
    type=click.Choice([AUTO, REQUIRE]),
    default=AUTO,
    show_default=True,
    help="require: refuse, where the engine does, instead of interpreting.",
)
@click.option("--plan", default="high", show_default=True, metavar="NAME", help="low, high, kernel or fence.")
@click.option("--seconds", default=5.0, show_default=True, help="Time limit of a run.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")
@capable
@verified
@compiling
def run(
    file: str, prog: str | None, kind: str | None, data_in: str | None, packets: int | None, ctx: Sequence[str],
    contents: Sequence[str], repeat: int, data_out: str | None, name: str, jit: str, plan: str, seconds: float,
    as_json: bool, caps: str | None, disabled: int, no_verify: bool, cc: str | None, cflags: str,
    includes: Sequence[str], entry: str | None, big_endian: bool, cpu: int | None, cpus: int | None, schedule: str,
) -> int:  # fmt: skip
    """Run a program as what it is: XDP, tc, socket filter, cgroup_skb...

    Shows what it returns and what that means, what it has changed in the packet and the context, the lines that it has
    printed, and its maps after the last run, which keep their contents from run to run. A program without a type gets
    the data as memory: R1 is its address and R2 its length.

    An iterator without --ctx runs for each element that --machine or a map has, and once more behind the last.

    With --cpus several CPUs run at once and share the maps: all have the same packet, or each has one of a capture.
    They take turns where a program calls helpers, in the same way in every run.

    Exit code: 0 it ran to its end, 1 it did not (a fault, a limit), 2 unreadable or refused.
    """  # fmt: skip
    named = (prog or entry or "").split(",")
    names = list(dict.fromkeys(named))
    options = compile_options(cc, cflags, includes)
    source = read_source(
        file, options=options, order="big" if big_endian else "little",
        entry=names if len(names) > 1 else names[0] or None,
    )  # fmt: skip
    turns = schedule_named(cpu, cpus, schedule, tuple(names.index(one) for one in named))
    chosen = engine(name)
    program = source.program_in("little") if "little" in chosen.abilities.orders else source.program_in("big")
    convention = convention_named(kind) if kind else convention_of(program.section)
    try:
        loader, its_type = caller(caps, disabled), convention.type.name if convention.type else UNSPEC
        may_load(loader, program, its_type)
        programs = (program, *source.tails_in(program.order))
        if not no_verify:
            programs = tuple(accept(one, its_type, loader) for one in programs)
    except CallFailed as error:
        raise error.at(file=file) from None
    for other in programs[1 : len(names)]:
        if not kind and convention_of(other.section) is not convention:
            raise BadInput(f"{other.name} is not of type {convention.name}, as {program.name} is", file=file)
    frames, captured = frames_in(data_in)
    unit = Unit(programs, convention=convention, plan=plans_named(plan)[0])
    convention = unit.convention  # of the machine that the byte order stands for
    prepared, used, why = prepare(unit, chosen, jit)
    limits, world = Limits(seconds=seconds), world_of(program, options, contents)
    world.cpu, world.net = cpu or 0, network_said()
    elements = not ctx and data_in is None and turns is None and iterates(program)
    frames = frames[:packets]
    inputs = iterated(unit, world) if elements else [_input(convention, program, frame, ctx) for frame in frames]
    runs: list[Run] = []
    for together in _rounds(inputs, turns, captured=captured):
        try:
            runs += _run(prepared, unit, together, world, limits, repeat, turns)
        except Refused as reason:  # the live kernel speaks at the first run
            if jit == REQUIRE or used.name == "interpreter" or runs:
                raise
            used, why = engine("interpreter"), str(reason)
            prepared = used.prepare(unit)
            runs += _run(prepared, unit, together, world, limits, repeat, turns)
    if data_out is not None:
        _write(data_out, [one.outcome.packet or b"" for one in runs])
    if as_json:
        record: dict[str, Any] = {
            "file": source.file, "prog": program.name, "type": convention.name, "engine": used.name, "fallback": why,
            "runs": [_record(one, convention) for one in runs],
        }  # fmt: skip
        if runs[-1].outcome.maps:
            record["maps"] = map_record(runs[-1].outcome.maps)
        click.echo(json.dumps(record))
    else:
        if why:
            click.echo(f"crossbpf: {chosen.name} refuses it: {why}; the interpreter runs it", err=True)
        what = "element" if elements else "packet" if captured else ""
        for one in runs:
            for line in lines(one, convention, _head(one, what), repeat):
                click.echo(line)
        if runs[-1].outcome.maps:
            show_maps(wide_console(), [Row(used.name, unit.order, "reference", outcome=runs[-1].outcome)], program)
        who = ", ".join(named) if len(named) > 1 else program.name
        click.echo(f"{who} ({convention.name}) on {used.name}, plan {unit.plan.name}")
    return 0 if all(one.outcome.status == "done" for one in runs) else 1


def frames_in(data_in: str | None, option: str = "--data-in") -> tuple[list[bytes], bool]:
    """The packets that an option names, and whether they are a capture's. Raises BadInput."""
    data = memory_bytes(data_in, option)
    if data_in is None or not (data_in.endswith(".pcap") or pcap.is_capture(data)):
        return [data], False
    frames = pcap.read(data, data_in)
    if not frames:
        raise BadInput("has no packets", file=data_in)
    return frames, True


def _input(convention: Convention, program: Program, frame: bytes, ctx: Sequence[str]) -> Input:
    """The input of a run: memory for a program without a type. For xdp, --ctx data=N says where the frame starts."""
    given = context_for(convention, program, ctx)
    return entry_for(convention, frame, given.context, given.record)


def prepare(unit: Unit, chosen: Engine, jit: str) -> tuple[Prepared, Engine, str]:
    """The unit on an engine, or on the interpreter where that one refuses: prepared, by whom, why not by the other."""
    if chosen.name == "interpreter" and jit == REQUIRE:
        raise BadInput("the interpreter compiles nothing", file="--jit", remedy="name another engine")
    try:
        return chosen.prepare(unit), chosen, ""
    except Refused as reason:
        if jit == REQUIRE or chosen.name == "interpreter":
            raise
        used = engine("interpreter")
        return used.prepare(unit), used, str(reason)


Numbered = tuple[int, Input]


def _rounds(inputs: Iterable[Input], turns: Schedule | None, *, captured: bool) -> Iterator[Sequence[Numbered]]:
    """What runs at once: one input, or one for each CPU; what is not a capture's is the same on all of them."""
    if turns is None:
        yield from ([one] for one in enumerate(inputs))
        return
    cpus, inputs = turns.cpus, list(inputs)
    numbered = list(enumerate(inputs)) if captured else list(enumerate(inputs)) * cpus
    yield from (numbered[at : at + cpus] for at in range(0, len(numbered), cpus))


def _run(
    prepared: Prepared, unit: Unit, numbered: Sequence[Numbered], world: World, limits: Limits, repeat: int,
    turns: Schedule | None,
) -> list[Run]:  # fmt: skip
    """The runs of a round."""
    together = [given for _, given in numbered]
    begin = time.perf_counter()
    world.printed.clear()
    printed: list[tuple[str, ...]] = [()] * len(together)
    outcomes: list[Outcome] = []
    for _ in range(repeat):
        world.sent.clear()
        if turns is None:
            outcomes = [prepared.run(together[0], world, limits)]
            printed = [outcomes[0].printed or ()]
        else:
            outcomes = prepared.run_cpus(together, world, limits, turns.first(len(together)))
            printed = [lines + (one.printed or ()) for lines, one in zip(printed, outcomes, strict=True)]
    seconds = (time.perf_counter() - begin) / repeat
    runs = []
    for cpu, ((number, given), outcome) in enumerate(zip(numbered, outcomes, strict=True)):
        before: dict[str, int] = {}
        if unit.convention.view is not None:
            start = unit.packet_start(len(given.packet))
            before = read_back(unit, build(unit, given, start), start)
        after = outcome.packet if outcome.packet is not None else _memory(outcome, unit, given)
        shown = replace(outcome, packet=after)
        runs.append(Run(number, given, shown, before, printed[cpu], seconds, None if turns is None else cpu))
    return runs


def _memory(outcome: Outcome, unit: Unit, given: Input) -> bytes | None:
    """The memory of a program without a type after its run."""
    return data_after(unit, given, outcome)


def _write(name: str, packets: Sequence[bytes]) -> None:
    if name.endswith(".pcap"):
        write_bytes(name, pcap.write(packets))
    elif len(packets) == 1:
        write_bytes(name, packets[0])
    else:
        raise BadInput(f"there are {len(packets)} packets", file="--data-out", remedy="name a .pcap file")


def retval(outcome: Outcome) -> int:
    """The return value as the kernel's callers see it: 32 bits, signed."""
    return (outcome.r0 & 0xFFFF_FFFF ^ 0x8000_0000) - 0x8000_0000


def _head(one: Run, what: str) -> str:
    """What a run's first line starts with: which packet or element it was, on which CPU."""
    words = [f"{what} {one.number}"] if what else []
    words += [f"CPU {one.cpu}"] if one.cpu is not None else []
    return " on ".join(words) + ": " if words else ""


def lines(one: Run, convention: Convention, head: str, repeat: int) -> Iterator[str]:
    """A run in words."""
    outcome = one.outcome
    if outcome.status != "done":
        yield f"{head}{outcome.summary()}"
    elif convention.type is None:
        yield f"{head}returns {hexadecimal(outcome.r0)}"
    else:
        meaning = convention.type.meaning(outcome.r0)
        yield f"{head}returns {retval(outcome)}" + (f" ({meaning})" if meaning else "")
    if repeat > 1:
        yield f"  {repeat} runs, {one.seconds * 1e6:.1f} us each"
    before = one.given.packet if convention.view is not None else one.given.memory
    after = outcome.packet
    if after is not None and after != before:
        yield f"  {'packet' if convention.view else 'memory'} changed:"
        yield from hexdump(before, after)
    for name, (old, new) in one.changed().items():
        yield f"  {name}: {old} -> {new}"
    for sent in one.sent(convention):
        yield f"  {sent}"
    for line in one.printed:
        yield f"  printed: {line}"


def hexdump(before: bytes, after: bytes) -> Iterator[str]:
    """The rows of 16 bytes that differ: - as they were, + as they are."""
    for at in range(0, max(len(before), len(after)), 16):
        rows = before[at : at + 16], after[at : at + 16]
        if rows[0] != rows[1]:
            for sign, row in zip("-+", rows, strict=True):
                yield f"  {sign} {at:04x}  {row.hex(' ')}"


def _record(one: Run, convention: Convention) -> dict[str, Any]:
    outcome = one.outcome
    found: dict[str, Any] = {"packet": one.number}
    if one.cpu is not None:
        found["cpu"] = one.cpu
    found |= {"status": outcome.status, "seconds": one.seconds}
    if outcome.status == "done":
        meaning = convention.type.meaning(outcome.r0) if convention.type else ""
        found |= {"r0": hexadecimal(outcome.r0), "retval": retval(outcome), "meaning": meaning}
    if outcome.fault is not None:
        fault = outcome.fault
        found["fault"] = {"kind": fault.kind, "pc": fault.pc, "address": hexadecimal(fault.address)}
    found["data_out"] = None if outcome.packet is None else outcome.packet.hex()
    found["context"] = {name: {"before": old, "after": new} for name, (old, new) in one.changed().items()}
    found["sent"] = [
        {"by": sent.helper, "device": sent.device, "map": sent.map, "key": sent.key, "flags": sent.flags,
         "packet": sent.packet.hex()}
        for sent in one.sent(convention)
    ]  # fmt: skip
    found["printed"] = list(one.printed)
    return found
