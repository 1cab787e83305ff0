"""Every way to write an instruction that is read, and every line that is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpf.errors import BadText
from bpf.isa import ROWS, Kind, Row
from bpf.text import assemble, format_insn
from bpf.text.grammar import FORMS, find
from bpf.text.spellings import mnemonics, texts

DATA = Path(__file__).parents[2] / "data" / "text"
# Around a line: somewhere to jump to, and an exit on both sides, so that it or the label may start a function.
BEFORE, AFTER = "r9 = 0\nr9 = 0\nexit\n", "\nexit\nnear: exit\n" + "exit\n" * 5


def table(name: str) -> list[tuple[str, str]]:
    """The pairs of a data file of lines `left => right`."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split(" => ") for line in lines if line and not line.startswith("#")]
    return [(left, right) for left, right in pairs]


def around(line: str) -> str:
    """A program with a line in its middle, at slot 3 and line 4."""
    return f"{BEFORE}{line}{AFTER}"


@pytest.mark.parametrize(("written", "printed"), table("spellings.txt"))
def test_spelling(written: str, printed: str) -> None:
    insn = assemble(around(written)).insns[3]
    assert insn is not None
    assert format_insn(insn) == printed
    again = assemble(around(printed)).insns[3]
    assert again == insn


@pytest.mark.parametrize(("line", "message"), table("errors.txt"))
def test_refused(line: str, message: str) -> None:
    with pytest.raises(BadText) as caught:
        assemble(around(line), file="some.s")
    assert str(caught.value) == f"some.s: line 4: {message}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_template_of_a_row_is_read_as_that_row(row: Row) -> None:
    for template in [*texts(row), *mnemonics(row)]:
        text = template.format(dst=1, src=2, off="+ 8", imm=5, negative=-5, lo=5, hi=7, target="+3", label="label")
        form, _ = find(text)
        assert form is not None and form.row is row, text


def test_every_row_but_symbols_has_a_mnemonic_or_reads_alike_in_both_forms() -> None:
    without = {row.name for row in ROWS if not list(mnemonics(row))}
    wide = {row.name for row in ROWS if row.name.startswith("lddw_") and row.name != "lddw_imm"}
    ordered = {row.name for row in ROWS if row.ordered}
    packet = {row.name for row in ROWS if row.kind is Kind.PACKET}
    alike = {"call_helper", "call_kfunc", "call_local", "callx", "exit", "may_goto", "addr_space_cast"}
    assert without == wide | ordered | packet | alike


def test_every_row_has_a_form() -> None:
    assert {form.row.name for form in FORMS.values()} == {row.name for row in ROWS}
