"""What an event at a hook sets off: the programs there, what they say, and where their packets go from there.

Packets take the way that Linux 6.12 sends them:

    xdp --PASS--> tcx_ingress --> a described socket, or the stack            XDP_TX, redirects: out of a device
    out of a device by a redirect of tc: tcx_egress --> the wire; by one of XDP: the entry's program --> the wire
    the wire of a device that has a peer leads to the peer's xdp

Nothing of a real machine is touched: devices, sockets and routes are those of World.net.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bpf.errors import BadInput
from bpf.object.btf_build import Content
from bpf.spec.conventions import TYPED
from bpf.spec.errno import EPERM
from bpf.spec.hooks import CGROUP, DEVICE, EVERY, FIRST_ERROR, HOOKS, MAP, SOCKET, Hook
from runtime import hooks
from runtime.delivery import ETHERNET
from runtime.devices import Devices
from runtime.fired import Fired
from runtime.kernel import Kernel
from runtime.running import Runner, entry_for
from vm.network import Device, Network
from vm.world import Input, Limits, World

HOPS = 8  # XMIT_RECURSION_LIMIT


def event_for(hook: Hook, data: bytes = b"", fields: Mapping[str, int] | None = None, record: Content = b"") -> Input:
    """An event at a hook: a frame from its link-layer header on, of a sockmap a socket's data alone, of a tracepoint
    its record.

    fields: of the context; for xdp `data` too, which says how many of the bytes are metadata. record: of a context that
    is memory, in place of data.
    """
    values = dict(fields or {})
    metadata = values.pop("data", 0) if hook.name == "xdp" else 0
    if not 0 <= metadata <= len(data):
        raise BadInput(f"data = {metadata} is outside the packet of {len(data)} bytes")
    entered = TYPED.get(hook.types[0])
    if entered is not None and entered.view is not None and entered.view.layout.open:
        return entry_for(entered, data, values, record)
    return Input(packet=data, network=0 if hook.at == MAP else ETHERNET, metadata=metadata, context=values)


def with_devices(kernel: Kernel, net: Network, *names: str) -> Network:
    """A network with the devices that hooks name, too; those that nobody has described are numbered on."""
    for name in (*(one.place for one in kernel.attached if HOOKS[one.hook].at == DEVICE), *names):
        if not net.device_named(name):
            net = replace(net, devices={**net.devices, max(net.devices, default=0) + 1: Device(name)})
    return net


class _Event(Devices):
    """An event at any hook."""

    def start(self, hook: Hook, place: str, event: Input) -> None:
        """The event happens."""
        self.world.net = with_devices(self.kernel, self.net, *([place] if hook.at == DEVICE else ()))
        if hook.at == DEVICE:
            index = self.net.device_named(place)
            {"xdp": self.xdp, "tcx_ingress": self.ingress, "tcx_egress": self.egress}[hook.name](index, event, 0)
        elif hook.at == MAP:
            self.verdict(hook, place, event, 0)
        elif hook.at == SOCKET:
            self.socket_hook(hook, place, event)
        else:
            self.other(hook, place, event)

    def other(self, hook: Hook, place: str, event: Input) -> None:
        """A hook whose programs say yes or no, or nothing that anybody asks for."""
        where = hooks.shown(self.kernel, hook.name, place)
        said = self.chain(hook, place, event, 0)
        packet = said.event.packet
        if said.fault:
            self.end("denied", where, packet, 0, "a program did not run to its end")
        elif hook.at == CGROUP:
            self.end("passed" if said.code else "denied", where, packet, 0, "" if said.code else f"EPERM (-{EPERM})")
        elif hook.rule == FIRST_ERROR and said.code:
            self.end("denied", where, packet, 0, f"returns {said.code}")
        elif said.last is not None and said.last.ran.meaning.endswith("_REDIRECT"):
            for sent in said.last.sent:
                self.tc_redirect(sent, said.event, 0)
        elif said.last is not None and said.last.ran.meaning.endswith("_DROP"):
            self.end("dropped", where, packet, 0, said.last.ran.meaning)
        elif hook.rule == EVERY:
            return
        else:
            self.end("passed", where, packet, 0)


def fire(
    kernel: Kernel, hook: Hook, place: str, event: Input, *, world: World | None = None, engine: str = "interpreter",
    hops: int = HOPS, limits: Limits | None = None, runners: dict[int, Runner] | None = None,
) -> Fired:  # fmt: skip
    """Let an event happen at a hook; the maps keep what programs do to them. Raises Refused, BadInput.

    event: a frame from its link-layer header on, and fields of the context over those that the hook gives. A device
    that is named at a hook and not described in world.net is added there. runners: programs by id that are compiled
    already, and where those are kept that are compiled now; good as long as nothing is loaded or put into a prog array.
    """
    firing = _Event(kernel, world or World(), engine, hops, limits or Limits(), {} if runners is None else runners)
    firing.start(hook, place, event)
    return firing.fired
