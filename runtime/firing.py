"""What an event at a hook sets off: the programs there, what they say, and where their packets go from there.

Packets take the way that Linux 6.12 sends them:

    xdp --PASS--> tcx_ingress --> a described socket, or the stack            XDP_TX, redirects: out of a device
    out of a device by a redirect of tc: tcx_egress --> the wire; by one of XDP: the entry's program --> the wire
    the wire of a device that has a peer leads to the peer's xdp

Nothing of a real machine is touched: devices, sockets and routes are those of World.net.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from bpf.errors import BadInput
from bpf.spec.hooks import CGROUP, DEVICE, EVERY, FIRST_ERROR, HOOKS, MAP, SOCKET, Hook
from bpf.spec.layout import CPUS
from runtime import chain, hooks
from runtime.chain import EPERM, TCX_DROP, TCX_REDIRECT, Said, Step
from runtime.delivery import ETHERNET, flow_of, other_end, socket_for
from runtime.kernel import Kernel, MapObject, ProgramObject
from runtime.running import Runner
from vm.network import BROADCAST, INGRESS, Device, Network, Sent, carried, next_hop
from vm.world import Input, Limits, World

HOPS = 8  # XMIT_RECURSION_LIMIT
ARRIVALS = 256  # of one event; broadcasts multiply
EXCLUDE_INGRESS = 16  # BPF_F_EXCLUDE_INGRESS
VLAN = 4
_KEPT = ("mark", "priority", "hash", "ingress_ifindex")
"""Fields of an skb that it keeps on its way to another device."""


@dataclass(frozen=True, slots=True)
class Fate:
    """Where a packet has come to an end.

    what   dropped, sent (on the wire of a device), stack (of the device it came in by), queued (at a socket), passed,
           denied
    where  the name of a device, or a socket
    why    in words
    """

    what: str
    where: str
    why: str
    packet: bytes
    hop: int = 0

    def __str__(self) -> str:
        """In words."""
        size = f"{len(self.packet)} bytes"
        words = {
            "sent": f"leaves {self.where}, {size}", "stack": f"goes up the stack from {self.where}, {size}",
            "queued": f"received by {self.where}, {size}", "passed": "goes on", "dropped": "dropped",
            "denied": "denied",
        }  # fmt: skip
        return words[self.what] + (f": {self.why}" if self.why else "")


@dataclass
class Fired:
    """What an event has set off.

    trail   programs that ran and where packets ended, in order
    queues  cookie of a socket -> what it has received
    """

    trail: list[Step | Fate] = field(default_factory=list)
    queues: dict[int, list[bytes]] = field(default_factory=dict)

    @property
    def steps(self) -> list[Step]:
        """The programs that ran."""
        return [one for one in self.trail if isinstance(one, Step)]

    @property
    def fates(self) -> list[Fate]:
        """Where packets ended."""
        return [one for one in self.trail if isinstance(one, Fate)]

    @property
    def ended(self) -> bool:
        """Whether every program ran to its end."""
        return all(step.ran.outcome.status == "done" for step in self.steps)


def event_for(hook: Hook, data: bytes = b"", fields: Mapping[str, int] | None = None) -> Input:
    """An event at a hook: a frame from its link-layer header on, of a sockmap the data of a socket alone.

    fields: of the context; for xdp `data` too, which says how many of the bytes are metadata.
    """
    values = dict(fields or {})
    metadata = values.pop("data", 0) if hook.name == "xdp" else 0
    if not 0 <= metadata <= len(data):
        raise BadInput(f"data = {metadata} is outside the packet of {len(data)} bytes")
    return Input(packet=data, network=0 if hook.at == MAP else ETHERNET, metadata=metadata, context=values)


def fire(
    kernel: Kernel, hook: Hook, place: str, event: Input, *, world: World | None = None, engine: str = "interpreter",
    hops: int = HOPS, limits: Limits | None = None,
) -> Fired:  # fmt: skip
    """Let an event happen at a hook; the maps keep what programs do to them. Raises Refused, BadInput.

    event: a frame from its link-layer header on, and fields of the context over those that the hook gives. A device
    that is named at a hook and not described in world.net is added there.
    """
    firing = _Firing(kernel, world or World(), engine, hops, limits or Limits())
    firing.start(hook, place, event)
    return firing.fired


class _Firing:
    """One event on its way."""

    def __init__(self, kernel: Kernel, world: World, engine: str, hops: int, limits: Limits) -> None:
        self.kernel = kernel
        self.world = world
        self.engine = engine
        self.hops = hops
        self.limits = limits
        self.fired = Fired()
        self.arrivals = 0
        self._runners: dict[int, Runner] = {}

    @property
    def net(self) -> Network:
        """What is described."""
        return self.world.net

    def start(self, hook: Hook, place: str, event: Input) -> None:
        """The event happens."""
        named = [one.place for one in self.kernel.attached if HOOKS[one.hook].at == DEVICE]
        for name in (*named, *([place] if hook.at == DEVICE else ())):
            if not self.net.device_named(name):
                devices = {**self.net.devices, max(self.net.devices, default=0) + 1: Device(name)}
                self.world.net = replace(self.net, devices=devices)
        if hook.at == DEVICE:
            index = self.net.device_named(place)
            {"xdp": self.xdp, "tcx_ingress": self.ingress, "tcx_egress": self.egress}[hook.name](index, event, 0)
        elif hook.at == MAP:
            self.verdict(hook, place, event, 0)
        elif hook.at == SOCKET:
            self.socket_hook(hook, place, event)
        else:
            self.other(hook, place, event)

    # Programs ----------------------------------------------------------------------------------------

    def runner(self, program: ProgramObject) -> Runner:
        """A program on the engine."""
        if program.id not in self._runners:
            self._runners[program.id] = Runner(self.kernel, program, self.engine)
        return self._runners[program.id]

    def step(self, where: str, program: ProgramObject, given: Input, hop: int) -> Step:
        """Run a program."""
        ran = self.runner(program).run(given, self.world, self.limits)
        step = Step(where, program, given, ran, hop)
        self.fired.trail.append(step)
        return step

    def chain(self, hook: Hook, place: str, event: Input, hop: int) -> Said:
        """Run the programs at a hook; copies that one sends are on their way before the next one runs."""
        where = hooks.shown(self.kernel, hook.name, place)

        def one(program: ProgramObject, given: Input) -> Step:
            step = self.step(where, program, given, hop)
            for sent in step.ran.outcome.sent or ():
                if sent.clone:
                    self.tc_redirect(sent, replace(chain.after(step), packet=sent.packet, metadata=0), hop)
            return step

        return chain.run(hook, hooks.effective(self.kernel, hook, place), event, one)

    def end(self, what: str, where: str, packet: bytes, hop: int, why: str = "") -> None:
        """A packet has come to its end."""
        self.fired.trail.append(Fate(what, where, why, packet, hop))

    def faulted(self, where: str, event: Input, hop: int) -> None:
        """A program that did not run to its end: its packet goes nowhere."""
        self.end("dropped", where, event.packet, hop, "the program did not run to its end")

    def too_far(self, where: str, event: Input, hop: int) -> bool:
        """Whether the packet has come as far as it may; then it ends here."""
        self.arrivals += 1
        if hop <= self.hops and self.arrivals <= ARRIVALS:
            return False
        limit = f"{self.hops} hops" if hop > self.hops else f"{ARRIVALS} arrivals of one event"
        self.end("dropped", where, event.packet, hop, f"the limit of {limit}")
        return True

    # XDP ---------------------------------------------------------------------------------------------

    def xdp(self, device: int, event: Input, hop: int) -> None:
        """A frame comes in."""
        name = self.net.devices[device].name
        if self.too_far(name, event, hop):
            return
        programs = hooks.effective(self.kernel, HOOKS["xdp"], name)
        if not programs:
            self.ingress(device, event, hop)
            return
        event = replace(event, context={"ingress_ifindex": device} | dict(event.context))
        self.acted(device, self.step(f"xdp:{name}", programs[0], event, hop), hop)

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
        named = carried(step.ran.outcome.sent or (), step.ran.meaning)
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
            step = self.step(f"entry {where}", self.kernel.programs[program], given, hop)
            event = chain.after(step)
            if not step.done:
                self.faulted(device.name, given, hop)
            elif step.ran.meaning == "XDP_PASS":
                self.wire(target, event.packet[event.metadata :], hop)
            else:
                self.end("dropped", device.name, frame, hop, step.ran.meaning or f"{step.code} is no action of XDP")

    def to_cpu(self, device: int, made: MapObject, sent: Sent, event: Input, hop: int) -> None:
        """A frame goes on on another CPU, where the program of the entry sees it first."""
        value = _value(made, sent.key)
        program = int.from_bytes(value[4:8], made.order)
        before = self.world.cpu
        self.world.cpu = sent.key if sent.key < CPUS else before
        try:
            if not program:
                self.ingress(device, replace(event, context={}), hop)
                return
            given = replace(event, context={"ingress_ifindex": device})
            step = self.step(f"entry {made.name}[{sent.key}]", self.kernel.programs[program], given, hop)
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
        cookie = _cookie(made, sent.key)
        socket = self.net.sockets.get(cookie)
        queue = event.context.get("rx_queue_index", 0)
        frame = event.packet[event.metadata :]
        if socket is not None and (socket.device or device, socket.queue) != (device, queue):
            self.end("dropped", _socket(cookie), frame, hop, "it is bound to another device or queue")
        else:
            self.queue(cookie, frame, hop)

    # tc ----------------------------------------------------------------------------------------------

    def ingress(self, device: int, event: Input, hop: int) -> None:
        """An skb comes in."""
        name = self.net.devices[device].name
        if self.too_far(name, event, hop):
            return
        given = replace(event, context={"ifindex": device, "ingress_ifindex": device} | dict(event.context))
        said = self.chain(HOOKS["tcx_ingress"], name, given, hop)
        if self.goes_on(said, name, hop):
            self.stack(device, said.event, hop)

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
                arriving = fields | {"ifindex": sent.device, "ingress_ifindex": sent.device}
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
            self.xdp(peer, Input(packet=frame), hop + 1)

    # Sockets -----------------------------------------------------------------------------------------

    def stack(self, device: int, event: Input, hop: int) -> None:
        """A packet goes up the stack: to the described socket that it is for, past its cgroup and its filter."""
        name, frame = self.net.devices[device].name, event.packet[event.metadata :]
        flow = flow_of(frame)
        cookie = socket_for(self.net, flow, device) if flow is not None else 0
        if flow is None or not cookie:
            self.end("stack", name, frame, hop)
            return
        given = Input(packet=frame, context={"ifindex": device, "ingress_ifindex": device})
        cgroup = self.net.sockets[cookie].cgroup
        said = self.chain(HOOKS["cgroup_inet_ingress"], cgroup, given, hop)
        if said.fault or not said.code:
            self.end("dropped", _socket(cookie), frame, hop, f"cgroup {cgroup} says no")
            return
        said = self.chain(HOOKS["socket_filter"], str(cookie), given, hop)
        if said.last is not None and (said.fault or not said.code):
            self.end("dropped", _socket(cookie), frame, hop, "its filter says no")
            return
        for hook, place in self.sockmaps(cookie):
            self.verdict(hook, place, Input(packet=flow.payload, network=0), hop, cookie)
            return
        self.queue(cookie, flow.payload, hop)

    def sockmaps(self, cookie: int) -> Iterator[tuple[Hook, str]]:
        """The verdicts of sockmaps that a socket is in."""
        for one in self.kernel.attached:
            if one.hook in ("sk_skb_verdict", "sk_skb_stream_verdict"):
                made = self.kernel.maps[int(one.place)]
                state = made.state
                if state is not None and any(_cookie(made, key) == cookie for key in state.keys()):
                    yield HOOKS[one.hook], one.place

    def verdict(self, hook: Hook, place: str, event: Input, hop: int, cookie: int = 0) -> None:
        """Data that a socket of a sockmap has received (sk_skb), or sends (sk_msg). cookie: which one, if that is known."""
        where = hooks.shown(self.kernel, hook.name, place)
        if self.too_far(where, event, hop):
            return
        said = self.chain(hook, place, event, hop)
        data = said.event.packet[said.event.network :]
        if said.fault:
            self.faulted(where, event, hop)
        elif hook.name == "sk_skb_stream_parser" and said.last is not None:
            self.end("passed", where, data, hop, f"its next message has {said.code} bytes")
        elif said.last is None:
            self.arrived(cookie, where, data, hop)
        elif not said.code:
            self.end("dropped", where, data, hop, said.last.ran.meaning)
        elif named := [one for one in carried(said.last.ran.outcome.sent or (), said.last.ran.meaning) if one.map]:
            made = self.runner(said.last.program).bound.maps[named[-1].map]
            target = _cookie(made, named[-1].key)
            if named[-1].flags & INGRESS:
                self.queue(target, data, hop + 1)
            else:
                self.sends(target, data, hop + 1)
        else:
            self.arrived(cookie, where, data, hop)

    def arrived(self, cookie: int, where: str, data: bytes, hop: int) -> None:
        """Data go on to where they were going."""
        if cookie:
            self.queue(cookie, data, hop)
        else:
            self.end("passed", where, data, hop)

    def sends(self, cookie: int, data: bytes, hop: int) -> None:
        """A socket sends data: to the described socket at its other end, or away."""
        there = other_end(self.net, cookie)
        if there:
            self.queue(there, data, hop)
        else:
            self.end("sent", _socket(cookie), data, hop)

    def queue(self, cookie: int, data: bytes, hop: int) -> None:
        """A socket has received data."""
        self.fired.queues.setdefault(cookie, []).append(data)
        self.end("queued", _socket(cookie), data, hop)

    def socket_hook(self, hook: Hook, place: str, event: Input) -> None:
        """A packet for a socket: its filter says how much of it is kept."""
        if not place.isdecimal():
            raise BadInput(f"{place!r} is no cookie of a socket", remedy=f"write {hook.name}:7, say")
        said, data = self.chain(hook, place, event, 0), event.packet[event.network :]
        where = _socket(int(place))
        if said.fault:
            self.faulted(where, event, 0)
        elif said.last is not None and not said.code:
            self.end("dropped", where, data, 0, said.last.ran.meaning)
        else:
            kept = said.last.ran.retval if said.last is not None and hook.name == "socket_filter" else len(data)
            self.queue(int(place), data[:kept], 0)

    # Everything else ---------------------------------------------------------------------------------

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
            for sent in carried(said.last.ran.outcome.sent or (), said.last.ran.meaning):
                self.tc_redirect(sent, said.event, 0)
        elif said.last is not None and said.last.ran.meaning.endswith("_DROP"):
            self.end("dropped", where, packet, 0, said.last.ran.meaning)
        elif hook.rule == EVERY:
            return
        else:
            self.end("passed", where, packet, 0)


def _socket(cookie: int) -> str:
    return f"socket {cookie}"


def _raw(made: MapObject, key: int | bytes) -> bytes:
    return key if isinstance(key, bytes) else key.to_bytes(made.declared.key_size, made.order)


def _value(made: MapObject, key: int | bytes) -> bytes:
    """The value of a key, zeros where there is none."""
    found = None if made.state is None else made.state.value(_raw(made, key))
    return found if isinstance(found, bytes) else bytes(made.declared.value_size)


def _cookie(made: MapObject, key: int | bytes) -> int:
    """The socket of an entry."""
    return int.from_bytes(_value(made, key), made.order)


def _entries(made: MapObject, sent: Sent) -> Iterator[tuple[int, int, int]]:
    """(key, ifindex, id of a program or 0) of the entries of a devmap that a frame goes to."""
    keys = [sent.key]
    if sent.flags & BROADCAST and made.state is not None:
        keys = [int.from_bytes(key, made.order) for key in made.state.keys()]
    for key in keys:
        value = _value(made, key)
        if any(value):
            yield key, int.from_bytes(value[:4], made.order), int.from_bytes(value[4:8], made.order)
