"""What `reverie data inspect` reports of music. Pieces and windows are counted apart, and each count is a sum."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from reverie.data.music.dataset import MusicDataset, advice_on
from reverie.data.music.grid import AS_WRITTEN
from reverie.data.music.leaks import count_shared, lost_pieces
from reverie.data.music.midi import PARTS
from reverie.utils.errors import UserError
from reverie.utils.formatting import counted

SHOWN = 5
"""names of dropped files that are shown for each reason"""
NO_WINDOW = "no window can be used: see the reasons"
TRACKS = 12
"""tracks that are listed"""
FEW = 100
"""pieces to train on below which there is a warning"""


def inspect_music(spec: str | Path) -> dict[str, Any]:
    """Windows of 2 and 16 bars of each split, what was rejected, the tracks, and what splits share, as JSON can hold
    it. Raises UserError as MusicDataset.open does."""
    first = MusicDataset.open(spec)
    findings: dict[str, Any] = {
        "spec": str(spec), "name": first.name, "kind": first.kind, "facts": first.facts, "classes": [],
        "splits": {}, "tracks": _tracks(first), "shared_windows": [], "warnings": [],
    }  # fmt: skip
    for split in first.splits:
        data = first if split == "train" else MusicDataset.open(spec, split)
        findings["splits"][split] = part = _inspect_split(data)
        findings["warnings"] += _warnings(data, part)
        if split != "train" and first.used and data.used:
            count = count_shared(first, data)
            findings["shared_windows"].append({"splits": ["train", split], "count": count, "of": len(data)})
    return findings


def describe_music(findings: dict[str, Any]) -> str:
    """What inspect_music found, as text."""
    lines = [f"{findings['name']}: music, {findings['facts']['part']}"]
    if findings["tracks"]:
        listed = (
            f"{track['number']} {track['name'] or '(no name)'} ({track['pieces']})" for track in findings["tracks"]
        )
        lines.append(f"tracks, by number and name, for --track (pieces that have them): {', '.join(listed)}")
    for split, part in findings["splits"].items():
        lines += ["", f"{split}: {counted(part['used'], 'piece')} used of {counted(part['found'], 'file')} found"]
        for bars, counts in part["windows"].items():
            lines.append(f"  windows  {counts['used']} of {bars} bars, from {counted(counts['pieces'], 'piece')}")
            lines += [f"           {count} not used: {reason}" for reason, count in counts["rejected"].items()]
        if trios := part["trios"]:
            lines.append(f"  trios    {trios['used']} of {trios['bars']} bars, with --part trio")
            lines += [f"           {count} not used: {reason}" for reason, count in trios["rejected"].items()]
        for reason, drop in part["dropped_by_reason"].items():
            names = ", ".join(drop["names"]) + (", ..." if drop["count"] > len(drop["names"]) else "")
            lines.append(f"  dropped  {drop['count']}: {reason} ({names})")
        lines += [f"  note     {note}" for note in part["notes"]]
    for entry in findings["shared_windows"]:
        other = entry["splits"][1]
        lines += ["", f"windows of 2 bars of {other} that are also in train: {entry['count']} of {entry['of']}"]
    if findings["warnings"]:
        lines += ["", "warnings", *(f"  {warning}" for warning in findings["warnings"])]
    return "\n".join(lines)


def _inspect_split(data: MusicDataset) -> dict[str, Any]:
    """What is reported of one split; found = used + dropped, both of pieces with windows of 2 bars."""
    trios = any(set(PARTS["trio"]) <= set(entry.parts) for entry in data.pieces)
    trio = _inspect_windows(data, "trio", 16) if trios else None
    counts = {str(bars): _inspect_windows(data, None, bars) for bars in (16, 2)}  # 2 last: inspect compares these
    reasons: dict[str, list[str]] = {}
    for drop in data.dropped:
        reasons.setdefault(_short(drop.reason), []).append(drop.name)
    by_reason = {}
    for reason, names in sorted(reasons.items(), key=lambda pair: -len(pair[1])):
        by_reason[reason] = {"count": len(names), "names": names[:SHOWN]}
    return {
        "found": data.used + len(data.dropped), "used": data.used,
        "dropped": [{"name": drop.name, "reason": drop.reason} for drop in data.dropped],
        "dropped_by_reason": by_reason,
        "windows": counts, "trios": trio, "notes": data.notes, "fingerprint": data.fingerprint,
    }  # fmt: skip


def _short(reason: str) -> str:
    """A reason without what differs from file to file; that of a piece without windows is whole."""
    return reason if reason.startswith("no window") else reason.partition(":")[0]


def _inspect_windows(data: MusicDataset, part: str | None, bars: int) -> dict[str, Any]:
    """How many windows can be used, from how many pieces, and how many not, by reason."""
    data.used = 0
    try:
        used = len(data.prepare(part, bars))
    except UserError:
        used = 0
    return {"used": used, "pieces": data.used, "rejected": dict(data.rejected.most_common()), "bars": bars}


def _tracks(data: MusicDataset) -> list[dict[str, Any]]:
    """The tracks of the pieces by number and name, with how many pieces have them, the most frequent first."""
    counts = Counter((number, name) for entry in data.pieces for number, name in enumerate(entry.tracks, 1))
    by_frequency = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:TRACKS]
    return [{"number": number, "name": name, "pieces": count} for (number, name), count in by_frequency]


def _warnings(data: MusicDataset, part: dict[str, Any]) -> list[str]:
    if data.split != "train":
        return lost_pieces(data)
    warnings = []
    if 0 < part["used"] < FEW:
        warnings.append(f"only {counted(part['used'], 'piece')} to train on: expect copies")
    if not any(counts["used"] for counts in part["windows"].values()):
        advice = advice_on(data.rejected, AS_WRITTEN)
        warnings.append(f"no window can be used as it is read by default. {advice}" if advice else NO_WINDOW)
    return warnings + (data.warnings or lost_pieces(data))
