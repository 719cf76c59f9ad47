"""The one error that users see as a line, not as a traceback."""


class UserError(Exception):
    """The input is wrong. The message is one line: what, where, and how to mend it.

    The command line prints it on stderr and exits with status 2; in Python it is raised as it is.
    """


class Trouble(UserError):
    """Training went wrong and was stopped; the message says what was found, what is kept, and what to try. Status 1."""


def printable(text: str) -> str:
    """The text with its control characters spelt out, so that nothing in a file can pose as a line of ours."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def near_miss(word: str, known: list[str] | tuple[str, ...]) -> str:
    """` Did you mean 'x'?` for the closest of the known words, or an empty string."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
