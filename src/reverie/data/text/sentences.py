"""Paragraphs as sentences, sentences as words, and back, in English and Chinese.

A sentence ends at . ! ? … before a space and what may begin a sentence, at 。！？ wherever they stand, and at a blank
line; in a text without any of these signs at the end of each line. Words are in lower case, signs of punctuation are
words, and in scripts that set no spaces between words each character is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile

from reverie.data.text.scripts import characters, is_unspaced
from reverie.data.text.tokenizer import GLUE, escape, join, split

PAD, START, END, UNKNOWN = 0, 1, 2, 3
SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")
"""the first words of every vocabulary, by number"""

_CLOSING = "\"'”’）)\\]】」』"
_STOP = re.compile(
    f"(?<=[。！？…])(?<!……)(?![。！？…{_CLOSING}])"  # Chinese, before its closing signs
    f"|(?<=[。！？…][{_CLOSING}])(?![{_CLOSING}])"
    f"|(?<=……)(?![。！？…{_CLOSING}])"
    f"|(?<=[.!?])\\s+(?=[\"'“‘(\\[]*[^\\W_])"
    f"|(?<=[.!?][{_CLOSING}])\\s+(?=[\"'“‘(\\[]*[^\\W_])"
)
"""where a sentence may end"""
_ABBREVIATIONS = frozenset(
    (
        "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "mt", "no", "vs", "fig", "e.g", "i.e", "approx", "ave",
        "inc", "ltd", "co", "gen", "lt", "capt", "sgt", "rev", "hon",
    )
)  # fmt: skip
_LAST_WORD = re.compile(r"(?<![^\s(\"'“‘])([^\W\d_](?:[\w.]*\w)?)\.$")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text as they are written, with single spaces; [] if it is blank.

    >>> split_sentences("A dog runs at 3.5 m/s. Mr. Li throws a ball!")
    ['A dog runs at 3.5 m/s.', 'Mr. Li throws a ball!']
    """
    found: list[str] = []
    text = re.sub("\r\n?", "\n", text)
    for block in re.split(r"\n\s*\n" if re.search("[.!?…。！？]", text) else r"\n", text):
        begins = True
        for piece in filter(None, (" ".join(part.split()) for part in _STOP.split(block))):
            if begins or not _goes_on(found[-1], piece):
                found.append(piece)
            else:
                found[-1] = f"{found[-1]} {piece}"
            begins = False
    return found


def lines_are_sentences(texts: Sequence[str]) -> bool:
    """Whether most of the texts are several lines of which each is a sentence, with a full stop or without, as captions
    are, and no prose or verse whose lines are broken by their length.

    In such prose sentences end within lines, and lines begin with small letters; verse has commas at line ends.
    """
    blocks = [[line.strip() for line in text.splitlines() if line.strip()] for text in texts if text.strip()]
    lines = [line for block in blocks if len(block) > 1 for line in block]
    if not lines or 2 * sum(len(block) > 1 for block in blocks) < len(blocks):
        return False
    within = sum(len(split_sentences(line)) > 1 for line in lines)
    open_ends = sum(line[-1] in ",;:-—，；：、" for line in lines)
    anew = sum(line[0].isupper() or line[0].isdecimal() for line in lines)
    closed = sum(line.rstrip(_CLOSING)[-1:] in tuple(".!?。！？…") for line in lines)
    few, most = 0.1 * len(lines), 0.95 * len(lines)
    return max(within, open_ends) <= few and (anew >= most or closed >= 0.7 * len(lines))


def _goes_on(before: str, after: str) -> bool:
    """Whether a full stop ends an abbreviation or an initial, or small letters follow, rather than a sentence."""
    last = _LAST_WORD.search(before)
    if not last:
        return False
    word, first = last[1], next(filter(str.isalnum, after))
    is_initial = len(word) == 1 and word.isupper() and word != "I"
    return word.lower() in _ABBREVIATIONS or is_initial or ("." in word and first.islower())


def words_of(sentence: str) -> list[str]:
    """The words of a sentence in lower case, with its signs of punctuation.

    >>> words_of("A man's dog."), words_of("一只狗。")
    (['a', "man's", 'dog', '.'], ['一', '只', '狗', '。'])
    """
    return list(_words_of(sentence))


@lru_cache(100_000)
def _words_of(sentence: str) -> tuple[str, ...]:
    found: list[str] = []
    for word in split(sentence, "word"):
        wide = not word.isascii() and is_unspaced(word)
        found += characters(word.lower()) if wide else [word.lower()]
    return tuple(found)


def text_of(words: Sequence[str]) -> str:
    """The sentence of some words: a capital letter first, spaces as print has them, none between Chinese characters.

    >>> text_of(["a", "man's", "dog", "."]), text_of(["一", "只", "狗", "。"])
    ("A man's dog.", '一只狗。')
    """
    spelled, before, inside = [], "", False
    for word in words:
        closes = word == '"' and inside
        glued = closes or (before == '"' and inside) or (_is_wide(before) and _is_wide(word))
        spelled.append(GLUE * glued + escape("I" if word == "i" else word))
        inside, before = inside != (word == '"'), word
    line = join(spelled, "word")
    return line[:1].upper() + line[1:]


def _is_wide(word: str) -> bool:
    """Whether a word is a character of a script without spaces, or a full-width sign."""
    return is_unspaced(word) or (len(word) == 1 and ("\u3000" <= word <= "\u303f" or "\uff00" <= word <= "\uffef"))


def encode(words: Iterable[str], vocabulary: tuple[str, ...]) -> list[int]:
    """The numbers of a sentence's words in a vocabulary that begins with SPECIAL, UNKNOWN for others, and END."""
    return encode_with(words, numbers_of(vocabulary))


def encode_with(words: Iterable[str], numbers: Mapping[str, int]) -> list[int]:
    """`encode` by the numbers of a vocabulary, which takes less time for many sentences."""
    return [*(numbers.get(word, UNKNOWN) for word in words), END]


def decode(ids: Iterable[int], vocabulary: Sequence[str]) -> list[str]:
    """The words of a sentence up to its END; PAD and START are left out."""
    return [vocabulary[i] for i in takewhile(lambda i: i != END, ids) if i not in (PAD, START)]


@lru_cache(8)
def numbers_of(vocabulary: tuple[str, ...]) -> dict[str, int]:
    """Word -> its number, without SPECIAL, which no text can write."""
    return {word: i for i, word in enumerate(vocabulary) if i >= len(SPECIAL)}
