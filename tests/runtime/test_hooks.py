"""Which programs may be at which hook, in which order, and Linux's errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples import counter, returning, text

from bpf.errors import BadInput, CallFailed
from bpf.program import Map
from bpf.spec import program_types
from bpf.spec.attach import ATTACH_TYPES, OF_SECTION
from bpf.spec.hooks import EVENT, HOOKS, ONE, of_section
from runtime import Kernel, ProgramObject, Store, hooks


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def load(kernel: Kernel, section: str, name: str = "p", kind: str = "") -> ProgramObject:
    return kernel.load([returning(name, section)], kind=kind, verify=False)[0]


def attach(kernel: Kernel, program: ProgramObject, where: str, **how: object) -> None:
    hooks.attach(kernel, program, *hooks.hook_named(kernel, where), **how)  # type: ignore[arg-type]


def names(kernel: Kernel, where: str) -> list[str]:
    return [kernel.programs[one.program].name for one in hooks.effective(kernel, *hooks.hook_named(kernel, where))]


def error(kernel: Kernel, program: ProgramObject, where: str, **how: object) -> str:
    with pytest.raises(CallFailed) as info:
        attach(kernel, program, where, **how)
    return info.value.name


class TestTable:
    def test_types_and_sections_go_together(self) -> None:
        for hook in HOOKS.values():
            assert all(kind in program_types.PROGRAM_TYPES for kind in hook.types)
            for section in hook.sections:
                named = program_types.of_section(f"{section}/x") if hook.at == EVENT else None
                said = named or program_types.of_section(section)
                assert said is not None and said.name in hook.types, section

    def test_no_section_means_two(self) -> None:
        sections = [section for hook in HOOKS.values() for section in hook.sections]
        assert len(sections) == len(set(sections))
        for section, attach_type in OF_SECTION.items():
            if attach_type in HOOKS and HOOKS[attach_type].at != EVENT:
                assert of_section(section) == (HOOKS[attach_type], "")

    def test_attach_types_of_cgroups_sockets_and_devices_are_hooks(self) -> None:
        kinds = ("cgroup_", "sk_skb", "sk_msg", "tcx_")
        assert {name for name in ATTACH_TYPES if name.startswith(kinds)} <= set(HOOKS)

    @pytest.mark.parametrize(
        ("section", "hook", "place"),
        [
            ("xdp", "xdp", ""), ("tc", "tcx_ingress", ""), ("cgroup/connect4", "cgroup_inet4_connect", ""),
            ("?cgroup_skb/egress", "cgroup_inet_egress", ""), ("kprobe/do_exit", "kprobe", "do_exit"),
            ("tp/sched/sched_switch", "tracepoint", "sched/sched_switch"), ("raw_tp/x", "raw_tracepoint", "x"),
            ("lsm.s/bprm_check", "lsm", "bprm_check"), ("fmod_ret/f", "fmod_ret", "f"),
        ],
    )  # fmt: skip
    def test_sections(self, section: str, hook: str, place: str) -> None:
        assert of_section(section) == (HOOKS[hook], place)

    @pytest.mark.parametrize("section", ["", ".text", "xdp/devmap", "xdp/cpumap", "kprobe", "nothing/x", "syscall"])
    def test_sections_that_mean_none(self, section: str) -> None:
        assert of_section(section) is None


class TestNames:
    @pytest.mark.parametrize(
        ("words", "name", "place"),
        [
            ("xdp:eth0", "xdp", "eth0"), ("cgroup_device", "cgroup_device", "/"),
            ("flow_dissector", "flow_dissector", ""),
            ("cgroup_device:a//b/", "cgroup_device", "/a/b"), ("tracepoint:sched/x", "tracepoint", "sched/x"),
        ],
    )  # fmt: skip
    def test_hooks(self, kernel: Kernel, words: str, name: str, place: str) -> None:
        assert hooks.hook_named(kernel, words) == (HOOKS[name], place)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("xpd:eth0", "no hook 'xpd'"), ("xdp", "hook xdp belongs to a device"),
            ("sk_lookup:x", "of which there is one"), ("sk_msg_verdict:m", "no maps are named 'm'"),
            ("sk_msg_verdict:counts", "2 maps are named 'counts'"),
            ("sk_msg_verdict:#1", "has no sockets"),
        ],
    )  # fmt: skip
    def test_no_hooks(self, kernel: Kernel, words: str, message: str) -> None:
        kernel.load([counter()])
        kernel.load([counter()])
        with pytest.raises((BadInput, CallFailed), match=message):
            hooks.hook_named(kernel, words)


class TestDevices:
    def test_xdp_has_one(self, kernel: Kernel) -> None:
        first, second = load(kernel, "xdp", "first"), load(kernel, "xdp", "second")
        attach(kernel, first, "xdp:eth0")
        assert error(kernel, second, "xdp:eth0") == error(kernel, first, "xdp:eth0") == "EBUSY"
        attach(kernel, second, "xdp:eth1")
        attach(kernel, second, "xdp:eth0", overwrite=True)
        assert names(kernel, "xdp:eth0") == names(kernel, "xdp:eth1") == ["second"]

    def test_tcx_has_a_chain(self, kernel: Kernel) -> None:
        made = [load(kernel, "tc", name) for name in ("a", "b", "c")]
        attach(kernel, made[0], "tcx_ingress:eth0")
        attach(kernel, made[1], "tcx_ingress:eth0")
        attach(kernel, made[2], "tcx_ingress:eth0", prepend=True)
        assert names(kernel, "tcx_ingress:eth0") == ["c", "a", "b"]
        assert error(kernel, made[0], "tcx_ingress:eth0") == "EEXIST"
        hooks.detach(kernel, HOOKS["tcx_ingress"], "eth0", made[0])
        assert names(kernel, "tcx_ingress:eth0") == ["c", "b"]
        hooks.detach(kernel, HOOKS["tcx_ingress"], "eth0")
        with pytest.raises(CallFailed, match=r"no program at tcx_ingress:eth0: ENOENT"):
            hooks.detach(kernel, HOOKS["tcx_ingress"], "eth0")

    def test_it_has_an_end(self, kernel: Kernel) -> None:
        for number in range(hooks.MOST):
            attach(kernel, load(kernel, "tc", f"p{number}"), "tcx_egress:eth0")
        assert error(kernel, load(kernel, "tc"), "tcx_egress:eth0") == "E2BIG"

    @pytest.mark.parametrize(
        ("section", "where", "how"),
        [
            ("tc", "xdp:eth0", {}), ("xdp", "tcx_ingress:eth0", {}), ("", "xdp:eth0", {}),
            ("xdp/devmap", "xdp:eth0", {}), ("xdp/cpumap", "xdp:eth0", {}), ("xdp", "xdp:eth0", {"flags": "multi"}),
            ("xdp", "xdp:eth0", {"prepend": True}), ("tc", "tcx_ingress:eth0", {"overwrite": True}),
            ("tc", "tcx_ingress:eth0", {"priority": 1}),
        ],
    )  # fmt: skip
    def test_what_does_not_fit(self, kernel: Kernel, section: str, where: str, how: dict[str, object]) -> None:
        assert error(kernel, load(kernel, section), where, **how) == "EINVAL"
        assert not kernel.attached


class TestCgroups:
    HOOK = "cgroup_device"

    def test_a_cgroup_that_says_nothing_decides_for_all_in_it(self, kernel: Kernel) -> None:
        attach(kernel, load(kernel, "cgroup/dev", "top"), "cgroup_device:/a")
        other = load(kernel, "cgroup/dev", "other")
        assert error(kernel, other, "cgroup_device:/a/b") == "EPERM"
        assert error(kernel, other, "cgroup_device:/a/b/c", flags="multi") == "EPERM"
        attach(kernel, other, "cgroup_device:/b")
        attach(kernel, other, "cgroup_device:/a")
        assert names(kernel, "cgroup_device:/a") == names(kernel, "cgroup_device:/a/b") == ["other"]

    def test_override(self, kernel: Kernel) -> None:
        top, below = (load(kernel, "cgroup/dev", name) for name in ("top", "below"))
        attach(kernel, top, "cgroup_device:/a", flags="override")
        attach(kernel, below, "cgroup_device:/a/b")
        assert names(kernel, "cgroup_device:/a/b") == names(kernel, "cgroup_device:/a/b/c") == ["below"]
        assert names(kernel, "cgroup_device:/a") == ["top"]
        assert error(kernel, below, "cgroup_device:/a", flags="multi") == "EPERM"

    def test_multi(self, kernel: Kernel) -> None:
        made = {name: load(kernel, "cgroup/dev", name) for name in ("r1", "r2", "b1", "b2")}
        for name, path in (("r1", "/"), ("b1", "/b"), ("r2", "/"), ("b2", "/b")):
            attach(kernel, made[name], f"cgroup_device:{path}", flags="multi")
        assert names(kernel, "cgroup_device:/b/x") == ["b1", "b2", "r1", "r2"]
        assert error(kernel, made["b1"], "cgroup_device:/b", flags="multi") == "EINVAL"
        assert error(kernel, made["b1"], "cgroup_device:/b") == "EPERM"

    def test_those_around_that_are_not_multi_give_way(self, kernel: Kernel) -> None:
        attach(kernel, load(kernel, "cgroup/dev", "top"), "cgroup_device:/", flags="override")
        attach(kernel, load(kernel, "cgroup/dev", "mid"), "cgroup_device:/a", flags="multi")
        attach(kernel, load(kernel, "cgroup/dev", "low"), "cgroup_device:/a/b", flags="multi")
        assert names(kernel, "cgroup_device:/a/b") == ["low", "mid"]

    def test_a_program_for_another_call(self, kernel: Kernel) -> None:
        made = load(kernel, "cgroup/connect4")
        assert error(kernel, made, "cgroup_inet4_bind:/") == "EINVAL"
        attach(kernel, made, "cgroup_inet4_connect:/")
        attach(kernel, load(kernel, "", kind="cgroup_sock_addr"), "cgroup_inet4_bind:/")

    def test_every_one_takes_its_own(self, kernel: Kernel) -> None:
        for section, attach_type in OF_SECTION.items():
            if attach_type.startswith("cgroup_"):
                attach(kernel, load(kernel, section), f"{attach_type}:/x", flags="multi")
        assert names(kernel, "cgroup_inet_sock_create:/x") == ["p", "p"]


class TestOthers:
    def test_netfilter_runs_by_priority(self, kernel: Kernel) -> None:
        for name, priority in (("late", 10), ("early", -10), ("mid", 0)):
            attach(kernel, load(kernel, "netfilter", name), "netfilter_local_in", priority=priority)
        assert names(kernel, "netfilter_local_in") == ["early", "mid", "late"]

    def test_one_takes_the_place_of_another(self, kernel: Kernel) -> None:
        singles = [hook for hook in HOOKS.values() if hook.rule == ONE and hook.at not in ("device", "map")]
        assert singles
        for hook in singles:
            where = hook.name if hook.at == "namespace" else f"{hook.name}:7"
            for name in ("first", "second"):
                attach(kernel, load(kernel, "", name, hook.types[0]), where)
            assert names(kernel, where) == ["second"]

    def test_a_sockmap_has_a_verdict_on_streams_or_on_packets(self, kernel: Kernel) -> None:
        socks = (Map("socks", "sockmap", 4, 4, 4),)
        sections = ("sk_skb/stream_verdict", "sk_skb/verdict", "sk_msg")
        stream, packets, message = kernel.load([text("r0 = 1; exit", "p", section, socks) for section in sections])
        attach(kernel, stream, "sk_skb_stream_verdict:socks")
        assert error(kernel, packets, "sk_skb_verdict:socks") == "EBUSY"
        attach(kernel, message, "sk_msg_verdict:socks")
        hooks.detach(kernel, *hooks.hook_named(kernel, "sk_skb_stream_verdict:socks"))
        attach(kernel, packets, "sk_skb_verdict:socks")

    def test_by_section(self, kernel: Kernel) -> None:
        assert hooks.auto(kernel, load(kernel, "raw_tp/sched_switch"))
        assert hooks.auto(kernel, load(kernel, "sk_lookup"))
        assert not hooks.auto(kernel, load(kernel, "xdp"))
        assert not hooks.auto(kernel, load(kernel, "raw_tp"))
        assert [(one.hook, one.place) for one in kernel.attached] == [
            ("raw_tracepoint", "sched_switch"),
            ("sk_lookup", ""),
        ]


class TestStore:
    def test_what_is_attached_stays(self, tmp_path: Path) -> None:
        store = Store(tmp_path / "fs")
        with store.open() as kernel:
            attach(kernel, kernel.load([counter(section="xdp", name="kept")])[0], "xdp:eth0")
            attach(kernel, load(kernel, "cgroup/dev", "multi"), "cgroup_device:/a", flags="multi")
            attach(kernel, load(kernel, "netfilter", "nf"), "netfilter_local_in", priority=-5)
            load(kernel, "xdp", "gone")
        with store.open() as kernel:
            assert names(kernel, "xdp:eth0") == ["kept"]
            assert [(one.flags, one.priority) for one in kernel.attached] == [("", 0), ("multi", 0), ("", -5)]
            assert {one.name for one in kernel.programs.values()} == {"kept", "multi", "nf"}
            assert [made.name for made in kernel.maps.values()] == ["counts"]
            hooks.detach(kernel, HOOKS["xdp"], "eth0")
        with store.open(write=False) as kernel:
            assert not kernel.maps and len(kernel.programs) == 2
