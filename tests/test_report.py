"""The report of a run: its parts, its safety, and what it does where parts are missing."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from report_files import (
    ABOUT,
    EVIL,
    SCORES,
    TEST,
    WEIGHTS,
    Tags,
    alert,
    evaluated,
    headings,
    line,
    log,
    report,
    rollback,
    save,
    section,
    write_run,
)
from reverie import report as report_room
from reverie.media import Image
from reverie.report import compare, page
from reverie.report.compare import Column, Line
from reverie.report.curves import Chart, by_scale, chart, ticks
from reverie.report.embedded_image import LARGE
from reverie.report.html import Section, render
from reverie.report.metric_charts import label_of
from reverie.report.page import write_report
from reverie.report.run_record import read_run_record
from reverie.report.scores import score_title
from reverie.report.values import number
from reverie.training.monitor import RULES
from reverie.utils.errors import UserError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path)


def test_scores_have_their_usual_names() -> None:
    titles = {
        "psnr, non-local means": "PSNR, non-local means", "self-bleu-2": "Self-BLEU-2", "kl": "KL", "miou": "mIoU",
        "nll-gen per line": "NLL-gen per line", "1-nn accuracy": "1-NN accuracy", "gan-train accuracy":
        "GAN-train accuracy", "data-copying auc": "Data-copying AUC", "normalised mse": "Normalised MSE",
        "cycle-consistency l1, a to b": "Cycle-consistency L1, a to b", "nn dice similarity": "NN Dice similarity",
        "teacher-forced onset accuracy": "Teacher-forced onset accuracy", "per_class_coverage": "Per class coverage",
        "psnr-y": "PSNR-Y", "cider-d": "CIDEr-D", "nss": "NSS", "distinct-1": "Distinct-1", "density": "Density",
        "distinctness": "Distinctness",
    }  # fmt: skip
    assert {name: score_title(name) for name in titles} == titles


def test_all_parts_are_there(run: Path) -> None:
    evaluated(run)
    text = report(run)
    assert headings(text) == [
        "Samples",
        "Scores",
        "Nearest training neighbours",
        "Interpolation",
        "Reconstructions",
        "Monitor",
        "Metrics",
        "Data and settings",
        "Speed and time",
        "Reproduce this run",
        "Files",
        "Provenance",
    ]
    parts = ("DCGAN, trained on 5,000 images of photos for 8 min", "0123456789abcdef", "3 files are no images")
    for part in (*parts, "2,000", "torch 2.13.0"):
        assert part in text
    assert "reverie train dcgan --data photos --out runs/a" in text
    assert "2,000 steps took 8 min on cpu in batches of 64, 256 examples a second" in text
    assert "synthetic" in text
    assert "reverie provenance FILE --verify &#39;my &amp; run&#39;" in text  # as a shell takes it
    assert "not written by reverie" not in text


def test_every_link_leads_somewhere(run: Path) -> None:
    tags = Tags(report(run))
    anchors = {attributes["id"] for attributes in tags.of("section")}
    links = [attributes["href"] for attributes in tags.of("a")]
    assert links == [f"#{anchor}" for anchor in [section["id"] for section in tags.of("section")]]
    assert len(anchors) == len(links)


def test_samples_are_evenly_spaced_and_the_last_is_large(run: Path) -> None:
    images = Tags(report(run)).of("img")
    steps = [int(str(image["alt"]).split()[-1]) for image in images if str(image["alt"]).startswith("samples")]
    assert steps == [2000, 100, 400, 600, 900, 1200, 1500, 1700, 2000]
    reconstruction = next(image for image in images if str(image["alt"]).startswith("reconstruction"))
    assert reconstruction["width"] == str(LARGE)  # made smaller
    assert "max-width:848px" in str(images[0]["style"])  # 53 times 16: enlarged by a whole number


def hostile(value: Any) -> Any:
    """The same with every text, keys too, turned into markup."""
    if isinstance(value, dict):
        return {f"{key}{EVIL}": hostile(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return f'"><u>{EVIL}' if isinstance(value, str) else value


def test_what_comes_from_an_evaluation_is_escaped(run: Path) -> None:
    evil = hostile("")
    ref = dataclasses.replace(TEST, name=evil, split=evil, fingerprint=evil)
    texts: dict[str, Any] = dict.fromkeys(("name", "unit", "definition", "real_source", "group"), evil)
    bad = dataclasses.replace(SCORES[0], reference=ref, versions={evil: evil}, **texts)
    about = evaluated(run, [bad.to_json(), {**SCORES[1].to_json(), "name": evil}])
    about = {**about, **{key: hostile(about[key]) for key in ("skipped", "notes", "command", "created", "machine")}}
    about["figures"] = dict.fromkeys(about["figures"], evil)
    for content in (about, {key: hostile(value) for key, value in about.items()}):
        (run / "scores.json").write_text(json.dumps(content))
        found = {**alert(1), "alert": {**dict.fromkeys(alert(1)["alert"], evil), "since": 0}}
        log(run, [line(1, loss_g=1.0), found, {**rollback(2, 1), "rollback": {"from": 2, "why": evil, "what": evil}}])
        text = report(run)
        assert "&lt;script&gt;" in section(text, "scores")
        assert "&lt;script&gt;" in section(text, "monitor").lower()
        assert_harmless(text)


def test_what_comes_from_files_is_escaped(run: Path) -> None:
    about = json.loads(json.dumps(ABOUT).replace("laptop", EVIL).replace("cpu", EVIL).replace("DCGAN", EVIL))
    about["config"][EVIL] = EVIL
    about["command"] = about["versions"][EVIL] = about["data"]["facts"][EVIL] = EVIL
    (run / "run.json").write_text(json.dumps(about))
    log(run, [line(1, EVIL, **{EVIL: 1.0}), line(2, '"><b>', **{'"><b>': 1.0})])
    PIL.Image.new("L", (4, 4)).save(run / "samples" / "step-000001-&lt;i&gt;.png")
    (run / "a&b.txt").write_text("")
    text = report(run)
    for anchor in ("data", "metrics", "reproduce"):  # a class, a metric, a stage, a command ...
        assert "&lt;script&gt;" in section(text, anchor).lower()
    assert "a&amp;b.txt" in section(text, "files")
    assert "&amp;lt;i&amp;gt;" in section(text, "samples").lower()
    assert_harmless(text)


def test_what_is_compared_is_escaped(run: Path) -> None:
    (run / "run.json").write_text(json.dumps(hostile(ABOUT)))
    log(run, [line(step, EVIL, **{EVIL: 1.0}) for step in (1, 2)])
    bad = dataclasses.replace(SCORES[0], name=EVIL, unit=EVIL, definition=EVIL, group=EVIL)
    grids: dict[str, Image | str] = {"samples": Image(np.zeros((4, 4, 1), np.uint8))}
    record = read_run_record(run)
    columns = [Column(EVIL, record, grids, {EVIL: 3}), Column("b", record, {"samples": EVIL}, {})]
    text = compare.page(columns, [Line(EVIL, [bad, EVIL], 0, bad)], EVIL, EVIL)
    assert re.findall('<section id="(.*?)">', text) == ["samples", "scores", "cost", "metrics", "reproduce"]
    for anchor in ("scores", "samples", "cost", "metrics", "reproduce"):
        assert "&lt;script&gt;" in section(text, anchor).lower()
    assert_harmless(text)


def assert_harmless(text: str) -> None:
    """No tag or handler of the texts that hostile() makes is one of the page."""
    tags = Tags(text).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "u"}
    assert not [key for _, attributes in tags for key in attributes if key.startswith("on")]
    assert "<script" not in text.lower()


def test_python_builds_no_tags() -> None:
    """Tags stand in templates, where every value is escaped; no text in the Python of report/ holds any."""
    files = sorted(Path(report_room.__file__).parent.glob("*.py"))
    assert len(files) > 8
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        assert not [text for text in texts if isinstance(text, str) and re.search(r"</?[a-z]|&[a-z#]+;", text)], file
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "escape" not in names
        assert "Markup" not in names or file.name == "html.py"


def test_templates_escape_everything() -> None:
    for file in sorted((Path(report_room.__file__).parent / "templates").iterdir()):
        assert file.name.endswith(".html.jinja")
        source = file.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe|autoescape", source), file
        assert not re.search(r"=\{\{", source), f"{file}: an attribute without quotes"


def test_page_needs_nothing_but_itself(run: Path) -> None:
    evaluated(run)
    text = report(run)
    for _, attributes in Tags(text).tags:
        for key in ("src", "href", "srcset", "data", "action", "poster"):
            if (value := attributes.get(key)) is not None:
                assert value.startswith("#" if key == "href" else "data:image/png;base64,")
    style = text[text.index("<style>") : text.index("</style>")]
    assert not re.search(r"url\(|@import|http", style)
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in style
    assert "image-rendering: pixelated" in style


@pytest.mark.parametrize("missing", ["save.json", "log.jsonl", "samples"])
def test_missing_parts(run: Path, missing: str) -> None:
    if (run / missing).is_dir():
        (run / missing).rename(run.parent / "away")
    else:
        (run / missing).unlink()
    text = report(run)
    assert ("Metrics" in headings(text)) == (missing != "log.jsonl")
    assert ("Samples" in headings(text)) == (missing != "samples")
    assert "<dd>2,000</dd>" in text  # the step is known from the log as well as from the checkpoint


def test_nothing_but_an_almost_empty_run_json(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"method": "vae"}')
    assert headings(report(tmp_path)) == [
        "Data and settings",
        "Files",
        "Provenance",
    ]


def test_strange_values_do_not_break_it(run: Path) -> None:
    (run / "samples").rename(run.parent / "away")  # for speed
    strange: list[Any] = [None, [], {}, "x", 1e308, -1e308, float("nan"), float("inf"), True, 10**400, ""]
    for value in strange:
        about = dict.fromkeys(ABOUT, value) | {"method": "vae"}
        (run / "run.json").write_text(json.dumps(about))
        report(run)
        for part in ("data", "train"):
            (run / "run.json").write_text(json.dumps({**ABOUT, part: dict.fromkeys(ABOUT[part], value)}))
            log(run, [line(1, g=value), {**line(2, g=1.0), "seconds": value}, {**line(3), "metrics": value}])
            report(run)
        log(run, [{**line(1), "step": value}, {**line(2, g=1.0), "stage": value}])
        (run / "save.json").write_text(json.dumps({"step": value, "sha256": value}))
        report(run)
    save(run, 2000)
    (run / "run.json").write_text(json.dumps(ABOUT))
    for value in strange:
        about = evaluated(run)
        score = about["scores"][0]
        for key in about:
            (run / "scores.json").write_text(json.dumps({**about, key: value}))
            report(run)
        scores = [{**score, key: value} for key in score]
        scores += [{**score, "reference": {**score["reference"], key: value}} for key in score["reference"]]
        texts = dict.fromkeys(("score", "why"), value)
        evaluated(run, [value, *scores], skipped=[value, texts], notes=[value], run=dict.fromkeys(about["run"], value))
        assert "edited by hand" in section(report(run), "scores")
        evaluated(run, figures=dict.fromkeys(about["figures"], value))
        found, back = alert(600), rollback(700, 100)
        lines = [{**found, "alert": {**found["alert"], key: value}} for key in found["alert"]]
        lines += [{**back, "rollback": {**back["rollback"], key: value}} for key in back["rollback"]]
        log(run, [*lines, {**found, "alert": value}, {**back, "rollback": value}, {**found, "seconds": value}])
        report(run)


def test_cut_log_and_damaged_pictures(run: Path) -> None:
    log(run, [line(50, g=1.0)], '[1]\nnot json\n{"step": 100, "lo')
    last = run / "samples" / "step-002000.png"
    last.write_bytes(last.read_bytes()[:40])
    (run / "samples" / "step-000100.png").write_bytes(b"")
    (run / "samples" / "other.png").write_bytes(b"")
    text = report(run)
    assert "Metrics" in headings(text)
    assert "samples at step 1900" in text
    assert "samples at step 2000" not in text


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        write_report(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        write_report(tmp_path)


def test_a_failed_write_leaves_the_old_page(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(run)
    before, names = (run / "report.html").read_bytes(), sorted(run.iterdir())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    (run / "save.json").write_text('{"step": 3000}')
    with pytest.raises(UserError, match=r"disk of .* is full"):
        write_report(run)
    assert (run / "report.html").read_bytes() == before
    assert sorted(run.iterdir()) == names


def test_same_files_same_page(run: Path) -> None:
    assert report(run) == report(run)


def test_a_part_is_a_function(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Section("a", "A", "command.html.jinja", {"command": "<b>"})
    monkeypatch.setattr(page, "PARTS", [lambda record: [part], lambda record: []])
    text = report(run)
    assert headings(text) == ["A"]
    assert section(text, "a") == "A &lt;b&gt;"


def test_scores_tell_all_that_belongs_to_them(run: Path) -> None:
    evaluated(run)
    text = report(run)
    shown = section(text, "scores")
    for part in (
        "Samples 5,000 items, against 10,000 of photos (test) at 32x32x3.",
        "from the real ones, in the features of a network 61.2 lower is better 4.25 real data: 10000 training images",
        "less is blurred, more is noisy 0.71 &plusmn; 0.02 best near the value of real data",
        "Likelihood 300 items",
        "on average 87.9 nats lower is better 206 nats baseline: mean pixel",
        f"FID {SCORES[0].hash} Frechet distance of features",
        "seed 7; fingerprint fedcba9876543210",
        "torch 2.13.0",
        "Skipped Precision, Recall: too few images Notes the reference is the training data.",
        "Measured 2025-01-03 04:05, on Linux, 1 thread, in 4 min by reverie evaluate runs/a --data photos .",
    ):
        assert part in shown
    assert "stale" not in text[text.index("<body>") :].lower()


def test_a_score_that_was_measured_on_something_else_says_so(run: Path) -> None:
    other = dataclasses.replace(SCORES[1], n=300, reference=None)
    evaluated(run, [score.to_json() for score in (SCORES[0], SCORES[0], other)])
    shown = section(report(run), "scores")
    assert "more is noisy 300 items. 0.71" in shown
    assert "features of a network 61.2" in shown


def test_value_and_what_it_is_read_beside_lie_on_a_line_from_zero(run: Path) -> None:
    def places(**changes: Any) -> list[str]:
        evaluated(run, [dataclasses.replace(SCORES[0], **changes).to_json()])
        return re.findall(r'class="(?:stroke|dot)" style="left:(.*?)%"', report(run))

    assert places(value=50.0, real=100.0) == ["95.2", "47.6"]
    assert places(value=100.0, real=25.0) == ["23.8", "95.2"]
    assert places(value=0.03, real=-0.00001) == ["0.0", "95.2"]  # of an unbiased score
    nothing: list[dict[str, Any]] = [
        {"value": -1.0}, {"real": -1.0}, {"real": None}, {"unit": "dB"}, {"value": 0.0, "real": 0.0},
    ]  # fmt: skip
    for changes in nothing:
        assert places(**changes) == []
    assert places(value=math.nan) == []
    assert "not a number lower is better" in section(report(run), "scores")


def test_before_an_evaluation_it_says_how_to_get_scores(run: Path) -> None:
    text = report(run)
    assert section(text, "scores") == (
        "Scores Not measured yet: reverie evaluate &#39;my &amp; run&#39; --data DATA scores this run."
    )
    assert "Interpolation" not in headings(text)
    (run / "save.json").unlink()
    assert "Scores" not in headings(report(run))  # there is nothing yet to evaluate


@pytest.mark.parametrize(
    ("scored", "why"),
    [
        ({"step": 1000, "weights": WEIGHTS[:16]}, "these are of step 1,000, the run is at step 2,000"),
        ({"step": 2000, "weights": "0" * 16}, "these are of other weights than the run has now"),
        ({"step": 2000, "weights": ""}, "these are of other weights than the run has now"),
        ({}, "it is not known of which checkpoint these are"),
    ],
)
def test_scores_and_figures_of_another_checkpoint_are_stale(run: Path, scored: dict[str, Any], why: str) -> None:
    evaluated(run, run=scored)
    text = report(run)
    assert section(text, "scores").startswith(
        f"Scores Stale: {why}. To measure again: reverie evaluate &#39;my &amp; run&#39; --data DATA Samples stale"
    )
    assert "Likelihood stale" in section(text, "scores")
    for name in ("neighbours", "interpolation", "reconstruction"):
        assert f"Stale: {why}." in section(text, f"figure-{name}")


def test_damaged_scores_are_left_out_and_said_so(run: Path) -> None:
    good, *bad = (score.to_json() for score in SCORES)
    bad[0]["definition"] = "a kinder one"
    bad[1]["n"] = "many"
    evaluated(run, [good, *bad, 5, {"name": "x"}])
    shown = section(report(run), "scores")
    assert "61.2" in shown
    assert "0.71" not in shown
    assert "87.9" not in shown
    assert "the definition of score &#39;sharpness&#39; was edited by hand; evaluate the run again." in shown
    assert "score &#39;nll&#39; was edited by hand" in shown
    assert "an entry of scores.json is no score" in shown
    assert shown.count("evaluate the run again.") == 4


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"scores": 5}', '{"scores": []}', "\0"])
def test_damaged_scores_json(run: Path, text: str) -> None:
    evaluated(run)
    (run / "scores.json").write_text(text)
    shown = report(run)
    assert "scores.json is damaged or empty; reverie evaluate" in section(shown, "scores")
    assert "Interpolation" not in headings(shown)  # nothing says of what the figures are


def test_figures(run: Path) -> None:
    captions = dict.fromkeys(("neighbours", "interpolation", "of-a-later-version", "../../secret"), "a caption")
    evaluated(run, figures=captions)
    (run / "figures" / "neighbours.png").write_bytes(b"PNG")
    text = report(run)
    assert section(text, "figure-neighbours") == (
        "Nearest training neighbours a caption figures/neighbours.png is missing or damaged; evaluate the run again."
    )
    assert section(text, "figure-interpolation") == "Interpolation a caption"
    assert "Of a later version" in headings(text)
    assert [image for image in Tags(text).of("img") if image["alt"] == "a caption"]
    anchors = re.findall('<section id="(.*?)">', text)
    assert "figure-reconstruction" not in anchors  # an old figure, of some other checkpoint
    assert not [anchor for anchor in anchors if "secret" in anchor]


def test_alerts_and_rollbacks(run: Path) -> None:
    steps = range(50, 2001, 50)
    lines = [line(step, loss_g=step / 1000, nn_distance_ratio=0.9 if step < 1000 else 0.1) for step in steps]
    log(run, [*lines[:10], rollback(900, 500), *lines[10:35], alert(1750), *lines[35:]])
    text = report(run)
    shown = section(text, "monitor")
    assert "1 Lost diversity at step 900 Items lie near. Training went back to step 500" in shown
    assert "(attempt 1)" in shown
    assert "2 Lost diversity at step 1,750; last good at step 1,250 Items lie 0.08 times as far apart." in shown
    assert "What to try: Use a penalty." in shown
    assert '<p class="alarm"><a href="#monitor">Alerts of the monitor: lost diversity.</a></p>' in text
    assert "2,000 steps, and 400 that were rolled back, took 8 min" in text
    metrics = re.search('<section id="metrics">(.*?)</section>', text, re.DOTALL)
    assert metrics is not None
    assert re.findall(r'class="mark" style="left:(.*?)%">(.*?)<', metrics[1]) == [("23.08", "1"), ("87.18", "2")]
    assert "nn_distance_ratio" not in metrics[1]  # it is drawn with the monitor
    assert "distance of generated items from their nearest neighbours" in shown
    assert "<details open><summary>Monitored metrics" in text


def test_a_monitor_without_alerts_says_what_it_watches(run: Path) -> None:
    log(run, [line(step, loss_g=1.0, d_auc=0.7, nn_distance_ratio=0.9) for step in range(100, 2001, 100)])
    text = report(run)
    assert section(text, "monitor").startswith(
        "Monitor No alerts. The monitor watches this run for: not a number, discriminator has won, lost diversity. "
        "Monitored metrics"
    )
    assert "<details><summary>Monitored metrics" in text
    assert 'class="alarm"' not in text
    assert {rule.name for rule in RULES} - {"discriminator has won", "lost diversity"}
    log(run, [line(step, loss_g=1.0, d_auc=0.7) for step in range(100, 401, 100)])
    text = report(run)
    assert "Monitor" not in headings(text)  # too short to tell
    assert "d_auc" in section(text, "metrics")


def test_a_metric_is_what_its_role_says_and_not_what_its_name_resembles(run: Path) -> None:
    about = {**ABOUT, "monitored": {"loss": "loss", "order": "discriminator_auc"}}
    (run / "run.json").write_text(json.dumps(about))
    values = dict(loss=1.0, token_accuracy=0.9985, d_auc=0.999, order=0.7)  # d_auc: of a method that declares another
    log(run, [line(step, **values) for step in range(100, 2001, 100)])
    text = report(run)
    monitor, metrics = section(text, "monitor"), section(text, "metrics")
    assert "not a number, discriminator has won, diverging." in monitor
    assert "order 0.7" in monitor
    assert "token_accuracy" not in monitor
    assert "d_auc" not in monitor
    assert "accuracy token_accuracy 0.9985" in metrics
    assert "pairs" not in metrics
    assert label_of("d_auc", about["monitored"]) == "loss"


def test_the_diversity_that_the_loop_measures_is_shown(run: Path) -> None:
    lines = [line(step, loss=1.0) for step in range(100, 2001, 100)]
    log(run, [*lines, {"step": 2000, "stage": "train", "samples": {"nn_distance_ratio": 0.6}, "seconds": 500.0}])
    shown = section(report(run), "monitor")
    assert "not a number, lost diversity, diverging." in shown
    assert "nn_distance_ratio of samples 0.6" in shown


@pytest.mark.parametrize("kind", ["music", "text"])
def test_pages_of_music_and_text_do_not_speak_of_images(run: Path, kind: str) -> None:
    about = {**ABOUT, "data": {**ABOUT["data"], "kind": kind, "notes": []}}
    (run / "run.json").write_text(json.dumps(about))
    score = dataclasses.replace(SCORES[2], name="exact-match rate")
    evaluated(run, [score.to_json()], skipped=[], notes=[])
    log(run, [line(step, loss=1.0, nn_distance_ratio=0.9) for step in range(100, 2001, 100)])
    words = re.sub(r"<[^>]*>", " ", report(run).partition("<body>")[2]).lower()
    assert not re.findall(r"\b(?:images?|pictures?|photo|camera|png)\b", words)
    assert kind in section(report(run), "provenance").lower()


def test_many_alerts_do_not_flood_the_page(run: Path) -> None:
    log(run, [alert(step) for step in range(1, 500)])
    text = report(run)
    assert "479 more are in log.jsonl." in section(text, "monitor")
    assert len(text) < 60_000


def test_report_needs_no_torch() -> None:
    code = "import sys, reverie.report.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def draw(c: Chart) -> str:
    """A chart as HTML."""
    return render("speed.html.jinja", text="", speeds=c)


def test_chart_of_many_points_stays_small() -> None:
    text = draw(chart({"loss_g": [(float(step), step % 7) for step in range(100_000)]}, label="loss"))
    assert len(text) < 60_000


def test_chart_of_one_point() -> None:
    curve = chart({"loss_g": [(5.0, 0.0)]}, label="loss").curves[0]
    assert curve.raw == curve.mean == "M50.00 50.00h0.001"


def test_outliers_are_cut_off_and_said_so() -> None:
    points = [(float(step), 1.0 + step % 3) for step in range(400)]
    points[200] = (200.0, 1e6)
    text = draw(chart({"loss_g": points}, label="loss"))
    assert "Outliers" in text
    assert "1,000,000" not in text


def test_marks_and_level_are_dashed_and_in_sight() -> None:
    lines = {"loss_g": [(0.0, 1.0), (100.0, 1.2)]}
    c = chart(lines, label="loss", level=0.25, marks={50: "1<", 500: "2"})
    text = draw(c)
    assert 'style="left:50.00%">1&lt;<' in text
    assert text.count('class="level"') == 2  # what lies beyond the steps is left out
    assert c.level is not None
    assert 0 < float(c.level) < 100


def test_losses_of_one_scale_share_a_chart() -> None:
    lines = {name: [(1.0, value)] for name, value in {"a": 100.0, "b": 60.0, "c": 0.5, "d": 0.4}.items()}
    assert [list(group) for group in by_scale(lines)] == [["a", "b"], ["c", "d"]]


def test_ticks_and_numbers() -> None:
    assert ticks(0, 2000, 4) == [0, 500, 1000, 1500, 2000]
    assert ticks(1, 3, 4, whole=True) == [1, 2, 3]
    assert [number(value) for value in (12500, 3.14159, 0.00211, -0.00002, 0, -1e-17)] == [
        "12,500", "3.142", "0.00211", "-0.00002", "0", "0",
    ]  # fmt: skip
