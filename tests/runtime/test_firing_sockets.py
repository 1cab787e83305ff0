"""Packets and data at sockets: who gets them, who has a say, where sockmaps send them."""

from __future__ import annotations

import pytest
from firing import ETH0, ETHERNET, FRAME, NET, loaded, packet, returns, said
from samples import text

from bpf.errors import BadInput
from bpf.program import Map
from runtime import Loaded
from vm.network import Network, Socket
from vm.world import World


class TestSockets:
    @pytest.mark.parametrize(
        ("frame", "cookie"),
        [
            (packet(), 7), (packet("tcp", 80), 9), (packet("tcp", 80, sender=10), 8), (packet("tcp", 81), 0),
            (packet()[:40], 0), (packet(port=54), 0),
            (FRAME[:20] + b"\x20" + FRAME[21:], 0),  # a fragment
            (FRAME[:12] + bytes.fromhex("81000005") + FRAME[12:], 7),
        ],
    )  # fmt: skip
    def test_who_gets_a_packet(self, frame: bytes, cookie: int) -> None:
        fired = loaded(returns(2, "p", "xdp")).fire("xdp:eth0", frame)
        assert fired.queues == ({cookie: [b"hello"]} if cookie else {})
        assert fired.fates[0].what == ("queued" if cookie else "stack")

    def test_ipv6(self) -> None:
        net = Network(sockets={3: Socket("udp", "::2", 53)})
        inner = (9).to_bytes(2, "big") + (53).to_bytes(2, "big") + (10).to_bytes(2, "big") + bytes(2) + b"hi"
        head = b"\x60\0\0\0" + len(inner).to_bytes(2, "big") + b"\x11\x40" + bytes(15) + b"\1" + bytes(15) + b"\2"
        made = Loaded([returns(-1, "p", "tc")], world=World(net=net))
        frame = ETHERNET[:12] + b"\x86\xdd" + head + inner
        assert made.fire("tcx_ingress:lo", frame).queues == {3: [b"hi"]}

    @pytest.mark.parametrize(("code", "words"), [(0, "dropped: cgroup /web/dns says no"), (1, "received by socket 7")])
    def test_its_cgroup_has_a_say(self, code: int, words: str) -> None:
        made = loaded(returns(code, "p", "cgroup_skb/ingress"))
        made.attach("p", "cgroup_inet_ingress:/web", flags="multi")
        assert said(made.fire("tcx_ingress:eth0", FRAME))[-1].startswith(words)

    @pytest.mark.parametrize(("code", "words"), [(0, "dropped: its filter says no"), (9, "received by socket 7")])
    def test_its_filter_has_a_say(self, code: int, words: str) -> None:
        made = loaded(returns(code, "p", "socket"))
        made.attach("p", "socket_filter:7")
        assert said(made.fire("tcx_ingress:eth0", FRAME))[-1].startswith(words)

    def test_a_filter_says_how_much_is_kept(self) -> None:
        assert loaded(returns(4, "p", "socket")).fire("socket_filter:7", FRAME).queues == {7: [FRAME[14:18]]}
        assert said(loaded(returns(0, "p", "socket")).fire("socket_filter:7", FRAME))[-1] == "dropped: drop"
        with pytest.raises(BadInput, match="'dns' is no cookie"):
            loaded(returns(4, "p", "socket")).fire("socket_filter:dns", FRAME)

    @pytest.mark.parametrize(("kept", "queued"), [(4, 0), (8, 0), (12, 4), (1000, None)])
    def test_a_filter_counts_from_the_header_of_udp(self, kept: int, queued: int | None) -> None:
        """The header always stays, whatever the filter says (sk_filter_trim_cap)."""
        made = loaded(text(f"r2 = *(u32 *)(r1 + 0); r0 = {kept}; exit", "p", "socket"))
        made.attach("p", "socket_filter:7")
        fired = made.fire("tcx_ingress:eth0", FRAME)
        assert fired.queues == {7: [FRAME[42:][:queued]]}
        assert fired.steps[0].given.network == 34

    def test_helpers_see_the_socket_that_it_is_for(self) -> None:
        made = loaded(text("call 47; exit", "p", "socket"))
        made.attach("p", "socket_filter:7")
        fired = made.fire("tcx_ingress:eth0", FRAME)
        assert fired.steps[0].code == 12
        assert made.world.net == NET


class TestLookup:
    """Programs that say which socket a packet is for."""

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            ("r0 = *(u32 *)(r1 + 8); r2 = *(u32 *)(r1 + 12); r2 <<= 8; r0 |= r2", 17 << 8 | 2),
            ("r0 = *(u16 *)(r1 + 36); r0 = be16 r0", 9), ("r0 = *(u32 *)(r1 + 60)", 53),
            ("r0 = *(u32 *)(r1 + 16); r0 = be32 r0", 0x0A000005), ("r0 = *(u32 *)(r1 + 40); r0 = be32 r0", 0x0A000002),
            ("r0 = *(u32 *)(r1 + 64)", ETH0),
        ],
    )  # fmt: skip
    def test_what_it_sees(self, words: str, code: int) -> None:
        for order in ("little", "big"):
            given = text(f"{words}; exit", "p", "sk_lookup").in_order(order)
            made = Loaded([given], verify=False, world=World(net=NET))
            made.attach("p", "sk_lookup")
            (step,) = made.fire("tcx_ingress:eth0", FRAME).steps
            assert step.code == code

    @pytest.mark.parametrize(("codes", "what"), [((1, 1), "queued"), ((1, 0), "dropped"), ((0, 1), "dropped")])
    def test_one_no_drops(self, codes: tuple[int, ...], what: str) -> None:
        made = loaded(*(returns(code, f"p{n}", "sk_lookup") for n, code in enumerate(codes)))
        for name in made.programs:
            made.attach(name, "sk_lookup")
        fired = made.fire("tcx_ingress:eth0", FRAME)
        assert (len(fired.steps), [fate.what for fate in fired.fates]) == (2, [what])

    def test_connections_are_not_looked_up(self) -> None:
        made = loaded(returns(0, "p", "sk_lookup"))
        made.attach("p", "sk_lookup")
        assert made.fire("tcx_ingress:eth0", packet("tcp", 80)).queues == {9: [b"hello"]}

    CHOOSE = """
        r6 = r1; r1 = {}; *(u32 *)(r10 - 4) = r1; r1 = map[idx:0]; r2 = r10; r2 += -4; call 1; if r0 == 0 goto none
        r7 = r0; r1 = r6; r2 = r0; r3 = 0; call 124; r8 = r0; r1 = r7; call 86; r0 = {}; exit; none: r0 = {}; exit"""

    @pytest.mark.parametrize(("keys", "cookie"), [((0,), 8), ((0, 1), 7), ((1, 0), 8), ((3, 1), 7), ((3, 3), 0)])
    def test_the_last_choice_counts(self, keys: tuple[int, ...], cookie: int) -> None:
        socks = (Map("socks", "sockmap", 4, 4, 4),)
        net = Network(sockets={7: Socket("udp", "10.0.0.9", 53), 8: Socket("udp", "10.0.0.8", 54)})
        programs = [text(self.CHOOSE.format(key, 1, 1), f"p{n}", "sk_lookup", socks) for n, key in enumerate(keys)]
        made = Loaded(programs, world=World(net=net))
        made.maps["socks"][0], made.maps["socks"][1] = 8, 7
        for name in made.programs:
            made.attach(name, "sk_lookup")
        for engine in ("interpreter", "arm64"):
            fired = made.fire("xdp:lo", FRAME, engine=engine)
            assert fired.queues == ({cookie: [b"hello"]} if cookie else {})

    def test_a_program_of_tc_gives_it_to_a_socket(self) -> None:
        made = loaded(text(self.CHOOSE.format(0, 0, 2), "in", "tc", (Map("socks", "sockmap", 4, 4, 4),)))
        made.maps["socks"][0] = 8
        made.attach("in", "tcx_ingress:eth0")
        assert made.fire("xdp:eth0", packet(port=1)).queues == {8: [b"hello"]}


class TestSockmaps:
    """Sockets 8 and 9 are the ends of a connection, 7 is one of UDP."""

    MAP = (Map("socks", "sockmap", 4, 4, 4),)

    def made(self, words: str, section: str, *more: tuple[str, str], order: str = "little") -> Loaded:
        net = Network(
            sockets={
                7: Socket("udp", "10.0.0.2", 53), 8: Socket("tcp", "10.0.0.1", 80, "10.0.0.3", 5),
                9: Socket("tcp", "10.0.0.3", 5, "10.0.0.1", 80), 10: Socket("tcp", "10.0.0.4", 1, "10.0.0.9", 1),
            },
        )  # fmt: skip
        programs = [text(words, "verdict", section, self.MAP), *(text(w, f"p{n}", s, self.MAP) for n, (w, s) in
                                                                  enumerate(more))]  # fmt: skip
        made = Loaded([program.in_order(order) for program in programs], world=World(net=net))
        for key, cookie in enumerate((7, 8, 10)):
            made.maps["socks"][key] = cookie
        return made

    @pytest.mark.parametrize(
        ("key", "flags", "cookie", "words"),
        [(0, 1, 7, "received by socket 7"), (1, 0, 9, "received by socket 9"), (2, 0, 0, "leaves socket 10"),
         (3, 0, 0, "dropped: SK_DROP")],
    )  # fmt: skip
    @pytest.mark.parametrize(("helper", "section"), [(52, "sk_skb/verdict"), (60, "sk_msg")])
    def test_where_data_go(self, helper: int, section: str, key: int, flags: int, cookie: int, words: str) -> None:
        made = self.made(f"r2 = map[idx:0]; r3 = {key}; r4 = {flags}; call {helper}; exit", section)
        hook = "sk_msg_verdict:socks" if helper == 60 else "sk_skb_verdict:socks"
        fired = made.fire(hook, b"data")
        assert said(fired)[-1].startswith(words)
        assert fired.queues == ({cookie: [b"data"]} if cookie else {})

    def test_what_a_packet_brings_meets_the_verdict(self) -> None:
        made = self.made("r2 = map[idx:0]; r3 = 1; r4 = 1; call 52; exit", "sk_skb/verdict")
        made.attach("verdict", "sk_skb_verdict:socks")
        assert made.fire("tcx_ingress:lo", FRAME).queues == {8: [b"hello"]}

    def test_the_context_says_whose_data_they_are(self) -> None:
        for order in ("little", "big"):
            words = "r0 = *(u32 *)(r1 + 136); r2 = *(u32 *)(r1 + 96); r2 = be32 r2; r2 <<= 8; r0 |= r2; exit"
            made = self.made(words, "sk_skb/verdict", order=order)
            made.attach("verdict", "sk_skb_verdict:socks")
            assert made.fire("tcx_ingress:lo", FRAME).steps[0].code == 0x0000_0200 | 53

    def test_a_parser_finds_messages(self) -> None:
        made = self.made("r0 = 1; exit", "sk_skb/stream_verdict", ("r0 = 2; exit", "sk_skb/stream_parser"))
        made.attach("verdict", "sk_skb_stream_verdict:socks")
        made.attach("p0", "sk_skb_stream_parser:socks")
        fired = made.fire("tcx_ingress:lo", FRAME)
        assert fired.queues == {7: [b"he", b"ll"]}
        assert said(fired)[-1] == "goes on: no whole message yet"
