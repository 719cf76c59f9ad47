"""What reaches the terminal: one printable line of an error, no control characters of files, nothing of libraries."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import warnings

import pytest

from reverie.cli.console import SafeStream, quiet_terminal
from reverie.utils.errors import LONGEST_LINE, LONGEST_WORD, one_line


def test_a_message_becomes_one_line() -> None:
    assert one_line("a\n b\t\tc \r\n") == "a b c"
    assert one_line("red \x1b[31m, bell \x07, null \x00") == "red \\x1b[31m, bell \\x07, null \\x00"
    assert one_line("gnp.\u202egpj \u2066") == "gnp.\\u202egpj \\u2066"
    assert one_line("caf\u00e9 \u732b \U0001f600") == "caf\u00e9 \u732b \U0001f600"
    assert one_line("") == ""


def test_long_words_and_lines_are_cut_in_the_middle() -> None:
    word = "begin" + "x" * 5000 + "end"
    assert one_line(word).startswith("begin")
    assert one_line(word).endswith("end")
    assert len(one_line(word)) < LONGEST_WORD + 40
    assert "(5008 characters)" in one_line(f"there is no file {word} there.")
    line = one_line("what " * 1000 + "give another.")
    assert len(line) < LONGEST_LINE + 40
    assert line.endswith("give another.")
    fits = "w" * LONGEST_WORD
    assert one_line(fits) == fits


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext\n", "plain\n\ttext\n"), ("\rstep 3\r", "\rstep 3\r"), ("a\rb", "a\\rb"),
        ("\x1b[2J\x9b", "\\x1b[2J\\x9b"), ("\u202e\u2069\x7f", "\\u202e\\u2069\\x7f"), ("\r", "\r"), ("", ""),
    ],
)  # fmt: skip
def test_control_characters_are_spelt_out(text: str, shown: str) -> None:
    buffer = io.StringIO()
    assert SafeStream(buffer).write(text) == len(text)
    assert buffer.getvalue() == shown


def test_libraries_are_quiet_and_all_is_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    before = (sys.stdout, sys.stderr, list(logging.getLogger().handlers))
    with quiet_terminal():
        warnings.warn("of a library", stacklevel=1)
        logging.getLogger("library").warning("of a library")
        print("\x1b[31mours", file=sys.stderr)
    assert capsys.readouterr().err == "\\x1b[31mours\n"
    assert (sys.stdout, sys.stderr, list(logging.getLogger().handlers)) == before
    with pytest.raises(RuntimeError, match="ours"), quiet_terminal():
        raise RuntimeError("ours")
    assert (sys.stdout, sys.stderr) == before[:2]


@pytest.mark.parametrize(("flags", "shown"), [([], "ours\nafter\n"), (["-W", "default"], "of C\nours\nafter\n")])
def test_code_in_c_is_quiet(flags: list[str], shown: str) -> None:
    """But not for those who gave Python -W, and not outside; what Python prints is never lost."""
    code = (
        "import os, sys\nfrom reverie.cli.console import quiet_terminal\n"
        "with quiet_terminal():\n    os.write(2, b'of C\\n'); print('ours', file=sys.stderr)\nos.write(2, b'after\\n')"
    )
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.replace(os.linesep, "\n") == shown
