"""report.html: a run on one page that can be read offline, sent by mail, and looked at years later.

The page is written from the files of the run folder alone, and holds all it shows: no script, no address, pictures as
data. A section is a function from a Record to a Section, or None where the run has nothing to tell; SECTIONS lists
them in their order on the page.
"""

from __future__ import annotations

from functools import partial
from html import escape
from pathlib import Path

from reverie.report import monitor as findings
from reverie.report import scores, sections
from reverie.report.curves import number
from reverie.report.html import Make, Section, clock, document, plain
from reverie.report.run_record import Record, is_number, read_record
from reverie.utils.atomic_files import friendly, replace_text

SECTIONS: list[Make] = [
    sections.samples,
    scores.scores,
    *(partial(scores.figure, name=name, title=title) for name, title in scores.FIGURES.items()),
    findings.monitor,
    sections.curves,
    sections.learnt,
    sections.speed,
    sections.repeat,
    sections.files,
    sections.whence,
]


def write_report(run: Path) -> Path:
    """Write report.html in a run folder, from its files alone, and return its path.

    What is not there yet (log, samples, save) is left out. Raises UserError if the folder holds no readable run.json
    or cannot be written.
    """
    run = Path(run)
    record = read_record(run)
    parts = [section for make in SECTIONS if (section := make(record))]
    target = run / "report.html"
    with friendly(target):
        replace_text(target, _page(record, parts))
    return target


def _page(record: Record, parts: list[Section]) -> str:
    """The whole page."""
    title = str(record.about.get("title") or record.about.get("method") or "A run")
    source = record.part("data").get("name") or record.part("data").get("spec")
    learnt = f" <span>learnt from {escape(str(source))}</span>" if source else ""
    version = escape(str(record.part("versions").get("reverie", "")))
    name = escape(record.folder.resolve().name)
    head = f'<p class="run">{name}</p><h1>{escape(title)}{learnt}</h1>{_tiles(record)}{findings.alarm(record)}'
    return document(f"{title} - {name}", head, parts, f"Written by Reverie {version} from the files of the run folder.")


def _tiles(record: Record) -> str:
    """The few figures at the top."""
    data, last = record.part("data"), record.log[-1] if record.log else {}
    tiles = {
        "step": number(record.step),
        "examples": number(data["n"]) if is_number(data.get("n")) else None,
        "batch": record.part("train").get("batch"),
        "time": clock(last["seconds"]) if is_number(last.get("seconds")) else None,
    }
    told = "".join(f"<div><dt>{key}</dt><dd>{escape(plain(v))}</dd></div>" for key, v in tiles.items() if v is not None)
    return f"<dl>{told}</dl>"
