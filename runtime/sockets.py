"""Packets and data at sockets: up the stack to the one that they are for, past its cgroup and its filter; sockmaps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from bpf.errors import BadInput
from bpf.spec.hooks import HOOKS, Hook
from runtime import hooks
from runtime.delivery import Flow, flow_of, lookup_fields, other_end, socket_fields, socket_for
from runtime.fired import Firing, cookie_of, socket_name
from vm.network import INGRESS
from vm.world import Input


class Sockets(Firing):
    """What sockets get and send."""

    def stack(self, device: int, event: Input, hop: int, assigned: int = 0) -> None:
        """A packet goes up the stack: to the described socket that it is for, past its cgroup and its filter.

        assigned: the cookie of the one that a program has given it to, 0 for none.
        """
        name, frame = self.net.devices[device].name, event.packet[event.metadata :]
        flow = flow_of(frame)
        cookie = (assigned or self.looked_up(flow, frame, device, hop)) if flow is not None else 0
        if cookie is None:
            return
        if flow is None or cookie not in self.net.sockets:
            self.end("stack", name, frame, hop)
            return
        chosen = self.of_group(cookie, flow, frame, hop)
        if chosen:
            with self.at_socket(chosen):
                self.to_socket(chosen, flow, frame, device, hop)

    def looked_up(self, flow: Flow, frame: bytes, device: int, hop: int) -> int | None:
        """The socket that a flow is for: a connected one, that of sk_lookup programs, one that takes all; 0 for none.

        Of the programs that choose one the last counts; where none does, a single SK_DROP drops the packet: None.
        """
        cookie, hook = socket_for(self.net, flow, device), HOOKS["sk_lookup"]
        attached = hooks.at(self.kernel, hook, "")
        if not attached or (cookie and self.net.sockets[cookie].remote_port):
            return cookie
        order = self.runner(self.kernel.programs[attached[0].program]).order
        with self.noted() as steps:
            said = self.chain(hook, "", Input(context=lookup_fields(flow, device, order)), hop)
        chosen = [step.sent[-1].socket for step in steps if step.code and step.sent and step.sent[-1].socket]
        if said.fault or not (chosen or all(step.code for step in steps)):
            self.end("dropped", self.net.devices[device].name, frame, hop, "sk_lookup says no")
            return None
        return chosen[-1] if chosen else cookie

    @contextlib.contextmanager
    def at_socket(self, cookie: int) -> Iterator[None]:
        """Helpers see this one as the packet's socket meanwhile."""
        net, one = self.world.net, self.net.sockets[cookie]
        self.world.net = replace(net, cookie=cookie, uid=one.uid)
        try:
            yield
        finally:
            self.world.net = net

    def of_group(self, cookie: int, flow: Flow, frame: bytes, hop: int) -> int:
        """Of the sockets that share an address the one that their program chooses; 0 where it drops the packet."""
        group = self.net.sockets[cookie].group
        members = [number for number, one in self.net.sockets.items() if group is not None and one.group == group]
        hook = HOOKS["sk_reuseport"]
        with self.at_socket(cookie):
            for number in members:
                if hooks.at(self.kernel, hook, str(number)):
                    given = Input(packet=frame, network=flow.transport, context={"ip_protocol": flow.number})
                    said = self.chain(hook, str(number), given, hop)
                    if said.last is None or said.fault or not said.code:
                        self.end("dropped", socket_name(cookie), frame, hop, "the program of its group says no")
                        return 0
                    return next((one.socket for one in said.last.sent if one.socket in members), cookie)
        return cookie

    def to_socket(self, cookie: int, flow: Flow, frame: bytes, device: int, hop: int) -> None:
        """A packet for a socket: past its cgroup and its filter, into its queue or to the verdict of its sockmap."""
        given = Input(packet=frame, context={"ifindex": device, "ingress_ifindex": device})
        cgroup = self.net.sockets[cookie].cgroup
        said = self.chain(HOOKS["cgroup_inet_ingress"], cgroup, given, hop)
        if said.fault or not said.code:
            self.end("dropped", socket_name(cookie), frame, hop, f"cgroup {cgroup} says no")
            return
        said = self.chain(HOOKS["socket_filter"], str(cookie), replace(given, network=flow.transport), hop)
        if said.last is not None and (said.fault or not said.code):
            self.end("dropped", socket_name(cookie), frame, hop, "its filter says no")
            return
        if said.last is not None:  # it counts from the header of TCP or UDP, which always stays (sk_filter_trim_cap)
            flow = replace(flow, payload=flow.payload[: max(said.last.ran.retval - flow.header, 0)])
        for hook, place in self.sockmaps(cookie):
            for message in self.messages(hook, place, flow.payload, hop):
                self.verdict(hook, place, Input(packet=message, network=0), hop, cookie)
            return
        self.queue(cookie, flow.payload, hop)

    def messages(self, hook: Hook, place: str, data: bytes, hop: int) -> Iterator[bytes]:
        """The messages that the parser of a sockmap finds in a stream; without one all data are one."""
        parser = HOOKS["sk_skb_stream_parser"]
        if hook.name != "sk_skb_stream_verdict" or not hooks.at(self.kernel, parser, place):
            yield data
            return
        while data:
            said = self.chain(parser, place, Input(packet=data, network=0), hop)
            if said.fault or not 0 < said.code <= len(data):
                where = hooks.shown(self.kernel, parser.name, place)
                self.end("passed", where, data, hop, "" if said.fault else "no whole message yet")
                return
            yield data[: said.code]
            data = data[said.code :]

    def sockmaps(self, cookie: int) -> Iterator[tuple[Hook, str]]:
        """The verdicts of sockmaps that a socket is in."""
        for one in self.kernel.attached:
            if one.hook in ("sk_skb_verdict", "sk_skb_stream_verdict"):
                made = self.kernel.maps[int(one.place)]
                state = made.state
                if state is not None and cookie in (cookie_of(made, key) for key in list(state.keys())):
                    yield HOOKS[one.hook], one.place

    def verdict(self, hook: Hook, place: str, event: Input, hop: int, cookie: int = 0) -> None:
        """Data that a socket of a sockmap has received (sk_skb), or sends (sk_msg). cookie: of it, if known."""
        where = hooks.shown(self.kernel, hook.name, place)
        if self.too_far(where, event, hop):
            return
        event = self.of_socket(hook, place, event, cookie)
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
        elif named := [one for one in said.last.sent if one.map]:
            made = self.runner(said.last.program).bound.maps[named[-1].map]
            target = named[-1].socket or cookie_of(made, named[-1].key)
            if named[-1].flags & INGRESS:
                self.queue(target, data, hop + 1)
            else:
                self.sends(target, data, hop + 1)
        else:
            self.arrived(cookie, where, data, hop)

    def of_socket(self, hook: Hook, place: str, event: Input, cookie: int) -> Input:
        """Data of a socket: the context says whose, where that is known."""
        attached, one = hooks.at(self.kernel, hook, place), self.net.sockets.get(cookie)
        if one is None or not attached:
            return event
        order = self.runner(self.kernel.programs[attached[0].program]).order
        return replace(event, context=socket_fields(one, order) | dict(event.context))

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
            self.end("sent", socket_name(cookie), data, hop)

    def queue(self, cookie: int, data: bytes, hop: int) -> None:
        """A socket has received data."""
        self.fired.queues.setdefault(cookie, []).append(data)
        self.end("queued", socket_name(cookie), data, hop)

    def socket_hook(self, hook: Hook, place: str, event: Input) -> None:
        """A packet for a socket: its filter says how much of it is kept."""
        if not place.isdecimal():
            raise BadInput(f"{place!r} is no cookie of a socket", remedy=f"write {hook.name}:7, say")
        said, data = self.chain(hook, place, event, 0), event.packet[event.network :]
        where = socket_name(int(place))
        if said.fault:
            self.faulted(where, event, 0)
        elif said.last is not None and not said.code:
            self.end("dropped", where, data, 0, said.last.ran.meaning)
        else:
            kept = said.last.ran.retval if said.last is not None and hook.name == "socket_filter" else len(data)
            self.queue(int(place), data[:kept], 0)
