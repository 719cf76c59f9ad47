"""Lines of text as verbs take and return them: a plain file, and its record beside it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from reverie.media import Photo, Text, save_texts, text_image, text_sheet
from reverie.media.paragraph import Paragraph, paragraph_sheet, wrapped
from reverie.media.text import read_text_record
from reverie.utils.errors import UserError

RECORD = {"synthetic": True, "method": "x", "run": "0" * 16, "verb": "generate", "arguments": {"n": 2, "seed": 0}}


def made(*lines: str) -> list[Text]:
    return [Text(line, index=i).with_provenance({**RECORD, "index": i}) for i, line in enumerate(lines)]


def test_a_list_is_one_file_of_lines_with_its_record_beside(tmp_path: Path) -> None:
    texts = made("a b", "明月", "")
    file = save_texts(texts, tmp_path / "new" / "all.txt")
    assert file.read_bytes() == "a b\n明月\n\n".encode()
    record = read_text_record(file)
    assert record["verb"] == "generate"
    assert [line["index"] for line in record["lines"]] == [0, 1, 2]
    assert [line["digest"] for line in record["lines"]] == [text.digest for text in texts]
    assert [text.line for text in Text.load_all(file)] == ["a b", "明月"]


def test_one_line_comes_back_and_several_are_refused(tmp_path: Path) -> None:
    (text,) = made("a b")
    again = Text.load(text.save(tmp_path / "one.txt"))
    assert (again.line, again.name, again.digest) == ("a b", "one.txt", text.digest)
    save_texts(made("a", "b"), tmp_path / "two.txt")
    with pytest.raises(UserError, match="holds 2 lines"):
        Text.load(tmp_path / "two.txt")
    with pytest.raises(UserError, match=r"\.txt"):
        text.save(tmp_path / "one.doc")
    with pytest.raises(UserError, match="a line break"):
        Text("a\nb").save(tmp_path / "x.txt")
    with pytest.raises(UserError, match="cannot be read"):
        Text.load(tmp_path / "none.txt")


def test_a_file_beside_that_is_no_record_is_not_overwritten(tmp_path: Path) -> None:
    beside = tmp_path / "all.txt.json"
    beside.write_text('{"mine": 1}')
    for texts in (made("a"), [Text("a")]):
        with pytest.raises(UserError, match="no record of reverie"):
            save_texts(texts, tmp_path / "all.txt")
    assert beside.read_text() == '{"mine": 1}'
    assert not (tmp_path / "all.txt").exists()


def test_a_line_that_is_too_long_goes_on_in_the_next_row_and_is_whole_beside_the_sheet() -> None:
    sheets = [text_sheet(["x" * n]) for n in (5, 50, 500, 3_000_000)]
    widths, heights = ([sheet.pixels.shape[axis] for sheet in sheets] for axis in (1, 0))
    assert widths[0] < widths[1] < widths[2] <= 984
    assert heights[0] == heights[1] < heights[2] < heights[3] < 1000
    assert sheets[3].companions[".txt"].decode() == "x" * 3_000_000 + "\n"


@pytest.fixture
def few_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose only fonts are ours."""
    monkeypatch.setattr(text_image, "system_fonts", list)
    yield from _without_caches()


def _without_caches() -> Iterator[None]:
    for function in (text_image._system, text_image._font_for):
        function.cache_clear()
    yield
    for function in (text_image._system, text_image._font_for):
        function.cache_clear()


@pytest.mark.usefixtures("few_fonts")
def test_no_box_is_ever_drawn() -> None:
    line = "明月照空山，清风入竹林。"
    assert "no font of this machine" in text_image.drawable(line)
    assert text_image.drawable("a 🚀 and 👍🏽 caf\u00e9 😀") == "a [rocket] and [thumbs up sign] caf\u00e9 😀"
    for text in (line, "สวัสดี", "a 🚀"):
        for run, font in text_image._runs(text_image.drawable(text)):
            assert all(character.isspace() or text_image._has(font, character) for character in run)
    assert text_sheet([line]).companions[".txt"].decode() == f"{line}\n"


@pytest.mark.usefixtures("few_fonts")
def test_paragraphs_that_no_font_can_draw_stand_beside_their_sheet() -> None:
    paragraph = Paragraph.of(["照片里有一只狗。"], np.full((1, 2, 2), 0.25), "zh")
    sheet = paragraph_sheet([Photo(np.zeros((8, 8, 3), np.uint8))], [paragraph], ["reference: 一只狗"])
    assert sheet.companions[".txt"].decode() == "照片里有一只狗。\nreference: 一只狗\n"
    assert "no font of this machine" in " ".join(wrapped(paragraph.sentences[0]))


def test_a_font_of_the_machine_draws_what_ours_has_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A font with one more character, made here; and a file that is no font."""
    builder = pytest.importorskip("fontTools.fontBuilder")
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for i, point in enumerate(((0, 0), (900, 0), (450, 900))):
        (pen.lineTo if i else pen.moveTo)(point)
    pen.closePath()
    font = builder.FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "moon"])
    font.setupCharacterMap({ord("月"): "moon"})
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "moon": pen.glyph()})
    font.setupHorizontalMetrics({".notdef": (500, 0), "moon": (1000, 0)})
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": "Test", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(tmp_path / "moon.ttf")
    (tmp_path / "bad.ttf").write_bytes(b"no font")
    monkeypatch.setattr(text_image, "system_fonts", lambda: sorted(tmp_path.glob("*.ttf")))
    for _ in _without_caches():
        assert text_image.drawable("a 月") == "a 月"
        assert [run for run, _ in text_image._runs("a 月 b")] == ["a ", "月", " b"]
        assert text_image.drawable("a 明").startswith("[3 characters, CJK")


def test_a_record_is_refused_for_lines_that_were_changed(tmp_path: Path) -> None:
    file = save_texts(made("a", "b", "c"), tmp_path / "all.txt")
    file.write_text("a\nB\nc\n")
    with pytest.raises(UserError, match="changed after it was generated, from line 2"):
        read_text_record(file)
    file.write_text("a\nb\n")
    with pytest.raises(UserError, match="from line 3"):
        read_text_record(file)
    for text, line in (("a\nb\nc\nadded", 4), ("a\nb\nc", 3), ("a\nb\ncut", 3)):
        file.write_text(text)
        with pytest.raises(UserError, match=f"from line {line}"):
            read_text_record(file)
    save_texts([Text("typed")], file)  # overwrites the generated lines, and removes their record
    with pytest.raises(UserError, match="no record"):
        read_text_record(file)


VALID = {"arguments": {}, "index": 0, "lines": [{"index": 0, "digest": Text("a").digest}]}


@pytest.mark.parametrize(
    "beside",
    [
        "", "[]", "{}", '{"lines": [{}], "arguments": {}}', '{"lines": 3, "arguments": {}}', "[" * 100_000,
        *(json.dumps({**VALID, **wrong}) for wrong in ({"inputs": 3}, {"imported": 7}, {"lines": []})),
    ],
)  # fmt: skip
def test_damaged_records_are_refused_in_one_line(tmp_path: Path, beside: str) -> None:
    (tmp_path / "a.txt").write_text("a\n")
    (tmp_path / "a.txt.json").write_text(beside)
    with pytest.raises(UserError, match="no record of reverie"):
        read_text_record(tmp_path / "a.txt")


def test_records_hold_what_a_line_was_made_from() -> None:
    text = (
        dataclasses.replace(Text("new"), prediction={"nll": 1.0})
        .made_from(Text("old", "old.txt"))
        .with_provenance(RECORD)
    )
    assert text.record is not None
    assert text.record["inputs"] == [{"name": "old.txt", "digest": Text("old").digest}]
    assert text.record["prediction"] == {"nll": 1.0}
    assert json.dumps(text.record)


def test_a_sheet_shows_every_line_and_cuts_what_is_too_long() -> None:
    short, tall = text_sheet(["a line"]), text_sheet(["a line"] * 6)
    assert tall.pixels.shape[0] > 3 * short.pixels.shape[0]
    assert short.pixels.min() == 0
    assert text_sheet(["word " * 200]).pixels.shape[1] <= 1000
    assert text_sheet([]).pixels.size
    assert text_sheet(["明月照空山"]).pixels.min() == 0


def test_verify_generates_the_lines_again(tmp_path: Path) -> None:
    """The record is enough to generate each line again, and a changed line is found."""
    import torch

    from reverie.cli.provenance import describe
    from reverie.cli.verify import verify_lines
    from reverie.data.text.tokenizer import SPECIAL
    from reverie.media import read_record
    from reverie.methods.seqgan import SeqGAN

    torch.manual_seed(0)
    method = SeqGAN(
        SeqGAN.Config(tokenizer="word", vocab=(*SPECIAL, "a", "b", "c"), length=6, kernel_sizes=(1,), num_filters=(2,))
    ).eval()
    file = save_texts(method.generate(40, seed=3, items=[5, 17, 39]), tmp_path / "some.txt")
    record = read_record(file)
    assert describe(record).startswith("synthetic: written")
    assert "3, of index 5 to 39" in describe(record)
    assert verify_lines(file, method, record, []) == {
        "same": True, "difference": 0, "why": "regenerated, equal line by line",
    }  # fmt: skip
    file.write_text(file.read_text() + "added")
    assert verify_lines(file, method, record, [])["same"] is False
    file.write_text(file.read_text().removesuffix("added"))
    record["arguments"]["seed"] = 4
    assert verify_lines(file, method, record, [])["same"] is False
