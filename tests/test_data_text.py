"""Text as data: tokenizers, files and splits, error messages, the synthetic sets and the oracle."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.data.text.dataset import Texts
from reverie.data.text.oracle import GATES, KEYS, Oracle
from reverie.data.text.tokenizer import (
    END,
    SPACE,
    SPECIAL,
    UNKNOWN,
    Tokenizer,
    detect_kind,
    fit_tokenizer,
    join,
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
    assert split("a well-known (old) dog isn't here!", "word") == [
        "a", "well-known", "(", "old", ")", "dog", "isn't", "here", "!",
    ]  # fmt: skip
    for line in CAPTIONS:
        assert join(split(line, "word"), "word") == line


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
def test_numbers_initials_and_quotes_come_back_as_print_sets_them(line: str, words: list[str]) -> None:
    assert split(line, "word") == words
    assert join(words, "word") == line


def test_a_missing_space_after_a_sentence_makes_no_new_word_and_a_lone_quote_stays_alone() -> None:
    assert split("the end.Then 3.Then", "word") == ["the", "end", ".", "Then", "3", ".", "Then"]
    assert join(split('a 5" pipe', "word"), "word") == 'a 5 " pipe'


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
    assert join(split(line, "word"), "word") == line


def test_characters_come_back_exactly_spaces_too() -> None:
    line = "明月照空山，a b。"
    assert split(line, "character")[7] == SPACE
    assert join(split(line, "character"), "character") == line


@given(st.lists(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1), min_size=1))
@settings(max_examples=50, deadline=None)
def test_any_line_comes_back_by_character(words: list[str]) -> None:
    line = " ".join(words).replace(SPACE, "_")
    tokenizer = fit_tokenizer([line], "character", 10_000, "x")
    assert tokenizer.decode(tokenizer.encode(line)) == line
    # a vocabulary survives JSON and conversion as an option
    from reverie.core.options import convert

    assert convert(json.loads(json.dumps(tokenizer.vocab)), tuple[str, ...], "vocab") == tokenizer.vocab


def test_auto_is_characters_where_most_letters_are_chinese() -> None:
    assert detect_kind(["明月照空山", "he"]) == "character"
    assert detect_kind(["かな"]) == "character"
    assert detect_kind(CAPTIONS) == "word"
    assert detect_kind(["слово"]) == "word"


def test_chinese_whose_words_are_spaced_is_read_by_word_when_asked(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "我 喜欢 猫", "我 喜欢 狗")
    data = prepared(file, tokenizer="word")
    assert set(data.facts["vocab"]) == {*SPECIAL, "我", "喜欢", "猫", "狗"}
    assert prepared(file).facts["tokenizer"] == "character"


def test_the_vocabulary_is_the_commonest_words_and_the_rest_is_unknown_and_counted(tmp_path: Path) -> None:
    data = prepared(write(tmp_path / "a.txt", "b b b a a c", "b a d"), vocab_size=2)
    assert data.facts["vocab"] == (*SPECIAL, "b", "a")
    assert data.array.tolist() == [[2, 2, 2, 3, 3, UNKNOWN], [2, 3, UNKNOWN, END, END, END]]
    assert data.notes == ["2 of 9 tokens are none of the 2 words kept: <unk> stands for them, in 2 of 2 lines"]


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


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file"),
        (b"\n \n\n", "blank"),
        (b"a b\nc\0d\n", "NUL bytes"),
        ("你好\n".encode("gbk"), "not UTF-8 in line 1.*GB18030"),
        (b"ok\n\xff\xfe\xfa", "not UTF-8 in line 2"),
        ("a b".encode("utf-16"), "UTF-16"),
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
