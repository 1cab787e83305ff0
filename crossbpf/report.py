"""Reports of conformance runs that other programs read: JUnit XML, and a page of HTML that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from xml.etree import ElementTree

from bpf.errors import BadInput

STATUSES = ("passed", "failed", "refused", "undecided")


@dataclass(frozen=True, slots=True)
class Entry:
    """One test on one engine. row: the line of the matrix that it counts for. evaluations: how much it covers."""

    row: str
    name: str
    engine: str
    status: str
    message: str = ""
    evaluations: int = 1


Matrix = dict[str, dict[str, Counter[str]]]
"""Row -> engine -> how many entries have each status, and "evaluations"."""


def matrix(entries: Iterable[Entry]) -> Matrix:
    """The entries counted, rows and engines in order of their first one."""
    found: Matrix = {}
    for entry in entries:
        cell = found.setdefault(entry.row, {}).setdefault(entry.engine, Counter())
        cell[entry.status] += 1
        cell["evaluations"] += entry.evaluations
    return found


def verdict(cell: Counter[str] | None) -> str:
    """A cell in a word: ok, "3 FAILED", refused, "?" for undecided, "-" for nothing to run."""
    if not cell:
        return "-"
    if cell["failed"]:
        return f"{cell['failed']} FAILED"
    if cell["passed"]:
        return "ok"
    return "refused" if cell["refused"] else "?"


def write_junit(file: str, title: str, entries: Sequence[Entry]) -> None:
    """A JUnit report: a suite per engine, a case per entry. Raises BadInput when it cannot be written."""
    root = ElementTree.Element("testsuites", name=title)
    for name in dict.fromkeys(entry.engine for entry in entries):
        mine = [entry for entry in entries if entry.engine == name]
        totals = Counter(entry.status for entry in mine)
        suite = ElementTree.SubElement(
            root, "testsuite", name=name, tests=str(len(mine)), failures=str(totals["failed"]), errors="0",
            skipped=str(totals["undecided"] + totals["refused"]),
        )  # fmt: skip
        for entry in mine:
            case = ElementTree.SubElement(suite, "testcase", classname=name, name=entry.name)
            if entry.status != "passed":
                tag = "failure" if entry.status == "failed" else "skipped"
                ElementTree.SubElement(case, tag, message=f"{entry.status}: {entry.message}")
    try:
        ElementTree.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", file=file) from None


_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff; }
table { border-collapse: collapse; } th, td { padding: .15em .8em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; font-family: ui-monospace, monospace; }
thead th { position: sticky; top: 0; background: #fff; border-bottom: 2px solid #888; }
.ok { background: #e5f5e5; } .failed { background: #f6c9c9; font-weight: bold; } .refused { background: #f7efd2; }
.undecided { background: #ececec; } li { margin: .4em 0; font-family: ui-monospace, monospace; font-size: 12px; }
@media (prefers-color-scheme: dark) {
  body, thead th { background: #161616; color: #ddd; } th, td { border-color: #333; }
  .ok { background: #14351a; } .failed { background: #6b1f1f; }
  .refused { background: #4a4011; } .undecided { background: #333; }
}
"""


def _class(cell: Counter[str] | None) -> str:
    word = verdict(cell)
    return {"ok": "ok", "refused": "refused", "?": "undecided", "-": ""}.get(word, "failed")


def write_html(file: str, title: str, summary: str, entries: Sequence[Entry]) -> None:
    """The matrix as a page, with what has not passed below. Raises BadInput when it cannot be written."""
    found = matrix(entries)
    engines = list(dict.fromkeys(entry.engine for entry in entries))
    head = "".join(f"<th>{escape(name)}</th>" for name in ("instruction", "evaluations", *engines))
    lines = []
    for row, cells in found.items():
        evaluations = max(cell["evaluations"] for cell in cells.values())
        marks = "".join(
            f'<td class="{_class(cells.get(name))}" title="{escape(_counts(cells.get(name)))}">'
            f"{escape(verdict(cells.get(name)))}</td>"
            for name in engines
        )
        lines.append(f"<tr><td>{escape(row)}</td><td>{evaluations:,}</td>{marks}</tr>")
    rest = "".join(
        f"<li>{escape(entry.status)}: {escape(entry.name)} on {escape(entry.engine)}: {escape(entry.message)}</li>"
        for status in STATUSES[1:]
        for entry in entries
        if entry.status == status
    )
    page = (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(summary)}</p>\n<table><thead><tr>{head}</tr></thead><tbody>\n"
        + "\n".join(lines)
        + "\n</tbody></table>\n"
        + (f"<h2>What has not passed</h2>\n<ul>{rest}</ul>\n" if rest else "")
        + "</html>\n"
    )
    try:
        Path(file).write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", file=file) from None


def _counts(cell: Counter[str] | None) -> str:
    if not cell:
        return "nothing to run"
    return ", ".join(f"{cell[status]} {status}" for status in STATUSES if cell[status])
