"""C programs as people write them for libbpf compile with our headers alone, and say the same on every engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bpf.errors import NotHere
from bpf.object import Object
from crossbpf import cc
from crossbpf.cli import main

SOURCES = Path(__file__).parents[1] / "data" / "headers"
MAC = "020000000001" + "020000000002"
NET = {
    "devices": {"in": {"ifindex": 2, "forwarding": True}, "out": {"ifindex": 3, "mac": "02:00:00:00:00:03"}},
    "routes": [{"to": "198.51.100.0/24", "dev": "out", "via": "192.0.2.9"}],
    "neighbours": [{"dev": "out", "to": "192.0.2.9", "mac": "02:00:00:00:00:09"}],
}


def has_compiler() -> bool:
    try:
        cc.find()
    except NotHere:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_compiler(), reason="no clang with the BPF target and no ziglang")


def ipv6(next_header: str, payload: str) -> str:
    return f"{MAC}8100006486dd6000000000{len(payload) // 2:02x}{next_header}40" + "00" * 31 + "01" + payload


def ipv4(protocol: str, payload: str) -> str:
    return f"{MAC}0800450000{20 + len(payload) // 2:02x}0001000040{protocol}0000c0000201c6336407" + payload


@pytest.mark.parametrize(
    ("name", "options", "answer"),
    [
        ("parser", ("xdp", "--packet", ipv6("3a", "8000000000010007")), 3),
        ("parser", ("xdp", "--packet", ipv6("3a", "8100000000010007")), 2),
        ("parser", ("xdp", "--packet", ipv6("00", "3a00010400000000" + "8000000000010007")), 3),
        ("parser", ("xdp", "--packet", ipv4("01", "0800000000010007")), 3),
        ("parser", ("xdp", "--packet", ipv4("06", "00010002" + "00" * 8 + "5002" + "00" * 6)), 1),
        ("parser", ("xdp", "--packet", ipv4("06", "00010002" + "00" * 8 + "5012" + "00" * 6)), 2),
        (
            "router",
            ("xdp", "--packet", ipv4("11", "0001000200080000"), "--net", "NET", "--ctx", "ingress_ifindex=2"),
            4,
        ),
        ("states", ("sockops", "--ctx", "op=10,family=2,args[1]=7"), 0),
        ("states", ("sockops", "--ctx", "op=10,family=2,args[1]=1"), 1),
    ],
)
def test_they_answer(
    name: str, options: tuple[str, ...], answer: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = tmp_path / "net.json"
    net.write_text(json.dumps(NET))
    words = [str(net) if word == "NET" else word for word in options]
    source = str(SOURCES / f"{name}.c")
    assert main(["check", source, "--cflags", "-Wall -Werror", "--json", "--type", *words]) == 0
    engines = json.loads(capsys.readouterr().out)["engines"]
    assert {int(one["r0"], 0) for one in engines} == {answer}
    assert {one["verdict"] for one in engines} == {"reference", "agrees"}


def test_a_header_of_the_machines_types_takes_the_place_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    types = tmp_path / "types.o"
    types.write_bytes(cc.compile_c(SOURCES / "kernel_types.c", "little"))
    assert main(["btf", "dump", "file", str(types), "format", "c"]) == 0
    (tmp_path / "vmlinux.h").write_text(capsys.readouterr().out)
    data = cc.compile_c(SOURCES / "tracer.c", "little", cflags=("-Wall", "-Werror"), includes=[tmp_path])
    assert sorted(one.name for one in Object(data).entries) == ["kills", "reads", "sees", "switched"]
