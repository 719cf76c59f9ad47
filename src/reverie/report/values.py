"""Values of JSON files and figures as people read them: plain text, which templates escape."""

from __future__ import annotations

from typing import Any

LISTED = 24
"""items of a list that are shown; of the others the count"""


def number(value: float) -> str:
    """A number as people read it: 12,500, 3.142, 0.0021, 0.00002."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if 1e-7 < abs(value) < 1e-4:
        return f"{value:.9f}".rstrip("0")
    return f"{value:.4g}" if abs(value) > 1e-12 else "0"


def plain(value: Any) -> str:
    """A value of a JSON file as people read it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        more = f" and {len(value) - LISTED} more" if len(value) > LISTED else ""
        return ", ".join(plain(item) for item in value[:LISTED]) + more
    if isinstance(value, dict):
        return ", ".join(f"{words(key)} {plain(item)}" for key, item in value.items())
    if isinstance(value, int) and abs(value) >= 1000:
        return f"{value:,}"
    return str(value)


def pairs(value: Any) -> list[tuple[str, Any]]:
    """The entries of an object of a JSON file; none if it is no object."""
    return [(str(key), item) for key, item in value.items()] if isinstance(value, dict) else []


def items(value: Any) -> list[Any]:
    """The items of a list of a JSON file; none if it is no list."""
    return value if isinstance(value, list) else []


def words(name: str) -> str:
    """An identifier as words: "train_loss" -> "train loss"."""
    return name.replace("_", " ").replace("-", " ")


def heading(name: str) -> str:
    """An identifier as a heading: "train_loss" -> "Train loss"."""
    return words(name).capitalize()


def sentence(value: Any) -> str:
    """A value as a sentence with a capital and a full stop; "" for none."""
    text = plain(value).strip() if value else ""
    if text and not text.endswith((".", "!", "?")):
        text += "."
    return text[:1].upper() + text[1:]


def machine(about: dict[str, Any]) -> str:
    """A machine in words, counts with what they count: "Linux, 1 thread"."""

    def part(key: str, value: Any) -> str:
        if key in ("threads", "ranks"):
            return f"{plain(value)} {key[:-1] if value == 1 else key}"
        return plain(value)

    return ", ".join(part(key, value) for key, value in about.items())


def date(value: Any) -> str:
    """A time of a JSON file as a date and a time of day: "2025-01-02 03:04"; "" for none."""
    return str(value or "").replace("T", " ")[:16]
