"""The one error that users see as a line, not as a traceback, and the words of others."""

import errno

MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""how torch says it, of GPUs and of CPUs, on Windows too: only that of CUDA has a class of its own"""


class UserError(Exception):
    """The input is wrong. The message is one line: what, where, and how to mend it.

    The command line prints it on stderr and exits with status 2; in Python it is raised as it is.
    """


class TrainingFailed(UserError):
    """Training went wrong and was stopped; the message says what was found, what is kept, and what to try. Status 1."""


def shortage(error: BaseException) -> str:
    """What the machine has run out of and how to do with less, or an empty string if the error is another."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk that the output goes to is full; free some space."
    torch_says = isinstance(error, RuntimeError) and any(words in str(error) for words in MEMORY)
    if torch_says or isinstance(error, MemoryError):
        return (
            "there is not enough memory; give a smaller --batch, --size or --width, or close other programs. A run "
            "goes on from its last save with reverie resume."
        )
    return ""


def printable(text: str) -> str:
    """The text with its control characters spelt out, so that nothing in a file can pose as a line of ours."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def near_miss(word: str, known: list[str] | tuple[str, ...]) -> str:
    """` Did you mean 'x'?` for the closest of the known words, or an empty string."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
