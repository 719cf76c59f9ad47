"""The sections on the run itself: what it draws, its losses, what it learnt from, speed, command, files, origin."""

from __future__ import annotations

import shlex
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from reverie.report.curves import Points, by_scale, chart, number
from reverie.report.html import ROOM, Section, clock, image, items, machine, pairs, picture, plain, table, words
from reverie.report.monitor import marks
from reverie.report.run_record import Record, is_number
from reverie.training.monitor import RULES

SHOWN = 8  # previews of one kind in the time-lapse
THUMB = 360  # pixels that a picture of the time-lapse has at most
PURPOSES = {
    "run.json": "what was asked for: method, settings, data, versions, the command",
    "weights.safetensors": "the weights to generate with",
    "resume.pt": "all that training goes on from (reverie resume)",
    "save.json": "the step of this save, and the checksums of its files",
    "next": "a save under way",
    "previous": "the save before this one, in case this one is damaged",
    "log.jsonl": "losses, speed and the monitor's findings over time, one JSON object a line",
    "samples": "the previews shown above",
    "scores.json": "the scores shown above, each with its definition (reverie evaluate)",
    "figures": "the pictures that evaluating made, shown above",
    "tensorboard": "the log for TensorBoard",
    "report.html": "this page",
}


def samples(record: Record) -> Section | None:
    """For each kind of preview the last one large, and up to SHOWN of them over time."""
    parts, large = [], None
    for kind, pictures in record.previews.items():
        while pictures and not (large := picture(pictures[-1][1])):
            pictures = pictures[:-1]  # the newest may be damaged, or half written
        if not pictures or not large:
            continue
        drawn = [(step, thumb) for step, path in _spread(pictures) if (thumb := picture(path, THUMB))]
        name, last = words(kind) if kind else "samples", pictures[-1][0]
        parts.append(f"<h3>{escape(name.capitalize())} <small>at step {number(last)}</small></h3>")
        parts.append(f'<div class="large">{image(large, f"{name} at step {last}", ROOM)}</div>')
        if len(drawn) > 1:
            strip = (f"<li>{image(thumb, f'{name} at step {at}')}<span>{number(at)}</span></li>" for at, thumb in drawn)
            parts.append(f'<ol class="strip">{"".join(strip)}</ol>')
    return Section("previews", "What it draws", "".join(parts)) if parts else None


def curves(record: Record) -> Section | None:
    """The losses of each stage over the steps, with the monitor's findings marked."""
    watched = {fault.role for fault in RULES}  # these are shown with the monitor
    stages: dict[str, dict[str, dict[float, float]]] = {}
    for line in record.log:
        for name, value in pairs(line.get("metrics")):
            if is_number(value) and name not in watched:
                # By step, so that a line told twice counts once.
                stages.setdefault(str(line.get("stage") or "train"), {}).setdefault(name, {})[line["step"]] = value
    parts = []
    for stage, losses in stages.items():
        if len(stages) > 1:
            parts.append(f"<h3>{escape(words(stage).capitalize())}</h3>")
        lines: dict[str, Points] = {name: sorted(points.items()) for name, points in losses.items()}
        parts += [chart(group, label="loss", marks=marks(record)) for group in by_scale(lines)]
    dashed = " Dashed: what the monitor found, by number." if marks(record) else ""
    note = "Light: the log as it is. Strong: a running mean without outliers, its last value above."
    return Section("losses", "Losses", f'{"".join(parts)}<p class="aside">{note}{dashed}</p>') if parts else None


def learnt(record: Record) -> Section | None:
    """What the run learnt from, and with which settings."""
    data, versions = record.part("data"), record.part("versions")
    classes = items(data.get("classes"))
    facts: dict[str, Any] = {
        "Method": record.about.get("method"),
        "Preset": record.about.get("preset"),
        "Data": data.get("spec") or data.get("name"),
        "Examples": " ".join(plain(data[key]) for key in ("n", "kind") if data.get(key) is not None),
        "Split": data.get("split"),
        **{words(key).capitalize(): value for key, value in pairs(data.get("facts"))},
        **({"Classes": f"{len(classes)}: {plain(classes)}"} if classes else {}),
        "Left out": f"{data['dropped']} that could not be read" if data.get("dropped") else None,
        "Fingerprint": data.get("fingerprint"),
        "Notes": "; ".join(map(plain, items(data.get("notes")))),
        "Versions": ", ".join(f"{key} {value}" for key, value in versions.items()),
        "Commit": record.about.get("commit"),
        "Machine": machine(record.part("machine")),
        "Begun": str(record.about.get("created") or "").replace("T", " ")[:19],
    }
    body = table(facts)
    for title, key in (("Settings of the method", "config"), ("Settings of the training", "train")):
        if settings := record.part(key):
            body += f"<details><summary>{title} ({len(settings)})</summary>{table(settings, code=True)}</details>"
    return Section("learnt", "What was learnt from what", body)


def speed(record: Record) -> Section | None:
    """How fast it went, and how long it took."""
    lines = [line for line in record.log if is_number(line.get("seconds"))]
    if not lines:
        return None
    speeds: Points = []
    for earlier, later in pairwise(line for line in lines if "metrics" in line or "rollback" in line):
        steps, seconds = later["step"] - earlier["step"], later["seconds"] - earlier["seconds"]
        if steps > 0 and seconds > 0:
            speeds.append((later["step"], steps / seconds))
    batch, device = record.part("train").get("batch"), record.part("train").get("device")
    last, seconds = lines[-1]["step"], lines[-1]["seconds"]
    again = sum(back["from"] - back["to"] for line in record.log if (back := line.get("rollback")) and _whole(back))
    each = (
        f" in batches of {batch}, {number((last + again) * batch / seconds)} examples a second"
        if is_number(batch) and seconds > 0
        else ""
    )
    more = f", and {number(again)} that were rolled back," if again > 0 else ""
    where = f" on {escape(str(device))}" if device else ""
    text = f"<p>{number(last)} steps{more} took {clock(seconds)}{where}{escape(each)}.</p>"
    drawn = chart({"steps a second": sorted(speeds)}, label="speed", floor=0.0) if len(speeds) > 1 else ""
    return Section("speed", "Speed and time", text + drawn)


def repeat(record: Record) -> Section | None:
    """The command that makes this run again."""
    command = record.about.get("command")
    if not command:
        return None
    seed = record.part("train").get("seed")
    text = f" The seed was {escape(plain(seed))}." if seed is not None else ""
    body = f"<pre><code>{escape(str(command))}</code></pre><p>Give another <code>--out</code>.{text}</p>"
    return Section("repeat", "To repeat it", body)


def files(record: Record) -> Section | None:
    """The files of the run folder, and what each is for."""
    rows = []
    names = {path.name for path in record.folder.iterdir() if not path.name.startswith(".")} | {"report.html"}
    for name in sorted(names, key=lambda name: ([*PURPOSES, name].index(name), name)):
        path = record.folder / name
        size = "" if name == "report.html" else _size(path)
        slash = "/" if path.is_dir() else ""
        rows.append(
            f"<tr><th><code>{escape(name)}{slash}</code></th><td>{PURPOSES.get(name, 'not written by reverie')}</td>"
            f'<td class="size">{size}</td></tr>'
        )
    return Section("files", "The files of this run", f'<table class="files">{"".join(rows)}</table>')


def whence(record: Record) -> Section | None:
    """What a picture from this run says of its origin."""
    name = escape(shlex.quote(record.folder.resolve().name))
    return Section(
        "whence",
        "Whence a picture comes",
        "<p>Pictures made by this run are <strong>synthetic</strong>: what they show was never seen by a camera. "
        "Each PNG that Reverie generates from it carries a text chunk that says so, and from which run it comes. "
        "To read it, and to check a picture against this run:</p>"
        f"<pre><code>reverie whence FILE --verify {name}</code></pre>"
        "<p>Many programs drop the chunk when they save a picture again: "
        "a picture without one may be synthetic all the same.</p>",
    )


def _spread(pictures: list[tuple[int, Path]]) -> list[tuple[int, Path]]:
    """Up to SHOWN of the pictures, evenly spaced, the first and the last among them."""
    count = min(SHOWN, len(pictures))
    return [pictures[round(index * (len(pictures) - 1) / max(count - 1, 1))] for index in range(count)]


def _whole(back: Any) -> bool:
    return isinstance(back, dict) and is_number(back.get("from")) and is_number(back.get("to"))


def _size(path: Path) -> str:
    """The size of a file as people say it, or the number of files in a folder."""
    try:
        if path.is_dir():
            return f"{sum(1 for _ in path.iterdir())} files"
        count = path.stat().st_size
    except OSError:  # gone since the folder was listed, or a link to nowhere
        return ""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count} bytes"
