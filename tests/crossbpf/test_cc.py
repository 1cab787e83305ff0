"""Finding a compiler, what it is told, and what becomes of its errors. What needs one is skipped without."""

from __future__ import annotations

import importlib.util
import shutil
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bpf.errors import BadInput, NotHere
from bpf.object import load
from bpf.plan import Unit
from crossbpf import cc
from vm.interpreter import Interpreter
from vm.world import Input, Limits, World

ORDERS = ("little", "big")
HEADERS = sorted(path.relative_to(cc.INCLUDE).as_posix() for path in cc.INCLUDE.rglob("*.h"))
HAS_ZIG = importlib.util.find_spec("ziglang") is not None


def has_compiler() -> bool:
    try:
        cc.find()
    except NotHere:
        return False
    return True


needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no clang with the BPF target and no ziglang")
needs_zig = pytest.mark.skipif(not HAS_ZIG, reason="no ziglang package")
needs_shell = pytest.mark.skipif(sys.platform == "win32", reason="stands in for clang with a shell script")


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def write(folder: Path, text: str, name: str = "test.c") -> Path:
    path = folder / name
    path.write_text(text)
    return path


class TestFind:
    def test_nothing_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda name: None)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(NotHere, match=r"no clang on PATH, and no ziglang package \(pip install 'crossbpf\[cc\]'"):
            cc.find()

    @pytest.mark.parametrize("name", ["no-such-clang", "no-such-clang --flag", ""])
    def test_named_but_not_there(self, name: str) -> None:
        with pytest.raises(NotHere, match=f"no compiler '{name}'"):
            cc.find(name)

    @needs_shell
    def test_clang_on_path_comes_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clang = script(tmp_path, "clang", 'echo "    bpfel - BPF (little endian)"')
        monkeypatch.setenv("PATH", str(tmp_path))
        assert cc.find() == cc.Compiler((clang,))

    @needs_shell
    def test_clang_without_the_target_is_passed_over(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        script(tmp_path, "clang", 'echo "    x86-64 - 64-bit X86"')
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(NotHere, match="clang lacks the BPF target"):
            cc.find()
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
        assert cc.find() == cc.Compiler((sys.executable, "-m", "ziglang", "cc"), zig=True)

    @needs_shell
    @pytest.mark.parametrize(
        ("named", "rest", "zig"),
        [("clang-19", (), False), ("clang-19 -v", ("-v",), False), ("zig", ("cc",), True), ("zig cc", ("cc",), True),
         ("zig clang", ("clang",), False)],
    )  # fmt: skip
    def test_named(self, named: str, rest: tuple[str, ...], zig: bool, tmp_path: Path) -> None:
        program = script(tmp_path, named.split()[0], "")
        assert cc.find(named.replace(named.split()[0], program)) == cc.Compiler((program, *rest), zig)

    @needs_shell
    def test_a_path_with_a_space(self, tmp_path: Path) -> None:
        (tmp_path / "my tools").mkdir()
        clang = script(tmp_path / "my tools", "clang", "")
        assert cc.find(clang) == cc.Compiler((clang,))


class TestCommand:
    @pytest.mark.parametrize(("order", "clang", "zig"), [("little", "bpfel", "bpfel-freestanding"),
                                                         ("big", "bpfeb", "bpfeb-freestanding")])  # fmt: skip
    def test_target(self, order: str, clang: str, zig: str) -> None:
        for compiler, triple in ((cc.Compiler(("clang",)), clang), (cc.Compiler(("zig", "cc"), zig=True), zig)):
            command = compiler.command("a.c", order, "a.o")
            assert command[: len(compiler.argv)] == list(compiler.argv)
            assert command[command.index("-target") + 1] == triple
            assert "-mcpu=v4" in command
            assert command[-3:] == ["a.c", "-o", "a.o"]

    def test_what_the_user_says_wins(self) -> None:
        command = cc.Compiler(("clang",)).command("a.c", "little", "a.o", ["-O1", "-DX=1"], ["mine"], mcpu="v2")
        assert "-mcpu=v2" in command
        assert command.index("-O1") > command.index("-O2")
        assert command.index("mine") < command.index(str(cc.INCLUDE))


@needs_compiler
class TestCompile:
    @pytest.mark.parametrize("order", ORDERS)
    def test_object_of_that_order(self, order: str, tmp_path: Path) -> None:
        (program,) = load(cc.compile_c(write(tmp_path, "long f(long *p) { return *p; }"), order))
        assert (program.name, program.order) == ("f", order)

    def test_flags_and_includes_arrive(self, tmp_path: Path) -> None:
        (tmp_path / "inc").mkdir()
        (tmp_path / "inc" / "mine.h").write_text("#define ANSWER 40\n")
        source = write(tmp_path, '#include "mine.h"\nlong f(void) { return ANSWER + MORE; }')
        (program,) = load(cc.compile_c(source, "little", cflags=["-DMORE=2"], includes=[tmp_path / "inc"]))
        assert program.insns[0] is not None
        assert program.insns[0].imm == 42

    @pytest.mark.parametrize(
        ("source", "place", "message"),
        [
            ("long f(void)\n{\n\treturn x;\n}\n", "line 3", "use of undeclared identifier 'x'"),
            ("#include <no/such.h>\n", "line 1", "'no/such.h' file not found"),
            ("\n#error on purpose\n", "line 2", "on purpose"),
        ],
    )
    def test_first_error(self, source: str, place: str, message: str, tmp_path: Path) -> None:
        path = write(tmp_path, source)
        with pytest.raises(cc.CompileError) as caught:
            cc.compile_c(path, "little")
        error = caught.value
        assert isinstance(error, BadInput)
        assert (error.file, error.place, error.message) == (str(path), place, message)
        assert str(error) == f"{path}: {place}: {message}"
        assert message in error.details

    def test_an_error_in_a_header_names_the_header(self, tmp_path: Path) -> None:
        header = write(tmp_path, "\nint x = ;\n", "bad.h")
        with pytest.raises(cc.CompileError, match="line 2: expected expression") as caught:
            cc.compile_c(write(tmp_path, '#include "bad.h"\n'), "big")
        assert Path(caught.value.file) == header

    def test_a_header_of_the_machine_is_to_be_made(self, tmp_path: Path) -> None:
        with pytest.raises(
            cc.CompileError, match=r"'vmlinux\.h' file not found \(crossbpf btf dump file .* > vmlinux\.h"
        ):
            cc.compile_c(write(tmp_path, '#include "vmlinux.h"\n'), "little")

    def test_what_bpf_cannot_do(self, tmp_path: Path) -> None:
        source = "long f(long n) { volatile char big[600]; big[n] = 1; return big[3]; }"
        with pytest.raises(cc.CompileError, match=r"test\.c: line 1: .*stack limit"):
            cc.compile_c(write(tmp_path, source), "little")

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match=r"nope\.c: no such file"):
            cc.compile_c(tmp_path / "nope.c", "little")

    def test_a_bad_option(self, tmp_path: Path) -> None:
        with pytest.raises(cc.CompileError):
            cc.compile_c(write(tmp_path, "int x;"), "little", mcpu="v99")

    def test_nothing_is_left_behind_and_no_home_is_needed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(scratch))
        monkeypatch.setenv("HOME", "/dev/null/nowhere")
        for name in ("XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
            monkeypatch.delenv(name, raising=False)
        source = write(tmp_path, "long f(void) { return 1; }")
        assert load(cc.compile_c(source, "little"))
        assert list(scratch.iterdir()) == []
        assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "test.c"]

    def test_at_the_same_time(self, tmp_path: Path) -> None:
        sources = [write(tmp_path, f"long f(void) {{ return {n}; }}", f"{n}.c") for n in range(6)]
        with ThreadPoolExecutor(4) as pool:
            objects = list(pool.map(lambda source: cc.compile_c(source, "little"), sources))
        for number, data in enumerate(objects):
            insn = load(data)[0].insns[0]
            assert insn is not None
            assert insn.imm == number

    def test_objects_do_not_name_this_machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path, "long f(void) { return 1; }")
        monkeypatch.chdir(tmp_path)
        data = cc.compile_c("test.c", "little")
        assert str(tmp_path).encode() not in data
        assert {line.file for line in load(data)[0].lines.values()} == {"test.c"}


@needs_zig
@needs_shell
@pytest.mark.parametrize("order", ORDERS)
def test_a_plain_clang_makes_the_same_code(order: str, tmp_path: Path) -> None:
    """`zig clang` is clang's own driver, so its command line is the one that a clang on PATH gets."""
    clang = script(tmp_path, "clang", f'exec {sys.executable} -m ziglang clang "$@"')
    assert subprocess.run([clang, "--version"], capture_output=True, check=False).returncode == 0
    source = write(tmp_path, "static int a[9]; long f(int *p, long n) { a[n & 7] += *p; return a[n & 3]; }")
    plain = load(cc.compile_c(source, order, cc=clang))
    bundled = load(cc.compile_c(source, order, cc=f"{sys.executable} -m ziglang cc"))
    assert plain[0].insns == bundled[0].insns


@needs_shell
def test_a_compiler_that_fails_without_a_word(tmp_path: Path) -> None:
    source = write(tmp_path, "")
    with pytest.raises(cc.CompileError, match="the compiler failed: exit status 3"):
        cc.compile_c(source, "little", cc=script(tmp_path, "clang", "exit 3"))
    with pytest.raises(cc.CompileError, match="the compiler failed: Killed"):
        cc.compile_c(source, "little", cc=script(tmp_path, "clang", "echo one >&2; echo Killed >&2; exit 1"))
    with pytest.raises(cc.CompileError, match="unknown target CPU 'v4'"):
        cc.compile_c(
            source, "little", cc=script(tmp_path, "clang", "echo \"error: unknown target CPU 'v4'\" >&2; exit 1")
        )
    with pytest.raises(cc.CompileError, match="exit status 0"):
        cc.compile_c(source, "little", cc=script(tmp_path, "clang", "exit 0"))


@needs_compiler
@pytest.mark.parametrize("order", ORDERS)
class TestHeaders:
    STRICT = ("-Wall", "-Wextra", "-Werror")

    @pytest.mark.deep
    @pytest.mark.parametrize("header", HEADERS)
    def test_each_stands_alone(self, header: str, order: str, tmp_path: Path) -> None:
        source = f"#include <{header}>\nlong f(void) {{ return 1; }}\n"
        assert load(cc.compile_c(write(tmp_path, source), order, cflags=self.STRICT))

    @pytest.mark.parametrize("direction", [1, -1])
    def test_all_stand_together_and_twice(self, direction: int, order: str, tmp_path: Path) -> None:
        """In both directions, so that what one header needs of another is not there by chance."""
        names = [*HEADERS, "stddef.h", "stdint.h", "stdbool.h", "limits.h"][::direction]
        source = "".join(f"#include <{name}>\n" for name in names) * 2 + "long f(void) { return 1; }\n"
        assert load(cc.compile_c(write(tmp_path, source), order, cflags=self.STRICT))

    def test_layouts(self, order: str, tmp_path: Path) -> None:
        """Sizes and offsets of RFC 791, 768, 9293, IEEE 802.3 and of Linux's context structures."""
        facts = {
            "sizeof(struct ethhdr)": 14, "offsetof(struct ethhdr, h_proto)": 12, "sizeof(struct iphdr)": 20,
            "offsetof(struct iphdr, frag_off)": 6, "offsetof(struct iphdr, protocol)": 9,
            "offsetof(struct iphdr, daddr)": 16, "sizeof(struct udphdr)": 8, "sizeof(struct tcphdr)": 20,
            "offsetof(struct tcphdr, window)": 14, "offsetof(struct tcphdr, urg_ptr)": 18,
            "sizeof(struct xdp_md)": 24, "offsetof(struct xdp_md, data_meta)": 8,
            "offsetof(struct __sk_buff, cb)": 48, "offsetof(struct __sk_buff, data)": 76,
            "offsetof(struct __sk_buff, data_meta)": 140, "sizeof(struct bpf_timer)": 16,
        }  # fmt: skip
        checks = "\n".join(f'_Static_assert({what} == {value}, "{what}");' for what, value in facts.items())
        headers = (
            "stddef.h",
            "stdint.h",
            "linux/bpf.h",
            "linux/if_ether.h",
            "linux/ip.h",
            "linux/tcp.h",
            "linux/udp.h",
        )
        source = "".join(f"#include <{header}>\n" for header in headers) + checks + "\nlong f(void) { return 1; }\n"
        assert load(cc.compile_c(write(tmp_path, source), order, cflags=self.STRICT))

    def test_bit_fields_lie_where_the_wire_has_them(self, order: str, tmp_path: Path) -> None:
        source = """
            #include <linux/ip.h>
            #include <linux/tcp.h>
            long f(void *mem, unsigned long len __attribute__((unused)))
            {
                struct { struct iphdr ip; struct tcphdr tcp; } p;
                __builtin_memcpy(&p, mem, sizeof p);
                return p.ip.version << 16 | p.ip.ihl << 12 | p.tcp.doff << 8 | p.tcp.fin << 7 | p.tcp.syn << 6
                     | p.tcp.rst << 5 | p.tcp.psh << 4 | p.tcp.ack << 3 | p.tcp.urg << 2 | p.tcp.ece << 1 | p.tcp.cwr;
            }"""
        packet = bytearray(40)
        packet[0], packet[32] = 0x45, 0x80
        for bit, expected in enumerate((0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01)):
            packet[33] = 1 << bit
            assert run(write(tmp_path, source), order, bytes(packet)) == 0x45800 | expected

    def test_byte_order_helpers(self, order: str, tmp_path: Path) -> None:
        source = """
            #include <bpf/bpf_endian.h>
            static const __be32 constant = bpf_htonl(0x01020304); /* a constant expression */
            unsigned long long f(__u8 *mem, unsigned long len __attribute__((unused)))
            {
                __u64 raw;
                __builtin_memcpy(&raw, mem, 8);
                if (bpf_ntohl(constant) != 0x01020304 || bpf_ntohs(bpf_htons(0x1234)) != 0x1234)
                    return 0;
                return bpf_be64_to_cpu(raw) ^ bpf_le64_to_cpu(raw) ^ bpf_le16_to_cpu((__u16)bpf_cpu_to_le16(0x77));
            }"""
        memory = bytes(range(1, 9))
        both = int.from_bytes(memory, "big") ^ int.from_bytes(memory, "little")
        assert run(write(tmp_path, source), order, memory) == both ^ 0x77

    def test_helpers_are_calls_by_number(self, order: str, tmp_path: Path) -> None:
        source = """
            #include <bpf/bpf_helpers.h>
            unsigned long long f(void)
            {
                bpf_printk("%d", 7);
                return bpf_ktime_get_ns() + bpf_get_prandom_u32() + bpf_get_smp_processor_id()
                     + bpf_get_current_pid_tgid() + bpf_ktime_get_boot_ns();
            }"""
        (program,) = load(cc.compile_c(write(tmp_path, source), order, cflags=self.STRICT))
        calls = [insn.imm for insn in program.insns if insn is not None and insn.row.op == "call_helper"]
        assert sorted(calls) == [5, 6, 7, 8, 14, 125]
        assert program.maps[0].initial == b"%d\0"

    def test_helper_numbers_are_the_specs(self, order: str, tmp_path: Path) -> None:
        from bpf.spec.helpers import KERNEL

        checks = "\n".join(f'_Static_assert(BPF_FUNC_{h.name} == {h.number}, "{h.name}");' for h in KERNEL.values())
        source = f"#include <linux/bpf.h>\n{checks}\nlong f(void) {{ return 1; }}\n"
        assert load(cc.compile_c(write(tmp_path, source), order))


def run(source: Path, order: str, memory: bytes) -> int:
    (program,) = load(cc.compile_c(source, order))
    unit = Unit((program,))
    outcome = Interpreter(unit, program).run(Input(memory=memory), World(), Limits())
    assert outcome.status == "done"
    return outcome.r0
