"""report.html: a run on one page that can be read offline, sent by mail, and looked at years later.

The page is written from the files of the run folder alone and holds all it shows: no script, no address, images as
data. A part of the page is a function from a Record to its sections, none where the run has nothing to show; PARTS
lists them in their order on the page. Sections are data; the templates in templates/ draw them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reverie.report.figures import figures
from reverie.report.headline import count_of, headline
from reverie.report.html import Section, render_page
from reverie.report.monitor import alert_names, monitor
from reverie.report.run_record import Record, is_number, read_run_record
from reverie.report.scores import scores
from reverie.report.sections import data, files, metrics, provenance, reproduce, samples, speed
from reverie.report.values import number, plain
from reverie.utils.atomic_files import disk_errors, replace_text
from reverie.utils.formatting import clock

PARTS: list[Callable[[Record], list[Section]]] = [
    samples,
    scores,
    figures,
    monitor,
    metrics,
    data,
    speed,
    reproduce,
    files,
    provenance,
]


def write_report(run: Path) -> Path:
    """Writes report.html in a run folder, from its files alone, and returns its path.

    What is not there yet (log, samples, checkpoint) is left out. Raises UserError if the folder holds no readable
    run.json or cannot be written.
    """
    run = Path(run)
    record = read_run_record(run)
    sections = [section for part in PARTS for section in part(record)]
    target = run / "report.html"
    with disk_errors(target):
        replace_text(target, _page(record, sections))
    return target


def refresh_report(run: Path) -> None:
    """As write_report, while the run is being trained: whatever hinders it is said in a line, and training goes on."""
    try:
        write_report(run)
    except Exception as error:  # a page is no reason to lose a run
        print(f"report.html could not be written ({error}); training goes on.", file=sys.stderr)


def _page(record: Record, sections: list[Section]) -> str:
    """The whole page."""
    name, top = record.folder.resolve().name, headline(record)
    return render_page(
        "run.html.jinja",
        f"{name}: {top.title}",
        sections,
        name=name,
        headline=top,
        method_title=plain(record.about.get("title") or ""),
        tiles=_tiles(record),
        alerts=alert_names(record),
        version=str(record.part("versions").get("reverie", "")),
    )


def _tiles(record: Record) -> dict[str, str]:
    """The few figures at the top."""
    data = record.part("data")
    total = record.total_steps
    tiles = {"step": f"{number(record.step)} of {number(total)}" if record.step < total else number(record.step)}
    if is_number(data.get("n")):
        tiles["examples"] = count_of(record).rpartition(" ")[0] if data.get("sides") else number(data["n"])
    if (batch_size := record.part("train").get("batch_size")) is not None:
        tiles["batch size"] = plain(batch_size)
    last: dict[str, Any] = record.log[-1] if record.log else {}
    if is_number(last.get("seconds")):
        tiles["time"] = clock(last["seconds"])
    return tiles
