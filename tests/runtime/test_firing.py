"""What an event at a hook sets off: verdicts by type, chains, redirects, sockets; the same on every engine."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from random import Random

import pytest
from firing import ETH0, ETH1, FRAME, NET, VETH0, VETH1, loaded, packet, redirects, returns, said
from samples import text

import crossbpf
from bpf.errors import BadInput, NotHere
from bpf.program import Map
from bpf.spec.attach import ATTACH_TYPES
from bpf.spec.hooks import HOOKS
from crossbpf import cc
from engines import ENGINES
from runtime import Loaded
from runtime.fired import ARRIVALS, Fired
from runtime.firing import fire
from vm.world import Input, World

ROUTER = Path(__file__).parents[1] / "data" / "types" / "router.c"
ALL = [name for name, engine in ENGINES.items() if engine.abilities.plans]


@cache
def router(order: str) -> bytes:
    """The object of router.c; skips where there is no compiler."""
    try:
        cc.find()
    except NotHere as error:
        pytest.skip(str(error))
    return cc.compile_c(ROUTER, order)


class TestXdp:
    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (0, "dropped: XDP_ABORTED"), (1, "dropped: XDP_DROP"), (2, "goes up the stack from eth1, 47 bytes"),
            (3, "leaves eth1, 47 bytes"), (4, "dropped: XDP_REDIRECT: nothing says where to"),
            (77, "dropped: 77 is no action of XDP"),
        ],
    )  # fmt: skip
    def test_what_it_returns_is_done(self, code: int, words: str) -> None:
        fired = loaded(returns(code, "p", "xdp")).fire("xdp:eth1", packet(port=1))
        assert len(fired.steps) == 1 and said(fired)[1:] == [words]

    def test_without_a_program_frames_come_in(self) -> None:
        assert said(loaded(returns(1, "p", "xdp")).fire("tcx_ingress:eth0", packet(port=1))) == [
            "goes up the stack from eth0, 47 bytes"
        ]

    @pytest.mark.parametrize(
        ("device", "size", "words"),
        [
            (ETH1, 1018, "leaves eth1, 1018 bytes"), (ETH1, 1019, "dropped: longer than the MTU of 1000 allows"),
            (99, 60, "dropped: there is no device 99"), (VETH0, 60, "leaves veth0 for veth1"),
        ],
    )  # fmt: skip
    def test_redirects(self, device: int, size: int, words: str) -> None:
        fired = loaded(redirects(device, "go", "xdp")).fire("xdp:eth0", bytes(size))
        assert said(fired)[:2] == ["xdp:eth0  go (id 1): 4 (XDP_REDIRECT)", words]

    def test_the_context_says_where_it_came_in(self) -> None:
        fired = loaded(text("r0 = *(u32 *)(r1 + 12); exit", "p", "xdp")).fire("xdp:veth1", FRAME)
        assert fired.steps[0].code == VETH1

    def test_what_it_has_changed_goes_on(self) -> None:
        swap = """
            r6 = r1; r2 = *(u32 *)(r1 + 4); r1 = *(u32 *)(r1 + 0); r3 = r1; r3 += 1; r0 = 0; if r3 > r2 goto out
            r2 = 0xaa; *(u8 *)(r1 + 0) = r2; r1 = r6; r2 = -4; call 54; r0 = 2; out: exit"""
        meta = "r2 = *(u32 *)(r1 + 76); r3 = *(u32 *)(r1 + 140); r2 -= r3; r0 = r2; exit"
        fired = loaded(text(swap, "swap", "xdp"), text(meta, "meta", "tc")).fire("xdp:eth0", FRAME)
        assert [step.where for step in fired.steps] == ["xdp:eth0"]
        both = loaded(text(swap, "swap", "xdp"), text(meta, "meta", "tc"))
        both.attach("meta", "tcx_ingress:eth0")
        fired = both.fire("xdp:eth0", packet(port=1))
        assert [step.code for step in fired.steps] == [2, 4]
        assert fired.fates[0].packet == b"\xaa" + packet(port=1)[1:]

    def test_wires_are_crossed_at_most_so_often(self) -> None:
        both = loaded(returns(3, "bounce", "xdp"))
        both.attach("bounce", "xdp:veth1")
        fired = both.fire("xdp:veth0", FRAME, hops=5)
        assert [step.where for step in fired.steps] == ["xdp:veth0", "xdp:veth1"] * 3
        assert said(fired)[-1] == "dropped: the limit of 5 hops"
        assert [step.hop for step in fired.steps] == list(range(6))

    def test_a_fault_ends_it(self) -> None:
        fired = loaded(text("r1 = 8; r0 = *(u64 *)(r1 + 0); exit", "p", "xdp")).fire("xdp:eth0", FRAME)
        assert not fired.ended
        assert said(fired) == ["xdp:eth0  p (id 1): read fault of 0x8 at insn 1",
                               "dropped: the program did not run to its end"]  # fmt: skip


DEVICES = Map("ports", "devmap", 4, 8, 4)
TO_PORT = "r1 = map[idx:0]; r2 = {}; r3 = {}; call 51; exit"


class TestMaps:
    def ports(self, key: int, flags: int, *entries: tuple[int, int]) -> Loaded:
        """go redirects to an entry; the entries are (ifindex, program)."""
        made = loaded(
            text(TO_PORT.format(key, flags), "go", "xdp", (DEVICES,)), returns(2, "yes", "xdp/devmap", (DEVICES,)),
            returns(1, "no", "xdp/devmap", (DEVICES,)),
            text("r0 = *(u32 *)(r1 + 20); r2 = *(u32 *)(r1 + 12); r2 <<= 8; r0 |= r2; exit", "where", "xdp/devmap",
                 (DEVICES,)),
        )  # fmt: skip
        for number, (device, program) in enumerate(entries):
            made.maps["ports"][number] = device.to_bytes(4, "little") + program.to_bytes(4, "little")
        return made

    def test_an_entry(self) -> None:
        fired = self.ports(1, 0, (ETH0, 0), (ETH1, 0)).fire("xdp:eth0", FRAME)
        assert said(fired) == ["xdp:eth0  go (id 1): 4 (XDP_REDIRECT)", "leaves eth1, 47 bytes"]

    @pytest.mark.parametrize(("program", "words"), [(2, "leaves eth1, 47 bytes"), (3, "dropped: XDP_DROP")])
    def test_the_program_of_an_entry_sees_it_first(self, program: int, words: str) -> None:
        fired = self.ports(0, 0, (ETH1, program)).fire("xdp:eth0", FRAME)
        assert fired.steps[1].where == "entry ports[0]" and said(fired)[-1] == words

    def test_its_context_says_from_where_to_where(self) -> None:
        fired = self.ports(0, 0, (ETH1, 4)).fire("xdp:eth0", FRAME)
        assert fired.steps[1].code == ETH0 << 8 | ETH1

    def test_all_entries(self) -> None:
        entries = ((ETH0, 0), (ETH1, 2), (VETH0, 3))
        fired = self.ports(9, 8, *entries).fire("xdp:eth0", FRAME)
        assert [(fate.what, fate.where) for fate in fired.fates] == [
            ("sent", "eth0"), ("sent", "eth1"), ("dropped", "veth0"),
        ]  # fmt: skip
        fired = self.ports(9, 8 | 16, *entries).fire("xdp:eth0", FRAME)
        assert [fate.where for fate in fired.fates] == ["eth1", "veth0"]

    def test_what_is_not_there(self) -> None:
        assert said(self.ports(3, 1).fire("xdp:eth0", FRAME))[-1] == "dropped: XDP_DROP"

    @pytest.mark.parametrize("program", [0, 2])
    def test_another_cpu(self, program: int) -> None:
        cpus = (Map("cpus", "cpumap", 4, 8, 4),)
        made = loaded(
            text(TO_PORT.format(2, 0), "go", "xdp", cpus), returns(2, "yes", "xdp/cpumap", cpus),
            text("call 8; exit", "cpu", "tc", cpus),
        )  # fmt: skip
        made.maps["cpus"][2] = (192).to_bytes(4, "little") + program.to_bytes(4, "little")
        made.attach("cpu", "tcx_ingress:eth0")
        fired = made.fire("xdp:eth0", FRAME)
        assert [step.where for step in fired.steps] == [
            "xdp:eth0", *["entry cpus[2]"] * bool(program), "tcx_ingress:eth0",
        ]  # fmt: skip
        assert fired.steps[-1].code == 2
        assert made.world.cpu == 0

    @pytest.mark.parametrize(("queue", "words"), [(1, "received by socket 10, 47 bytes"), (0, "dropped: it is bound")])
    def test_a_socket_of_af_xdp(self, queue: int, words: str) -> None:
        made = loaded(text(TO_PORT.format(1, 2), "go", "xdp", (Map("xsks", "xskmap", 4, 4, 4),)))
        made.maps["xsks"][1] = 10
        fired = made.fire("xdp:eth0", FRAME, context={"rx_queue_index": queue})
        assert said(fired)[-1].startswith(words)
        assert fired.queues == ({10: [FRAME]} if queue else {})


class TestTc:
    @pytest.mark.parametrize(
        ("codes", "ran", "fate"),
        [
            ((-1, 0, 2), 2, "stack"), ((-1, -1, 2), 3, "dropped"), ((-1, -1, -1), 3, "stack"),
            ((2, 0, 0), 1, "dropped"), ((3, 2, 2), 1, "stack"), ((1, 2, 2), 1, "stack"), ((-1, 8, 2), 2, "stack"),
        ],
    )  # fmt: skip
    def test_a_chain_ends_with_the_first_that_says_something(self, codes: tuple[int, ...], ran: int, fate: str) -> None:
        made = loaded(*(returns(code, f"p{n}", "tc") for n, code in enumerate(codes)))
        fired = made.fire("tcx_ingress:eth0", packet(port=1))
        assert (len(fired.steps), [one.what for one in fired.fates]) == (ran, [fate])

    def test_the_next_program_sees_what_the_last_has_changed(self) -> None:
        marks = "r2 = *(u32 *)(r1 + 8); r2 += 5; *(u32 *)(r1 + 8) = r2; *(u32 *)(r1 + 48) = r2; r0 = -1; exit"
        looks = "r0 = *(u32 *)(r1 + 8); r2 = *(u32 *)(r1 + 48); r0 += r2; exit"
        fired = loaded(text(marks, "a", "tc"), text(marks, "b", "tc"), text(looks, "c", "tc")).fire(
            "tcx_ingress:eth0", FRAME, context={"mark": 30}
        )
        assert [step.code for step in fired.steps] == [-1, -1, 80]

    def test_out_of_another_device(self) -> None:
        made = loaded(redirects(ETH1, "go", "tc"), text("r0 = *(u32 *)(r1 + 40); exit", "out", "tcx/egress"))
        made.attach("out", "tcx_egress:eth1")
        fired = made.fire("tcx_ingress:eth0", FRAME)
        assert [(step.where, step.code) for step in fired.steps] == [("tcx_ingress:eth0", 7), ("tcx_egress:eth1", ETH1)]
        assert said(fired)[-1] == "leaves eth1, 47 bytes"

    @pytest.mark.parametrize(("code", "words"), [(2, "dropped: TC_ACT_SHOT"), (0, "leaves eth1, 47 bytes")])
    def test_egress_has_a_say(self, code: int, words: str) -> None:
        made = loaded(redirects(ETH1, "go", "tc"), returns(code, "out", "tcx/egress"))
        made.attach("out", "tcx_egress:eth1")
        assert said(made.fire("tcx_ingress:eth0", FRAME))[-1] == words

    def test_into_another_device(self) -> None:
        made = loaded(redirects(ETH1, "go", "tc", 1), text("r0 = *(u32 *)(r1 + 36); r0 += -1; exit", "in", "action"))
        fired = made.fire("tcx_ingress:eth0", packet(port=1))
        assert said(fired)[1:] == ["goes up the stack from eth1, 47 bytes"]
        long = made.fire("tcx_ingress:eth0", bytes(1019))
        assert said(long)[-1] == "dropped: longer than the MTU of 1000 allows"

    @pytest.mark.parametrize(("flags", "code"), [(0, 0x0700_0005), (1, 5)])
    def test_what_goes_along(self, flags: int, code: int) -> None:
        go = f"""
            *(u32 *)(r1 + 8) = 5; *(u32 *)(r1 + 32) = 7; *(u32 *)(r1 + 48) = 9
            r1 = {ETH1}; r2 = {flags}; call 23; exit"""
        see = """
            r0 = *(u32 *)(r1 + 32); r0 <<= 24; r2 = *(u32 *)(r1 + 8); r0 += r2
            r2 = *(u32 *)(r1 + 48); r0 += r2; exit"""
        made = loaded(text(go, "go", "tc"), text(see, "in", "tcx/ingress"), text(see, "out", "tcx/egress"))
        made.attach("go", "tcx_ingress:eth0")
        made.attach("in", "tcx_ingress:eth1")
        made.attach("out", "tcx_egress:eth1")
        assert made.fire("tcx_ingress:eth0", FRAME).steps[1].code == code

    def test_to_a_peer(self) -> None:
        def go(device: int) -> Fired:
            return loaded(text(f"r1 = {device}; r2 = 0; call 155; exit", "go", "tc")).fire("tcx_ingress:eth0", FRAME)

        assert said(go(ETH1))[-1] == "dropped: it has no peer"
        assert [fate.what for fate in go(VETH0).fates] == ["queued"]

    def test_by_its_neighbour(self) -> None:
        made = loaded(text(f"r1 = {ETH1}; r2 = 0; r3 = 0; r4 = 0; call 152; exit", "go", "tc"))
        (fate,) = made.fire("tcx_ingress:eth0", FRAME).fates
        assert fate.packet == bytes.fromhex("020000000077") + bytes(6) + FRAME[12:]
        away = FRAME[:30] + bytes((11, 0, 0, 2)) + FRAME[34:]
        assert said(made.fire("tcx_ingress:eth0", away))[-1] == "dropped: no neighbour 11.0.0.2"

    def test_a_copy_is_on_its_way_at_once(self) -> None:
        made = loaded(text(f"r6 = r1; r2 = {ETH1}; r3 = 0; call 13; r0 = 2; exit", "copy", "tc"))
        assert said(made.fire("tcx_ingress:eth0", FRAME))[1:] == ["leaves eth1, 47 bytes", "dropped: TC_ACT_SHOT"]

    def test_a_storm_ends(self) -> None:
        copies = f"r6 = r1; r2 = {VETH0}; r3 = 1; call 13; r1 = {VETH0}; r2 = 1; call 23; exit"
        fired = loaded(text(copies, "storm", "tc")).fire("tcx_ingress:veth0", FRAME, hops=30)
        assert 100 < len(fired.steps) <= ARRIVALS
        assert said(fired)[-1] == f"dropped: the limit of {ARRIVALS} arrivals of one event"


class TestCgroups:
    @pytest.mark.parametrize(("codes", "what"), [((1, 1), "passed"), ((0, 1), "denied"), ((1, 0), "denied")])
    def test_all_run_and_all_must_allow(self, codes: tuple[int, ...], what: str) -> None:
        made = loaded(*(returns(code, f"p{n}", "cgroup/dev") for n, code in enumerate(codes)))
        fired = made.fire("cgroup_device:/web", context={"major": 1, "minor": 3})
        assert (len(fired.steps), [one.what for one in fired.fates]) == (2, [what])
        assert ("EPERM" in said(fired)[-1]) is (what == "denied")

    def test_the_own_before_those_around(self) -> None:
        made = loaded(*(returns(1, name, "cgroup/dev") for name in ("root", "web", "dns")))
        for name, path in (("root", "/"), ("dns", "/web/dns"), ("web", "/web")):
            made.attach(name, f"cgroup_device:{path}", flags="multi")
        fired = made.fire("cgroup_device:/web/dns")
        assert [step.where for step in fired.steps] == [f"cgroup_device:{path}" for path in ("/web/dns", "/web", "/")]
        assert [step.program.name for step in fired.steps] == ["dns", "web", "root"]

    def test_one_sees_what_another_has_changed(self) -> None:
        bind = "r2 = *(u32 *)(r1 + 4); r2 += 1; *(u32 *)(r1 + 4) = r2; r0 = 1; exit"
        made = loaded(text(bind, "a", "cgroup/connect4"), text(bind, "b", "cgroup/connect4"))
        fired = made.fire("cgroup_inet4_connect:/", context={"user_ip4": 6})
        context = fired.steps[-1].ran.outcome.context
        assert context is not None and context["user_ip4"] == 8

    def test_its_storage_is_that_of_the_hook(self) -> None:
        words = "r1 = map[idx:0]; r2 = 0; call 81; r1 = 1; lock *(u64 *)(r0 + 0) += r1; r0 = 1; exit"
        own = (Map("own", "cgroup_storage", 16, 8, 0),)
        made = loaded(text(words, "p", "cgroup_skb/ingress", own), text(words, "q", "cgroup_skb/egress", own))
        for hook, times in (("ingress", 2), ("egress", 1)):
            for _ in range(times):
                made.fire(f"cgroup_inet_{hook}:/", FRAME)
        counts = {key[8]: bytes(made.maps["own"][key])[0] for key in made.maps["own"]}  # type: ignore[arg-type]
        assert counts == {ATTACH_TYPES["cgroup_inet_ingress"]: 2, ATTACH_TYPES["cgroup_inet_egress"]: 1}

    @pytest.mark.parametrize(("code", "what"), [(0, "denied"), (1, "passed"), (2, "denied"), (3, "passed")])
    def test_of_a_packet_that_leaves_the_second_bit_says_congestion(self, code: int, what: str) -> None:
        made = loaded(returns(code, "p", "cgroup_skb/egress"))
        assert [one.what for one in made.fire("cgroup_inet_egress:/", FRAME).fates] == [what]


def test_one_program_is_chosen_by_the_user() -> None:
    made = loaded(returns(1, "a", "xdp"), returns(2, "b", "xdp"))
    with pytest.raises(BadInput, match=r"2 programs belong to xdp:eth0, which has one \(attach one of a, b\)"):
        made.fire("xdp:eth0", FRAME)
    made.attach("b", "xdp:eth0")
    assert made.fire("xdp:eth0", FRAME).steps[0].code == 2


def test_tracing_runs_all() -> None:
    made = loaded(text("r0 = *(u64 *)(r1 + 0); exit", "a", "raw_tp/x"), returns(0, "b", "raw_tp/x"),
                  returns(0, "c", "raw_tp/y"))  # fmt: skip
    fired = made.fire("raw_tracepoint:x", context={"args[0]": 11})
    assert [(step.program.name, step.code) for step in fired.steps] == [("a", 11), ("b", 0)]
    assert fired.fates == []


@pytest.mark.parametrize("engine", ALL)
def test_every_engine_says_the_same(engine: str) -> None:
    count = """
        r6 = r1; r1 = 0; *(u32 *)(r10 - 4) = r1; r1 = map[idx:0]; r2 = r10; r2 += -4; call 1; if r0 == 0 goto out
        r1 = 1; lock *(u64 *)(r0 + 0) += r1; r1 = *(u64 *)(r0 + 0); *(u32 *)(r6 + 8) = r1; out: r0 = {}; exit"""
    maps = (Map("seen", "array", 4, 8, 1),)
    order = "big" if "little" not in ENGINES[engine].abilities.orders else "little"
    programs = [
        text(f"r1 = {VETH0}; r2 = 0; call 23; exit", "go", "xdp", maps), text(count.format(-1), "one", "tc", maps),
        text(count.format(0), "two", "tcx/ingress", maps), returns(1, "allow", "cgroup_skb/ingress", maps),
    ]  # fmt: skip
    made = Loaded([program.in_order(order) for program in programs], world=World(net=NET))
    for name in ("one", "two"):
        made.attach(name, "tcx_ingress:veth1")
    made.attach("allow", "cgroup_inet_ingress:/", flags="multi")
    fired = made.fire("xdp:eth0", FRAME, engine=engine)
    assert said(fired) == [
        "xdp:eth0  go (id 1): 4 (XDP_REDIRECT)", "leaves veth0 for veth1",
        "tcx_ingress:veth1  one (id 2): -1 (TC_ACT_UNSPEC)", "tcx_ingress:veth1  two (id 3): 0 (TC_ACT_OK)",
        "cgroup_inet_ingress:/  allow (id 4): 1 (allow)", "received by socket 7, 5 bytes",
    ]  # fmt: skip
    context = fired.steps[2].ran.outcome.context
    assert context is not None and context["mark"] == 2
    assert made.maps["seen"][0] == (2).to_bytes(8, order)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ALL)
def test_an_object_of_many_programs(engine: str, tmp_path: Path) -> None:
    order = "big" if "little" not in ENGINES[engine].abilities.orders else "little"
    path = tmp_path / "router.o"
    path.write_bytes(router(order))
    made = crossbpf.load(str(path), world=World(net=NET))
    for key, device in ((1, ETH1), (2, VETH0)):
        number = made.programs["leave"].id
        made.maps["ports"][key] = b"".join(word.to_bytes(4, order) for word in (device, number))  # type: ignore[arg-type]
    made.attach("route", "xdp:eth0")
    for name in ("count", "police"):
        made.attach(name, "tcx_ingress:veth1")
    made.attach("only_udp", "cgroup_inet_ingress:/web", flags="multi")
    made.attach("headers", "socket_filter:7")
    there, away = (FRAME[:5] + bytes((port,)) + FRAME[6:] for port in (2, 1))
    fired = made.fire("xdp:eth0", there, engine=engine)
    assert [(step.program.name, step.ran.meaning) for step in fired.steps] == [
        ("route", "XDP_REDIRECT"), ("leave", "XDP_PASS"), ("count", "TC_ACT_UNSPEC"), ("police", "TC_ACT_OK"),
        ("only_udp", "allow"), ("headers", "keep"),
    ]  # fmt: skip
    assert fired.queues == {7: [b"hello"]}
    assert fired.steps[2].given.packet[10:12] == bytes((ETH0, VETH0))
    assert made.fire("xdp:eth0", away, engine=engine).fates[0].where == "eth1"
    assert [made.fire("xdp:eth0", there, engine=engine).fates[-1].what for _ in range(2)] == ["queued", "dropped"]
    assert made.fire("xdp:eth0", FRAME, engine=engine).fates[0].what == "queued"
    totals = made.maps["lengths"][0x800]
    assert bytes(totals[0] or b"") == (3 * len(FRAME)).to_bytes(8, order)  # type: ignore[arg-type]
    assert bytes(made.maps[".bss"][0]) == (3).to_bytes(4, order)  # type: ignore[arg-type]


def test_every_packet_comes_to_one_end() -> None:
    names, at = ("eth0", "eth1", "veth0", "veth1"), ("xdp", "tcx_ingress", "tcx_egress")
    programs = [
        *(returns(code, f"xdp{code}", "xdp") for code in range(6)),
        *(redirects(device, f"xgo{device}", "xdp") for device in range(1, 7)),
        *(returns(code, f"tc{code}", "tc") for code in range(-1, 9)),
        *(redirects(device, f"in{device}", "tc", 1) for device in range(1, 7)),
        *(redirects(device, f"out{device}", "tc") for device in range(1, 7)),
    ]
    made, random = loaded(*programs), Random(3)
    kinds = {kind: [one for one in made.programs.values() if one.type == kind] for kind in ("xdp", "sched_cls")}
    ends = Counter[str]()
    for _ in range(150):
        made.kernel.attached.clear()
        for name in names:
            for hook, kind, most in zip(at, ("xdp", "sched_cls", "sched_cls"), (1, 2, 2), strict=True):
                for program in random.sample(kinds[kind], random.randint(0, most)):
                    made.attach(program.name, f"{hook}:{name}")
        hops, hit = random.randint(0, 9), HOOKS[random.choice(at)]
        fired = fire(made.kernel, hit, random.choice(names), Input(packet=FRAME), world=made.world, hops=hops)
        (fate,) = fired.fates
        assert fired.ended and all(step.hop <= hops for step in fired.steps)
        assert fate.packet.endswith(b"hello")
        ends[fate.what] += 1
    assert set(ends) == {"dropped", "sent", "queued"}


def test_what_fires_on_its_own_is_not_attached_afterwards() -> None:
    made = Loaded([text("r0 = 2; exit", "p", "xdp")])
    made.fire("xdp:eth0", FRAME)
    made.attach("p", "xdp:eth0")
