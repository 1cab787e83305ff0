"""The reader of the public conformance suite's files. The files here are written for these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpf.errors import BadInput, BadProgram, BadText, CrossbpfError
from bpf.isa import ROW, make
from fuzz.suite.datafile import SuiteTest, read


def write(folder: Path, content: str) -> Path:
    path = folder / "sum.data"
    path.write_text(content, encoding="utf-8", newline="")
    return path


FULL = """\
# A sum of two bytes.
Anything may stand here.
-- asm
# r1 points to memory
ldxb %r0, [%r1]       # the first
ldxb %r2, [%r1+1]
add %r0, %r2
exit
-- mem
01 0x02 ff   # three bytes
 aa
-- result
0x3
-- no register offset
call instruction
"""


def test_a_whole_file(tmp_path: Path) -> None:
    path = write(tmp_path, FULL)
    test = read(path)
    assert (test.path, test.name) == (path, "sum")
    assert (test.memory, test.result, test.error) == (b"\x01\x02\xff\xaa", 3, None)
    assert test.raw is None
    assert test.no_register_offset
    prog = test.program()
    assert prog.name == "sum"
    assert prog.insns[1] == make(ROW["ldx8"], dst=2, src=1, off=1)
    line = prog.line_at(1)
    assert line is not None and (line.file, line.line) == (str(path), 6)
    assert test.program("big").order == "big"


def test_raw_slots_are_little_endian_numbers(tmp_path: Path) -> None:
    test = read(write(tmp_path, "-- raw\n0x00000005000000b7\n149 # exit\n-- result\n5\n"))
    assert test.raw == bytes([0xB7, 0, 0, 0, 5, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])
    assert test.program().insns == (make(ROW["mov64_imm"], imm=5), make(ROW["exit"]))
    assert test.program("big").insns == test.program().insns


def test_raw_is_run_and_asm_explains_it(tmp_path: Path) -> None:
    test = read(write(tmp_path, "-- asm\nmov %r0, 1\nexit\n-- raw\n0x95\n-- result\n0\n"))
    assert test.text == "mov %r0, 1\nexit\n"
    assert len(test.program()) == 1


def test_an_empty_raw_section_does_not_hide_asm(tmp_path: Path) -> None:
    assert len(read(write(tmp_path, "-- asm\nexit\n-- raw\n\n-- result\n0\n")).program()) == 1


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0x3", 3),
        ("10", 10),
        ("0xFFFFFFFFFFFFFFFF", (1 << 64) - 1),
        ("18446744073709551615", (1 << 64) - 1),
        ("-1", (1 << 64) - 1),
        ("-0x8000000000000000", 1 << 63),
    ],
)
def test_result_is_an_unsigned_64_bit_number(tmp_path: Path, written: str, value: int) -> None:
    assert read(write(tmp_path, f"-- asm\nexit\n-- result\n{written}\n")).result == value


def test_error_instead_of_a_result(tmp_path: Path) -> None:
    test = read(write(tmp_path, "-- asm\nexit\n-- error\nFailed: jump #3 out of bounds\n\n"))
    assert (test.result, test.error) == (None, "Failed: jump #3 out of bounds")


def test_carriage_returns_and_source_sections_are_passed_over(tmp_path: Path) -> None:
    content = FULL.replace("-- mem", "-- c\nint f(char *p) { return p[0] + p[1]; }\n-- mem").replace("\n", "\r\n")
    test = read(write(tmp_path, content))
    assert (test.memory, test.result) == (b"\x01\x02\xff\xaa", 3)
    assert len(test.program()) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no program (a test has a section `-- asm` or `-- raw`)"),
        ("-- asm\nexit\n", "no expectation (a test has a section `-- result` or `-- error`)"),
        ("-- asm\nexit\n-- result\n", "result is 0 numbers, must be one"),
        ("-- asm\nexit\n-- result\n1 2\n", "result is 2 numbers, must be one"),
        ("-- asm\nexit\n-- result\nabc\n", "line 4: 'abc' is not a number of at most 64 bits"),
        ("-- asm\nexit\n-- result\n18446744073709551616\n", "line 4: 18446744073709551616 does not fit 64 bits"),
        (
            "-- asm\nexit\n-- mem\n00\nfff\n-- result\n0\n",
            "line 5: 'fff' is not a byte in hexadecimal, such as 7f or 0x7f",
        ),
        ("-- raw\n0x95\n0x\n-- result\n0\n", "line 3: '0x' is not a number of at most 64 bits"),
        ("-- asm\nexit\n-- asm\nexit\n", "line 3: second section 'asm'"),
        (
            "\n-- memory\n00\n",
            "line 2: unknown section 'memory' (sections are asm, raw, mem, result, error, no register offset, c)",
        ),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(BadInput) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {message}"


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.data: cannot be read: No such file"):
        read(tmp_path / "none.data")
    binary = tmp_path / "binary.data"
    binary.write_bytes(b"\x7fELF\xff\xfe")
    with pytest.raises(BadInput, match=r"binary\.data: is not text"):
        read(binary)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("# one\n-- asm\nmov %r0, 1\nmvo %r0, 1\n-- result\n0\n", BadText, "line 4: unknown instruction 'mvo'"),
        ("-- asm\n\nja +7\nexit\n-- error\nx\n", BadProgram, "line 3, insn 0: ja to 8"),
        ("-- raw\n0xff\n-- error\nx\n", BadProgram, "insn 0: unknown opcode 0xff"),
    ],
)
def test_a_broken_program_names_file_and_line(
    tmp_path: Path, content: str, error: type[CrossbpfError], message: str
) -> None:
    test: SuiteTest = read(write(tmp_path, content))
    with pytest.raises(error) as caught:
        test.program()
    assert str(caught.value).startswith(f"{test.path}: {message}")
