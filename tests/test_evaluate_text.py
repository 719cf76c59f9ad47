"""The evaluator of text: every score with its floor, and the note on the effect of temperature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reverie
from reverie.cli.main import main
from reverie.data.text import oracle
from reverie.data.text.dataset import Texts
from reverie.evaluation.evaluate_text import TextEvaluator
from reverie.utils.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run after a little training."""
    out = tmp_path_factory.mktemp("text") / "run"
    reverie.train(
        "seqgan:smoke",
        data=Texts.open("verses:400").prepare(),
        out=out,
        pretrain_steps=60,
        d_pretrain_steps=2,
        steps=63,
        lr=0.02,
    )
    return out


def test_every_score_has_a_yardstick(run: Path) -> None:
    found = reverie.evaluate(run, "verses:400", n=100, full=True)
    names = {score.name for score in found}
    assert {"nll-gen", "nll-gen per line", "bleu-2", "bleu-5", "self-bleu-4", "distinct-1", "exact-match rate"} <= names
    assert all(score.yardstick is not None and score.yardstick_source for score in found)
    assert found["bleu-2"].real_source == "training lines"
    assert found["nll-gen"].value < found["nll-gen"].baseline  # better than all tokens equally likely
    assert found["bleu-3"].value < found["bleu-3"].real
    assert any("temperature" in note and "0.5: " in note for note in found.notes)
    record = json.loads((run / "scores.json").read_text())
    assert "samples" in record["figures"]
    assert found["bleu-2"].hash in (run / "report.html").read_text()
    again = reverie.evaluate(run, "verses:400", n=100)
    assert [score.value for score in again] == [score.value for score in found]
    assert not any("temperature" in note for note in again.notes)  # it takes seven times the lines: only in full


def test_lines_are_printed_where_no_file_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text can be read in a terminal: stdout holds the lines and nothing else, with --json one object."""
    assert main(["generate", str(run), "-n", "5", "--seed", "3", "--out", str(tmp_path / "lines.txt")]) == 0
    capsys.readouterr()
    assert main(["generate", str(run), "-n", "5", "--seed", "3"]) == 0
    printed = capsys.readouterr()
    assert printed.out == (tmp_path / "lines.txt").read_text(encoding="utf-8")
    assert printed.out.count("\n") == 5
    assert printed.err == ""
    parts = ""
    for part in (1, 2):
        assert main(["generate", str(run), "-n", "5", "--seed", "3", "--shard", f"{part}/2"]) == 0
        parts += capsys.readouterr().out
    assert parts == printed.out
    assert main(["generate", str(run), "-n", "5", "--seed", "3", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["lines"], record["files"]) == (printed.out.splitlines(), [])


def test_without_a_test_split_the_floor_excludes_the_line_itself(run: Path, tmp_path: Path) -> None:
    data = Texts.open("verses:200").prepare()
    (tmp_path / "all.txt").write_text("".join(f"{data.line(i)}\n" for i in range(200)))
    found = reverie.evaluate(run, tmp_path / "all.txt", n=64)
    assert "each against the others" in found["bleu-2"].real_source
    assert found["bleu-2"].real < 1
    assert found["exact-match rate"].real is None
    assert any("trained on" in note for note in found.notes)


def test_lines_that_are_also_in_train_never_count(run: Path, tmp_path: Path) -> None:
    data = Texts.open("verses:400").prepare()
    lines = [data.line(i) for i in range(400)]
    (tmp_path / "train.txt").write_text("\n".join(lines[:250]))
    (tmp_path / "test.txt").write_text("\n".join([*lines[250:], *(line.upper() for line in lines[:120])]))
    found = reverie.evaluate(run, tmp_path, n=64)
    assert any("also in train" in note for note in found.notes)
    assert found["exact-match rate"].real == 0
    assert found["bleu-2"].reference.n < 160
    (tmp_path / "test.txt").write_text("\n".join(lines[:251]))
    with pytest.raises(UserError, match="not in train too are too few"):
        reverie.evaluate(run, tmp_path, n=64)


def test_a_corpus_without_splits_is_scored_with_what_was_held_out(tmp_path: Path) -> None:
    """The way a table is read is known to evaluate and resume from the run."""
    data = Texts.open("couplets:500")
    rows = "\n".join(f'{i},"{data.line(i)}"' for i in range(500))
    (tmp_path / "poems.csv").write_text(f"number,verse\n{rows}\n", encoding="utf-8")
    out = tmp_path / "run"
    reverie.train("seqgan:smoke", data=tmp_path / "poems.csv", out=out, column="verse")
    record = json.loads((out / "run.json").read_text())
    assert (record["data"]["n"], record["config"]["column"]) == (500 - 100, "verse")
    assert reverie.resume(out, steps=record["config"]["steps"] + 1)
    found = reverie.evaluate(out, tmp_path / "poems.csv", n=64)
    assert found["exact-match rate"].real == 0
    assert found["bleu-2"].real_source == "training lines"
    assert found["bleu-2"].reference.n == 100
    assert found["regular metre"].real == 1
    assert not any("transfer" in note or "is the training data" in note for note in found.notes)


def test_too_few_held_out_lines_that_can_be_used_are_said_to_be(run: Path, tmp_path: Path) -> None:
    data = Texts.open("verses:300").prepare()
    lines = [data.line(i) for i in range(300)]
    (tmp_path / "long.txt").write_text("\n".join([*lines, *(f"{line} {' and so on' * 40}" for line in lines)]))
    found = reverie.evaluate(run, tmp_path / "long.txt", n=64)
    assert any("too few" in note for note in found.notes)
    assert found["exact-match rate"].real is None


def test_scores_without_meaning_are_left_out_with_a_reason(tmp_path: Path) -> None:
    names = [f"{a}{b}{c}" for a in "klm" for b in "aeiou" for c in ("ra", "lo", "ne", "ti", "su", "xa", "bo")]
    (tmp_path / "names.txt").write_text("\n".join(names))
    prose = [f"他{a}{b}了，然后就{c}回家去。" for a in "走跑来去" for b in "上下进出" for c in "慢快早晚先后"]
    (tmp_path / "prose.txt").write_text("\n".join(prose), encoding="utf-8")
    for data, skipped in (("names.txt", "bleu-2"), ("prose.txt", "regular metre")):
        reverie.train("seqgan:smoke", data=tmp_path / data, out=tmp_path / data[:-4], steps=4)
        found = reverie.evaluate(tmp_path / data[:-4], tmp_path / data, n=64)
        assert skipped not in {score.name for score in found}
        assert found.why_skipped(skipped)
        assert "exact-match rate" in {score.name for score in found}


def test_nll_is_of_a_random_choice_of_lines(run: Path, tmp_path: Path) -> None:
    """Files may be sorted, so that their first lines are unlike the others."""
    data = Texts.open("verses:400").prepare()
    lines = sorted((data.line(i) for i in range(200)), key=lambda line: (len(line), line))
    (tmp_path / "sorted.txt").write_text("".join(f"{line}\n" for line in lines))
    few, whole = (reverie.evaluate(run, tmp_path / "sorted.txt", n=n)["nll-gen per line"] for n in (64, 200))
    assert (few.n, whole.n) == (64, 200)
    assert few.value == pytest.approx(whole.value, rel=0.1)


def test_real_lines_reach_the_floor(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other lines of the same distribution score as the reference does."""
    from reverie.evaluation import evaluate_text as module

    other = Texts.open("verses:2000").prepare(length=40)
    lines = [other.line(i) for i in range(1000, 1400)]
    monkeypatch.setattr(module, "_generate", lambda source, n, seed, **options: lines[:n])
    found = reverie.evaluate(run, "verses:400", n=300)
    for name in ("bleu-2", "bleu-4", "self-bleu-3", "distinct-2"):
        assert found[name].value == pytest.approx(found[name].real, abs=0.05), name


def test_nll_oracle_is_the_likelihood_under_the_oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "COUNT", 200)
    small = oracle.Oracle.random(0, 50, 4)
    monkeypatch.setattr(oracle.Oracle, "random", classmethod(lambda cls, seed: small))
    data = Texts.open("oracle").prepare(length=8)
    reverie.train("seqgan:smoke", data=data, out=tmp_path / "run", length=8)
    found = reverie.evaluate(tmp_path / "run", "oracle", n=100, full=True)
    score = found["nll-oracle"]
    assert score.real == pytest.approx(
        float(small.nll(_tokens(Texts.open("oracle", "test").prepare(length=8), 100)).mean())
    )
    rows = [[int(word) for word in text.line.split()] for text in reverie.load(tmp_path / "run").generate(100)]
    assert score.value == pytest.approx(float(small.nll(torch.tensor(rows)).mean()))
    assert "bleu-2" not in {one.name for one in found}
    assert any("nll-oracle, different lines" in note for note in found.notes)
    with pytest.raises(UserError, match="trained on an oracle, verses:100 is lines of text"):
        reverie.evaluate(tmp_path / "run", "verses:100", n=100)


def _tokens(data: Texts, n: int) -> Any:
    return data.batch(np.arange(n))["tokens"]


def test_too_few_lines_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="5 lines are too few"):
        reverie.evaluate(run, "verses:400", n=5)
    (tmp_path / "few.txt").write_text("a fox sings.\nthe rain falls.\n")
    with pytest.raises(UserError, match="are too few to score"):
        reverie.evaluate(run, tmp_path / "few.txt", n=64)


def test_a_comparison_shows_lines(run: Path) -> None:
    from reverie.evaluation.samples_source import open_source

    source = open_source(run)
    shown = TextEvaluator.open(source, "verses:400", None).comparison_images(source, 0)
    assert shown["samples"].pixels.min() == 0


def test_a_run_of_a_column_is_scored_on_plain_text_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.text for line in Texts.open("verses:400")._parts["train"].lines]
    (tmp_path / "poems.csv").write_text(
        "id,verse,note\n" + "".join(f'{i},"{line}",x\n' for i, line in enumerate(lines))
    )
    (tmp_path / "plain.txt").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "other.csv").write_text("id,words\n" + "".join(f'{i},"{line}"\n' for i, line in enumerate(lines)))
    run = tmp_path / "run"
    reverie.train("seqgan:smoke", data=tmp_path / "poems.csv", out=run, column="verse", steps=1, pretrain_steps=1)
    evaluation = reverie.evaluate(run, tmp_path / "plain.txt", n=100, metrics="bleu")
    assert any(
        "plain.txt is plain text, whose lines are read; the run read column 'verse'" in n for n in evaluation.notes
    )
    assert not any("plain text" in note for note in reverie.evaluate(run, tmp_path / "poems.csv", n=100).notes)
    with pytest.raises(UserError, match="without a column 'verse'"):
        reverie.evaluate(run, tmp_path / "other.csv", n=100)
    assert reverie.evaluate(run, tmp_path / "other.csv", n=100, metrics="bleu", column="words")["bleu-2"].n == 100
    assert main(["evaluate", str(run), "--data", str(tmp_path / "other.csv"), "--column", "wards"]) == 2
    assert "without a column 'wards'. Did you mean 'words'?" in capsys.readouterr().err


@pytest.mark.parametrize(("share", "held"), [("0", 0), ("0.25", 300), (None, 120)])
def test_inspect_holds_out_as_training_does(
    share: str | None, held: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("".join(f"line {i} of words {i * i}\n" for i in range(1200)))
    words = ["data", "inspect", str(tmp_path / "a.txt"), "--json", *(["--held-out", share] if share else [])]
    assert main(words) == 0
    splits = json.loads(capsys.readouterr().out)["splits"]
    assert splits.get("test", {"used": 0})["used"] == pytest.approx(held, abs=60 if held else 0)
    assert main([*words[:4], "--held-out", "0.9"]) == 2
    assert "held_out is 0.9; it must be a share from 0 to 0.5" in capsys.readouterr().err
    assert main(["data", "inspect", "letters:8", "--held-out", "0.1"]) == 2
    assert "--held-out is about text" in capsys.readouterr().err
