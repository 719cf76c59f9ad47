"""Scripts that set no spaces between words, what counts as one character, and which tokens a corpus asks for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

SAMPLED = 10_000
"""lines that are looked at to choose a tokenizer, spread evenly over all"""
SHORT_HAN, SHORT_KANA, SHORT_OTHER = 2.6, 4.5, 4.5
"""characters between two spaces, on average over a line, up to which the spaces stand between words: with Chinese
characters, in kana alone, in the other scripts. Phrases and half lines of poems, spaced too, are longer"""

_HAN = "\u2e80-\u2fd5\u3005\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_KANA = "\u3041-\u3096\u309d-\u30ff\u3105-\u312f\u31f0-\u31ff\uff66-\uff9f\U0001b000-\U0001b16f"
_OTHER = (
    "\u0e01-\u0e4e\u0e81-\u0edf\u0f40-\u0fbc\u1000-\u109f\u1780-\u17d3\u1950-\u19df\u1a20-\u1aad\u1b00-\u1b7f"
    "\ua000-\ua48c\ua980-\ua9df\ua9e0-\ua9fe\uaa60-\uaadf\U00012000-\U0001254f\U00013000-\U0001345f"
    "\U00017000-\U00018d08\U0001b170-\U0001b2ff"
)
"""Thai, Lao, Tibetan, Burmese, Khmer, Tai Le and New Tai Lue, Tai Tham, Balinese, Yi, Javanese, extended Burmese and
Tai Viet, cuneiform, hieroglyphs, Tangut and Khitan, Nushu"""
_UNSPACED = re.compile(f"[{_HAN}{_KANA}{_OTHER}]")

_RESERVED = r"<\|?/?[A-Za-z]\w{0,30}\|?>|\[(?:UNK|PAD|CLS|SEP|MASK|BOS|EOS)\]"
"""marks that other programs write into corpora, such as <unk>, </s>, <|endoftext|>, [MASK]: each is one token"""


def reserved_pattern() -> str:
    """A regular expression of marks such as <unk> and </s>."""
    return _RESERVED


@cache
def combining_marks() -> str:
    """What belongs to the character before it, as the inside of a character class: accents, vowels of Hindi and Thai,
    variation selectors, skin tones, tags."""
    marks = "".join(c for c in map(chr, range(0x300, 0x1F000)) if unicodedata.category(c) in ("Mn", "Mc", "Me"))
    return marks + "\U000e0020-\U000e007f\U000e0100-\U000e01ef\U0001f3fb-\U0001f3ff"


def characters(text: str) -> list[str]:
    """The characters of a text as readers count them: a letter with its marks, a flag, a joined emoji; and reserved
    marks, each as one. Spaces are characters too.

    Extended grapheme clusters of Unicode (UAX 29) in short; a consonant written below another (Khmer, Burmese) belongs
    to it.
    """
    several, cluster = _graphemes()
    return cluster.findall(text) if several.search(text) else list(text)


@cache
def _graphemes() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """(what a text holds if not all its characters are of one code point, one character)"""
    extend = f"{combining_marks()}\u200c\u200d\u0e33\u0eb3\u1160-\u11ff\ud7b0-\ud7ff"
    emoji, flags = "\u200d[\u2190-\u2bff\U0001f000-\U0001faff]", "\U0001f1e6-\U0001f1ff"
    return re.compile(f"[<\\[{flags}{extend}]"), re.compile(
        f"{_RESERVED}|[{flags}]{{2}}|\\s|\\S(?:{emoji}|[{extend}]|(?<=[\u17d2\u1039])[^\\W\\d])*"
    )


def is_unspaced(text: str) -> bool:
    """Whether most letters of a text are of scripts that set no spaces between words."""
    letters = sum(map(str.isalpha, text))
    return letters > 0 and 2 * sum(map(str.isalpha, _UNSPACED.findall(text))) > letters


def has_spaced_words(line: str) -> bool:
    """Whether the spaces in a line of such a script stand between nearly all words, or between characters."""
    chunks = [chunk for chunk in line.split() if any(map(str.isalnum, chunk))]
    if len(chunks) < 2:
        return False
    kinds = ((_HAN, SHORT_HAN), (_KANA, SHORT_KANA))
    short = next((limit for letters, limit in kinds if re.search(f"[{letters}]", line)), SHORT_OTHER)
    return sum(len(characters(chunk)) for chunk in chunks) <= short * len(chunks)


def detect_kind(lines: Sequence[str]) -> str:
    """The tokenizer that most lines ask for: "character" where the script sets no spaces between words (Chinese,
    Japanese, Thai, Khmer, Lao, Burmese, Tibetan ...) and the line has none either, else "word"."""
    votes = {"character": 0, "word": 0}
    for line in lines[:: max(1, len(lines) // SAMPLED)]:
        if any(map(str.isalpha, line)):
            votes["character" if is_unspaced(line) and not has_spaced_words(line) else "word"] += 1
    if votes["character"] == votes["word"]:
        whole = "".join(lines[:SAMPLED])
        return "character" if votes["word"] and is_unspaced(whole) else "word"
    return max(votes, key=lambda kind: votes[kind])
