"""Run folders as their report reads them, written by hand, for the tests of the report."""

from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import PIL.Image

from reverie._version import FORMAT
from reverie.metrics.score import Reference, Score
from reverie.report.page import write_report

EVIL = "<script>alert('x')</script>"
ABOUT: dict[str, Any] = {
    "format": FORMAT,
    "method": "dcgan",
    "name": "DCGAN",
    "stages": {"train": 2000},
    "preset": "laptop",
    "title": "DCGAN",
    "monitored": {"d_auc": "discriminator_auc", "nn_distance_ratio": "diversity", "loss": "loss"},
    "config": {"latent_dim": 128, "lr": 0.0002, "betas": [0.5, 0.999]},
    "train": {"batch_size": 64, "seed": 7, "device": "cpu"},
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
        "notes": ["3 files are no images"],
    },
    "versions": {"reverie": "0.1.0", "torch": "2.13.0"},
    "commit": None,
    "command": "reverie train dcgan --data photos --out runs/a",
    "machine": {"system": "Linux", "cpu": "a cpu", "threads": 2},
    "created": "2025-01-02T03:04:05",
}
WEIGHTS = hashlib.sha256(b"weights").hexdigest()
TEST = Reference("photos", "test", "fedcba9876543210", 10_000, 32, 3)
SCORES = [
    Score("fid", 61.2, "", "lower", "Frechet distance of features", TEST, 5000, 7, 4.25, "10000 training images"),
    Score("sharpness", 0.71, "", "match", "variance of the Laplacian", TEST, 5000, 7, 1.0, "real", 0.02),
    Score("nll", 87.9, "nats", "lower", "-L_5000", TEST, 300, 7, versions={"torch": "2.13.0"},
          group="likelihood", baseline=206.0, baseline_name="mean pixel"),
]  # fmt: skip
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


def write_run(folder: Path) -> Path:
    """A run folder with all its parts, in a folder whose name needs escaping."""
    run = folder / "my & run"
    (run / "samples").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps(ABOUT))
    save(run, 2000)
    for step in range(100, 2001, 100):
        PIL.Image.new("RGB", (16, 16), (step % 256, 9, 9)).save(run / "samples" / f"step-{step:06d}.png")
    PIL.Image.new("L", (2000, 8)).save(run / "samples" / "step-002000-reconstruction.png")
    log(run, [line(step, loss_d=1 / step, loss_g=step / 1000) for step in range(50, 2001, 50)])
    return run


def save(run: Path, step: int) -> None:
    (run / "save.json").write_text(json.dumps({"step": step, "sha256": {"weights.safetensors": WEIGHTS}}))


def evaluated(folder: Path, scores: list[Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Writes scores.json and the figures, and returns the content of scores.json."""
    about: dict[str, Any] = {
        "run": {"method": "dcgan", "step": 2000, "weights": WEIGHTS[:16]},
        "scores": [score.to_json() for score in SCORES] if scores is None else scores,
        "skipped": [{"score": "precision", "why": "too few images"}, {"score": "recall", "why": "too few images"}],
        "notes": ["the reference is the training data."],
        "figures": {name: f"caption of {name}" for name in ("neighbours", "interpolation", "reconstruction")},
        "command": "reverie evaluate runs/a --data photos",
        "created": "2025-01-03T04:05:06+00:00",
        "machine": {"system": "Linux", "threads": 1},
        "seconds": 240.0,
        **changes,
    }
    (folder / "scores.json").write_text(json.dumps(about))
    (folder / "figures").mkdir(exist_ok=True)
    for name in ("neighbours", "interpolation", "reconstruction"):
        PIL.Image.new("RGB", (16, 8)).save(folder / "figures" / f"{name}.png")
    return about


def alert(step: int, name: str = "lost diversity", **changes: Any) -> dict[str, Any]:
    details = {"name": name, "what": "items lie 0.08 times as far apart", "advice": "Use a penalty.", "value": 0.08}
    return {"step": step, "stage": "train", "alert": {**details, "since": step - 500, **changes}, "seconds": step / 4}


def rollback(start: int, to: int) -> dict[str, Any]:
    details = {"from": start, "to": to, "why": "lost diversity", "what": "items lie near", "attempt": 1}
    return {"step": to, "stage": "train", "rollback": details, "seconds": start / 4}


def line(step: int, stage: str = "train", **metrics: float) -> dict[str, Any]:
    return {"step": step, "stage": stage, "metrics": metrics, "steps_per_s": 4.0, "seconds": step / 4}


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


def section(text: str, anchor: str) -> str:
    """The words of a section, "" if it is not there."""
    found = re.search(f'<section id="{anchor}">(.*?)</section>', text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", found[1]).split()) if found else ""
