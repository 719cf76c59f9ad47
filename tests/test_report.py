"""The report of a run: its parts, its safety, and what it does where parts are missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from reverie.errors import UserError
from reverie.report import page
from reverie.report.curves import by_scale, chart, number, ticks
from reverie.report.page import Section, write_report

EVIL = "<script>alert('x')</script>"
ABOUT: dict[str, Any] = {
    "method": "dcgan",
    "preset": "laptop",
    "title": "DCGAN",
    "config": {"latent": 128, "lr": 0.0002, "betas": [0.5, 0.999]},
    "train": {"batch": 64, "seed": 7, "device": "cpu"},
    "data": {
        "spec": "https://example.org/photos",
        "name": "photos",
        "kind": "images",
        "split": "train",
        "n": 5000,
        "fingerprint": "0123456789abcdef",
        "facts": {"size": "32x32"},
        "classes": ["cat", EVIL],
        "dropped": 3,
        "notes": ["3 files are no pictures"],
    },
    "versions": {"reverie": "0.1.0", "torch": "2.13.0"},
    "commit": None,
    "command": "reverie train dcgan --data photos --out runs/a",
    "machine": {"system": "Linux", "cpu": "a cpu", "threads": 2},
    "created": "2025-01-02T03:04:05",
}
VOID = {"meta", "img", "path", "br"}


class Tags(HTMLParser):
    """Collects the tags of a page, and complains of one that is closed in the wrong order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with all its parts."""
    run = tmp_path / "my & run"
    (run / "samples").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps(ABOUT))
    (run / "save.json").write_text('{"step": 2000}')
    for step in range(100, 2001, 100):
        PIL.Image.new("RGB", (16, 16), (step % 256, 9, 9)).save(run / "samples" / f"step-{step:06d}.png")
    PIL.Image.new("L", (2000, 8)).save(run / "samples" / "step-002000-reconstruction.png")
    log(run, [line(step, d=1 / step, g=step / 1000) for step in range(50, 2001, 50)])
    return run


def line(step: int, stage: str = "train", **losses: float) -> dict[str, Any]:
    return {"step": step, "stage": stage, "losses": losses, "steps_per_s": 4.0, "seconds": step / 4}


def log(run: Path, lines: list[dict[str, Any]], rest: str = "") -> None:
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + rest)


def report(run: Path) -> str:
    path = write_report(run)
    assert path == run / "report.html"
    text = path.read_text(encoding="utf-8")
    Tags(text)
    return text


def headings(text: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", text)


def test_all_parts_are_there(run: Path) -> None:
    text = report(run)
    assert headings(text) == [
        "What it draws",
        "What was learnt from what",
        "Losses",
        "Speed and time",
        "To repeat it",
        "The files of this run",
        "Whence a picture comes",
    ]
    for told in ("DCGAN", "learnt from photos", "2,000", "0123456789abcdef", "3 files are no pictures", "torch 2.13.0"):
        assert told in text
    assert "reverie train dcgan --data photos --out runs/a" in text
    assert "2,000 steps took 8 min on cpu in batches of 64, 256 examples a second" in text
    assert "synthetic" in text
    assert "reverie whence FILE --verify my &amp; run" in text


def test_every_link_leads_somewhere(run: Path) -> None:
    tags = Tags(report(run))
    anchors = {attributes["id"] for attributes in tags.of("section")}
    links = [attributes["href"] for attributes in tags.of("a")]
    assert links == [f"#{anchor}" for anchor in [section["id"] for section in tags.of("section")]]
    assert len(anchors) == len(links)


def test_previews_are_spread_evenly_and_the_last_is_large(run: Path) -> None:
    images = Tags(report(run)).of("img")
    steps = [int(str(image["alt"]).split()[-1]) for image in images if str(image["alt"]).startswith("samples")]
    assert steps == [2000, 100, 400, 600, 900, 1200, 1500, 1700, 2000]
    reconstruction = next(image for image in images if str(image["alt"]).startswith("reconstruction"))
    assert reconstruction["width"] == str(page.LARGE)  # made smaller
    assert "max-width:848px" in str(images[0]["style"])  # 53 times 16: enlarged by a whole number


def test_what_comes_from_files_is_escaped(run: Path) -> None:
    about = json.loads(json.dumps(ABOUT).replace("laptop", EVIL).replace("cpu", EVIL).replace("DCGAN", EVIL))
    about["config"][EVIL] = EVIL
    about["command"] = about["versions"][EVIL] = about["data"]["facts"][EVIL] = EVIL
    (run / "run.json").write_text(json.dumps(about))
    log(run, [line(1, EVIL, **{EVIL: 1.0}), line(2, '"><b>', **{'"><b>': 1.0})])
    PIL.Image.new("L", (4, 4)).save(run / "samples" / "step-000001-&lt;i&gt;.png")
    (run / "a&b.txt").write_text("")
    text = report(run)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "a&amp;b.txt" in text
    assert not {tag for tag, _ in Tags(text).tags} & {"script", "b>", "link", "iframe"}
    assert not [key for _, attributes in Tags(text).tags for key in attributes if key.startswith("on")]


def test_page_needs_nothing_but_itself(run: Path) -> None:
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
    assert ("Losses" in headings(text)) == (missing != "log.jsonl")
    assert ("What it draws" in headings(text)) == (missing != "samples")
    assert "<dd>2,000</dd>" in text  # the step is known from the log as well as from the save


def test_nothing_but_an_almost_empty_run_json(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"method": "vae"}')
    assert headings(report(tmp_path)) == [
        "What was learnt from what",
        "The files of this run",
        "Whence a picture comes",
    ]


def test_strange_values_do_not_break_it(run: Path) -> None:
    strange: list[Any] = [None, [], {}, "x", 1e308, -1e308, float("nan"), float("inf"), True, 10**400, ""]
    for value in strange:
        about = dict.fromkeys(ABOUT, value) | {"method": "vae"}
        (run / "run.json").write_text(json.dumps(about))
        report(run)
        for part in ("data", "train"):
            (run / "run.json").write_text(json.dumps({**ABOUT, part: dict.fromkeys(ABOUT[part], value)}))
            log(run, [line(1, g=value), {**line(2, g=1.0), "seconds": value}, {**line(3), "losses": value}])
            report(run)
        log(run, [{**line(1), "step": value}, {**line(2, g=1.0), "stage": value}])
        (run / "save.json").write_text(json.dumps({"step": value}))
        report(run)


def test_cut_log_and_damaged_pictures(run: Path) -> None:
    log(run, [line(50, g=1.0)], '[1]\nnot json\n{"step": 100, "lo')
    last = run / "samples" / "step-002000.png"
    last.write_bytes(last.read_bytes()[:40])
    (run / "samples" / "step-000100.png").write_bytes(b"")
    (run / "samples" / "other.png").write_bytes(b"")
    text = report(run)
    assert "Losses" in headings(text)
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


def test_a_section_is_a_function(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "SECTIONS", [lambda record: Section("a", "A", "told"), lambda record: None])
    assert headings(report(run)) == ["A"]


def test_report_needs_no_torch() -> None:
    code = "import sys, reverie.report.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_chart_of_many_points_stays_small() -> None:
    text = chart({"g": [(float(step), step % 7) for step in range(100_000)]}, label="loss")
    assert len(text) < 60_000


def test_chart_of_one_point() -> None:
    assert "<path" in chart({"g": [(5.0, 0.0)]}, label="loss")


def test_outliers_are_cut_off_and_said_so() -> None:
    points = [(float(step), 1.0 + step % 3) for step in range(400)]
    points[200] = (200.0, 1e6)
    assert "Outliers" in chart({"g": points}, label="loss")
    assert "1,000,000" not in chart({"g": points}, label="loss")


def test_losses_of_one_scale_share_a_chart() -> None:
    lines = {name: [(1.0, value)] for name, value in {"a": 100.0, "b": 60.0, "c": 0.5, "d": 0.4}.items()}
    assert [list(group) for group in by_scale(lines)] == [["a", "b"], ["c", "d"]]


def test_ticks_and_numbers() -> None:
    assert ticks(0, 2000, 4) == [0, 500, 1000, 1500, 2000]
    assert ticks(1, 3, 4, whole=True) == [1, 2, 3]
    assert [number(value) for value in (12500, 3.14159, 0.00211, 0, -1e-17)] == ["12,500", "3.142", "0.00211", "0", "0"]
