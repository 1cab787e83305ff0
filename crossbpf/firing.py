"""`crossbpf fire`: an event at a hook, the programs that it meets, and where its packet goes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from bpf.errors import BadInput
from bpf.spec.hooks import EVENT, Hook
from crossbpf.attaching import hook_in
from crossbpf.bpftool import Output, Words, stored, words
from crossbpf.inputs import hex_bytes, read_bytes
from crossbpf.machine import world as world_of
from crossbpf.net import net_option, network_said
from crossbpf.options import compile_options, in_kernel
from crossbpf.running import frames_in, hexdump
from crossbpf.types import Given, context_fields, context_for
from runtime import Kernel, hooks
from runtime.chain import Step
from runtime.fired import Fate, Fired
from runtime.firing import HOPS, event_for
from runtime.firing import fire as fire_at
from runtime.types import convention
from vm.world import Limits, World

Event = tuple[bytes, Sequence[str]]
"""Data, and what is said of the context, as --ctx has it."""


@click.command()
@words("HOOK [MAP]")
@click.option(
    "--event", "given_events", multiple=True, metavar="FILE|HEX|NAME=VALUE,...",
    help="A packet: raw or hex bytes, or a .pcap file, whose packets come in turn; fields of the context; or a JSON "
         'file of {"data": HEX, "context": {NAME: VALUE}}, or of a list of such. Several come in turn.',
)  # fmt: skip
@click.option("--ctx", multiple=True, metavar="NAME=VALUE,...|FILE", help="Fields of the context, of every event.")
@net_option
@in_kernel
@click.option("--engine", default="interpreter", show_default=True, metavar="NAME", help="What runs the programs.")
@click.option("--hops", default=HOPS, show_default=True, type=click.IntRange(0, 64), help="How far a packet may come.")
@click.option("--seconds", default=5.0, show_default=True, help="Time limit of a run.")
@stored
def fire(
    output: Output, given: Sequence[str], given_events: Sequence[str], ctx: Sequence[str], engine: str,
    hops: int, seconds: float,
) -> int:  # fmt: skip
    """Let an event happen at a hook, and show what comes of it.

    The programs that are attached there (`prog attach`) run in Linux's order. What they return is read by their type; a
    packet that they pass or redirect goes on through the devices and sockets of --net, and meets the programs there.

    Exit code: 0 every program ran to its end, 1 one did not, 2 unreadable or refused.
    """
    line = Words(list(given), "HOOK [MAP]")
    events = [event for one in given_events for event in events_in(one)] or [(b"", ())]
    fired: list[Fired] = []
    how: dict[str, Any] = {"engine": engine, "hops": hops, "limits": Limits(seconds=seconds), "runners": {}}
    with output.store.open() as system:
        hook, place = hook_in(system, line)
        line.end()
        attached = hooks.effective(system, hook, place)
        world = world_of(system.programs[attached[0].program].program, compile_options()) if attached else World()
        world.net = network_said()
        for data, own in events:
            said = _context(system, hook, place, [*ctx, *own])
            event = event_for(hook, data, said.context, said.record)
            fired.append(fire_at(system, hook, place, event, world=world, **how))
    if output.record:
        output.show([record(one) for one in fired])
    else:
        for number, one in enumerate(fired):
            if len(fired) > 1:
                click.echo(f"event {number}: {len(events[number][0])} bytes")
            for text in lines(one):
                click.echo(text)
    return 0 if all(one.ended for one in fired) else 1


def _context(system: Kernel, hook: Hook, place: str, given: Sequence[str]) -> Given:
    """What is said of the context; what is traced has names that a program attached to it knows. Raises BadInput."""
    attached = hooks.effective(system, hook, place)
    if hook.at != EVENT or not attached:
        return Given(context_fields(given))
    one = system.programs[attached[0].program]
    return context_for(convention(one.type, one.program.section), one.program, given)


def events_in(text: str) -> list[Event]:
    """What --event says. Raises BadInput."""
    if text.endswith(".json"):
        return list(_from_json(text))
    if "=" in text and not Path(text).is_file():
        return [(b"", [text])]
    return [(frame, ()) for frame in frames_in(text, "--event")[0]]


def _from_json(file: str) -> Iterator[Event]:
    try:
        found = json.loads(read_bytes(file))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"is no JSON: {error}", file=file) from None
    if found == []:
        raise BadInput("has no events", file=file)
    for number, one in enumerate(found if isinstance(found, list) else [found]):
        place = f"event {number}"
        if not isinstance(one, dict) or not set(one) <= {"data", "context"}:
            raise BadInput("is no object of `data` and `context`", file=file, place=place)
        data, context = one.get("data", ""), one.get("context", {})
        if not isinstance(data, str):
            raise BadInput("data are no text of hex digits", file=file, place=place)
        if not isinstance(context, dict) or not all(type(value) is int for value in context.values()):
            raise BadInput("context is no object of numbers", file=file, place=place)
        yield hex_bytes(data, file), [f"{name}={value}" for name, value in context.items()]


def lines(fired: Fired) -> Iterator[str]:
    """What an event has set off, in words; indented by how far the packet had come."""
    if not fired.trail:
        yield "nothing is attached"
    for one in fired.trail:
        head = "  " * one.hop
        yield head + str(one)
        if isinstance(one, Step):
            before, after = one.given.packet, one.ran.data
            if before != after:
                yield f"{head}  packet changed:"
                yield from (head + row for row in hexdump(before, after))
            yield from (f"{head}  {sent}" for sent in one.sent)
            yield from (f"{head}  printed: {text}" for text in one.ran.outcome.printed or ())
    for cookie, queue in fired.queues.items():
        for data in queue:
            yield f"socket {cookie} has {len(data)} bytes: {data.hex(' ')}".rstrip(": ")


def record(fired: Fired) -> dict[str, Any]:
    """The same as JSON shows it."""
    trail = [_step(one) if isinstance(one, Step) else _fate(one) for one in fired.trail]
    queues = [{"socket": cookie, "data": [data.hex() for data in queue]} for cookie, queue in fired.queues.items()]
    return {"trail": trail, "sockets": queues}


def _step(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {"hop": step.hop, "hook": step.where, "id": step.program.id, "name": step.program.name}
    if step.done:
        found |= {"retval": step.code, "meaning": step.ran.meaning}
    else:
        found["error"] = step.ran.outcome.summary()
    found |= {"data_in": step.given.packet.hex(), "data_out": step.ran.data.hex()}
    found["sent"] = [str(sent) for sent in step.sent]
    return found | {"printed": list(step.ran.outcome.printed or ())}


def _fate(fate: Fate) -> dict[str, Any]:
    return {
        "hop": fate.hop, "fate": fate.what, "where": fate.where, "why": fate.why, "data": fate.packet.hex()
    }  # fmt: skip
