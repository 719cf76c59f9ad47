"""The one error that users see as a line, not as a traceback, and messages of others."""

import errno
import os

MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""torch's messages, of GPUs and of CPUs, on Windows too: only CUDA's error has a class of its own"""
LONGEST_WORD, LONGEST_LINE = 200, 480
"""characters of one word, such as a path, and of a whole message that are shown"""


class UserError(Exception):
    """The input is wrong. The message is one line: what, where, and how to correct it.

    The command line prints it on stderr and exits with status 2; in Python it is raised as it is.
    """


class TrainingFailed(UserError):
    """The monitor stopped a run; the message says what it found, what is kept, and what to try. Exit status 1."""


class NoScores(UserError):
    """What is evaluated has none of the scores that were asked for."""


def shortage(error: BaseException) -> str:
    """A message if the error says that disk or memory is full, with what to do about it; otherwise ""."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk that the output goes to is full; free some space."
    torch_says = isinstance(error, RuntimeError) and any(words in str(error) for words in MEMORY)
    if torch_says or isinstance(error, MemoryError):
        return (
            "there is not enough memory; give a smaller --batch-size, --size or --base-channels, or close other "
            "programs. A run goes on from its last checkpoint with reverie resume."
        )
    return ""


def bad_place(error: BaseException) -> str:
    """A message if the error says that a path cannot be used: too long, forbidden, with a null byte; otherwise ""."""
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else "a file"
        return f"{name} cannot be used ({error.strerror}); check the path and its permissions."
    if isinstance(error, ValueError) and "null" in str(error) and ("byte" in str(error) or "character" in str(error)):
        return "a path holds a null character; give another."
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        return f"'{printable(error.object[:80])}' holds characters that no file or name can have; give another."
    if isinstance(error, RecursionError):
        return "a file is nested too deeply to be read; restore it from a copy."
    return ""


def one_line(message: str) -> str:
    """A message as one printable line: words of more than LONGEST_WORD and lines of more than LONGEST_LINE characters
    are cut in the middle."""
    words = (_cut(word, LONGEST_WORD) for word in message.split())
    return _cut(printable(" ".join(words)), LONGEST_LINE)


def _cut(text: str, most: int) -> str:
    half = most // 2
    return text if len(text) <= most else f"{text[:half]}... ({len(text)} characters) ...{text[-half:]}"


def printable(text: str) -> str:
    """The text with its control characters spelt out, so that no file can imitate a line of our output."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def near_miss(word: str, known: list[str] | tuple[str, ...]) -> str:
    """ " Did you mean 'x'?" for the known word that is closest to a mistyped one; "" if none is close."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
