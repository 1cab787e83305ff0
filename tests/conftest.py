"""What all tests share: golden files and the switch that writes them."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

GOLDENS = Path(__file__).parent / "data" / "goldens"

settings.register_profile("quick", max_examples=25, deadline=None, print_blob=True)
settings.register_profile("deep", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("quick")  # --hypothesis-profile=deep takes its time


def pytest_addoption(parser: pytest.Parser) -> None:
    """--bless: take what the code gives now as right. Read the diff before committing it."""
    parser.addoption("--bless", action="store_true", help="write the golden files instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """A function (name, text) that compares the text with the golden file of that name, or with --bless writes it."""
    bless: bool = request.config.getoption("--bless")

    def compare(name: str, text: str) -> None:
        path = GOLDENS / name
        if bless:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        assert path.exists(), f"no golden file {path}: write it with --bless"
        assert text == path.read_text(encoding="utf-8"), f"{name} has changed: read the diff, then --bless"

    return compare


def pytest_collection_finish() -> None:
    """What collection has made stays: the garbage collector need not walk it again and again."""
    gc.collect()
    gc.freeze()
