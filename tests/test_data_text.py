"""Text as data: tokenizers, files and splits, error messages, the synthetic sets and the oracle."""

from __future__ import annotations

import gzip
import io
import json
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import reverie
from reverie.cli.main import main
from reverie.data.data_spec import DataSpec
from reverie.data.text.dataset import Texts
from reverie.data.text.oracle import GATES, KEYS, Oracle
from reverie.data.text.scripts import detect_kind
from reverie.data.text.tokenizer import (
    END,
    SPECIAL,
    UNKNOWN,
    Tokenizer,
    fit_tokenizer,
    join,
    spell_words,
    split,
)  # fmt: skip
from reverie.utils.errors import UserError
from reverie.utils.seeding import uniforms

CAPTIONS = ["a dog runs.", "a cat, asleep!", "the dog isn't here", "a well-known (old) dog"]


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def prepared(path: Path, **options: object) -> Texts:
    return Texts.open(path).prepare(**options)


# -- tokenizers --------------------------------------------------------------------------------------------------------


def test_words_and_punctuation_are_tokens_and_come_back_as_print_sets_them() -> None:
    words = ["a", "well-known", "(", "old", ")", "dog", "isn't", "here", "!"]
    assert split("a well-known (old) dog isn't here!", "word") == words
    for line in CAPTIONS:
        assert spell_words(line) == split(line, "word")  # no mark where spaces follow the rules of print
        assert join(spell_words(line), "word") == line


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("at 2:56, for 1,000.5 or 10/12.", ["at", "2:56", ",", "for", "1,000.5", "or", "10/12", "."]),
        ("mail jo.b@a-b.org, or see https://a.org/b?c=1 (@jo_b).", [
            "mail", "jo.b@a-b.org", ",", "or", "see", "https://a.org/b?c=1", "(", "@jo_b", ")", ".",
        ]),
        ("2 @ $3", ["2", "@", "$", "3"]),
        ("a u.s. plane and/or e.g. the U.S.A.", ["a", "u.s", ".", "plane", "and/or", "e.g", ".", "the", "U.S.A", "."]),
        ('he read "a b", then \'c\'.', ["he", "read", '"', "a", "b", '"', ",", "then", "'", "c", "'", "."]),
        ("it's $3 for '#2'", ["it's", "$", "3", "for", "'", "#", "2", "'"]),
    ],
)  # fmt: skip
def test_numbers_initials_and_quotes_come_back_as_they_were(line: str, words: list[str]) -> None:
    assert split(line, "word") == words
    assert join(spell_words(line), "word") == line


def test_a_missing_space_after_a_sentence_makes_no_new_word() -> None:
    assert split("the end.Then 3.Then", "word") == ["the", "end", ".", "Then", "3", ".", "Then"]


@pytest.mark.parametrize(
    "line",
    [
        "can ' t and don ' t", "the students' books", "'tis", "she said 'tis, 'twas", "rock 'n' roll", "l'eau, d’été",
        "the students’ books ’tis", "‘so’ “he” said", 'reads " please don\'t use sorry".', 'a 5" pipe', "a . b , c !",
        "«oui» — non", "100 % and 100%", "# 2 and #2", "( a ) (b)", "... wait...what", "😀😀 :-) :( <3", "a/ b /c -d-",
        "中文，和 English。", "￭x x￭ ￭ \\￭ \\", "<unk> <s>a b</s>x [MASK] <|endoftext|> <end>.", "▁ ▁a a▁b \\▁",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["word", "character"])
def test_spaces_around_signs_come_back_as_they_were(line: str, kind: str) -> None:
    """Apostrophes are no quotes, and marks of ours that a text holds itself are text."""
    tokenizer = fit_tokenizer([line], kind, 10_000, "x")
    tokens = tokenizer.encode(line)
    assert tokenizer.decode(tokens) == line
    assert not {END, UNKNOWN} & set(tokens)
    assert json.loads(json.dumps(tokenizer.vocab)) == list(tokenizer.vocab)


NORMAL = st.lists(
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1)
    | st.sampled_from(["<unk>", "</s>", "<end>", "'", "’", '"', "can't", "▁", "￭", "\\", "(", ".", "ไทย", "क्षि", "🇫🇷"]),
    min_size=1,
).flatmap(lambda words: st.lists(st.sampled_from(["", " "]), min_size=len(words), max_size=len(words)).map(
    lambda gaps: "".join(a + b for a, b in zip(words, gaps, strict=True)).strip()
)).filter(bool)  # fmt: skip
"""lines of any words, marks and signs, with or without a space between"""


@given(st.lists(NORMAL, min_size=1, max_size=4), st.sampled_from(["word", "character"]))
@settings(max_examples=60, deadline=None)
def test_any_corpus_comes_back_exactly(lines: list[str], kind: str) -> None:
    lines = [unicodedata.normalize("NFC", line) for line in lines]
    tokenizer = fit_tokenizer(lines, kind, 10_000, "x")
    for line in lines:
        assert tokenizer.decode(tokenizer.encode(line)) == line
        assert not {END, UNKNOWN} & set(tokenizer.encode(line))
    # a vocabulary survives JSON and conversion as an option
    from reverie.core.options import convert

    assert convert(json.loads(json.dumps(tokenizer.vocab)), tuple[str, ...], "vocab") == tokenizer.vocab


def test_reserved_marks_of_a_corpus_are_one_token_and_not_the_special_ones() -> None:
    for kind in ("word", "character"):
        tokenizer = fit_tokenizer(["a <unk> b </s> <end> ▁"], kind, 100, "x")
        marks = [token for token in tokenizer.encode("<unk></s><end>▁") if token > UNKNOWN]
        assert len(marks) == 4
        assert tokenizer.encode("<unk>") == [tokenizer.token_of["\\<unk>"]] != [UNKNOWN]
        assert tokenizer.decode([tokenizer.token_of["\\<end>"]]) == "<end>"
    assert split("ขี่ม้า 👩‍🚀 क्षि 🇫🇷", "character") == ["ขี่", "ม้", "า", " ", "👩‍🚀", " ", "क्", "षि", " ", "🇫🇷"]


def test_a_sign_that_is_known_with_other_spaces_is_known() -> None:
    tokenizer = fit_tokenizer(["a dog .", "a 'cat'"], "word", 100, "x")
    assert UNKNOWN not in tokenizer.encode("a dog. a ' cat")
    assert tokenizer.unknown("a bird.") == ["bird"]


@pytest.mark.parametrize(
    "line",
    [
        "यह एक छोटी कविता है", "สวัสดี โลก", "cafe\u0301 noir", "I \u2764\ufe0f it",
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u0628\u0631\u0648\u0645",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 family \U0001f44d\U0001f3fd",
    ],
)  # fmt: skip
def test_marks_stay_with_what_they_stand_on(line: str) -> None:
    assert split(line, "word") == line.split()
    assert join(spell_words(line), "word") == line


def test_auto_is_characters_where_most_letters_are_chinese() -> None:
    assert detect_kind(["明月照空山", "he"]) == "character"
    assert detect_kind(["かな"]) == "character"
    assert detect_kind(CAPTIONS) == "word"
    assert detect_kind(["слово"]) == "word"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("我 喜欢 猫 。", "word"), ("晚 风 摇 树 树 还 挺", "word"), ("明月照空山 清风入竹林", "character"),
        ("关关雎鸠 在河之洲", "character"), ("古池や 蛙飛びこむ 水の音", "character"), ("わたし は ねこ", "word"),
        ("สวัสดีครับ ผมชื่อจอห์น", "character"), ("ฉันรักเธอ เธอรักฉัน", "character"), ("ผม รัก แมว", "word"),
        ("ខ្ញុំស្រឡាញ់ឆ្មា", "character"),
        ("ຂ້ອຍຮັກແມວ", "character"), ("မြန်မာစကား", "character"), ("བཀྲ་ཤིས་བདེ་ལེགས།", "character"),
        ("나는 고양이를 좋아한다", "word"), ("यह एक छोटी कविता है", "word"), ("123 456", "word"), ("مرحبا", "word"),
    ],
)  # fmt: skip
def test_auto_is_words_where_spaces_part_them_and_characters_where_none_do(line: str, kind: str) -> None:
    assert detect_kind([line]) == kind
    assert detect_kind([line, line, "an English line", "12"]) == kind


def test_spaced_chinese_is_read_by_word(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "我 喜欢 猫", "我 喜欢 狗")
    data = prepared(file)
    assert data.facts["tokenizer"] == "word"
    assert set(data.facts["vocab"]) == {*SPECIAL, "我", "喜欢", "猫", "狗"}
    assert data.array.shape == (2, 3)


def test_lines_of_one_token_are_warned_of(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "ACGT", "GATTACA", "CATG", "TAG ACT")
    (warning,) = prepared(file).warnings
    assert "one token, by word" in warning
    assert "--tokenizer character" in warning
    assert warning in Texts.inspect(str(file))["warnings"]
    assert not prepared(file, tokenizer="character").warnings


def test_the_vocabulary_is_the_commonest_words_and_the_rest_is_unknown_and_counted(tmp_path: Path) -> None:
    data = prepared(write(tmp_path / "a.txt", "b b b a a c", "b a d"), vocab_size=2)
    assert data.facts["vocab"] == (*SPECIAL, "b", "a")
    assert data.array.tolist() == [[2, 2, 2, 3, 3, UNKNOWN], [2, 3, UNKNOWN, END, END, END]]
    assert data.notes[1:] == ["2 of 9 tokens are none of the 2 words kept: <unk> stands for them, in 2 of 2 lines"]


def test_lines_that_are_too_long_are_dropped_and_listed(tmp_path: Path) -> None:
    data = prepared(write(tmp_path / "a.txt", "a b", "", "a b c d", "b a"), length=3)
    assert data.array.tolist() == [[2, 3, 0], [3, 2, 0]] or len(data) == 2
    assert [tuple(drop) for drop in data.dropped] == [("a.txt:3", "longer than 3 tokens: 4")]
    assert [data.line(i) for i in range(len(data))] == ["a b", "b a"]
    with pytest.raises(UserError, match=r"no line of .* has 1 tokens or fewer \(the shortest: 2\).*--length"):
        prepared(tmp_path / "a.txt", length=1)


def test_the_test_split_is_read_with_the_words_of_train(tmp_path: Path) -> None:
    write(tmp_path / "x_train.txt", "a b", "b a a")
    write(tmp_path / "x_test.txt", "a z")
    data = Texts.open(tmp_path / "x_train.txt", "test").prepare()
    assert data.splits == ["train", "test"]
    assert data.facts["vocab"] == (*SPECIAL, "a", "b")
    assert data.array[0, :2].tolist() == [2, UNKNOWN]
    given = Texts.open(tmp_path / "x_train.txt", "test").prepare(tokenizer="word", vocab=(*SPECIAL, "y", "z"), length=4)
    assert given.array.tolist() == [[UNKNOWN, 3, 0, 0]]


def test_subwords_need_only_their_vocabulary() -> None:
    pytest.importorskip("sentencepiece")
    lines = [f"the {a}{b} {b}ing" for a in ("low", "new", "wid") for b in ("er", "est", "ly")] * 20
    tokenizer = fit_tokenizer(lines, "subword", 40, "x")
    assert len(tokenizer.vocab) <= 42
    assert any(len(word) > 3 for word in tokenizer.vocab[2:])
    again = Tokenizer("subword", tokenizer.vocab)
    marked = Tokenizer("subword", (*tokenizer.vocab, "longest"))
    assert END not in marked.encode("the <end> of it")
    with_marks = fit_tokenizer([*lines, "the <unk> lower</s> ▁new \\\\"], "subword", 60, "x")
    for line in ("the <unk> lower</s> ▁new", "lower<unk> newest", "▁"):
        assert with_marks.decode(with_marks.encode(line)) == line
        assert UNKNOWN not in with_marks.encode(line)
    assert marked.decode(marked.encode("the <unk> of it")).startswith("the")
    for line in ("the lower newest", "the widly lowing"):
        numbers = again.encode(line)
        assert UNKNOWN not in numbers
        assert again.decode(numbers) == line
        assert len(numbers) < len(line)
    assert again.encode("the ✗")[-1] == UNKNOWN


def test_subwords_name_the_package_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(UserError, match=r"pip install 'reverie\[text\]'"):
        prepared(write(tmp_path / "a.txt", "a b", "c d"), tokenizer="subword")


# -- files -------------------------------------------------------------------------------------------------------------


def test_marks_and_ends_of_any_system_are_read_as_such(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.txt", "a b", "c d")
    for i, data in enumerate((b"\xef\xbb\xbfa b\r\nc d\r\n", b"a b\rc d", b"a\t b \n\n\nc\xe3\x80\x80d\n")):
        file = tmp_path / f"{i}.txt"
        file.write_bytes(data)
        assert [prepared(file).line(k) for k in range(2)] == ["a b", "c d"]
        assert Texts.open(file).fingerprint == Texts.open(plain).fingerprint
    assert "2 blank lines in 2.txt were skipped" in Texts.open(tmp_path / "2.txt").notes
    (tmp_path / "nfd.txt").write_bytes("cafe\u0301 x\ny x".encode())
    assert prepared(tmp_path / "nfd.txt").line(0) == "caf\u00e9 x"
    for i, encoding in enumerate(("utf-16", "utf-32")):
        (tmp_path / f"u{i}.txt").write_bytes("明 b\nc 月\n".encode(encoding))
        assert prepared(tmp_path / f"u{i}.txt").line(0) == "明 b"
    with gzip.open(tmp_path / "z.txt.gz", "wt", encoding="utf-8") as file:
        file.write("a b\nc d\n")
    assert Texts.open(tmp_path / "z.txt.gz").fingerprint == Texts.open(plain).fingerprint


@pytest.mark.parametrize(
    ("item", "items"),
    [("line", ["a b", "c", "d", "e"]), ("blank-line", ["a b c", "d e"]), ("file", ["a b c d e"])],
)
def test_an_item_is_a_line_a_paragraph_or_a_file(tmp_path: Path, item: str, items: list[str]) -> None:
    file = write(tmp_path / "a.txt", "a b", "c", "", " ", "d", "e")
    data = Texts.open(file, item=item).prepare()
    assert [data.line(i) for i in range(len(data))] == items
    several = Texts.open(write(tmp_path / "b.txt", *["a b", "c d", ""] * 4), item=item)
    assert any("4 blocks of several lines" in note for note in several.announced) == (item == "line")
    single = Texts.open(write(tmp_path / "c.txt", *["a b", "", "c d", ""] * 4), item=item)
    assert not any("blocks" in note for note in single.notes)
    with pytest.raises(UserError, match="item is 'page'"):
        Texts.open(file, item="page")


TABLES = {
    "a.csv": 'name,caption\n1,"a dog, asleep"\n2,"two\nlines"\n\n3,\n',
    "b.tsv": 'name\tcaption\n1\ta dog, asleep\n2\ttwo "lines\n',
    "c.csv": "caption;name\na dog, asleep;1\ntwo lines;2\n",
    "d.jsonl": '{"name": 1, "caption": "a dog, asleep"}\n{"caption": "two\\nlines"}\n{"caption": 3}\nno\n',
    "f.jsonl": '[{"caption": "a dog, asleep"},\n {"caption": "two lines"}]',
    "h.json": '[{"name": 1, "caption": "a dog, asleep"},\n {"caption": "two lines"}]',
    "i.json": '{"name": 1, "caption": "a dog, asleep"}\n{"caption": "two lines"}\n',
    "j.json": '{\n"name": 1,\n"caption": ["a dog, asleep", "two lines"]\n}',
    "g.csv": "sep=;\nname;caption\n1;a dog, asleep\n2;two lines\n",
    "e.txt": 'name,caption\n1,"a dog, asleep"\n2,two lines\n',
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("packed", [False, True])
def test_a_column_of_a_table_is_read_and_its_header_never(tmp_path: Path, name: str, packed: bool) -> None:
    file = tmp_path / (name + ".gz" * packed)
    file.write_bytes(gzip.compress(TABLES[name].encode()) if packed else TABLES[name].encode())
    data = Texts.open(file, column="caption").prepare()
    assert [data.line(i).replace('"', "") for i in range(len(data))] == ["a dog, asleep", "two lines"]
    if name != "e.txt":
        assert Texts.open(file).fingerprint == data.fingerprint  # the only column with a name as texts have
        assert Texts.recognises(file)
    if name == "d.jsonl":
        assert [drop.name.rpartition(":")[2] for drop in data.dropped] == ["4", "3"]
    with pytest.raises(UserError, match=r"without a column 'captoin'.*Did you mean 'caption'"):
        Texts.open(file, column="captoin")


def test_a_table_of_several_columns_asks_which(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("first,second\na b,c d\n")
    with pytest.raises(UserError, match=r"--column\. It has: first, second"):
        Texts.open(tmp_path / "a.csv")
    assert Texts.open(tmp_path / "a.csv", column="2").prepare().line(0) == "c d"
    assert reverie.open_data(tmp_path / "a.csv", column="second").fingerprint
    with pytest.raises(UserError, match=r"text has no option 'colum'.*Did you mean 'column'"):
        reverie.open_data(tmp_path / "a.csv", colum="second")
    (tmp_path / "b.csv").write_text('text\n"never closed\n')
    with pytest.raises(UserError, match="never closed"):
        Texts.open(tmp_path / "b.csv")
    (tmp_path / "one.csv").write_text("poem\na b\n")
    assert Texts.open(tmp_path / "one.csv").prepare().line(0) == "a b"


def test_lists_of_strings_are_lines_or_one_item(tmp_path: Path) -> None:
    poems = '[{"title": "x", "paragraphs": ["a b", "c d"]}, {"title": "y", "paragraphs": ["e", 3]}, {"paragraphs": 1}]'
    (tmp_path / "poems.json").write_text(poems)
    for item, lines in (("line", ["a b", "c d"]), ("file", ["a b c d"])):
        data = Texts.open(tmp_path, column="paragraphs", item=item).prepare()  # in a folder too
        assert [data.line(i) for i in range(len(data))] == lines
        assert "column 'paragraphs' of poems.json holds lists" in data.notes[0]
    assert [drop.reason for drop in data.dropped] == [
        "without text in column 'paragraphs', which holds lists of something else than texts; give another with "
        "--column",
        "without text in column 'paragraphs', which holds numbers; give another with --column",
    ]


def test_a_folder_says_which_files_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Texts where there are tables too and the reverse, Markdown, documents, and files that cannot be read."""
    write(tmp_path / "a.txt", "a b", "c d")
    for name in ("b.csv", "c.csv"):
        (tmp_path / name).write_text("text,n\ne f,1\n")
    (tmp_path / "notes.docx").write_bytes(b"PK\3\4")
    (tmp_path / "README.md").write_text("about\n")
    (tmp_path / "gbk.txt").write_bytes("床前明月光".encode("gbk"))
    train = ["train", "seqgan:smoke", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--dry-run"]
    assert main(train) == 0
    said = capsys.readouterr().err
    assert "what is read: 2 files such as a.txt; left out, unless given by its own path: 2 files such as b.csv" in said
    assert "(--column NAME reads tables instead); README.md; notes.docx, a document, which is not read; save" in said
    assert "files that are not used: 1 of 2; gbk.txt is not UTF-8" in said
    tables = Texts.open(tmp_path, column="text")
    assert tables.announced[0].startswith("what is read: 2 files such as b.csv; left out, unless given by its own")
    assert tables.announced[0] in tables.notes


# -- held-out lines ----------------------------------------------------------------------------------------------------


def test_a_tenth_of_the_lines_is_held_out_where_nothing_is_named_test(tmp_path: Path) -> None:
    lines = [f"line {i} of {i * 7 % 13} words {i * i}" for i in range(1000)]
    file = write(tmp_path / "a.txt", *lines, "Line 5 of 9 words, 25!")
    parts = {split: Texts.open(file, split).prepare(length=12) for split in ("train", "test")}
    found = {split: {data.line(i) for i in range(len(data))} for split, data in parts.items()}
    assert len(found["test"]) in (100, 101)
    assert not found["train"] & found["test"]
    assert "Line 5 of 9 words, 25!" in found["train" if lines[5] in found["train"] else "test"]
    assert "held out as test" in parts["train"].notes[0]
    assert not parts["train"].warnings
    # the order of lines does not matter, and a few more lines hardly
    shuffled = Texts.open(write(tmp_path / "b.txt", *reversed(lines), "one more"), "test").prepare(length=12)
    assert len({shuffled.line(i) for i in range(len(shuffled))} ^ found["test"]) <= 2
    assert Texts.open(file, held_out=0).splits == ["train"]
    repeated = Texts.inspect(str(write(tmp_path / "repeated.txt", *lines[:50] * 30)))
    assert "50 different lines: too few to hold some out" in repeated["splits"]["train"]["notes"][0]
    assert "few to learn from, 50 different lines: expect copies of them" in repeated["warnings"]
    assert Texts.open(write(tmp_path / "few.txt", *lines[:450])).splits == ["train"]


def test_lines_of_test_that_are_nearly_in_train_are_warned_of(tmp_path: Path) -> None:
    lines = [" ".join(f"w{i * k % 97}" for k in range(1, 13)) for i in range(60)]
    write(tmp_path / "train.txt", *lines)
    write(tmp_path / "test.txt", *(line.replace("w7 ", "x ", 1) for line in lines[:30]), lines[40].upper())
    warnings = Texts.open(tmp_path / "train.txt").prepare().warnings
    assert any("also in train" in warning and "of 31" in warning for warning in warnings)
    assert any("differ from a training line in one token" in warning for warning in warnings)
    assert set(warnings) <= set(Texts.inspect(str(tmp_path))["warnings"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file"),
        (b"\n \n\n", "blank"),
        (b"a b\nc\0d\n", "NUL bytes"),
        ("你好\n".encode("gbk"), "not UTF-8.*GB18030.*line 1"),
        (b"ok\n\xff\xfe\xfa", "not UTF-8.*line 2"),
        ("a b".encode("utf-16-le"), "NUL bytes.*iconv -f UTF-16LE"),
        (b"\xff\xfea", "damaged UTF-16"),
        (b"\x1f\x8bxx", "damaged or truncated .gz"),
        (b"a\na a\n", "one token 'a'"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(UserError, match=message) as error:
        prepared(tmp_path / "a.txt")
    assert "\n" not in str(error.value)
    assert "a.txt" in str(error.value)


def test_one_line_is_data_of_one_item(tmp_path: Path) -> None:
    assert len(prepared(write(tmp_path / "a.txt", "a b c"))) == 1  # the trainer refuses it, for every kind alike


def test_a_folder_and_its_zip_are_the_same_and_bad_files_are_listed(tmp_path: Path) -> None:
    write(tmp_path / "d/sub/b.txt", "c d")
    write(tmp_path / "d/a.txt", "a b")
    (tmp_path / "d/bad.txt").write_bytes(b"\0\0")
    (tmp_path / "d/other.csv").write_text("1,2")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as held:
        for file in sorted((tmp_path / "d").rglob("*.*")):
            held.write(file, file.relative_to(tmp_path))
    folder, packed = Texts.open(tmp_path / "d"), Texts.open(tmp_path / "d.zip")
    assert folder.fingerprint == packed.fingerprint
    assert len(folder) == len(packed) == 2
    assert [drop.name for drop in folder.dropped] == ["bad.txt"]
    assert folder.prepare().line(1) == "c d"
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match=r"no \.txt file"):
        Texts.open(tmp_path / "none")
    (tmp_path / "d/a.txt").unlink()
    (tmp_path / "d/sub/b.txt").unlink()
    with pytest.raises(UserError, match=r"no text in .* can be used: bad\.txt"):
        Texts.open(tmp_path / "d")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.txt", "test.txt"),
        ("a_train.txt", "a_test.txt"),
        ("train/1.txt", "test/1.txt"),
        ("x-Train.txt", "x-TEST.txt"),
    ],
)
def test_splits_follow_names(tmp_path: Path, train: str, test: str) -> None:
    write(tmp_path / train, "a b", "b c")
    write(tmp_path / test, "c d")
    write(tmp_path / "readme.txt", "about")
    data = Texts.open(tmp_path)
    assert (data.splits, len(data), len(Texts.open(tmp_path, "test"))) == (["train", "test"], 2, 1)
    assert [drop.name for drop in data.dropped] == ["readme.txt"]
    with pytest.raises(UserError, match="no split 'val'"):
        Texts.open(tmp_path, "val")
    if train == "a_train.txt":  # the file alone is joined by the one beside it
        file = DataSpec(tmp_path / train)
        assert Texts.open(file).announced[0] == "test is a_test.txt, beside a_train.txt (--splits none: not)"
        assert Texts.open(DataSpec(file, splits="none")).splits == ["train"]
        assert len(Texts.open(DataSpec(file, splits="none"))) == 2


def test_names_that_only_contain_a_split_are_none(tmp_path: Path) -> None:
    write(tmp_path / "contest.txt", "a b")
    write(tmp_path / "trainer.txt", "c d")
    assert len(Texts.open(tmp_path)) == 2
    assert Texts.open(tmp_path).splits == ["train"]


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    one, same = write(tmp_path / "a.txt", "a b", "c"), write(tmp_path / "b.txt", "a b", "c")
    other = write(tmp_path / "c.txt", "a", "b c")
    assert Texts.open(one).fingerprint == Texts.open(same).fingerprint != Texts.open(other).fingerprint


def test_recognises_text_and_nothing_else(tmp_path: Path) -> None:
    from PIL import Image

    write(tmp_path / "text/a.txt", "a")
    write(tmp_path / "both/a.txt", "a")
    for i in range(3):
        write(tmp_path / f"tunes/{i}.mid", "not text")
    write(tmp_path / "tunes/readme.txt", "a")
    Image.new("L", (4, 4)).save(tmp_path / "both/a.png")
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    found = {p.name: Texts.recognises(p) for p in tmp_path.iterdir()}
    assert found == {"text": True, "both": False, "empty": False, "tunes": False, "other.npz": False}
    assert Texts.recognises(tmp_path / "text/a.txt")
    assert not Texts.recognises(tmp_path / "both/a.png")
    assert [Texts.recognises(name) for name in ("verses:9", "oracle", "couplets", "letters:9", "x.txt")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_inspect_reports_what_a_folder_holds(tmp_path: Path) -> None:
    write(tmp_path / "x_train.txt", "a b", "a b", "c d e f g h i j k", *["b c"] * 60)
    write(tmp_path / "x_test.txt", "a b", "q r")
    findings = json.loads(json.dumps(Texts.inspect(str(tmp_path))))
    assert findings["kind"] == "text"
    train = findings["splits"]["train"]
    assert (train["found"], train["used"], len(train["dropped"])) == (63, 62, 1)
    assert findings["splits"]["test"]["also_in_train"] == 1
    description = Texts.describe(findings)
    assert "62 lines used of 63 found" in description
    assert "test: 2 lines used of 2 found" in description
    assert "also in train: 1 of 2" in description
    assert "few" in description


# -- synthetic sets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["verses", "couplets"])
def test_a_line_depends_on_split_and_place_alone(name: str) -> None:
    few, many = Texts.open(f"{name}:50"), Texts.open(f"{name}:100")
    few.prepare(length=30), many.prepare(length=30)
    assert (len(few), len(many)) == (50, 100)
    assert [few.line(i) for i in range(50)] == [many.line(i) for i in range(50)]
    assert few.fingerprint != many.fingerprint
    test = Texts.open(f"{name}:50", "test").prepare()
    assert len({test.line(i) for i in range(100)} & {many.line(i) for i in range(100)}) < 20
    assert len({many.line(i) for i in range(100)}) > 90
    batch = many.batch([3, 5])["tokens"]
    assert batch.dtype == torch.int64
    assert batch.shape == (2, 30)


def test_couplets_share_no_character_between_halves() -> None:
    data = Texts.open("couplets:200").prepare()
    for i in range(200):
        one, two = data.line(i).rstrip("。").split("，")
        assert len(one) == len(two) == 5
        assert not set(one) & set(two)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("verses:0", "number of lines"), ("verses:x", "number of lines"), ("verse", "Did you mean 'verses'"),
        ("", "no data"), ("oracle:nothing.npz", "names no seed"), ("no/such/file.txt", "no such path"),
    ],
)  # fmt: skip
def test_names_that_are_none_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Texts.open(spec)


# -- the oracle --------------------------------------------------------------------------------------------------------


def weights(vocab_size: int = 7, hidden_dim: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """As in the authors' file, but small."""
    draw = np.random.default_rng(seed).standard_normal
    shapes = {"embeddings": (vocab_size, hidden_dim), "Wo": (hidden_dim, vocab_size), "bo": (vocab_size,)}
    for gate in GATES:
        shapes |= {
            f"W{gate}": (hidden_dim, hidden_dim),
            f"U{gate}": (hidden_dim, hidden_dim),
            f"b{gate}": (hidden_dim,),
        }
    return {name: draw(shapes[name]).astype(np.float32) for name in KEYS}


def naive_nll(w: dict[str, np.ndarray], tokens: list[int]) -> list[float]:
    """-log p of each token, by the equations, one sequence and one number at a time, float64."""
    w = {name: array.astype(np.float64) for name, array in w.items()}

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    h = c = np.zeros(len(w["bi"]))
    found, word = [], 0
    for token in tokens:
        x = w["embeddings"][word]
        i, f, o = (sigmoid(x @ w[f"W{g}"] + h @ w[f"U{g}"] + w[f"b{g}"]) for g in ("i", "f", "og"))
        c = f * c + i * np.tanh(x @ w["Wc"] + h @ w["Uc"] + w["bc"])
        h = o * np.tanh(c)
        logits = h @ w["Wo"] + w["bo"]
        found.append(float(np.log(np.exp(logits).sum()) - logits[token]))
        word = token
    return found


def test_the_oracle_is_the_equations_of_the_paper(tmp_path: Path) -> None:
    w = weights()
    np.savez(tmp_path / "o.npz", **w)
    oracle = Oracle.read(tmp_path / "o.npz")
    tokens = torch.from_numpy(np.random.default_rng(1).integers(0, 7, (5, 6)))
    expected = [naive_nll(w, row) for row in tokens.tolist()]
    assert torch.allclose(oracle.nll(tokens), torch.tensor(expected, dtype=torch.float64), atol=1e-5)


def test_the_oracle_samples_from_its_probabilities() -> None:
    """Frequencies of all sequences of two words against their probabilities: chi-square, 8 degrees of freedom."""
    oracle, n = Oracle(weights(vocab_size=3)), 20_000
    drawn = oracle.sample(uniforms(1, range(n), 2))
    pairs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    expected = n * torch.exp(-oracle.nll(pairs).sum(1))
    assert float(expected.sum()) == pytest.approx(n, rel=1e-5)
    seen = torch.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=9)
    assert float(((seen - expected) ** 2 / expected).sum()) < 26.1  # 1 in 1000


def test_the_oracle_as_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reverie.data.text import oracle as module

    monkeypatch.setattr(module, "COUNT", 40)
    np.savez(tmp_path / "o.npz", **weights())
    by_path = Texts.open(tmp_path / "o.npz").prepare(length=20)
    assert Texts.recognises(tmp_path / "o.npz")
    assert by_path.facts == {"length": 20, "vocab_size": 7, "vocab": ()}
    test = Texts.open(tmp_path / "o.npz", "test").prepare()
    assert not np.array_equal(test.array, by_path.array)
    assert by_path.line(0) == " ".join(map(str, by_path.array[0]))
    assert Texts.open("oracle:3").fingerprint != Texts.open("oracle:4").fingerprint
    assert Texts.open("oracle").fingerprint == Texts.open("oracle:0").fingerprint


def test_bad_oracles_are_refused_in_one_line(tmp_path: Path) -> None:
    good = weights()
    bad = {
        "lacks": {k: v for k, v in good.items() if k != "Uf"},
        "shape": {**good, "Wc": np.zeros((3, 4), np.float32)},
        "finite": {**good, "bo": np.full(7, np.nan, np.float32)},
        "object": {**good, "bo": np.array([object()] * 7)},
    }
    for name, arrays in bad.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
    (tmp_path / "text.npz").write_text("no zip")
    whole = io.BytesIO()
    np.savez(whole, **good)
    (tmp_path / "cut.npz").write_bytes(whole.getvalue()[:300])
    for name in (*bad, "text", "cut"):
        with pytest.raises(UserError, match=f"{name}.npz is no oracle") as error:
            Texts.open(tmp_path / f"{name}.npz")
        assert "\n" not in str(error.value)
