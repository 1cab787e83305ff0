"""Rules by program type: pinned here, and what the live kernel says of the same programs."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from itertools import product

import pytest

from bpf.spec.attach import ATTACH_TYPES, TAKES
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble
from tests.verifier import live
from verifier import rules
from verifier.options import ALL, BPF, NET_ADMIN, PERFMON, SYS_ADMIN, Options
from verifier.rejection import Rejection
from verifier.subject import Subject

TYPES = [name for name in PROGRAM_TYPES if name not in ("unspec", "tracing", "lsm", "ext", "struct_ops", "lirc_mode2")]
EXIT = assemble("r0 = 0; exit").encode()
NUMBERS = {BPF: 39, PERFMON: 38, NET_ADMIN: 12, SYS_ADMIN: 21}


def subject(
    name: str, attach: int | str = 0, *, code: bytes = EXIT, sleepable: bool = False, target: str = ""
) -> Subject:
    """A program of a type."""
    number = ATTACH_TYPES[attach] if isinstance(attach, str) else attach
    return Subject(code, "little", PROGRAM_TYPES[name], number, sleepable=sleepable, target=target)


def says(check: Callable[[], None]) -> tuple[int, str]:
    """Errno and sentence of a check, 0 where it passes."""
    try:
        check()
    except Rejection as found:
        return found.errno, found.message
    return 0, ""


def loadable(name: str) -> int:
    """An attach type with which a type is loaded."""
    return ATTACH_TYPES[TAKES[name][0]] if name in TAKES else 0


def flags(name: str) -> int:
    """The program flags that a type needs."""
    return live.SLEEPABLE if name == "syscall" else 0


def test_who_may_load_what() -> None:
    def errno(name: str, *caps: str, code: bytes = EXIT) -> int:
        options = Options(caps=frozenset(caps))
        return says(lambda: rules.check_load(subject(name, loadable(name), code=code), options))[0]

    assert errno("socket_filter") == 0
    assert errno("cgroup_skb") == errno("cgroup_skb", BPF) == 0
    assert errno("sk_reuseport") == 1
    assert errno("sk_reuseport", BPF) == 0
    assert errno("xdp", BPF) == errno("xdp", NET_ADMIN) == 1
    assert errno("xdp", BPF, NET_ADMIN) == errno("xdp", SYS_ADMIN) == 0
    assert errno("kprobe", BPF, NET_ADMIN) == 1
    assert errno("kprobe", BPF, PERFMON) == 0
    assert errno("ext", BPF, PERFMON) == errno("ext", BPF, NET_ADMIN) == 1
    assert errno("xdp", *ALL, code=b"") == 7
    assert errno("socket_filter", code=EXIT * 2048) == 0
    assert errno("socket_filter", code=EXIT * 2049) == 7
    assert errno("socket_filter", BPF, code=EXIT * 2049) == 0
    assert errno("unspec", *ALL) == 22


def test_attach_types() -> None:
    def errno(name: str, attach: int | str) -> int:
        return says(lambda: rules.check_load(subject(name, attach), Options()))[0]

    assert errno("cgroup_sock", 0) == errno("sk_reuseport", 0) == 0
    assert errno("cgroup_sock_addr", 0) == errno("sk_lookup", 0) == errno("netfilter", 0) == 22
    assert errno("cgroup_sock_addr", "cgroup_unix_connect") == errno("netfilter", "netfilter") == 0
    assert errno("cgroup_skb", "cgroup_inet_sock_create") == errno("syscall", 1) == 22
    assert errno("socket_filter", 1000) == errno("xdp", "xdp_devmap") == 0


def test_returns() -> None:
    def allowed(name: str, attach: int | str = 0, target: str = "") -> tuple[int, int, bool] | None:
        return rules.return_range(subject(name, attach, target=target))

    assert allowed("xdp") is None
    assert allowed("raw_tracepoint") is None
    assert allowed("cgroup_skb") == allowed("cgroup_skb", 0) == (0, 1, False)
    assert allowed("cgroup_skb", "cgroup_inet_egress") == (0, 3, False)
    assert allowed("cgroup_sock_addr", "cgroup_inet4_bind") == (0, 3, False)
    assert allowed("cgroup_sock_addr", "cgroup_inet6_connect") == (0, 1, False)
    assert allowed("cgroup_sock_addr", "cgroup_unix_getsockname") == (1, 1, False)
    assert allowed("kprobe") is None
    assert allowed("kprobe", "trace_kprobe_session") == (0, 1, False)
    assert allowed("tracing", "trace_fentry") == (0, 0, False)
    assert allowed("tracing", "trace_raw_tp") is None
    assert allowed("lsm", "lsm_mac", "file_open") == (-4095, 0, True)
    assert allowed("lsm", "lsm_mac", "bpf_lsm_inode_xattr_skipcap") == (0, 1, True)
    assert allowed("lsm", "lsm_cgroup", "socket_bind") == (0, 1, False)
    hook = subject("lsm", "lsm_mac", target="bprm_committed_creds")
    assert rules.return_range(hook, void=True) is None
    assert rules.returns_nothing(hook, void=True)
    assert not rules.returns_nothing(hook, void=False)
    assert rules.return_range(subject("lsm", "lsm_cgroup"), void=True) == (1, 1, False)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-(1 << 63), (1 << 63) - 1, "has unknown scalar value should"),
        (0, 4, "has smin=0 smax=4 should"),
        (-(1 << 63), 4, "has smax=4 should"),
        (-5, (1 << 63) - 1, "has smin=-5 should"),
    ],
)
def test_the_sentence_of_a_return_value(low: int, high: int, text: str) -> None:
    found = rules.out_of_range(low, high, rules.Range(0, 1))
    assert found == f"At program exit the register R0 {text} have been in [0, 1]"


def test_sockets() -> None:
    def says_of(word: str, off: int, size: int, *, write: bool = False) -> str:
        return says(lambda: rules.check_socket(3, word, off, size, write))[1]

    assert says_of("sock", 8, 4) == says_of("sock", 8, 1) == says_of("sock_common", 4, 4) == ""
    assert says_of("sock_common", 8, 4) == "R3 invalid sock_common access off=8 size=4"
    assert says_of("sock", 16, 2) == "R3 invalid sock access off=16 size=2"
    assert says_of("tcp_sock", 80, 8) == says_of("tcp_sock", 108, 4) == says_of("xdp_sock", 0, 4) == ""
    assert says_of("tcp_sock", 80, 4) == "R3 invalid tcp_sock access off=80 size=4"
    assert says_of("xdp_sock", 4, 4) == "R3 invalid xdp_sock access off=4 size=4"
    assert says_of("tcp_sock", 0, 4, write=True) == "R3 cannot write into tcp_sock"


def test_flow_keys() -> None:
    assert says(lambda: rules.check_flow_keys(48, 8)) == (0, "")
    assert says(lambda: rules.check_flow_keys(49, 8)) == (13, "invalid access to flow keys off=49 size=8")
    assert says(lambda: rules.check_flow_keys(-1, 1)) == (13, "invalid access to flow keys off=-1 size=1")


def test_licenses() -> None:
    assert rules.gpl_compatible("Dual BSD/GPL")
    assert not rules.gpl_compatible("BSD")
    assert not rules.gpl_compatible("GPL ")


def test_packets_as_arguments() -> None:
    assert rules.may_pass_packet(subject("xdp"), True)
    assert rules.may_pass_packet(subject("cgroup_skb"), True)
    assert not rules.may_pass_packet(subject("xdp"), False)
    assert not rules.may_pass_packet(subject("sock_ops"), True)
    assert rules.may_pass_packet(subject("cgroup_sockopt", "cgroup_getsockopt"), False)


PACKETS = {
    "sched_cls": (76, 80, 32), "sched_act": (76, 80, 32), "xdp": (0, 4, 32), "lwt_in": (76, 80, 32),
    "lwt_out": (76, 80, 32), "lwt_xmit": (76, 80, 32), "lwt_seg6local": (76, 80, 32), "cgroup_skb": (76, 80, 32),
    "sk_skb": (76, 80, 32), "flow_dissector": (76, 80, 32), "sk_msg": (0, 8, 64), "sk_reuseport": (0, 8, 64),
    "cgroup_sockopt": (8, 16, 64), "sock_ops": (192, 200, 64),
}  # fmt: skip
"""Type -> where its context has the packet's start and end, and how many bits these fields have."""

SOCKET = "r1 = *(u64 *)(r1 + 168); if r1 != 0 goto +2; r0 = 0; exit; "
FULL = SOCKET + "call {}; if r0 != 0 goto +1; exit; r6 = r0; "
PLACES = {
    "sock_common": ("sched_cls", SOCKET + "r6 = r1; ", 84),
    "sock": ("sched_cls", FULL.format(95), 84),
    "tcp_sock": ("sched_cls", FULL.format(96), 116),
    "flow_keys": ("flow_dissector", "r6 = *(u64 *)(r1 + 144); ", 64),
}


class TestTheLiveKernel:
    """The same programs, given to the kernel."""

    pytestmark = live.needs_linux

    @pytest.mark.parametrize("name", TYPES)
    def test_attach_types(self, name: str) -> None:
        for attach in range(len(ATTACH_TYPES)):
            ours = says(lambda attach=attach: rules.check_load(subject(name, attach), Options()))[0]  # type: ignore[misc]
            answers = [
                live.load(f"r0 = {r}; exit", PROGRAM_TYPES[name].number, attach, prog_flags=flags(name)) for r in (1, 0)
            ]
            assert (ours == 0) == any(answer.errno == 0 for answer in answers), attach

    @pytest.mark.parametrize("name", TYPES)
    def test_absolute_loads(self, name: str) -> None:
        text = "r6 = r1; r0 = *(u8 *)skb[0]; r0 = 1; exit"
        answer = live.load(text, PROGRAM_TYPES[name].number, loadable(name), prog_flags=flags(name))
        expected = (0, "") if rules.may_load_absolute(subject(name)) else (22, rules.NO_ABSOLUTE)
        assert (answer.errno, answer.reason if answer.errno else "") == expected

    @pytest.mark.parametrize("name", TYPES)
    def test_sleep(self, name: str) -> None:
        for sleepable in (False, True):
            ours = says(
                lambda sleepable=sleepable: rules.check_sleepable(subject(name, loadable(name), sleepable=sleepable))
            )  # type: ignore[misc]
            kind, flag = PROGRAM_TYPES[name].number, live.SLEEPABLE * sleepable
            results = [live.load(f"r0 = {r}; exit", kind, loadable(name), prog_flags=flag) for r in (1, 0)]
            answer = next((one for one in results if not one.errno), results[0])
            assert (answer.errno, answer.reason if answer.errno else "") == ours

    @pytest.mark.parametrize("name", TYPES)
    def test_returns(self, name: str) -> None:
        kind = PROGRAM_TYPES[name].number
        numbers = [ATTACH_TYPES[one] for one in TAKES.get(name, ())] or ([0, 56, 57] if name == "kprobe" else [0])
        for attach in numbers:
            allowed = rules.return_range(subject(name, attach))
            answer = live.load("call 7; exit", kind, attach, prog_flags=flags(name))
            low, high = -(1 << 63), (1 << 63) - 1
            expected = (22, rules.out_of_range(low, high, allowed)) if allowed else (0, "")
            assert (answer.errno, answer.reason if answer.errno else "") == expected
            for value in (-1, 0, 1, 2, 3, 4):
                answer = live.load(f"r0 = {value}; exit", kind, attach, prog_flags=flags(name))
                fits = allowed is None or allowed.low <= value <= allowed.high
                expected = (0, "") if fits or not allowed else (22, rules.out_of_range(value, value, allowed))
                assert (answer.errno, answer.reason if answer.errno else "") == expected, value

    @pytest.mark.parametrize("name", PACKETS)
    def test_writes_to_a_packet(self, name: str) -> None:
        start, end, bits = PACKETS[name]
        text = (
            f"r6 = *(u{bits} *)(r1 + {start}); r7 = *(u{bits} *)(r1 + {end}); r8 = r6; r8 += 4; "
            "if r8 > r7 goto +1; *(u8 *)(r6 + 0) = 0; r0 = 1; exit"
        )
        attach = ATTACH_TYPES["cgroup_getsockopt"] if name == "cgroup_sockopt" else 0
        answers = [
            live.load(one, PROGRAM_TYPES[name].number, attach) for one in (text, text.replace("r0 = 1", "r0 = 0"))
        ]
        expected = (0, "") if rules.may_write_packet(subject(name)) else (13, rules.CANNOT_WRITE)
        assert expected in [(answer.errno, answer.reason if answer.errno else "") for answer in answers]

    @pytest.mark.parametrize("word", PLACES)
    def test_objects(self, word: str) -> None:
        self.objects(word, 23)

    @pytest.mark.deep
    @pytest.mark.parametrize("word", PLACES)
    def test_objects_everywhere(self, word: str) -> None:
        self.objects(word, 1)

    def objects(self, word: str, step: int) -> None:
        name, before, last = PLACES[word]
        for number, (size, off, write) in enumerate(product((1, 2, 4, 8), range(-4, last), (False, True))):
            if number % step or (word == "tcp_sock" and size == 4 and off in (84, 92)):
                continue  # there Linux finds a bug of its own: error during ctx access conversion
            place = f"*(u{8 * size} *)(r6 {off:+d})"
            text = before + (f"{place} = 0; " if write else f"r2 = {place}; ") + "r0 = 0; exit"
            answer = live.load(text, PROGRAM_TYPES[name].number)
            if word == "flow_keys":
                ours = says(lambda off=off, size=size: rules.check_flow_keys(off, size))  # type: ignore[misc]
            else:
                ours = says(lambda off=off, size=size, write=write: rules.check_socket(6, word, off, size, write))  # type: ignore[misc]
            assert (answer.errno, answer.reason if answer.errno else "") == ours, text

    @pytest.mark.parametrize("extra", [(), (NET_ADMIN,), (PERFMON,), (NET_ADMIN, PERFMON)], ids=str)
    def test_capabilities(self, extra: tuple[str, ...]) -> None:
        caps = frozenset({BPF, *extra})
        found = with_caps(caps, lambda: [refused(name) for name in TYPES])
        options = Options(caps=caps)
        ours = [
            says(lambda name=name: rules.check_load(subject(name, loadable(name)), options))[0] == 1 for name in TYPES
        ]  # type: ignore[misc]
        assert found == ours


def refused(name: str) -> bool:
    """Whether the kernel says EPERM to a type."""
    return live.load("r0 = 1; exit", PROGRAM_TYPES[name].number, loadable(name), prog_flags=flags(name)).errno == 1


def with_caps(caps: frozenset[str], ask: Callable[[], list[bool]]) -> list[bool]:
    """Answers of a process that has those capabilities alone."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            mask = sum(1 << NUMBERS[one] for one in caps)
            header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
            data[0], data[3] = mask & 0xFFFFFFFF, mask >> 32
            data[1], data[4] = data[0], data[3]
            if ctypes.CDLL(None, use_errno=True).capset(header, data) == 0:
                os.write(writer, bytes(ask()))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        found = answers.read()
    os.waitpid(child, 0)
    assert found, "the child could not drop its capabilities"
    return [bool(one) for one in found]
