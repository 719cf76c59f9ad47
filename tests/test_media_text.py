"""Lines of text as verbs take and return them: a plain file, and its record beside it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from reverie.media import Text, save_texts, text_sheet
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


def test_a_sheet_shows_as_much_of_a_line_as_fits() -> None:
    widths = [text_sheet(["x" * n]).pixels.shape[1] for n in (5, 50, 500, 3_000_000)]
    assert widths[0] < widths[1] < widths[2] == widths[3] <= 984


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
    short, tall = text_sheet(["a line"]), text_sheet(["a line"] * 5, title="made at step 5")
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
