"""docs/pytest.md is true: the files and commands of each section, run as they stand there, print what it shows.

Needs the wheel of this package in the environment named by WHEEL_PYTHON; scripts/wheel-test makes one.
"""

import os
import re
import shlex
from pathlib import Path

import pytest
from test_tracker import on_board

PYTHON = os.environ.get("WHEEL_PYTHON")
PAGE = (Path(__file__).parents[2] / "docs" / "pytest.md").read_text()
INTRODUCTION, *SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)
RECIPES = {section.partition("\n")[0]: section for section in SECTIONS if "```console" in section}


def blocks(text):
    """The kind and the lines of each block, in their order."""
    return [(kind, body.splitlines()) for kind, body in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def write_files(text, folder):
    for kind, lines in blocks(text):
        if kind == "python":
            (folder / lines[0].removeprefix("# ")).write_text("\n".join(lines) + "\n")


def commands(lines):
    """Each command with the lines that follow it."""
    starts = [at for at, line in enumerate(lines) if line.startswith("$ ")]
    return [(lines[start][2:], lines[start + 1 : end]) for start, end in zip(starts, [*starts[1:], len(lines)])]


def pattern(lines):
    """`...` by itself is any number of lines, else any part of one."""
    parts = ["(.*\n)*" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + "\n" for line in lines]
    return re.compile("".join(parts))


def test_the_page_has_five_recipes():
    assert len(RECIPES) == 5


def test_what_is_not_shown_is_missed():
    shown = pattern(["...", "a... z", "..."])
    assert shown.fullmatch("one\nabc z\n") and not shown.fullmatch("one\nabc y\n") and not shown.fullmatch("xa z\n")
    assert not pattern(["a"]).fullmatch("a\nb\n")


@pytest.mark.skipif(PYTHON is None, reason="WHEEL_PYTHON is not set: see scripts/wheel-test")
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_prints_what_the_page_shows(recipe, tmp_path):
    write_files(INTRODUCTION, tmp_path)
    write_files(RECIPES[recipe], tmp_path)
    for kind, lines in blocks(RECIPES[recipe]):
        if kind == "ini":
            (tmp_path / "pytest.ini").write_text("\n".join(lines) + "\n")
        for command, shown in commands(lines) if kind == "console" else []:
            itself = f"{shlex.quote(PYTHON)} -m pytest -p no:cacheprovider"
            called = re.sub(r"^((?:\w+=\w+ )*)pytest ", rf"\g<1>{itself} ", command)
            # Where these are set, pytest's summary has whole messages.
            result = on_board(["env", "-u", "CI", "-u", "BUILD_NUMBER", "bash", "-c", called], tmp_path)
            assert pattern(shown).fullmatch(result.stdout), f"{command}\n{result.stdout}{result.stderr}"
