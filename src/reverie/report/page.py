"""report.html: a run on one page that can be read offline, sent by mail, and looked at years later.

The page is written from the files of the run folder alone, and holds all it shows: no script, no address, pictures as
data. A section is a function from a Record to a Section, or None where the run has nothing to tell; SECTIONS lists
them in their order on the page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import PIL.Image

from reverie.disk import friendly, replace_text
from reverie.report.curves import Points, by_scale, chart, number
from reverie.report.record import Record, is_number, read_record
from reverie.report.style import STYLE

SHOWN = 8  # previews of one kind in the time-lapse
THUMB, LARGE = 360, 1536  # pixels that a picture on the page has at most, in the time-lapse and large
ROOM = 860  # pixels that the column offers a picture
PURPOSES = {
    "run.json": "what was asked for: method, settings, data, versions, the command",
    "weights.safetensors": "the weights to generate with",
    "resume.pt": "all that training goes on from (reverie resume)",
    "save.json": "the step of this save, and the checksums of its files",
    "next": "a save under way",
    "previous": "the save before this one, in case this one is damaged",
    "log.jsonl": "losses and speed over time, one JSON object a line",
    "samples": "the previews shown above",
    "tensorboard": "the log for TensorBoard",
    "report.html": "this page",
}


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, its heading, and its body in HTML, all that came from files escaped."""

    anchor: str
    title: str
    body: str


def write_report(run: Path) -> Path:
    """Write report.html in a run folder, from its files alone, and return its path.

    What is not there yet (log, samples, save) is left out. Raises UserError if the folder holds no readable run.json
    or cannot be written.
    """
    run = Path(run)
    record = read_record(run)
    sections = [section for make in SECTIONS if (section := make(record))]
    target = run / "report.html"
    with friendly(target):
        replace_text(target, _page(record, sections))
    return target


# --- the sections ---------------------------------------------------------------------------------------------------


def _previews(record: Record) -> Section | None:
    """For each kind of preview the last one large, and up to SHOWN of them over time."""
    parts, large = [], None
    for kind, pictures in record.previews.items():
        while pictures and not (large := _picture(pictures[-1][1], LARGE)):
            pictures = pictures[:-1]  # the newest may be damaged, or half written
        if not pictures or not large:
            continue
        drawn = [(step, picture) for step, path in _spread(pictures) if (picture := _picture(path, THUMB))]
        name, last = _words(kind) if kind else "samples", pictures[-1][0]
        parts.append(f"<h3>{escape(name.capitalize())} <small>at step {number(last)}</small></h3>")
        parts.append(f'<div class="large">{_image(large, f"{name} at step {last}", ROOM)}</div>')
        if len(drawn) > 1:
            strip = (
                f"<li>{_image(thumb, f'{name} at step {at}')}<span>{number(at)}</span></li>" for at, thumb in drawn
            )
            parts.append(f'<ol class="strip">{"".join(strip)}</ol>')
    return Section("previews", "What it draws", "".join(parts)) if parts else None


def _learnt(record: Record) -> Section | None:
    """What the run learnt from, and with which settings."""
    data, versions, machine = record.part("data"), record.part("versions"), record.part("machine")
    classes = data.get("classes") if isinstance(data.get("classes"), list) else []
    facts: dict[str, Any] = {
        "Method": record.about.get("method"),
        "Preset": record.about.get("preset"),
        "Data": data.get("spec") or data.get("name"),
        "Examples": " ".join(_value(data[key]) for key in ("n", "kind") if data.get(key) is not None),
        "Split": data.get("split"),
        "Classes": f"{len(classes)}: {_value(classes)}" if classes else None,
        "Left out": f"{data['dropped']} that could not be read" if data.get("dropped") else None,
        **{_words(key).capitalize(): value for key, value in _pairs(data.get("facts"))},
        "Fingerprint": data.get("fingerprint"),
        "Notes": "; ".join(map(_value, data["notes"])) if isinstance(data.get("notes"), list) else None,
        "Versions": ", ".join(f"{key} {value}" for key, value in versions.items()),
        "Commit": record.about.get("commit"),
        "Machine": ", ".join(
            f"{_value(value)} {key}" if key in ("threads", "ranks") else _value(value) for key, value in machine.items()
        ),
        "Begun": str(record.about.get("created") or "").replace("T", " ")[:19],
    }
    body = _table(facts)
    for title, key in (("Settings of the method", "config"), ("Settings of the training", "train")):
        if settings := record.part(key):
            body += f"<details><summary>{title} ({len(settings)})</summary>{_table(settings, code=True)}</details>"
    return Section("learnt", "What was learnt from what", body)


def _curves(record: Record) -> Section | None:
    """The losses of each stage over the steps."""
    stages: dict[str, dict[str, dict[float, float]]] = {}
    for line in record.log:
        for name, value in _pairs(line.get("losses")):
            if is_number(value):
                # By step, so that a line told twice counts once.
                stages.setdefault(str(line.get("stage") or "train"), {}).setdefault(name, {})[line["step"]] = value
    parts = []
    for stage, losses in stages.items():
        if len(stages) > 1:
            parts.append(f"<h3>{escape(_words(stage).capitalize())}</h3>")
        lines: dict[str, Points] = {name: sorted(points.items()) for name, points in losses.items()}
        parts += [chart(group, label="loss") for group in by_scale(lines)]
    note = (
        '<p class="aside">Light: the log as it is. Strong: a running mean without outliers, its last value above.</p>'
    )
    return Section("losses", "Losses", "".join(parts) + note) if parts else None


def _speed(record: Record) -> Section | None:
    """How fast it went, and how long it took."""
    lines = [line for line in record.log if is_number(line.get("seconds"))]
    if not lines:
        return None
    speeds: Points = []
    for earlier, later in pairwise(lines):
        steps, seconds = later["step"] - earlier["step"], later["seconds"] - earlier["seconds"]
        if steps > 0 and seconds > 0:
            speeds.append((later["step"], steps / seconds))
    batch, device = record.part("train").get("batch"), record.part("train").get("device")
    last, seconds = lines[-1]["step"], lines[-1]["seconds"]
    each = (
        f" in batches of {batch}, {number(last * batch / seconds)} examples a second"
        if is_number(batch) and seconds > 0
        else ""
    )
    where = f" on {escape(str(device))}" if device else ""
    text = f"<p>{number(last)} steps took {_clock(seconds)}{where}{escape(each)}.</p>"
    drawn = chart({"steps a second": speeds}, label="speed", floor=0.0) if len(speeds) > 1 else ""
    return Section("speed", "Speed and time", text + drawn)


def _repeat(record: Record) -> Section | None:
    """The command that makes this run again."""
    command = record.about.get("command")
    if not command:
        return None
    seed = record.part("train").get("seed")
    text = f" The seed was {escape(_value(seed))}." if seed is not None else ""
    body = f"<pre><code>{escape(str(command))}</code></pre><p>Give another <code>--out</code>.{text}</p>"
    return Section("repeat", "To repeat it", body)


def _files(record: Record) -> Section | None:
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


def _whence(record: Record) -> Section | None:
    """What a picture from this run says of its origin."""
    name = escape(record.folder.resolve().name)
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


SECTIONS: list[Callable[[Record], Section | None]] = [_previews, _learnt, _curves, _speed, _repeat, _files, _whence]


# --- the page and its pieces ----------------------------------------------------------------------------------------


def _page(record: Record, sections: list[Section]) -> str:
    """The whole page."""
    data, train = record.part("data"), record.part("train")
    title = str(record.about.get("title") or record.about.get("method") or "A run")
    source = data.get("name") or data.get("spec")
    last = record.log[-1] if record.log else {}
    tiles = {
        "step": number(record.step),
        "examples": number(data["n"]) if is_number(data.get("n")) else None,
        "batch": train.get("batch"),
        "time": _clock(last["seconds"]) if is_number(last.get("seconds")) else None,
    }
    figures = "".join(
        f"<div><dt>{key}</dt><dd>{escape(_value(v))}</dd></div>" for key, v in tiles.items() if v is not None
    )
    links = "".join(f'<a href="#{part.anchor}">{escape(part.title)}</a>' for part in sections)
    parts = "".join(
        f'<section id="{part.anchor}"><h2>{escape(part.title)}</h2>{part.body}</section>\n' for part in sections
    )
    learnt = f" <span>learnt from {escape(str(source))}</span>" if source else ""
    version = escape(str(record.part("versions").get("reverie", "")))
    name = escape(record.folder.resolve().name)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # Whatever a file of the run holds, the page loads nothing and runs nothing.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)} - {name}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<header><p class="run">{name}</p><h1>{escape(title)}{learnt}</h1>'
        f"<dl>{figures}</dl><nav>{links}</nav></header>\n<main>\n{parts}</main>\n"
        f"<footer>Written by Reverie {version} from the files of the run folder.</footer>\n</body>\n</html>\n"
    )


def _spread(pictures: list[tuple[int, Path]]) -> list[tuple[int, Path]]:
    """Up to SHOWN of the pictures, evenly spaced, the first and the last among them."""
    count = min(SHOWN, len(pictures))
    return [pictures[round(index * (len(pictures) - 1) / max(count - 1, 1))] for index in range(count)]


def _picture(path: Path, widest: int) -> tuple[str, int, int] | None:
    """(data URI, width, height) of a PNG, made smaller if it is wider than `widest`; None if it cannot be read."""
    try:
        with PIL.Image.open(path, formats=["PNG"]) as image:
            image.load()
            if max(image.size) <= widest:
                data, size = path.read_bytes(), image.size
            else:
                small = image.convert("RGB" if image.mode not in ("L", "RGBA") else image.mode)
                small.thumbnail((widest, widest))
                held = io.BytesIO()
                small.save(held, "PNG", optimize=True)
                data, size = held.getvalue(), small.size
    except Exception:  # whatever a damaged picture provokes in the reader, the page goes on without it
        return None
    return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}", *size


def _image(picture: tuple[str, int, int], words: str, room: int = 0) -> str:
    """The picture; in a place `room` pixels wide what is smaller is enlarged by a whole number, to stay sharp."""
    source, width, height = picture
    look = f' style="max-width:{room // width * width}px"' if width <= room else ""
    return f'<img{look} src="{source}" width="{width}" height="{height}" alt="{escape(words, quote=True)}">'


def _table(rows: dict[str, Any], *, code: bool = False) -> str:
    """A table of names and values; what is empty is left out."""
    tag = "code" if code else "span"
    cells = (
        f"<tr><th>{escape(str(key))}</th><td><{tag}>{escape(_value(value))}</{tag}></td></tr>"
        for key, value in rows.items()
        if code or value not in (None, "", [], {})
    )
    return f"<table>{''.join(cells)}</table>"


def _value(value: Any) -> str:
    """A value of a JSON file as people read it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, list):
        more = f" and {len(value) - 24} more" if len(value) > 24 else ""
        return ", ".join(_value(item) for item in value[:24]) + more
    if isinstance(value, dict):
        return ", ".join(f"{_words(key)} {_value(item)}" for key, item in value.items())
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 1000 else str(value)


def _pairs(value: Any) -> list[tuple[str, Any]]:
    return [(str(key), item) for key, item in value.items()] if isinstance(value, dict) else []


def _words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _clock(seconds: float) -> str:
    """A duration as people say it: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


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
