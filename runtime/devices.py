"""Packets at network devices: in through xdp and tcx_ingress, out through tcx_egress, redirected between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bpf.spec.hooks import HOOKS
from bpf.spec.layout import CPUS
from runtime import chain, hooks
from runtime.chain import TCX_DROP, TCX_REDIRECT, Said, Step
from runtime.delivery import ETHERNET
from runtime.fired import cookie_of, socket_name, value_of
from runtime.kernel import MapObject
from runtime.sockets import Sockets
from vm.network import BROADCAST, INGRESS, Sent, carried, next_hop
from vm.world import Input

EXCLUDE_INGRESS = 16  # BPF_F_EXCLUDE_INGRESS
VLAN = 4
_KEPT = ("mark", "priority", "hash", "ingress_ifindex")
"""Fields of an skb that it keeps on its way to another device."""


class Devices(Sockets):
    """The ways between devices."""

    # XDP ---------------------------------------------------------------------------------------------

    def xdp(self, device: int, event: Input, hop: int) -> None:
        """A frame comes in."""
        name = self.net.devices[device].name
        if self.too_far(name, event, hop):
            return
        attached = hooks.at(self.kernel, HOOKS["xdp"], name)
        if not attached:
            self.ingress(device, replace(event, context={}), hop)
            return
        event = replace(event, context={"ingress_ifindex": device} | dict(event.context))
        self.acted(device, self.step(f"xdp:{name}", self.kernel.programs[attached[0].program], event, hop), hop)

    def acted(self, device: int, step: Step, hop: int) -> None:
        """What an xdp program says is done."""
        name, event = self.net.devices[device].name, chain.after(step)
        frame = event.packet[event.metadata :]
        if not step.done:
            self.faulted(name, step.given, hop)
        elif step.ran.meaning == "XDP_PASS":
            self.ingress(device, replace(event, context={}), hop)
        elif step.ran.meaning == "XDP_TX":
            self.wire(device, frame, hop)
        elif step.ran.meaning == "XDP_REDIRECT":
            self.xdp_redirect(device, step, event, hop)
        else:
            self.end("dropped", name, frame, hop, step.ran.meaning or f"{step.code} is no action of XDP")

    def xdp_redirect(self, device: int, step: Step, event: Input, hop: int) -> None:
        """Where an xdp program has directed a frame."""
        name, frame = self.net.devices[device].name, event.packet[event.metadata :]
        named = step.sent
        if not named:
            why = "nothing says where to" if step.ran.outcome.sent is not None else f"{self.engine} does not say where"
            self.end("dropped", name, frame, hop, f"XDP_REDIRECT: {why}")
            return
        sent = named[-1]
        if not sent.map:
            self.xdp_send(device, sent.device, frame, hop, f"device {sent.device}", 0)
            return
        made = self.runner(step.program).bound.maps[sent.map]
        kind = made.declared.kind
        if kind == "cpumap":
            self.to_cpu(device, made, sent, event, hop)
        elif kind == "xskmap":
            self.to_xsk(device, made, sent, event, hop)
        else:
            for key, target, program in _entries(made, sent):
                if not (sent.flags & EXCLUDE_INGRESS and target == device):
                    self.xdp_send(device, target, frame, hop, f"{made.name}[{key}]", program)

    def xdp_send(self, source: int, target: int, frame: bytes, hop: int, where: str, program: int) -> None:
        """A frame that an xdp program sends to a device; the program of a devmap's entry sees it first."""
        device = self.net.devices.get(target)
        if device is None:
            self.end("dropped", where, frame, hop, f"there is no device {target}")
        elif len(frame) > device.mtu + device.header + VLAN:
            self.end("dropped", device.name, frame, hop, f"longer than the MTU of {device.mtu} allows")
        elif not program:
            self.wire(target, frame, hop)
        else:
            given = Input(packet=frame, context={"ingress_ifindex": source, "egress_ifindex": target})
            step = self.step(f"entry {where}", self.program(program, where), given, hop)
            event = chain.after(step)
            if not step.done:
                self.faulted(device.name, given, hop)
            elif step.ran.meaning == "XDP_PASS":
                self.wire(target, event.packet[event.metadata :], hop)
            else:
                self.end("dropped", device.name, frame, hop, step.ran.meaning or f"{step.code} is no action of XDP")

    def to_cpu(self, device: int, made: MapObject, sent: Sent, event: Input, hop: int) -> None:
        """A frame goes on on another CPU, where the program of the entry sees it first."""
        value = value_of(made, sent.key)
        program = int.from_bytes(value[4:8], made.order)
        before = self.world.cpu
        self.world.cpu = sent.key if sent.key < CPUS else before
        try:
            if not program:
                self.ingress(device, replace(event, context={}), hop)
                return
            given = replace(event, context={"ingress_ifindex": device})
            where = f"{made.name}[{sent.key}]"
            step = self.step(f"entry {where}", self.program(program, where), given, hop)
            if step.ran.meaning == "XDP_TX":
                self.end("dropped", self.net.devices[device].name, event.packet, hop, "a cpumap does not do XDP_TX")
            elif self.too_far(self.net.devices[device].name, event, hop + 1):
                return
            else:
                self.acted(device, step, hop + 1)
        finally:
            self.world.cpu = before

    def to_xsk(self, device: int, made: MapObject, sent: Sent, event: Input, hop: int) -> None:
        """A frame goes to a socket of AF_XDP, which must be bound to the device and queue that it came in by."""
        cookie = sent.socket or cookie_of(made, sent.key)
        socket = self.net.sockets.get(cookie)
        queue = event.context.get("rx_queue_index", 0)
        frame = event.packet[event.metadata :]
        if socket is not None and (socket.device or device, socket.queue) != (device, queue):
            self.end("dropped", socket_name(cookie), frame, hop, "it is bound to another device or queue")
        else:
            self.queue(cookie, frame, hop)

    # tc ----------------------------------------------------------------------------------------------

    def ingress(self, device: int, event: Input, hop: int) -> None:
        """An skb comes in."""
        name = self.net.devices[device].name
        if self.too_far(name, event, hop):
            return
        given = replace(event, context={"ifindex": device, "ingress_ifindex": device} | dict(event.context))
        with self.noted() as steps:
            said = self.chain(HOOKS["tcx_ingress"], name, given, hop)
        if self.goes_on(said, name, hop):
            sent = (one for step in steps if step.hop == hop for one in step.ran.outcome.sent or ())
            assigned = [one.socket for one in sent if one.helper == "sk_assign"]
            self.stack(device, said.event, hop, assigned[-1] if assigned else 0)

    def egress(self, device: int, event: Input, hop: int) -> None:
        """An skb goes out."""
        name = self.net.devices[device].name
        if self.too_far(name, event, hop):
            return
        given = replace(event, context=dict(event.context) | {"ifindex": device})
        said = self.chain(HOOKS["tcx_egress"], name, given, hop)
        if self.goes_on(said, name, hop):
            self.wire(device, said.event.packet[said.event.metadata :], hop)

    def goes_on(self, said: Said, name: str, hop: int) -> bool:
        """Whether an skb stays on its way; else it has been dropped or redirected."""
        event = said.event
        if said.fault:
            self.faulted(name, event, hop)
        elif said.code == TCX_DROP:
            self.end("dropped", name, event.packet[event.metadata :], hop, "TC_ACT_SHOT")
        elif said.code == TCX_REDIRECT and said.last is not None:
            sent = said.last.ran.outcome.sent
            named = carried(sent or (), "TC_ACT_REDIRECT")
            if named and not named[-1].clone:
                self.tc_redirect(named[-1], event, hop)
            else:
                why = "nothing says where to" if sent is not None else f"{self.engine} does not say where"
                self.end("dropped", name, event.packet[event.metadata :], hop, f"TC_ACT_REDIRECT: {why}")
        else:
            return True
        return False

    def copied(self, sent: Sent, event: Input, hop: int) -> None:
        """See Firing."""
        self.tc_redirect(sent, event, hop)

    def tc_redirect(self, sent: Sent, event: Input, hop: int) -> None:
        """An skb goes to another device, or comes in there."""
        frame, device = event.packet[event.metadata :], self.net.devices.get(sent.device)
        if device is None:
            self.end("dropped", f"device {sent.device}", frame, hop, f"there is no device {sent.device}")
            return
        fields = {name: event.context[name] for name in _KEPT if name in event.context}
        onward = Input(packet=frame, context=fields)
        if sent.helper == "redirect_peer":
            if device.peer:
                arriving = fields | {"ifindex": device.peer, "ingress_ifindex": device.peer}
                self.ingress(device.peer, replace(onward, context=arriving), hop + 1)
            else:
                self.end("dropped", device.name, frame, hop, "it has no peer")
        elif sent.flags & INGRESS:
            if len(frame) > device.mtu + device.header + VLAN:
                self.end("dropped", device.name, frame, hop, f"longer than the MTU of {device.mtu} allows")
            else:
                arriving = fields | {"priority": 0, "ifindex": sent.device, "ingress_ifindex": sent.device}
                self.ingress(sent.device, replace(onward, context=arriving), hop + 1)
        elif sent.helper == "redirect_neigh":
            self.by_neighbour(sent.device, onward, hop)
        else:
            self.egress(sent.device, onward, hop + 1)

    def by_neighbour(self, device: int, event: Input, hop: int) -> None:
        """An skb goes out with the link-layer header of its next hop."""
        frame, flow = event.packet, event.packet[ETHERNET:]
        to = next_hop(self.net, flow)
        hardware = self.net.neighbours.get((device, to))
        if hardware is None:
            self.end("dropped", self.net.devices[device].name, frame, hop, f"no neighbour {to or 'is known'}")
            return
        header = hardware + self.net.devices[device].mac + frame[12:ETHERNET]
        self.egress(device, replace(event, packet=header + flow), hop + 1)

    def wire(self, device: int, frame: bytes, hop: int) -> None:
        """A frame leaves a device: to its peer, if that is described; what leaves the loopback device comes back."""
        one = self.net.devices[device]
        peer = device if one.name == "lo" else one.peer
        if not peer:
            self.end("sent", one.name, frame, hop)
        else:
            self.end("crossed", one.name, frame, hop, self.net.devices[peer].name)
            self.xdp(peer, Input(packet=frame), hop + 1)


def _entries(made: MapObject, sent: Sent) -> Iterator[tuple[int, int, int]]:
    """(key, ifindex, id of a program or 0) of the entries of a devmap that a frame goes to."""
    keys = [sent.key]
    if sent.flags & BROADCAST and made.state is not None:
        keys = [int.from_bytes(key, made.order) for key in list(made.state.keys())]
    for key in keys:
        value = value_of(made, key)
        if any(value):
            yield key, int.from_bytes(value[:4], made.order), int.from_bytes(value[4:8], made.order)
