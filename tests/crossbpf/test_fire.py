"""`crossbpf fire`, `prog attach`, `net` and `cgroup`: words, text and JSON; --net."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bpf.errors import BadInput
from bpf.program import Map
from bpf.text import assemble
from crossbpf.cli import main
from crossbpf.net import network, read_network
from crossbpf.pcap import write
from runtime import Store, hooks
from tests.engines.typed import FRAME
from vm.network import Route, Socket, Transform, Tunnel

NET = {"devices": {"eth0": {}, "veth0": {"peer": "veth1"}, "veth1": {}}}
MARK = "r2 = *(u32 *)(r1 + 8); r2 += 1; *(u32 *)(r1 + 8) = r2; r0 = -1; exit"
TTL = """r2 = 0x3f; r3 = *(u32 *)(r1 + 80); r1 = *(u32 *)(r1 + 76); r4 = r1; r4 += 34; r0 = 2; if r4 > r3 goto out
    *(u8 *)(r1 + 22) = r2; r0 = 0; out: exit"""


class Prompt:
    """A command line with a pin directory of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.capsys = capsys
        self.folder = folder
        (folder / "net.json").write_text(json.dumps(NET))

    def __call__(self, line: str, code: int = 0) -> str:
        """What a command prints; its error where it has another exit code than 0."""
        words = [word.replace("FOLDER", str(self.folder)) for word in line.split()]
        found = main([*words, "--bpffs", str(self.folder / "bpffs")])
        printed = self.capsys.readouterr()
        assert found == code, (line, printed.out, printed.err)
        return printed.out if not code or printed.out else printed.err

    def record(self, line: str) -> Any:
        return json.loads(self(f"{line} -j"))

    def load(self, name: str, text: str, kind: str) -> None:
        """Load assembly and pin it at its name."""
        (self.folder / f"{name}.bpf").write_text(text.replace(";", "\n"))
        self(f"prog load FOLDER/{name}.bpf {name} type {kind}")


@pytest.fixture
def prompt(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Prompt:
    return Prompt(capsys, tmp_path)


@pytest.fixture
def ready(prompt: Prompt) -> Prompt:
    """eth0 sends to veth0, whose peer marks and changes what comes in; a cgroup says no."""
    prompt.load("go", "r1 = 3; r2 = 0; call 23; exit", "xdp")
    prompt.load("mark", MARK, "tc")
    prompt.load("ttl", TTL, "tc")
    prompt.load("no", "r0 = 0; exit", "cgroup_skb")
    prompt("prog attach pinned go xdp:eth0")
    prompt("prog attach name mark tcx_ingress:veth1")
    prompt("net attach tcx_ingress name ttl dev veth1")
    prompt("cgroup attach /web cgroup_inet_ingress name no multi")
    return prompt


class TestAttach:
    def test_listings(self, ready: Prompt) -> None:
        assert ready("prog attached").splitlines() == [
            "xdp:eth0  id 1  xdp  name go", "tcx_ingress:veth1  id 2  sched_cls  name mark",
            "tcx_ingress:veth1  id 3  sched_cls  name ttl",
            "cgroup_inet_ingress:/web  id 4  cgroup_skb  name no  multi",
        ]  # fmt: skip
        assert ready.record("prog attached cgroup_inet_ingress:/web") == [
            {"hook": "cgroup_inet_ingress:/web", "id": 4, "type": "cgroup_skb", "name": "no", "attach_flags": "multi"}
        ]
        assert ready("net list --net FOLDER/net.json") == (
            "xdp:\neth0(2) driver id 1\n\n"
            "tc:\nveth1(4) tcx/ingress mark prog_id 2\nveth1(4) tcx/ingress ttl prog_id 3\n\n"
            "flow_dissector:\n\nnetfilter:\n\n"
        )
        (record,) = ready.record("net list dev eth0")
        assert record["xdp"] == [{"devname": "eth0", "ifindex": 2, "mode": "driver", "id": 1}] and record["tc"] == []
        assert ready("cgroup show /sys/fs/cgroup/web").splitlines() == [
            "ID       AttachType      AttachFlags     Name           ",
            "4        cgroup_inet_ingress multi           no             ",
        ]
        assert ready("cgroup list /web/a") == ""
        row = {"id": 4, "attach_type": "cgroup_inet_ingress", "attach_flags": "", "name": "no"}
        assert ready.record("cgroup show /web/a effective") == [row]
        assert ready("cgroup tree").splitlines()[2:] == [
            "/web", "    4        cgroup_inet_ingress multi           no             ",
        ]  # fmt: skip
        assert ready.record("cgroup tree /other") == []

    def test_detaching(self, ready: Prompt) -> None:
        ready("prog detach name mark tcx_ingress:veth1")
        ready("net detach tcx_ingress dev veth1")
        ready("net detach xdpdrv dev eth0")
        ready("cgroup detach /web cgroup_inet_ingress name no")
        assert ready("prog attached") == ""
        assert "no program at xdp:eth0: ENOENT" in ready("net detach xdp dev eth0", 2)

    def test_what_is_attached_needs_no_pin(self, ready: Prompt) -> None:
        ready("prog unpin go")
        assert ready.record("prog show name go")["id"] == 1
        ready("prog detach name go xdp:eth0")
        assert "ENOENT" in ready("prog show name go", 2)

    def test_by_section(self, prompt: Prompt) -> None:
        (prompt.folder / "p.bpf").write_text("r0 = 0\nexit\n")
        prompt("prog load FOLDER/p.bpf p type raw_tp/sched_switch autoattach")
        prompt("prog load FOLDER/p.bpf q type tcx/egress autoattach")
        assert prompt("prog attached") == "raw_tracepoint:sched_switch  id 1  raw_tracepoint  name p\n"

    @pytest.mark.parametrize(
        ("word", "kind", "hook"),
        [
            ("ingress", "cgroup_skb", "inet_ingress"), ("eg", "cgroup_skb", "inet_egress"),
            ("device", "cgroup_device", "device"),
            ("sock_create", "cgroup_sock", "inet_sock_create"), ("post_bind4", "cgroup/post_bind4", "inet4_post_bind"),
            ("bind6", "cgroup/bind6", "inet6_bind"), ("sendmsg4", "cgroup/sendmsg4", "udp4_sendmsg"),
            ("sysc", "cgroup/sysctl", "sysctl"), ("getsocko", "cgroup/getsockopt", "getsockopt"),
        ],
    )  # fmt: skip
    def test_older_names_of_cgroup_hooks(self, word: str, kind: str, hook: str, prompt: Prompt) -> None:
        prompt.load("p", "r0 = 1; exit", kind)
        prompt(f"cgroup attach /dns {word} pinned p multi")
        assert prompt("prog attached").startswith(f"cgroup_{hook}:/dns  id 1  ")
        prompt(f"cgroup detach /dns {word} pinned p")

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("prog attach name go", "Missing HOOK"), ("prog attach name go xpd:eth0", "no hook 'xpd' (hooks: xdp, "),
            ("prog attach name go xdp", "hook xdp belongs to a device (write xdp:DEVICE)"),
            ("prog attach name go xdp:eth0", "xdp:eth0 has a program: EBUSY (overwrite takes its place)"),
            ("prog attach name go xdp:eth1 soon", "what is 'soon'?"),
            ("prog attach name go tcx_ingress:eth0", "go is of type xdp, tcx_ingress takes sched_cls: EINVAL"),
            ("prog attach name mark sk_msg_verdict name x", "no map with name x: ENOENT"),
            ("prog detach name mark xdp:eth0", "program mark is not at xdp:eth0: ENOENT"),
            ("net attach tc name mark dev eth0", "'tc' where {xdp|"), ("net list dev eth7", "no device 'eth7'"),
            ("cgroup attach / xdp name go", "cgroups have no hook 'xdp'"),
            ("cgroup attach / bind name go", "'bind' may be one of several hooks (hooks: bind4, bind6)"),
            ("net list --net nowhere", "no such file"),
            ("prog attached xdp:eth0 more", "what is 'more'?"),
        ],
    )  # fmt: skip
    def test_one_line_says_what_is_wrong(self, ready: Prompt, line: str, message: str) -> None:
        before = ready("prog attached")
        assert message in ready(line, 2)
        assert ready("prog attached") == before


class TestFire:
    def test_a_packet(self, ready: Prompt) -> None:
        out = ready(f"fire xdp:eth0 --event {FRAME.hex()} --net FOLDER/net.json").splitlines()
        assert out == [
            "xdp:eth0  go (id 1): 4 (XDP_REDIRECT)", "  redirected to device 3", "leaves veth0 for veth1",
            "  tcx_ingress:veth1  mark (id 2): -1 (TC_ACT_UNSPEC)", "  tcx_ingress:veth1  ttl (id 3): 0 (TC_ACT_OK)",
            "    packet changed:", "    - 0010  00 2e 00 01 00 00 40 11 00 00 c0 a8 00 01 c0 a8",
            "    + 0010  00 2e 00 01 00 00 3f 11 00 00 c0 a8 00 01 c0 a8",
            "  goes up the stack from veth1, 60 bytes",
        ]  # fmt: skip

    @pytest.mark.parametrize("engine", ["riscv64", "arm64"])
    def test_on_machines(self, engine: str, ready: Prompt) -> None:
        line = f"fire xdp:eth0 --event {FRAME.hex()} --net FOLDER/net.json"
        assert ready(f"{line} --engine {engine}") == ready(line)

    def test_as_json(self, ready: Prompt) -> None:
        (record,) = ready.record(f"fire cgroup_inet_ingress:/web/a --event {FRAME.hex()}")
        step, fate = record["trail"]
        assert (step["hook"], step["retval"], step["meaning"]) == ("cgroup_inet_ingress:/web", 0, "deny")
        assert (fate["fate"], fate["why"], record["sockets"]) == ("denied", "EPERM (-1)", [])

    def test_events_in_turn(self, ready: Prompt) -> None:
        (ready.folder / "in.pcap").write_bytes(write([FRAME, FRAME[:30]]))
        (ready.folder / "in.json").write_text(
            json.dumps([{"data": FRAME.hex(), "context": {"mark": 6}}, {"context": {"mark": 7}}])
        )
        found = ready.record(
            "fire tcx_ingress:veth1 --event FOLDER/in.pcap --event FOLDER/in.json --event mark=9 --ctx priority=1"
        )
        assert [[step["retval"] for step in one["trail"][:-1]] for one in found] == [
            [-1, 0], [-1, 2], [-1, 0], [-1, 2], [-1, 2],
        ]  # fmt: skip
        text = ready("fire tcx_ingress:veth1 --event FOLDER/in.pcap")
        assert re.findall("^event .*", text, re.MULTILINE) == ["event 0: 60 bytes", "event 1: 30 bytes"]

    def test_maps_keep_what_programs_do(self, prompt: Prompt) -> None:
        count = """
            r1 = 0; *(u32 *)(r10 - 4) = r1; r2 = r10; r2 += -4; r1 = map[idx:0]; call 1; if r0 == 0 goto out
            r1 = 1; lock *(u64 *)(r0 + 0) += r1; r0 = *(u64 *)(r0 + 0); out: exit"""
        program = replace(assemble(count, name="p"), maps=(Map("seen", "array", 4, 8, 1),), section="raw_tp/x")
        with Store(prompt.folder / "bpffs").open() as kernel:
            hooks.auto(kernel, kernel.load([program])[0])
        for engine, seen in (("interpreter", 1), ("arm64", 2), ("riscv64", 3)):
            assert f"p (id 1): {seen}\n" in prompt(f"fire raw_tracepoint:x --engine {engine}")
        assert prompt.record("map dump name seen")[0]["value"][0] == "0x03"

    def test_an_entry_keeps_its_program(self, prompt: Prompt) -> None:
        prompt("map create m type devmap key 4 value 8 entries 2 name ports")
        prompt.load("p", "r0 = 2; exit", "xdp/devmap")
        prompt.load("q", "r0 = 2; exit", "xdp")
        update = "map update name ports key 0 0 0 0 value 1 0 0 0 {} 0 0 0"
        for number in (2, 9):
            assert f"program {number} is none for map ports" in prompt(update.format(number), 2)
        prompt(update.format(1))
        prompt("prog unpin p")
        assert [one["name"] for one in prompt.record("prog show")] == ["p", "q"]
        prompt("map delete name ports key 0 0 0 0")
        assert [one["name"] for one in prompt.record("prog show")] == ["q"]

    def test_printed_lines_and_faults(self, prompt: Prompt) -> None:
        words = """
            r2 = 0x0a6968 ll; *(u64 *)(r10 - 8) = r2; r1 = r10; r1 += -8; r2 = 4; call 6; r1 = 8
            r0 = *(u64 *)(r1 + 0); exit"""
        program = replace(assemble(words, name="p"), section="xdp", license="GPL")
        with Store(prompt.folder / "bpffs").open() as kernel:
            hooks.attach(kernel, kernel.load([program], verify=False)[0], *hooks.hook_named(kernel, "xdp:eth0"))
        text = prompt(f"fire xdp:eth0 --event {FRAME.hex()}", 1)
        assert text.splitlines() == [
            "xdp:eth0  p (id 1): read fault of 0x8 at insn 8", "  printed: hi",
            "dropped: the program did not run to its end",
        ]  # fmt: skip

    def test_sockets_have_a_queue(self, prompt: Prompt) -> None:
        sockets = [{"cookie": 5, "protocol": "udp", "local": "192.168.0.2", "local_port": 53}]
        (prompt.folder / "net.json").write_text(json.dumps({"sockets": sockets}))
        data = bytes.fromhex("02000000000102000000000208004500001e0000000040110000c0a80001c0a80002") + bytes.fromhex(
            "04d20035000a00006869"
        )
        lines = prompt(f"fire xdp:eth0 --event {data.hex()} --net FOLDER/net.json").splitlines()
        assert lines == ["received by socket 5, 2 bytes", "socket 5 has 2 bytes: 68 69"]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("xdp:eth0 --event nowhere", "--event: 'nowhere' is neither a file nor hex bytes"),
            ("xdp:eth0 --event FOLDER/bad.json", "no JSON"),
            ("xdp:eth0 --event FOLDER/none.json", "has no events"),
            ("xdp:eth0 --event FOLDER/capture", "pcapng files are converted"),
            ("xdp:eth0 --event FOLDER/list.json", "event 1: is no object of `data` and `context`"),
            ("xdp:eth0 --event FOLDER/text.json", "event 0: context is no object of numbers"),
            ("xdp:eth0 --event mark=x", "'mark=x' has no number"),
            ("xdp:eth0 --event mark=1", "xdp_md has no field 'mark'"),
            ("xdp:eth0 --event 00 --ctx data=2", "outside the packet of 1 bytes"), ("xdp", "belongs to a device"),
            ("xdp:eth0 more", "what is 'more'?"), ("xdp:eth0 --engine vax", "vax"),
        ],
    )  # fmt: skip
    def test_one_line_says_what_is_wrong(self, ready: Prompt, words: str, message: str) -> None:
        (ready.folder / "bad.json").write_text("{")
        (ready.folder / "none.json").write_text("[]")
        (ready.folder / "capture").write_bytes(b"\x0a\x0d\x0d\x0a" + bytes(40))
        (ready.folder / "list.json").write_text('[{"data": "00"}, 7]')
        (ready.folder / "text.json").write_text('{"context": {"mark": "1"}}')
        assert message in ready(f"fire {words}", 2)


class TestNet:
    def test_everything(self) -> None:
        found = network(
            {
                "devices": {"eth0": {"ifindex": 7, "mtu": 9000, "mac": "02:00:00:00:00:01", "forwarding": False},
                            "a": {"peer": "b", "header": 0}, "b": {}},
                "routes": [{"to": "10.0.0.0/8", "dev": "a", "via": "10.0.0.1", "metric": 3},
                           {"to": "11.0.0.0/8", "kind": "blackhole", "table": 9}],
                "neighbours": [{"dev": "lo", "to": "fe80::0", "mac": "020000000002"}],
                "sockets": [{"cookie": 4, "protocol": "udp", "local_port": 53, "dev": "b"}, {}],
                "tunnel": {"key": 5, "remote": "192.0.2.1", "options": {"geneve": "01020304"}},
                "transforms": [{"spi": 256}, {"remote": "192.0.2.7", "reqid": 3}],
                "cookie": 4, "uid": 5, "classid": 6,
            }
        )  # fmt: skip
        assert {index: device.name for index, device in found.devices.items()} == {1: "lo", 7: "eth0", 8: "a", 9: "b"}
        assert (found.devices[8].peer, found.devices[9].peer, found.devices[8].header) == (9, 8, 0)
        assert (found.devices[7].mtu, found.devices[7].mac, found.devices[7].forwarding) == (
            9000,
            b"\2\0\0\0\0\1",
            False,
        )
        assert found.routes == (
            Route("10.0.0.0/8", 8, "10.0.0.1", metric=3),
            Route("11.0.0.0/8", 0, kind="blackhole", table=9),
        )
        assert found.neighbours == {(1, "fe80::"): b"\2\0\0\0\0\2"}
        assert found.sockets == {4: Socket("udp", local_port=53, device=9), 2: Socket()}
        assert found.tunnel == Tunnel(5, "192.0.2.1", options=("geneve", b"\1\2\3\4"))
        assert found.transforms == (Transform(spi=256), Transform("192.0.2.7", reqid=3))
        assert (found.cookie, found.uid, found.classid, found.realm) == (4, 5, 6, 0)

    def test_nothing(self) -> None:
        assert network({}) == read_network(None)
        assert network({"devices": {"lo": {"mtu": 2}}}).devices[1].mtu == 2

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ([], "the network: is no object"), ({"device": {}}, "has no member 'device' (members: cookie, "),
            ({"devices": []}, "devices: is no object"), ({"routes": {}}, "routes: is no list"),
            ({"devices": {"a": 1}}, "devices.a: is no object"),
            ({"devices": {"a": {"mtu": -1}}}, "devices.a.mtu: -1 is no number"),
            ({"devices": {"a": {"mtu": True}}}, "devices.a.mtu: True is no number"),
            ({"devices": {"a": {"mac": "02"}}}, "devices.a.mac: '02' is no MAC address"),
            ({"devices": {"a": {"mac": 2}}}, "devices.a.mac: 2 is no MAC address"),
            ({"devices": {"a": {"peer": "b"}}}, "devices.a.peer: no device 'b'"),
            ({"devices": {"a": {"ifindex": 1}}}, "1 is another device's, or none"),
            ({"devices": {"a": {"forwarding": 1}}}, "1 is no bool"), ({"routes": [{}]}, "routes[0]: has no `to`"),
            ({"routes": [{"to": "10.0.0.0/8"}]}, "routes[0]: has no `dev`"),
            ({"routes": [{"to": "10.0.0.1/8", "dev": "lo"}]}, "routes[0].to: '10.0.0.1/8' is no prefix"),
            ({"routes": [{"to": "10.0.0.0/8", "dev": "x"}]}, "routes[0].dev: no device 'x'"),
            ({"routes": [{"to": "10.0.0.0/8", "kind": "odd"}]}, "routes[0].kind: no kind 'odd'"),
            ({"routes": [{"to": "10.0.0.0/8", "dev": "lo", "via": 5}]}, "routes[0].via: 5 is no address"),
            ({"neighbours": [{"dev": "lo"}]}, "neighbours[0]: has no `to`"),
            ({"neighbours": [{"dev": "lo", "to": "x", "mac": ""}]}, "neighbours[0].to: 'x' is no address"),
            ({"sockets": [{"protocol": "sctp"}]}, "sockets[0].protocol: no protocol 'sctp'"),
            ({"sockets": [{"local": 7.5}]}, "sockets[0].local: 7.5 is no address"),
            ({"sockets": [{"cookie": 1}, {"cookie": 1}]}, "sockets[1].cookie: 1 is another socket's"),
            ({"sockets": [{"cgroup": 7}]}, "sockets[0].cgroup: 7 is no str"),
            ({"uid": "root"}, "uid: 'root' is no number"), ({"tunnel": []}, "tunnel: is no object"),
            ({"tunnel": {"options": {"gre": ""}}}, "tunnel.options: is no object of one kind and hex bytes"),
            ({"tunnel": {"options": {"vxlan": "0x"}}}, "tunnel.options.vxlan: '0x' is no hex bytes"),
            ({"tunnel": {"options": {"vxlan": "00"}}}, "tunnel.options.vxlan: 1 bytes are no multiple of 4"),
            ({"tunnel": {"remote": 7}}, "tunnel.remote: 7 is no address"),
            ({"transforms": [{"spi": "x"}]}, "transforms[0].spi: 'x' is no number"),
        ],
    )  # fmt: skip
    def test_what_cannot_be(
        self, data: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "net.json"
        file.write_text(json.dumps(data))
        assert main(["net", "list", "--net", str(file), "--bpffs", str(tmp_path / "fs")]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and message in error and str(file) in error

    @pytest.mark.parametrize("verb", ["run --data-in", "check --packet"])
    def test_every_verb_takes_it(self, verb: str, prompt: Prompt) -> None:
        (prompt.folder / "p.bpf").write_text("r6 = r1; r2 = 3; r3 = 0; call 13; exit")
        (prompt.folder / "small.json").write_text("{}")
        line = f"{verb} {FRAME.hex()} FOLDER/p.bpf --type tc --json --net FOLDER/"
        for net, result in (("net.json", 0), ("small.json", -22)):
            words = [word.replace("FOLDER", str(prompt.folder)) for word in f"{line}{net}".split()]
            assert main(words) == 0
            record = json.loads(prompt.capsys.readouterr().out)
            runs = record["runs"] if "runs" in record else record["engines"]
            assert {int(one["r0"], 16) for one in runs} == {result & (1 << 64) - 1}

    def test_whatever_is_in_it_is_read_or_refused(self) -> None:
        whole = {
            "devices": {"eth0": {"ifindex": 2, "mtu": 9, "mac": "02:00:00:00:00:01", "peer": "eth1"}, "eth1": {}},
            "routes": [{"to": "10.0.0.0/8", "dev": "eth0", "via": "10.0.0.1", "metric": 1, "source": "10.0.0.9"}],
            "neighbours": [{"dev": "eth0", "to": "10.0.0.1", "mac": "02:00:00:00:00:02"}],
            "sockets": [{"cookie": 7, "local": "10.0.0.9", "local_port": 80, "cgroup": "/web", "dev": "eth0"}],
            "uid": 0,
        }  # fmt: skip
        others = (None, -1, 1 << 70, 1.5, "", "x", [], {}, [1], {"a": 1}, True, "eth0")
        random = Random(7)

        def changed(data: Any) -> Any:
            if random.random() < 0.1:
                return random.choice(others)
            if isinstance(data, dict):
                return {name: changed(value) for name, value in data.items() if random.random() < 0.98}
            return [changed(value) for value in data] if isinstance(data, list) else data

        seen = set()
        for _ in range(500):
            try:
                network(changed(whole))
                seen.add("read")
            except BadInput as error:
                assert str(error).isprintable()
                seen.add("refused")
        assert seen == {"read", "refused"}
