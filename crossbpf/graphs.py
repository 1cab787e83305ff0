"""Graphs as files: SVG where graphviz's `dot` is there, else its input."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bpf.errors import BadInput
from verifier import Options, Rejection, Subject
from verifier.graph import dot


def draw(subject: Subject, options: Options, name: str, file: Path) -> Path:
    """Write the control-flow graph of a program; where it was written. Raises BadInput."""
    if file.is_dir():
        raise BadInput("is a directory", file=str(file), remedy="name a file in it")
    try:
        text, _ = dot(subject, options, name)
    except Rejection as refused:
        raise BadInput(f"{name} has no graph: {refused.message}", file=str(file)) from None
    program = shutil.which("dot")
    try:
        if program is None or file.suffix == ".dot":
            file = file.with_suffix(".dot")
            file.write_text(text, "utf-8")
        else:
            done = subprocess.run(  # noqa: S603  the user's own graphviz
                [program, "-Tsvg"], input=text.encode(), capture_output=True, check=False
            )
            if done.returncode:
                raise BadInput(f"dot: {done.stderr.decode(errors='replace').strip()}", file=str(file))
            file.write_bytes(done.stdout)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", file=str(file)) from None
    return file
