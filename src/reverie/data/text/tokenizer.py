"""Lines of text as tokens, and back: by word, by character, or by subwords that were learnt from the data.

A tokenizer is its kind and its vocabulary, nothing more, so that a run that keeps both can encode and decode without
any other file. The vocabulary is in order of frequency; its first two entries are special tokens.
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
SPECIAL = ("<end>", "<unk>")
"""tokens 0 and 1: the end of a line (and the input before its first token), and any word outside the vocabulary"""
SPACE = "\u2581"
"""a space, as sentencepiece writes it: a token of white space would be lost in a list on the command line"""

_CLOSING = frozenset(".,;:!?%)]}…") | frozenset("。，、；：！？）】》」』”’")
_OPENING = frozenset("([{$£€#") | frozenset("（【《「『“‘¿¡")
_QUOTES = frozenset("\"'")
"""the same character opens and closes"""
_CJK = ("CJK", "HIRAGANA", "KATAKANA")


class Tokenizer:
    """Turns lines into tokens (indices into the vocabulary) and back.

    kind: "word", "character" or "subword"; vocab: SPECIAL, then the words that are known
    """

    def __init__(self, kind: str, vocab: Sequence[str]) -> None:
        self.kind, self.vocab = kind, tuple(vocab)
        self.token_of = {word: token for token, word in enumerate(self.vocab)}
        self._pieces = frozenset(self.vocab[len(SPECIAL) :])  # a text may contain the names of special tokens itself
        self._longest = max(map(len, self._pieces), default=1)

    def split(self, line: str) -> list[str]:
        """The words, characters or subwords of a line, known or not."""
        return self._split_subwords(line) if self.kind == "subword" else split(line, self.kind)

    def encode(self, line: str) -> list[int]:
        """The tokens of a line; UNKNOWN for what is outside the vocabulary."""
        return [self.token_of.get(word, UNKNOWN) for word in self.split(line)]

    def decode(self, tokens: Iterable[int]) -> str:
        """The line of some tokens, up to the first END."""
        return join([self.vocab[token] for token in itertools.takewhile(lambda t: t != END, tokens)], self.kind)

    def _split_subwords(self, line: str) -> list[str]:
        """The longest known subword at each place, from the left. (sentencepiece applies its merges in the order of
        learning, which needs its model; here the vocabulary is enough, and few lines are split otherwise.)"""
        text, pieces, at = SPACE + line.replace(" ", SPACE), list[str](), 0
        while at < len(text):
            end = min(len(text), at + self._longest)
            while end > at + 1 and text[at:end] not in self._pieces:
                end -= 1
            pieces.append(text[at:end])
            at = end
        return pieces


def split(line: str, kind: str) -> list[str]:
    """The words (with signs of punctuation) or the characters of a line; kind: "word" or "character"."""
    if kind == "character":
        return [SPACE if character == " " else character for character in line]
    return _words().findall(line)


@cache
def _words() -> re.Pattern[str]:
    """A word or any other sign, with its combining marks, such as the vowels of Hindi and Thai, which `re` takes for
    signs of their own. it's, red-hot, and/or, 2:56, 1,000.5 and u.s are one word each, and so are URLs, e-mail
    addresses and names after an @."""
    joiners = "\u200c\u200d"  # within words of Persian and Hindi; between the parts of an emoji
    marks = "".join(c for c in map(chr, range(0x300, 0x1F000)) if unicodedata.category(c) in ("Mn", "Mc"))
    marks += "\U000e0100-\U000e01ef\U0001f3fb-\U0001f3ff"  # variation selectors, and skin tones
    word = f"\\w[\\w{marks}{joiners}]*"
    within = r"['’\-/]|(?<=\d)[.,:](?=\d)|(?<=\b[^\W\d])\.(?=[^\W\d]\b)"
    sign = f"[^\\w\\s][{marks}]*"
    address = r"\w+://[^\s<>]*[\w/]|\w[\w.+\-]{0,63}@\w[\w\-]*(?:\.\w[\w\-]*)+|@\w+"
    return re.compile(f"{address}|{word}(?:(?:{within}){word})*|{sign}(?:\u200d{sign})*")


def join(tokens: Sequence[str], kind: str) -> str:
    """The line of some words or characters (or subwords); spaces around punctuation follow the rules of print."""
    if kind != "word":
        return "".join(tokens).replace(SPACE, " ").strip()
    line, glue, counts = "", True, Counter(tokens)
    paired = {quote for quote in _QUOTES if counts[quote] % 2 == 0}  # else it is unknown which of them opens
    opened = set[str]()
    for token in tokens:
        closes = token in _CLOSING or token in opened
        line += token if glue or closes else f" {token}"
        if token in paired:
            opened ^= {token}
        glue = token in _OPENING or (token in paired and not closes)
    return line


def fit_tokenizer(lines: Sequence[str], kind: str, vocab_size: int, source: str) -> Tokenizer:
    """The tokenizer of the `vocab_size` most frequent words of the lines, beside SPECIAL.

    source: where the lines are from, for messages. Raises UserError if no subwords can be learnt.
    """
    if kind == "subword":
        return Tokenizer(kind, (*SPECIAL, *_fit_subwords(lines, vocab_size, source)))
    counts = Counter(word for line in lines for word in split(line, kind))
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))  # ties in an order that is the same anywhere
    vocab = [*SPECIAL, *(word for word, _ in ranked if word not in SPECIAL)]
    return Tokenizer(kind, vocab[: vocab_size + len(SPECIAL)])


def _fit_subwords(lines: Sequence[str], vocab_size: int, source: str) -> list[str]:
    """At most `vocab_size` subwords by byte-pair encoding (Sennrich 2015, arXiv:1508.07909). Raises UserError."""
    try:
        import sentencepiece
    except ImportError:
        raise UserError("--tokenizer subword needs the package sentencepiece: pip install 'reverie[text]'.") from None
    model_file = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model_file, model_type="bpe",
            vocab_size=vocab_size + len(SPECIAL), normalization_rule_name="identity", character_coverage=1.0,
            hard_vocab_limit=False, num_threads=1, unk_id=UNKNOWN, eos_id=END, bos_id=-1, eos_piece=SPECIAL[END],
            unk_piece=SPECIAL[UNKNOWN], minloglevel=3,
        )  # fmt: skip
    except (RuntimeError, OSError) as error:
        reason = str(error).rpartition("] ")[2].strip() or str(error)
        raise UserError(
            f"no subwords can be learnt from {source} ({reason[:120]}); give another --vocab-size, or --tokenizer word."
        ) from None
    model = sentencepiece.SentencePieceProcessor(model_proto=model_file.getvalue())
    return [model.id_to_piece(i) for i in range(len(SPECIAL), model.get_piece_size())]


def detect_kind(lines: Iterable[str]) -> str:
    """ "character" where most letters are Chinese or Japanese, which set no spaces between words; else "word"."""
    letters = Counter(character for line in lines for character in line if character.isalpha())
    cjk = sum(n for character, n in letters.items() if unicodedata.name(character, "").startswith(_CJK))
    return "character" if 2 * cjk > sum(letters.values()) else "word"
