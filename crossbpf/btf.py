"""`crossbpf btf dump`: the types in an object file, a C file or raw BTF, as bpftool prints them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click

from bpf.errors import CrossbpfError
from bpf.object.btf_c import c_header
from bpf.object.btf_raw import json_records, raw_lines
from crossbpf.inputs import read_types

_FORMATS = ("raw", "c")


@click.group()
def btf() -> None:
    """Types of programs and kernels."""


@btf.command()
@click.argument("words", nargs=-1, metavar="[file] FILE [format raw|c]")
@click.option("-j", "--json", "as_json", is_flag=True, help="Print one JSON record, as bpftool does.")
@click.option("-p", "--pretty", is_flag=True, help="The same, indented.")
def dump(words: Sequence[str], as_json: bool, pretty: bool) -> int:
    """Print the types in FILE: an object file, C or raw BTF; `kernel` is the running kernel's.

    `format raw`, the default, has a line a type; `format c` is a header that compiles to the same types. bpftool's
    spelling (`btf dump file FILE format c`) is accepted.
    """
    file, form = _words(list(words))
    if form == "c" and (as_json or pretty):
        raise click.UsageError("format c has no JSON form")
    try:
        types = read_types(file)
        if form == "c":
            sys.stdout.write(c_header(types))
        elif as_json or pretty:
            click.echo(json.dumps({"types": json_records(types)}, indent=4 if pretty else None))
        else:
            sys.stdout.writelines(f"{line}\n" for line in raw_lines(types))
    except CrossbpfError as error:
        raise error.at(file=file) from None
    return 0


def _words(words: list[str]) -> tuple[str, str]:
    """(file, format) of what stands after `btf dump`."""
    if len(words) >= 2 and words[0] == "file" and words[1] != "format":
        words = words[1:]
    if not words:
        raise click.UsageError("Missing argument 'FILE'.")
    file, *rest = words
    if not rest:
        return file, "raw"
    if len(rest) != 2 or rest[0] != "format":
        raise click.UsageError(f"what is {' '.join(rest)!r}? After the file comes `format raw` or `format c`.")
    if rest[1] not in _FORMATS:
        raise click.UsageError(f"no format {rest[1]!r}; there are {' and '.join(_FORMATS)}.")
    return file, rest[1]
