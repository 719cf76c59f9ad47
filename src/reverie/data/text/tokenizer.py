"""Lines of text as tokens, and back: by word, by character, or by pieces of words that were learnt.

A tokenizer is its kind and its words, nothing more, so that a run that keeps them can write and read without any other
file. The words are in the order of how often they come; the first two are no words of the text.
"""

from __future__ import annotations

import io
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from reverie.utils.errors import UserError

KINDS = ("word", "character", "subword")
END, UNKNOWN = 0, 1
MARKS = ("<end>", "<unk>")
"""what words 0 and 1 stand for: the end of a line (and what comes before its first word), and any word not kept"""
SPACE = "\u2581"
"""a space, as sentencepiece writes it: a token of spaces would not outlive a list of words in a command line"""

_CLOSING = frozenset(".,;:!?%)]}…") | frozenset("。，、；：！？）】》」』”’")
_OPENING = frozenset("([{$£€#") | frozenset("（【《「『“‘¿¡")
_QUOTES = frozenset("\"'")
"""signs that open and close alike"""
_CJK = ("CJK", "HIRAGANA", "KATAKANA")


class Tokenizer:
    """Turns lines into numbers of words and back. words: MARKS, then those that are kept."""

    def __init__(self, kind: str, words: Sequence[str]) -> None:
        self.kind, self.words = kind, tuple(words)
        self.number = {word: i for i, word in enumerate(self.words)}
        self._pieces_held = frozenset(self.words[len(MARKS) :])  # a text may hold the marks themselves
        self._longest = max(map(len, self._pieces_held), default=1)

    def split(self, line: str) -> list[str]:
        """The tokens of a line, known or not."""
        return self._pieces(line) if self.kind == "subword" else split(line, self.kind)

    def encode(self, line: str) -> list[int]:
        """The numbers of a line's tokens; UNKNOWN for those that are no words of this tokenizer."""
        return [self.number.get(token, UNKNOWN) for token in self.split(line)]

    def decode(self, numbers: Iterable[int]) -> str:
        """The line that numbers stand for, up to the first END."""
        return join([self.words[n] for n in itertools.takewhile(lambda n: n != END, numbers)], self.kind)

    def _pieces(self, line: str) -> list[str]:
        """The longest pieces there are, from the left. (sentencepiece undoes its merges in the order of learning,
        which needs its model; here the pieces are enough, and few lines are cut otherwise.)"""
        text, found, at = SPACE + line.replace(" ", SPACE), list[str](), 0
        while at < len(text):
            end = min(len(text), at + self._longest)
            while end > at + 1 and text[at:end] not in self._pieces_held:
                end -= 1
            found.append(text[at:end])
            at = end
        return found


def split(line: str, kind: str) -> list[str]:
    """The words or the characters of a line."""
    if kind == "character":
        return [SPACE if character == " " else character for character in line]
    return _words().findall(line)


@cache
def _words() -> re.Pattern[str]:
    """A word, or any other sign; each with the marks that belong to it, such as vowels of Hindi and Thai, of which `re`
    does not know that they are no signs of their own. The words it's, red-hot, and/or, 2:56, 1,000.5 and u.s are one
    each, and so is an address of a page or of somebody's mail, and a name behind an @."""
    joiners = "\u200c\u200d"  # within words of Persian and Hindi; between the parts of an emoji
    marks = "".join(c for c in map(chr, range(0x300, 0x1F000)) if unicodedata.category(c) in ("Mn", "Mc"))
    marks += "\U000e0100-\U000e01ef\U0001f3fb-\U0001f3ff"  # variants, and colours of skin
    letters = f"\\w[\\w{marks}{joiners}]*"
    within = r"['’\-/]|(?<=\d)[.,:](?=\d)|(?<=\b[^\W\d])\.(?=[^\W\d]\b)"
    sign = f"[^\\w\\s][{marks}]*"
    address = r"\w+://[^\s<>]*[\w/]|\w[\w.+\-]{0,63}@\w[\w\-]*(?:\.\w[\w\-]*)+|@\w+"
    return re.compile(f"{address}|{letters}(?:(?:{within}){letters})*|{sign}(?:\u200d{sign})*")


def join(tokens: Sequence[str], kind: str) -> str:
    """The line that tokens came from, but for spaces around punctuation, which follow the rules of print."""
    if kind != "word":
        return "".join(tokens).replace(SPACE, " ").strip()
    line, glue, counts = "", True, Counter(tokens)
    paired = {quote for quote in _QUOTES if counts[quote] % 2 == 0}  # else nothing tells which of them opens
    opened = set[str]()
    for token in tokens:
        closes = token in _CLOSING or token in opened
        line += token if glue or closes else f" {token}"
        if token in paired:
            opened ^= {token}
        glue = token in _OPENING or (token in paired and not closes)
    return line


def learn(lines: Sequence[str], kind: str, most: int, place: str) -> Tokenizer:
    """The tokenizer whose words are the `most` commonest tokens of the lines; place: where the lines are from."""
    if kind == "subword":
        return Tokenizer(kind, (*MARKS, *_learn_pieces(lines, most, place)))
    counts = Counter(token for line in lines for token in split(line, kind))
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))  # ties in an order that is the same anywhere
    return Tokenizer(kind, (*MARKS, *(word for word, _ in ranked if word not in MARKS))[: most + len(MARKS)])


def _learn_pieces(lines: Sequence[str], most: int, place: str) -> list[str]:
    """At most so many pieces of words, byte-pair encoded (Sennrich 2015, arXiv:1508.07909)."""
    try:
        import sentencepiece
    except ImportError:
        raise UserError("--tokens subword needs the package sentencepiece: pip install 'reverie[text]'.") from None
    held = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=held, model_type="bpe", vocab_size=most + len(MARKS),
            normalization_rule_name="identity", character_coverage=1.0, hard_vocab_limit=False, num_threads=1,
            unk_id=UNKNOWN, eos_id=END, bos_id=-1, eos_piece=MARKS[END], unk_piece=MARKS[UNKNOWN], minloglevel=3,
        )  # fmt: skip
    except (RuntimeError, OSError) as error:
        reason = str(error).rpartition("] ")[2].strip() or str(error)
        raise UserError(
            f"no subwords can be learnt from {place} ({reason[:120]}); give another --vocabulary, or --tokens word."
        ) from None
    model = sentencepiece.SentencePieceProcessor(model_proto=held.getvalue())
    return [model.id_to_piece(i) for i in range(len(MARKS), model.get_piece_size())]


def natural_kind(lines: Iterable[str]) -> str:
    """ "character" where most letters are Chinese or Japanese, which set no spaces between words; else "word"."""
    letters = Counter(character for line in lines for character in line if character.isalpha())
    cjk = sum(n for character, n in letters.items() if unicodedata.name(character, "").startswith(_CJK))
    return "character" if 2 * cjk > sum(letters.values()) else "word"
