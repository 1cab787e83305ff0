"""Programs at hooks: `prog attach`, `prog detach` and `prog attached`, and bpftool's `net` and `cgroup`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import click

from bpf.errors import BadInput
from bpf.spec.hooks import CGROUP, HOOKS, MAP, Hook
from crossbpf.bpftool import PROG, Output, Words, one_map, program, stored, words
from crossbpf.net import net_option, network_said
from runtime import Kernel, ProgramObject, hooks
from runtime.firing import with_devices
from runtime.kernel import Attachment

_HOOK = "HOOK [MAP]"
_HOW = "[multi|override|overwrite|prepend|priority N]"


def hook_in(system: Kernel, line: Words) -> tuple[Hook, str]:
    """HOOK: xdp:eth0, cgroup_device:/web, sk_msg_verdict:MAP, or that and MAP as bpftool has it."""
    text = line.next("HOOK")
    if text in HOOKS and HOOKS[text].at == MAP:
        return hooks.hook_named(system, f"{text}:#{one_map(system, line).id}")
    return hooks.hook_named(system, text)


def _how(line: Words) -> dict[str, Any]:
    """What attach() is told besides."""
    how: dict[str, Any] = {}
    while line:
        match line.next("option"):
            case "multi" | "override" as flags:
                how["flags"] = flags
            case "overwrite" | "prepend" as word:
                how[word] = True
            case "priority":
                how["priority"] = line.number("N")
            case word:
                raise click.UsageError(f"what is {word!r}? {line.usage}")
    return how


@click.command()
@words(f"PROG {_HOOK} {_HOW}")
@stored
def attach(output: Output, given: Sequence[str]) -> int:
    """Attach a program to a hook.

    HOOK is xdp:DEVICE, tcx_ingress:DEVICE, tcx_egress:DEVICE, one of bpftool's cgroup attach types with the path of a
    cgroup (cgroup_inet_ingress:/web), sk_msg_verdict, sk_skb_verdict, sk_skb_stream_verdict or sk_skb_stream_parser
    with a sockmap, socket_filter:COOKIE, flow_dissector, sk_lookup, or what is traced (kprobe:do_exit,
    tracepoint:sched/sched_switch).
    """
    line = Words(list(given), f"{PROG} {_HOOK} {_HOW}")
    with output.store.open() as system:
        one = program(system, line)
        hook, place = hook_in(system, line)
        hooks.attach(system, one, hook, place, **_how(line))
    return output.done()


@click.command()
@words(f"PROG {_HOOK}")
@stored
def detach(output: Output, given: Sequence[str]) -> int:
    """Take a program away from a hook."""
    line = Words(list(given), f"{PROG} {_HOOK}")
    with output.store.open() as system:
        one = program(system, line)
        hook, place = hook_in(system, line)
        line.end()
        hooks.detach(system, hook, place, one)
    return output.done()


@click.command()
@words(f"[{_HOOK}]")
@stored
def attached(output: Output, given: Sequence[str]) -> int:
    """Show what is attached, to one hook or to all, in the order in which it runs."""
    line = Words(list(given), f"[{_HOOK}]")
    with output.store.open(write=False) as system:
        wanted = hook_in(system, line) if line else None
        line.end()
        places = dict.fromkeys((one.hook, one.place) for one in system.attached)
        found = [
            (hooks.shown(system, *where), one)
            for where in places
            if wanted is None or where == (wanted[0].name, wanted[1])
            for one in hooks.at(system, HOOKS[where[0]], where[1])
        ]
        if output.record:
            output.show([_record(system, hook, one) for hook, one in found])
        else:
            for hook, one in found:
                made = system.programs[one.program]
                how = (f"  {one.flags}" if one.flags else "") + (f"  priority {one.priority}" if one.priority else "")
                click.echo(f"{hook}  id {made.id}  {made.type}  name {made.name}{how}")
    return 0


def _record(system: Kernel, hook: str, one: Attachment) -> dict[str, Any]:
    made = system.programs[one.program]
    record: dict[str, Any] = {"hook": hook, "id": made.id, "type": made.type, "name": made.name}
    record |= {"attach_flags": one.flags} if one.flags else {}
    return record | ({"priority": one.priority} if one.priority else {})


# net -----------------------------------------------------------------------------------------------

_XDP = ("xdp", "xdpgeneric", "xdpdrv")
_NET = "{xdp|xdpgeneric|xdpdrv|tcx_ingress|tcx_egress}"


@click.group()
def net() -> None:
    """Programs at network devices: attach, detach, list."""


def _device_hook(line: Words) -> Hook:
    name = line.next(_NET)
    if name not in (*_XDP, "tcx_ingress", "tcx_egress"):
        raise click.UsageError(f"{name!r} where {_NET} belongs: {line.usage}")
    return HOOKS["xdp" if name in _XDP else name]


@net.command(name="attach")
@words(f"{_NET} PROG dev NAME [overwrite|prepend]")
@stored
def net_attach(output: Output, given: Sequence[str]) -> int:
    """Attach a program to a device, as `prog attach` does; the kinds of xdp are one here."""
    line = Words(list(given), f"{_NET} {PROG} dev NAME [overwrite|prepend]")
    hook = _device_hook(line)
    with output.store.open() as system:
        one = program(system, line)
        line.expect("dev")
        hooks.attach(system, one, hook, line.next("NAME"), **_how(line))
    return output.done()


@net.command(name="detach")
@words(f"{_NET} dev NAME")
@stored
def net_detach(output: Output, given: Sequence[str]) -> int:
    """Take all programs of a kind away from a device."""
    line = Words(list(given), f"{_NET} dev NAME")
    hook = _device_hook(line)
    line.expect("dev")
    with output.store.open() as system:
        hooks.detach(system, hook, line.next("NAME"))
        line.end()
    return output.done()


@net.command(name="list")
@words("[dev NAME]")
@net_option
@stored
def net_list(output: Output, given: Sequence[str]) -> int:
    """Show the programs at devices, as bpftool does."""
    line, only = Words(list(given), "[dev NAME]"), ""
    if line:
        line.expect("dev")
        only = line.next("NAME")
        line.end()
    with output.store.open(write=False) as system:
        devices = with_devices(system, network_said())
        if only and not devices.device_named(only):
            raise BadInput(
                f"no device {only!r}", remedy="devices: " + ", ".join(d.name for d in devices.devices.values())
            )
        record: dict[str, list[dict[str, Any]]] = {"xdp": [], "tc": [], "flow_dissector": [], "netfilter": []}
        for one in system.attached:
            made, at = system.programs[one.program], {"devname": one.place, "ifindex": devices.device_named(one.place)}
            if one.hook == "flow_dissector":
                record["flow_dissector"].append({"id": made.id})
            elif one.hook.startswith("netfilter_"):
                named = {"hook": one.hook.removeprefix("netfilter_"), "prio": one.priority}
                record["netfilter"].append({"id": made.id} | named)
            elif one.hook == "xdp" and only in ("", one.place):
                record["xdp"].append(at | {"mode": "driver", "id": made.id})
            elif one.hook.startswith("tcx_") and only in ("", one.place):
                kind = one.hook.replace("_", "/")
                record["tc"].append(at | {"kind": kind, "name": made.name, "prog_id": made.id, "prog_flags": []})
    if output.record:
        output.show([record])
        return 0
    lines = {
        "xdp": "{devname}({ifindex}) {mode} id {id}", "tc": "{devname}({ifindex}) {kind} {name} prog_id {prog_id}",
        "flow_dissector": "id {id}", "netfilter": "{hook} prio {prio} id {id}",
    }  # fmt: skip
    for name, form in lines.items():
        click.echo("\n".join([f"{name}:", *(form.format(**one) for one in record[name]), ""]))
    return 0


# cgroup --------------------------------------------------------------------------------------------


@click.group()
def cgroup() -> None:
    """Programs at cgroups: attach, detach, show, tree."""


def _short(name: str) -> str:
    """bpftool's older name of a cgroup's attach type: cgroup_inet_ingress is ingress, cgroup_udp4_sendmsg sendmsg4."""
    numbered = re.fullmatch(r"cgroup_(?:inet|udp)([46]?)_(\w+)", name)
    return numbered[2] + numbered[1] if numbered else name.removeprefix("cgroup_")


_CGROUP_HOOKS = {_short(one.name): one for one in HOOKS.values() if one.at == CGROUP}


def _cgroup_hook(line: Words) -> Hook:
    """ATTACH_TYPE: a hook by its name, by bpftool's older one, or by what only one of these begins with."""
    name = line.next("ATTACH_TYPE")
    hook = HOOKS.get(name) or _CGROUP_HOOKS.get(name)
    if hook is not None and hook.at == CGROUP:
        return hook
    meant = [short for short in _CGROUP_HOOKS if short.startswith(name)]
    if len(meant) == 1:
        return _CGROUP_HOOKS[meant[0]]
    what = f"{name!r} may be one of several hooks" if meant else f"cgroups have no hook {name!r}"
    raise BadInput(what, remedy="hooks: " + ", ".join(meant or _CGROUP_HOOKS))


def _path(word: str) -> str:
    """The path of a cgroup in one spelling; where cgroups are mounted stands for the root."""
    return "/" + "/".join(part for part in word.removeprefix("/sys/fs/cgroup").split("/") if part)


@cgroup.command(name="attach")
@words("CGROUP ATTACH_TYPE PROG [multi|override]")
@stored
def cgroup_attach(output: Output, given: Sequence[str]) -> int:
    """Attach a program to a cgroup, as `prog attach` does."""
    line = Words(list(given), f"CGROUP ATTACH_TYPE {PROG} [multi|override]")
    path, hook = _path(line.next("CGROUP")), _cgroup_hook(line)
    with output.store.open() as system:
        one = program(system, line)
        hooks.attach(system, one, hook, path, **_how(line))
    return output.done()


@cgroup.command(name="detach")
@words("CGROUP ATTACH_TYPE PROG")
@stored
def cgroup_detach(output: Output, given: Sequence[str]) -> int:
    """Take a program away from a cgroup."""
    line = Words(list(given), f"CGROUP ATTACH_TYPE {PROG}")
    path, hook = _path(line.next("CGROUP")), _cgroup_hook(line)
    with output.store.open() as system:
        one = program(system, line)
        line.end()
        hooks.detach(system, hook, path, one)
    return output.done()


def _rows(system: Kernel, path: str, *, effective: bool) -> list[tuple[Hook, ProgramObject, str]]:
    """(hook, program, flags) at a cgroup."""
    found: list[tuple[Hook, ProgramObject, str]] = []
    for hook in HOOKS.values():
        if hook.at != CGROUP:
            continue
        if effective:
            found += [(hook, system.programs[one.program], "") for one in hooks.effective(system, hook, path)]
        else:
            found += [(hook, system.programs[one.program], one.flags) for one in hooks.at(system, hook, path)]
    return found


_HEAD = f"{'ID':<8} {'AttachType':<15} {'AttachFlags':<15} {'Name':<15}"


def _row(hook: Hook, one: ProgramObject, flags: str) -> str:
    return f"{one.id:<8} {hook.name:<15} {flags:<15} {one.name:<15}"


def _row_record(hook: Hook, one: ProgramObject, flags: str) -> dict[str, Any]:
    return {"id": one.id, "attach_type": hook.name, "attach_flags": flags, "name": one.name}


def _show(output: Output, given: Sequence[str]) -> int:
    line = Words(list(given), "CGROUP [effective]")
    path, effective = _path(line.next("CGROUP")), bool(line.skip("effective"))
    line.end()
    with output.store.open(write=False) as system:
        rows = _rows(system, path, effective=effective)
        if output.record:
            output.show([_row_record(*row) for row in rows])
        elif rows:
            click.echo("\n".join([_HEAD, *(_row(*row) for row in rows)]))
    return 0


@cgroup.command(name="show")
@words("CGROUP [effective]")
@stored
def cgroup_show(output: Output, given: Sequence[str]) -> int:
    """Show what is attached to a cgroup, with `effective` also what it has of those around it."""
    return _show(output, given)


@cgroup.command(name="list")
@words("CGROUP [effective]")
@stored
def cgroup_list(output: Output, given: Sequence[str]) -> int:
    """Show what is attached to a cgroup."""
    return _show(output, given)


@cgroup.command(name="tree")
@words("[CGROUP] [effective]")
@stored
def cgroup_tree(output: Output, given: Sequence[str]) -> int:
    """Show what is attached to the cgroups below one."""
    line = Words(list(given), "[CGROUP] [effective]")
    root = "/" if not line or line.words[0] == "effective" else _path(line.next("CGROUP"))
    effective = bool(line.skip("effective"))
    line.end()
    with output.store.open(write=False) as system:
        paths = sorted({one.place for one in system.attached if HOOKS[one.hook].at == CGROUP})
        shown = {
            path: _rows(system, path, effective=effective)
            for path in paths
            if path == root or path.startswith(root.rstrip("/") + "/")
        }
        if output.record:
            records = [
                {"cgroup": path, "programs": [_row_record(*row) for row in rows]} for path, rows in shown.items()
            ]
            output.show(records)
        else:
            click.echo("CgroupPath\n" + _HEAD)
            for path, rows in shown.items():
                click.echo("\n".join([path, *(f"    {_row(*row)}" for row in rows)]))
    return 0
