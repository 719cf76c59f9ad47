"""What a page says in words and beside images: headline, labels, text and sound, baselines, how scores are read."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reverie
from report_files import ABOUT, SCORES, TEST, Tags, alert, evaluated, line, log, report, section, write_run
from reverie.evaluation.compare import Cell, Comparison
from reverie.evaluation.evaluators import EVALUATORS
from reverie.media import Image, Music, comparison_grid, grid_of_groups, rolls, text_sheet, with_sound
from reverie.media.image import image_grid, side_by_side
from reverie.media.sound_preview import MAX_BYTES
from reverie.metrics.score import Reference, Score, why_incomparable, why_meaningless
from reverie.report import compare, page
from reverie.report.baselines import lost_to
from reverie.report.compare import Column, Line
from reverie.report.headline import ITEMS, main_score
from reverie.report.reading import READING, meaning
from reverie.report.run_record import read_run_record
from reverie.training.monitor import RULES

PSNR = Score("psnr", 27.5, "dB", "higher", "PSNR", TEST, 16, 0, baseline=24.0, baseline_name="the degraded images",
             group="image similarity")  # fmt: skip
BM3D = dataclasses.replace(PSNR, name="psnr, BM3D", value=29.1, group="baselines")
MEANS = dataclasses.replace(PSNR, name="psnr, non-local means", value=26.0, group="baselines")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path)


def about(folder: Path, **changes: Any) -> None:
    (folder / "run.json").write_text(json.dumps({**ABOUT, **changes}))


def test_the_headline_is_a_sentence(run: Path) -> None:
    log(run, [line(step, loss_g=1.0, d_auc=0.7) for step in range(100, 2001, 100)])
    text = report(run)
    assert "<h1>DCGAN, trained on 5,000 images of photos for 8 min" in text
    assert "It has not been scored yet." in text
    assert "The monitor raised no alert." in text
    evaluated(run)
    text = report(run)
    assert "FID 61.2, beside 4.25 (real data: 10000 training images); lower is better." in text
    evaluated(run, run={"step": 1000})
    assert "Stale: these are of step 1,000, the run is at step 2,000." in report(run)
    log(run, [line(step, loss_g=1.0) for step in range(100, 2001, 100)] + [alert(1500)])
    assert "raised no alert" not in report(run)
    about(run, stages={"a": 1000, "b": 3000})
    assert "Training is at step 2,000 of 4,000." in report(run)


def test_a_resumed_run_says_so_beside_its_command(run: Path) -> None:
    command = "reverie train dcgan --data photos --out runs/a --steps"
    about(run, command=f"{command} 2000", config={**ABOUT["config"], "steps": 2000})
    assert "The run was then resumed" not in report(run)
    about(run, command=f"{command} 1000", config={**ABOUT["config"], "steps": 2000})
    assert "The run was then resumed with <code>--steps 2000</code>." in report(run)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"kind": "unpaired", "n": 999_572, "sides": [1231, 962]}, "1,231 + 962 images of photos"),
        ({"kind": "text"}, "5,000 lines of photos"),
        ({"kind": "photos"}, "5,000 patches of photos"),
        ({"kind": "music"}, "5,000 windows of music of photos"),
        ({"kind": "pairs"}, "5,000 pairs of images of photos"),
        ({"kind": [1], "n": "x", "sides": 5}, "trained on photos"),
        ({"name": None, "spec": None, "n": None}, "data that is not named"),
    ],
)
def test_what_was_learnt_from(run: Path, data: dict[str, Any], said: str) -> None:
    about(run, data={**ABOUT["data"], **data})
    text = report(run)
    assert said in text
    assert "999,572" not in text


def test_the_main_score_is_of_what_the_run_makes() -> None:
    reconstructed = dataclasses.replace(PSNR, group="reconstruction")
    assert main_score([reconstructed, SCORES[2]]) == SCORES[2]
    assert main_score([reconstructed]) == reconstructed
    assert main_score([dataclasses.replace(SCORES[0], value=math.nan)]) is None
    onset = dataclasses.replace(PSNR, name="onset accuracy", group="reconstruction")
    assert main_score([dataclasses.replace(onset, name="accuracy"), onset]) == onset
    of_hole = dataclasses.replace(PSNR, name="psnr-hole, centre", group="image similarity")
    classical = dataclasses.replace(PSNR, name="psnr, BM3D", group="baselines")
    assert main_score([classical, dataclasses.replace(PSNR, name="psnr, centre"), of_hole]) == of_hole
    assert main_score([classical]) is None


def test_every_kind_of_data_has_a_name_for_its_items() -> None:
    assert set(EVALUATORS) == set(ITEMS)


def test_columns_and_rows_of_images_say_what_they_show(run: Path) -> None:
    x = torch.zeros(4, 3, 8, 8)
    grid = side_by_side(x, x, x, labels=("degraded", "restored", "<original>"))
    grid.save(run / "samples" / "step-002001.png")
    images = [Image(np.zeros((8, 8, 1), np.uint8))] * 9
    comparison_grid(images, images).save(run / "samples" / "step-002001-pairs.png")
    grid_of_groups(images[:3], ("a", "b", "c")).save(run / "samples" / "step-002001-few.png")
    shown = section(report(run), "samples")
    assert "degraded restored &lt;original&gt; degraded restored &lt;original&gt;" in shown
    assert shown.count("original reconstruction original reconstruction") == 1
    assert "a b c a b c" in shown
    damaged = ["[1]", "{", '{"columns": 5, "rows": [1]}', json.dumps({"columns": ["x"] * 65})]
    for text in damaged:
        chunk = b"tEXt" + b"reverie-labels\0" + text.encode()
        png = Image(np.zeros((8, 8, 1), np.uint8)).png()
        crc = struct.pack(">I", __import__("zlib").crc32(chunk))
        part = struct.pack(">I", len(chunk) - 4) + chunk + crc
        (run / "samples" / "step-002002.png").write_bytes(png[:33] + part + png[33:])
        assert "samples at step 2002" in report(run)


def test_every_method_labels_its_grids() -> None:
    """Grids of inputs and outputs are made by functions that take labels; the page is useless without."""
    folder = Path(reverie.__file__).parent
    for file in [*folder.glob("methods/*.py"), *folder.glob("evaluation/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "side_by_side":
                assert "labels" in {keyword.arg for keyword in node.keywords}, file


def test_text_is_text(run: Path) -> None:
    lines = ["明月照人来 😀 <b>", "x" * 3000, *["line"] * 70]
    text_sheet(lines).save_with_companions(run / "samples" / "step-000100.png")
    text_sheet(lines).save_with_companions(run / "samples" / "step-002001.png")
    assert (run / "samples" / "step-002001.txt").read_text(encoding="utf-8").splitlines() == lines
    text = report(run)
    assert "明月照人来 😀 &lt;b&gt;\n" + "x" * 3000 in text
    assert text.count("line\n") < 140
    assert "\n...</pre>" in text
    assert "at step 100" in section(text, "samples")


def test_music_can_be_heard(run: Path) -> None:
    events = np.tile(np.array([60, 1, 1, 1, 62, 1, 1, 1], np.int16), 4)
    pieces = [Music({"melody": events}, 120.0)] * 8
    grid = with_sound(image_grid(rolls(pieces)), pieces)
    assert 44 < len(grid.companions[".wav"]) <= MAX_BYTES
    long = Music({"melody": np.tile(events, 16)}, 60.0)
    assert MAX_BYTES - 2 <= len(with_sound(grid, [long]).companions[".wav"]) <= MAX_BYTES
    grid.save_with_companions(run / "samples" / "step-002001.png")
    sounds = Tags(report(run)).of("audio")
    assert len(sounds) == 1
    assert str(sounds[0]["src"]).startswith("data:audio/wav;base64,UklGR")
    (run / "samples" / "step-002001.wav").write_bytes(b"<script>")
    assert not Tags(report(run)).of("audio")


def test_a_restoration_stands_beside_classical_tools_and_is_warned_of(run: Path) -> None:
    evaluated(run, [score.to_json() for score in (PSNR, BM3D, MEANS)])
    text = report(run)
    assert "the degraded images 24 BM3D 29.1 non-local means 26 my &amp; run this run 27.5" in section(text, "scores")
    assert text.count("This run loses to BM3D: PSNR 27.5 dB, beside 29.1 dB.") == 2  # at the top, and over the table
    assert re.findall(r"<td><b>(.*?)</b>", section_html(text, "scores"))[0] == "29.1"
    good = dataclasses.replace(PSNR, value=30.0)
    assert lost_to([good, BM3D, MEANS]) == ""
    assert "loses to the degraded images" in lost_to(
        [dataclasses.replace(PSNR, value=20.0), dataclasses.replace(MEANS, value=19.0)]
    )
    evaluated(run, [score.to_json() for score in (good, BM3D, MEANS)])
    assert "This run loses" not in report(run)
    assert lost_to(SCORES) == ""


def section_html(text: str, anchor: str) -> str:
    found = re.search(f'<section id="{anchor}">(.*?)</section>', text, re.DOTALL)
    assert found
    return found[1]


def test_a_score_that_is_neither_good_high_nor_low_is_read_so() -> None:
    kl = Score("kl", 12.0, "bits", "neither", "KL", TEST, 16, 0, group="codes")
    assert "posterior collapse" in meaning("kl")[0]
    assert READING[kl.better] == "neither high nor low is better"
    found = Comparison(["a", "b"], {"kl": [Cell(kl), Cell(dataclasses.replace(kl, value=0.0))]})
    assert found.best("kl") is None
    assert "floor" not in " ".join(READING.values())


def test_scores_that_are_made_have_a_meaning() -> None:
    """Each name that the code gives to a score, as far as it stands there as a text, is explained on pages."""
    names = (
        "fid", "kid", "precision", "density", "sharpness", "bleu-3", "self-bleu-2", "distinct-1", "psnr, BM3D", "ssim",
        "bass onset accuracy", "teacher-forced onset accuracy", "melody scale consistency", "fid, a to b", "nll-oracle",
        "drums drum-class histogram distance", "cycle-consistency l1, b to a", "log loss", "worst class accuracy",
    )  # fmt: skip
    assert [name for name in names if not meaning(name)] == []
    for name in ("kl", "active units"):
        assert "0: posterior collapse" in meaning(name)[0] or "Near 0: posterior collapse" in meaning(name)[0]


def test_scores_without_meaning_are_left_out_with_a_reason() -> None:
    nothing = Score("regular metre", 0.0, "", "match", "", TEST, 16, 0, real=0.0, real_source="real lines")
    assert "0 of real items too" in why_meaningless(nothing)
    assert "finite" in why_meaningless(dataclasses.replace(PSNR, value=math.inf))
    assert why_meaningless(dataclasses.replace(nothing, real=0.5)) == ""
    assert why_meaningless(dataclasses.replace(nothing, better="lower")) == ""  # no copies, where real lines have none


def test_compare_shows_images_first_and_says_an_excuse_once(run: Path) -> None:
    small = Reference("photos", "test", "f", 100, 16, 3)
    names = ("fid", "kid", "recall", "coverage", "sharpness")
    scores = [dataclasses.replace(SCORES[0], name=name, reference=small) for name in names]
    others = [dataclasses.replace(s, reference=dataclasses.replace(small, size=32, n=9)) for s in scores]
    whys = {why_incomparable(a, b) for a, b in zip(scores, others, strict=True)}
    assert len(whys) == 1
    why = whys.pop()
    assert "16x16x3" in why
    assert "32x32x3" in why
    grids: dict[str, Image | str] = {"samples": Image(np.zeros((4, 4, 1), np.uint8))}
    record = read_run_record(run)
    columns = [Column("a", record, grids, {}), Column("b", record, {"samples": "b cannot"}, {})]
    shared = Line("nll", [SCORES[2], SCORES[2]], None, SCORES[2])
    lines = [shared, *(Line(one.name, [one, why], None, one) for one in scores)]
    text = compare.page(columns, lines, "photos", "")
    assert re.findall('<section id="(.*?)">', text)[:2] == ["samples", "scores"]
    assert text.count(why.replace("'", "&#39;")) == 1
    assert "b (FID, KID, Recall and 2 more): have different references" in section(text, "scores")
    assert text.count("b cannot") == 1
    assert "Scores of one run only (5)" in text
    assert "No score of these runs" not in text
    assert "No score of these runs" in compare.page(columns, lines[1:], "photos", "")


@pytest.mark.parametrize(
    ("options", "has", "lacks"),
    [
        (("lr", "d_lr", "d_steps", "mle_weight"), "--d-lr", r"image|--r1-weight|latent|--base-channels"),
        (("lr", "beta", "free_bits", "latent_dim"), "--free-bits", r"image|--r1-weight|--free-nats|channels"),
        (("lr", "r1_weight", "diff_augment", "latent_dim"), "for few images", r"--d-lr|--free"),
    ],
)
def test_advice_speaks_only_of_options_that_the_method_has(options: tuple[str, ...], has: str, lacks: str) -> None:
    words = " ".join(rule.advice(options) for rule in RULES)
    assert has in words
    assert not re.search(lacks, words)
    assert all(rule.advice(options).startswith("Try ") and "a lower" in rule.advice(options) for rule in RULES[:2])


def test_the_page_is_there_from_the_first_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    write = page.write_report

    def watched(folder: Path) -> Path:
        path = write(folder)
        seen.append(re.findall(r"Training is at step (\d+) of 20", path.read_text(encoding="utf-8"))[0:1] or "end")
        return path

    monkeypatch.setattr(page, "write_report", watched)
    options = dict(data="letters:64", checkpoint_every=5, sample_every=10, log_every=5, threads=1)
    first = reverie.train("vae:smoke", out=tmp_path / "a", **options)
    assert seen == [["5"], ["10"], ["15"], "end"]

    def broken(folder: Path) -> Path:
        raise ValueError("no page today")

    monkeypatch.setattr(page, "write_report", broken)
    second = reverie.train("vae:smoke", out=tmp_path / "b", **options)  # a page that fails does not end the run
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
