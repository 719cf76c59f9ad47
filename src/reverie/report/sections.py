"""The sections on the run itself: samples, metrics, data and settings, speed, command, files, provenance."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

from reverie.report.curves import Points, chart
from reverie.report.embedded_image import ROOM
from reverie.report.exhibit import read_exhibit
from reverie.report.headline import count_of
from reverie.report.html import Section
from reverie.report.metric_charts import metric_charts, metric_lines
from reverie.report.monitor import charted_metrics, marks
from reverie.report.run_record import Record, is_number
from reverie.report.values import date, heading, items, machine, number, pairs, plain, words
from reverie.utils.formatting import clock

SHOWN = 8
"""images of one kind in the time-lapse of samples"""
THUMBNAIL = 360
"""pixels across and down that an image of the time-lapse has at most"""
PURPOSES = {
    "run.json": "what was asked for: method, settings, data, versions, the command",
    "weights.safetensors": "the weights to generate with",
    "resume.pt": "all that training goes on from (reverie resume)",
    "save.json": "the step of this checkpoint, and the checksums of its files",
    "next": "a checkpoint that is being written",
    "previous": "the checkpoint before this one, in case this one is damaged",
    "last_good": "the newest checkpoint without an alert, for rollbacks",
    "log.jsonl": "metrics, speed and the alerts of the monitor over time, one JSON object a line",
    "samples": "the samples shown above",
    "scores.json": "the scores shown above, each with its definition (reverie evaluate)",
    "figures": "the figures of the evaluation, shown above",
    "tensorboard": "the log for TensorBoard",
    "report.html": "this page",
}
PROVENANCE = {
    "images": {
        "made": "Images generated",
        "verb": "are",
        "meaning": "no camera ever took what they show.",
        "carrier": "Each PNG that Reverie writes with it carries a record in a text chunk: how the image was made, and "
        "by which run.",
        "caution": "Many programs drop the chunk when they save an image again: an image without one may be synthetic "
        "all the same.",
    },
    "music": {
        "made": "Music generated",
        "verb": "is",
        "meaning": "nobody composed or played it.",
        "carrier": "Each MIDI and WAV file that Reverie writes with it carries a record: how it was made, and by which "
        "run.",
        "caution": "Many programs drop the record when they save a file again: a file without one may be synthetic "
        "all the same.",
    },
    "text": {
        "made": "Text generated",
        "verb": "is",
        "meaning": "nobody wrote it.",
        "carrier": "Beside each .txt file that Reverie writes with it lies a .json file with a record: how its lines "
        "were made, and by which run.",
        "caution": "Lines that are copied out of the file leave the record behind: text without one may be synthetic "
        "all the same.",
    },
}
"""the sentences of the section on provenance, by what the run makes"""


def samples(record: Record) -> list[Section]:
    """For each kind of sample the newest image large, and up to SHOWN of them over time."""
    kinds = []
    for kind, files in record.samples.items():
        last = None
        while files and not (last := read_exhibit(files[-1][1])):
            files = files[:-1]  # the newest may be damaged, or half written
        if last is None:
            continue
        thumbnails = [(step, read_exhibit(path, THUMBNAIL)) for step, path in _evenly_spaced(files)]
        kinds.append(
            {
                "name": words(kind) or "samples",
                "title": heading(kind) or "Latest",
                "step": files[-1][0],
                "last": last,
                "earlier": [(step, thumbnail) for step, thumbnail in thumbnails if thumbnail],
            }
        )
    content = {"kinds": kinds, "room": ROOM}
    return [Section("samples", "Samples", "samples.html.jinja", content)] if kinds else []


def metrics(record: Record) -> list[Section]:
    """The metrics of each stage over the steps, with the alerts of the monitor marked."""
    log_by_stage: dict[str, list[dict[str, Any]]] = {}
    for line in record.log:
        if "metrics" in line:
            log_by_stage.setdefault(str(line.get("stage") or "train"), []).append(line)
    charted, stages = charted_metrics(record), []
    for stage, log in log_by_stage.items():
        lines = {name: points for name, points in metric_lines(log).items() if name not in charted}
        if lines:
            stages.append({"name": stage, "charts": metric_charts(lines, record.monitored, marks(record))})
    content = {"stages": stages, "marked": bool(marks(record))}
    return [Section("metrics", "Metrics", "metrics.html.jinja", content)] if stages else []


def data(record: Record) -> list[Section]:
    """What the run was trained on, and with which settings."""
    about, versions = record.part("data"), record.part("versions")
    classes = items(about.get("classes"))
    facts: dict[str, Any] = {
        "Method": record.about.get("method"),
        "Preset": record.about.get("preset"),
        "Data": about.get("spec") or about.get("name"),
        "Examples": count_of(record),
        "Split": about.get("split"),
    }
    facts.update({heading(key): value for key, value in pairs(about.get("facts"))})
    if classes:
        facts["Classes"] = f"{len(classes)}: {plain(classes)}"
    if about.get("dropped"):
        facts["Left out"] = f"{plain(about['dropped'])} files that are not used, `reverie data inspect` says why"
    facts |= {
        "Fingerprint": about.get("fingerprint"),
        "Notes": "; ".join(map(plain, items(about.get("notes")))),
        "Versions": ", ".join(f"{key} {plain(value)}" for key, value in versions.items()),
        "Commit": record.about.get("commit"),
        "Machine": machine(record.part("machine")),
        "Started": date(record.about.get("created")),
    }
    known = [(name, plain(value)) for name, value in facts.items() if value not in (None, "", [], {})]
    settings = []
    for title, key in (("Settings of the method", "config"), ("Settings of the training", "train")):
        if record.part(key):
            settings.append((title, [(name, plain(value)) for name, value in record.part(key).items()]))
    content = {"facts": known, "settings": settings}
    return [Section("data", "Data and settings", "data.html.jinja", content)]


def speed(record: Record) -> list[Section]:
    """How fast training went, and how long it took."""
    lines = [line for line in record.log if is_number(line.get("seconds"))]
    if not lines:
        return []
    speeds: Points = []
    for earlier, later in pairwise(line for line in lines if "metrics" in line or "rollback" in line):
        steps, seconds = later["step"] - earlier["step"], later["seconds"] - earlier["seconds"]
        if steps > 0 and seconds > 0:
            speeds.append((later["step"], steps / seconds))
    drawn = chart({"steps a second": sorted(speeds)}, label="speed", floor=0.0) if len(speeds) > 1 else None
    content = {"text": _speed_in_words(record, lines[-1]), "speeds": drawn}
    return [Section("speed", "Speed and time", "speed.html.jinja", content)]


def _speed_in_words(record: Record, last: dict[str, Any]) -> str:
    """ "2,000 steps took 8 min on cpu in batches of 64, 256 examples a second." """
    step, seconds = last["step"], last["seconds"]
    repeated = 0.0
    for line in record.log:
        back = line.get("rollback")
        if isinstance(back, dict) and is_number(back.get("from")) and is_number(back.get("to")):
            repeated += back["from"] - back["to"]
    rolled_back = f", and {number(repeated)} that were rolled back," if repeated > 0 else ""
    device, batch_size = record.part("train").get("device"), record.part("train").get("batch_size")
    text = f"{number(step)} steps{rolled_back} took {clock(seconds)}"
    if device:
        text += f" on {plain(device)}"
    if is_number(batch_size) and seconds > 0:
        rate = (step + repeated) * batch_size / seconds
        text += f" in batches of {plain(batch_size)}, {number(rate)} examples a second"
    return f"{text}."


def reproduce(record: Record) -> list[Section]:
    """The command that makes this run again."""
    command = record.about.get("command")
    if not command:
        return []
    began_with, steps = re.search(r"\bsteps[ =](\d+)", str(command)), record.part("config").get("steps")
    resumed = steps if began_with and is_number(steps) and int(began_with[1]) != steps else None
    content = {"command": plain(command), "seed": record.part("train").get("seed"), "resumed": resumed}
    return [Section("reproduce", "Reproduce this run", "reproduce.html.jinja", content)]


def files(record: Record) -> list[Section]:
    """The files of the run folder, and what each is for."""
    rows = []
    names = {path.name for path in record.folder.iterdir() if not path.name.startswith(".")} | {"report.html"}
    for name in sorted(names, key=lambda name: ([*PURPOSES, name].index(name), name)):
        path = record.folder / name
        rows.append(
            {
                "name": f"{name}/" if path.is_dir() else name,
                "purpose": PURPOSES.get(name, "not written by reverie"),
                "size": "" if name == "report.html" else _size(path),  # it is being written
            }
        )
    return [Section("files", "Files", "files.html.jinja", {"files": rows})]


def provenance(record: Record) -> list[Section]:
    """What a file generated by this run says of its origin, and how to read and verify it."""
    content = {**PROVENANCE[record.media], "run": shlex.quote(record.folder.resolve().name)}
    return [Section("provenance", "Provenance", "provenance.html.jinja", content)]


def _evenly_spaced(files: list[tuple[int, Path]]) -> list[tuple[int, Path]]:
    """Up to SHOWN of the files, evenly spaced, the first and the last among them."""
    count = min(SHOWN, len(files))
    return [files[round(index * (len(files) - 1) / max(count - 1, 1))] for index in range(count)]


def _size(path: Path) -> str:
    """The size of a file as people say it, or the number of files in a folder."""
    try:
        if path.is_dir():
            return f"{sum(1 for _ in path.iterdir())} files"
        size = path.stat().st_size
    except OSError:  # gone since the folder was listed, or a link to nowhere
        return ""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if size >= 10**power:
            return f"{size / 10**power:.1f} {unit}"
    return f"{size} bytes"
