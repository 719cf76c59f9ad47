"""Lines of text as tokens, and back: by word, by character, or by subwords that were learnt from the data.

A tokenizer is its kind and its vocabulary, nothing more, so that a run that keeps both can encode and decode without
any other file. The vocabulary is in order of frequency; its first two entries are special tokens.
"""

from __future__ import annotations

import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

from reverie.data.text.scripts import characters, combining_marks, reserved_pattern
from reverie.utils.errors import UserError

KINDS = ("word", "character", "subword")
END, UNKNOWN = 0, 1
SPECIAL = ("<end>", "<unk>")
"""tokens 0 and 1: the end of a line (and the input before its first token), and any word outside the vocabulary"""
SPACE, GLUE, ESCAPE = "\u2581", "\uffed", "\\"
"""marks inside tokens: a space, as sentencepiece writes it; no space, as OpenNMT's tokenizer writes it; and what stands
before any of the three where the text itself holds it, and before the names of SPECIAL"""

_CLOSING = frozenset(".,;:!?%)]}…") | frozenset("。，、；：！？）】》」』”’")
_OPENING = frozenset("([{$£€#") | frozenset("（【《「『“‘¿¡")
"""signs of punctuation that by the rules of print have no space before them, or after them. Others, such as quotes,
which open and close, say with marks which of the two they do in a line"""


class Tokenizer:
    """Turns lines into tokens (indices into the vocabulary) and back.

    `decode(encode(line))` is the line (composed to NFC, with single spaces), where all its tokens are known.

    kind: "word", "character" or "subword"; vocab: SPECIAL, then the words that are known, as `split` spells them
    """

    def __init__(self, kind: str, vocab: Sequence[str]) -> None:
        self.kind, self.vocab = kind, tuple(vocab)
        self.token_of = {word: token for token, word in enumerate(self.vocab)}
        self._pieces = frozenset(self.vocab[len(SPECIAL) :])
        self._longest = max(map(len, self._pieces), default=1)
        self._by_word: dict[str, int] = {}  # the commonest token of a word, however it is spaced
        if kind == "word":
            for token, word in enumerate(self.vocab[len(SPECIAL) :], len(SPECIAL)):
                self._by_word.setdefault(parse(word).text, token)

    def split(self, line: str) -> list[str]:
        """The words, characters or subwords of a line, known or not, as a vocabulary spells them."""
        if self.kind == "subword":
            return self._split_subwords(line)
        if self.kind == "word":
            return spell_words(line)
        return [SPACE if character == " " else escape(character) for character in split(line, "character")]

    def encode(self, line: str) -> list[int]:
        """The tokens of a line; UNKNOWN for what is outside the vocabulary. A sign of punctuation that is known only
        with other spaces around it is taken for that."""
        return [self._token(word) for word in self.split(line)]

    def unknown(self, line: str) -> list[str]:
        """The words of a line that are outside the vocabulary."""
        return [parse(word).text for word in self.split(line) if self._token(word) == UNKNOWN]

    def _token(self, word: str) -> int:
        token = self.token_of.get(word)
        if token is None and self.kind == "word":
            token = self._by_word.get(parse(word).text)
        return UNKNOWN if token is None else token

    def decode(self, tokens: Iterable[int]) -> str:
        """The line of some tokens, up to the first END."""
        return join([self.vocab[token] for token in itertools.takewhile(lambda t: t != END, tokens)], self.kind)

    def _split_subwords(self, line: str) -> list[str]:
        """The longest known subword at each place, from the left. (sentencepiece applies its merges in the order of
        learning, which needs its model; here the vocabulary is enough, and few lines are split otherwise.)"""
        found = list[str]()
        for segment in _segments(f" {line}"):
            if _MARK.fullmatch(segment):
                found.append(escape(segment))
                continue
            text, at = segment.replace(" ", SPACE), 0
            while at < len(text):
                end = min(len(text), at + self._longest)
                while end > at + 1 and text[at:end] not in self._pieces:
                    end -= 1
                found.append(text[at:end])
                at = end
        return found


_MARK = re.compile(f"{reserved_pattern()}|[{SPACE}{GLUE}\\\\]")
"""what is one token in a line that is split into subwords: a reserved mark, or one of ours"""


def _segments(line: str) -> list[str]:
    """The reserved marks of a line, and what stands between them, in order."""
    return [segment for segment in re.split(f"({_MARK.pattern})", line) if segment]


@lru_cache(100_000)
def escape(word: str) -> str:
    """A word as a vocabulary spells it: with a backslash before our marks, and before the names of special tokens."""
    return ESCAPE + word if word in SPECIAL else re.sub(f"[{SPACE}{GLUE}\\\\]", r"\\\g<0>", word)


def unescape(spelled: str) -> str:
    """The text of characters or subwords as a vocabulary spells them, with spaces for SPACE."""
    return re.sub(f"\\\\(.)|{SPACE}", lambda found: found[1] or " ", spelled, flags=re.DOTALL)


class Spaced(NamedTuple):
    """A word or a sign, and whether a space may stand on either side of it; a space needs the consent of both."""

    text: str
    left: bool
    right: bool


@lru_cache(100_000)
def parse(spelled: str) -> Spaced:
    """The word that a vocabulary spells so; a mark before it or after it is stronger than the rules of print."""
    before = spelled[:1] if spelled[:1] in (SPACE, GLUE) and len(spelled) > 1 else ""
    found = re.search(f"(?<!\\\\)(?:\\\\\\\\)*([{SPACE}{GLUE}])$", spelled[len(before) :])
    after = found[1] if found and len(spelled) > len(before) + 1 else ""
    text = unescape(spelled[len(before) : len(spelled) - len(after)])
    return Spaced(
        text,
        before == SPACE if before else text not in _CLOSING,
        after == SPACE if after else text not in _OPENING,
    )


def spell_words(line: str) -> list[str]:
    """The words and signs of a line, with marks where its spaces are not those that the rules of print set.

    >>> spell_words("the dogs' (old) bed")
    ['the', 'dogs', "￭'", '(', 'old', ')', 'bed']
    """
    found = list(_words().finditer(line))
    words = [match.group() for match in found]
    before, after = [""] * len(words), [""] * len(words)
    for i, (a, b) in enumerate(pairwise(found)):
        one, two = words[i], words[i + 1]
        if b.start() > a.end():
            after[i] = SPACE if one in _OPENING else after[i]
            before[i + 1] = SPACE if two in _CLOSING else ""
        elif one not in _OPENING and two not in _CLOSING:
            # No space, though the rules set one: it is the sign, not the word, that says so.
            if _is_sign(two) and not (two in _OPENING and _is_sign(one)):
                before[i + 1] = GLUE
            elif _is_sign(one):
                after[i] = GLUE
            else:
                before[i + 1] = GLUE
    return [f"{b}{escape(word)}{a}" for b, word, a in zip(before, words, after, strict=True)]


def _is_sign(word: str) -> bool:
    return not any(map(str.isalnum, word))


def split(line: str, kind: str) -> list[str]:
    """The words (with signs of punctuation) or the characters of a line, as they stand in it.

    kind: "word" or "character"
    """
    return characters(line) if kind == "character" else _words().findall(line)


@cache
def _words() -> re.Pattern[str]:
    """A word or any other sign, with its combining marks, such as the vowels of Hindi and Thai, which `re` takes for
    signs of their own. it's, red-hot, and/or, 2:56, 1,000.5 and u.s are one word each, and so are URLs, e-mail
    addresses, names after an @, and reserved marks such as <unk>."""
    joiners = "\u200c\u200d"  # within words of Persian and Hindi; between the parts of an emoji
    marks = combining_marks()
    word = f"\\w[\\w{marks}{joiners}]*"
    within = r"['’\-/]|(?<=\d)[.,:](?=\d)|(?<=\b[^\W\d])\.(?=[^\W\d]\b)"
    sign = f"[^\\w\\s][{marks}]*"
    address = r"\w+://[^\s<>]*[\w/]|\w[\w.+\-]{0,63}@\w[\w\-]*(?:\.\w[\w\-]*)+|@\w+"
    return re.compile(f"{reserved_pattern()}|{address}|{word}(?:(?:{within}){word})*|{sign}(?:\u200d{sign})*")


def join(tokens: Sequence[str], kind: str) -> str:
    """The line of some tokens as a vocabulary spells them; spaces around words follow the rules of print and marks."""
    if kind != "word":
        return unescape("".join(tokens)).strip()
    line, space = "", False
    for word in map(parse, tokens):
        line += f" {word.text}" if space and word.left else word.text
        space = word.right
    return line


def fit_tokenizer(lines: Sequence[str], kind: str, vocab_size: int, source: str) -> Tokenizer:
    """The tokenizer of the `vocab_size` most frequent words of the lines, beside SPECIAL.

    source: where the lines are from, for messages. Raises UserError if no subwords can be learnt.
    """
    if kind == "subword":
        return Tokenizer(kind, (*SPECIAL, *_fit_subwords(lines, vocab_size, source)))
    counts = Counter(word for line in lines for word in Tokenizer(kind, SPECIAL).split(line))
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))  # ties in an order that is the same anywhere
    vocab = [*SPECIAL, *(word for word, _ in ranked)]
    return Tokenizer(kind, vocab[: vocab_size + len(SPECIAL)])


def _fit_subwords(lines: Sequence[str], vocab_size: int, source: str) -> list[str]:
    """At most `vocab_size` subwords by byte-pair encoding (Sennrich 2015, arXiv:1508.07909). Raises UserError."""
    try:
        import sentencepiece
    except ImportError:
        raise UserError("--tokenizer subword needs the package sentencepiece: pip install 'reverie[text]'.") from None
    segments = [segment for line in lines for segment in _segments(line)]
    counts = Counter(segment for segment in segments if _MARK.fullmatch(segment))
    marks = sorted(counts, key=lambda mark: (-counts[mark], mark))[: vocab_size // 4]
    plain = [segment for segment in segments if segment not in counts]
    model_file = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(plain), model_writer=model_file, model_type="bpe",
            vocab_size=vocab_size + len(SPECIAL) - len(marks), normalization_rule_name="identity",
            character_coverage=1.0, hard_vocab_limit=False, num_threads=1, unk_id=UNKNOWN, eos_id=END, bos_id=-1,
            eos_piece=SPECIAL[END], unk_piece=SPECIAL[UNKNOWN], minloglevel=3,
        )  # fmt: skip
    except (RuntimeError, OSError) as error:
        reason = str(error).rpartition("] ")[2].strip() or str(error)
        raise UserError(
            f"no subwords can be learnt from {source} ({reason[:120]}); give another --vocab-size, or --tokenizer word."
        ) from None
    model = sentencepiece.SentencePieceProcessor(model_proto=model_file.getvalue())
    pieces = [model.id_to_piece(i) for i in range(len(SPECIAL), model.get_piece_size())]
    return [*pieces, *map(escape, marks)]
