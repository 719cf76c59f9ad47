"""The data doctor: everything worth knowing about a set of images before anything is trained on it.

`inspect` decodes every image (at 32 pixels, into the cache), so that truncated files are found, and compares the
splits: images that are the same byte for byte, and near-duplicates. Two images are near-duplicates if their centre
squares, as 16x16 grey thumbnails, differ by less than 5 grey levels (of 255) root mean square, and by less than a
fifth of their own contrast, lest two clear skies or two dark frames count as the same picture.
"""

from collections import Counter
from statistics import median
from typing import Any

import numpy as np

from reverie.data.images.dataset import Images
from reverie.data.images.decode import LUMA
from reverie.data.images.records import ImageRecord, group
from reverie.utils.errors import UserError

SIZE = 32  # what the doctor decodes to
THUMB = 16
THRESHOLD = 5.0  # grey levels, RMS
SHARE = 0.2  # of the thumbnail's own standard deviation
COMPARED = (100_000, 10_000)  # at most so many of train against so many of another split; the first ones
PAIRS = 10  # near-duplicates listed

FEW = 100  # images, under which a warning is due
LEAN = 1000
IMBALANCE = 10.0  # largest class to smallest
TINY = 16  # pixels
ASPECT = 2.0  # long side to short


def inspect(spec: str) -> dict[str, Any]:
    """Findings on the data that `spec` names: a dict that json can write. Raises UserError as Images.open does."""
    first = Images.open(spec)
    parts, unusable = usable(first)
    findings: dict[str, Any] = {
        "spec": str(spec),
        "name": first.name,
        "kind": first.kind,
        "facts": parts["train"].facts,
        "classes": first.classes,
        "splits": {split: _split(images) for split, images in parts.items()},
        "exact_duplicates": [],
        "near_duplicates": [],
    }
    for split, images in parts.items():
        if split != "train":
            findings["exact_duplicates"].append(_exact(parts["train"], images))
            findings["near_duplicates"].append(_near(parts["train"], images))
    findings["warnings"] = _warnings(findings, parts) + unusable
    return findings


def usable(first: Any) -> tuple[dict[str, Any], list[str]]:
    """Data of any kind by split, `first` and what stands beside it, decoded small; and a warning for each split of
    which nothing can be used. Raises UserError if that is the one to train on."""
    parts, warnings = {first.split: first.prepare(SIZE)}, []
    for split in first.splits:
        if split != first.split:
            try:
                parts[split] = type(first).open(first.spec, split).prepare(SIZE)
            except UserError as error:
                warnings.append(f"{split} is of no use: {error}")
    return parts, warnings


def _split(images: Images) -> dict[str, Any]:
    heads = [item.header for item in images.items]
    sides = [f"{h.width}x{h.height}" for h in heads]
    shorts = [min(h.width, h.height) for h in heads]
    areas = sorted(heads, key=lambda h: (h.width * h.height, h.width))
    return {
        **split_usage(images),
        "sizes": {
            "smallest": f"{areas[0].width}x{areas[0].height}",
            "largest": f"{areas[-1].width}x{areas[-1].height}",
            "commonest": _ranked(sides, 3),
            "short_side": {"min": min(shorts), "median": round(median(shorts)), "max": max(shorts)},
        },
        "native": images.facts["native"],
        "channels": images.facts["channels"],
        "formats": _ranked([h.format for h in heads]),
        "modes": _ranked([h.mode for h in heads]),
        "bits": _ranked([str(h.bits) for h in heads]),
        "classes": _classes(images.classes, images.items),
    }


def split_usage(data: Any) -> dict[str, Any]:
    """What of any kind of data is used, and what is not."""
    reasons: dict[str, list[str]] = {}
    for drop in data.dropped:
        reasons.setdefault(group(drop.reason), []).append(drop.name)
    return {
        "found": len(data) + len(data.dropped),
        "used": len(data),
        "dropped": [{"name": drop.name, "reason": drop.reason} for drop in data.dropped],
        "dropped_by_reason": {
            reason: {"count": len(names), "names": names[:5]}
            for reason, names in sorted(reasons.items(), key=lambda pair: -len(pair[1]))
        },
        "notes": data.notes,
        "fingerprint": data.fingerprint,
    }


def _ranked(values: list[str], most: int | None = None) -> dict[str, int]:
    return dict(Counter(values).most_common(most))


def _classes(names: list[str], items: list[ImageRecord]) -> dict[str, Any]:
    """Counts by class, and the largest over the smallest that has any ("balance"; 1 is even)."""
    if not names:
        return {"count": 0, "sizes": {}, "balance": None}
    counts = Counter(item.label for item in items)
    return {
        "count": len(names),
        "sizes": {name: counts[i] for i, name in enumerate(names)},
        "balance": round(max(counts.values()) / min(counts.values()), 2),
    }


def _exact(train: Images, other: Images) -> dict[str, Any]:
    """Images of another split whose bytes also are in train."""
    known = {item.header.sha: item.name for item in reversed(train.items)}
    pairs = [[known[item.header.sha], item.name] for item in other.items if item.header.sha in known]
    return {"splits": ["train", other.split], "count": len(pairs), "pairs": pairs[:PAIRS]}


def _near(train: Images, other: Images) -> dict[str, Any]:
    """Images of another split that look like one of train, exact copies aside: how many, and the nearest pairs."""
    exact = {item.header.sha for item in train.items}
    left, right = thumbnails(train, COMPARED[0]), thumbnails(other, COMPARED[1])
    nearest, distance = closest(left, right)
    limit = np.minimum(THRESHOLD, SHARE * right.std(axis=1))
    hits = [j for j in np.flatnonzero(distance < limit).tolist() if other.items[j].header.sha not in exact]
    hits.sort(key=lambda j: (distance[j], j))
    pairs = [
        [train.items[int(nearest[j])].name, other.items[j].name, round(float(distance[j]), 2)] for j in hits[:PAIRS]
    ]
    return {
        "splits": ["train", other.split],
        "threshold": THRESHOLD,
        "compared": [len(left), len(right)],
        "count": len(hits),
        "pairs": pairs,
    }


def thumbnails(images: Images, most: int) -> np.ndarray:
    """The first images as 16x16 grey, float32 [n, 256] in grey levels 0..255."""
    count, step = min(most, len(images)), SIZE // THUMB
    out = np.empty((count, THUMB * THUMB), np.float32)
    for start in range(0, count, 1024):
        part = images.array[start : min(start + 1024, count)].astype(np.float32)
        grey = part @ np.array(LUMA, np.float32) if part.shape[-1] == 3 else part[..., 0]
        small = grey.reshape(-1, THUMB, step, THUMB, step).mean(axis=(2, 4))
        out[start : start + len(part)] = small.reshape(-1, THUMB * THUMB)
    return out


def closest(left: np.ndarray, right: np.ndarray, chunk: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """For each row of right [m, d], the nearest row of left [n, d] and the RMS difference; memory is chunk squared."""
    centre = left.mean(axis=0)  # small numbers lose less in the difference of squares
    left, right = left - centre, right - centre
    norms = np.einsum("nd,nd->n", left, left)
    best = np.full(len(right), np.inf, np.float32)
    index = np.zeros(len(right), np.int64)
    for j in range(0, len(right), chunk):
        some, here = right[j : j + chunk], slice(j, j + chunk)
        for i in range(0, len(left), chunk):
            # |a - b|^2 less |b|^2, which does not change which a is nearest
            square = norms[i : i + chunk] - 2 * (some @ left[i : i + chunk].T)
            at = square.argmin(axis=1)
            value = square[np.arange(len(some)), at]
            nearer = value < best[here]
            best[here][nearer] = value[nearer]
            index[here][nearer] = at[nearer] + i
    return index, np.sqrt(np.mean((left[index] - right) ** 2, axis=1))


def _warnings(findings: dict[str, Any], parts: dict[str, Images]) -> list[str]:
    train = findings["splits"]["train"]
    heads = [item.header for item in parts["train"].items]
    used, found = train["used"], []
    if used < FEW:
        found.append(f"only {used} images to train on: a GAN will memorise them; augment, or gather hundreds")
    elif used < LEAN:
        found.append(f"{used} images to train on are few: expect copies of them; use augmentation")
    balance = train["classes"]["balance"]
    if balance and balance >= IMBALANCE:
        sizes = train["classes"]["sizes"]
        most, least = max(sizes, key=sizes.get), min((c for c in sizes if sizes[c]), key=sizes.get)
        found.append(f"classes are uneven: '{most}' has {sizes[most]} images, '{least}' {sizes[least]}")
    for split, part in findings["splits"].items():
        if empty := [name for name, count in part["classes"]["sizes"].items() if not count]:
            found.append(f"no images in {split} for {len(empty)} classes, such as '{empty[0]}'")
        bad = part["found"] - part["used"] - part["dropped_by_reason"].get("not an image file", {"count": 0})["count"]
        if bad > 0.1 * part["found"]:
            found.append(f"{bad} of {part['found']} files in {split} cannot be used: see the reasons")
    tiny = sum(min(h.width, h.height) < TINY for h in heads)
    if 2 * tiny > used:
        found.append(f"{tiny} of {used} images are under {TINY} pixels: enlarging does not add what is not there")
    long = sum(max(h.width, h.height) > ASPECT * min(h.width, h.height) for h in heads)
    if long:
        found.append(f"{long} of {used} images are over twice as long as wide: the centre square drops most of them")
    named = sorted({name for name in findings["classes"] if name.lower().startswith(("train", "test", "val"))})
    if named:
        found.append(
            f"classes named {', '.join(named)}: if these are splits or domains, give one folder at a time, "
            "or name the folders train and test"
        )
    for pairs, what in (("exact_duplicates", "are also in train"), ("near_duplicates", "look like one in train")):
        for entry in findings[pairs]:
            if entry["count"]:
                other = entry["splits"][1]
                found.append(f"images of {other} that {what}: {entry['count']}; scores on {other} flatter copying")
    return found


def describe(findings: dict[str, Any]) -> str:
    """The findings as text for a person."""
    facts = findings["facts"]
    labels = f"{facts['classes']} classes" if facts["classes"] else "unlabelled"
    colour = "grey" if facts["channels"] == 1 else "colour"
    lines = [f"{findings['name']}: images, {colour}, {labels}, about {facts['native']} pixels a side"]
    for split, part in findings["splits"].items():
        lines += ["", *_describe_split(split, part)]
    for entry in findings["exact_duplicates"]:
        lines += ["", f"same bytes in train and {entry['splits'][1]}: {entry['count']}"]
        lines += [f"  {a} = {b}" for a, b in entry["pairs"]]
    for entry in findings["near_duplicates"]:
        n, m = entry["compared"]
        lines += ["", f"near-duplicates between train ({n}) and {entry['splits'][1]} ({m}): {entry['count']}"]
        lines.append(f"  (16x16 grey thumbnails that differ by under {entry['threshold']:g} grey levels RMS)")
        lines += [f"  {a} ~ {b}  ({d:.2f})" for a, b, d in entry["pairs"]]
    if findings["warnings"]:
        lines += ["", "warnings", *(f"  {warning}" for warning in findings["warnings"])]
    return "\n".join(lines)


def _describe_split(split: str, part: dict[str, Any]) -> list[str]:
    sizes, classes = part["sizes"], part["classes"]
    lines = [f"{split}: {part['used']} images used of {part['found']} files found"]
    short = sizes["short_side"]
    common = ", ".join(f"{size} ({count})" for size, count in sizes["commonest"].items())
    lines.append(f"  sizes    {sizes['smallest']} to {sizes['largest']}; most common {common}")
    lines.append(f"           short side {short['min']} to {short['max']}, median {short['median']}")
    for key, title in (("formats", "formats"), ("modes", "modes"), ("bits", "bits")):
        lines.append(f"  {title:<8} " + ", ".join(f"{name} ({count})" for name, count in part[key].items()))
    if classes["count"]:
        shown = list(classes["sizes"].items())
        text = ", ".join(f"{name} ({count})" for name, count in shown[:12])
        rest = f", and {len(shown) - 12} more" if len(shown) > 12 else ""
        lines.append(f"  classes  {classes['count']}, largest/smallest {classes['balance']:g}: {text}{rest}")
    return lines + _left_out(part)


def usage_summary(findings: dict[str, Any], head: str, what: str) -> str:
    """The findings on any kind of data as text: what it is, then what of each split is used and what is not."""
    lines = [f"{findings['name']}: {head}"]
    for split, part in findings["splits"].items():
        lines += ["", f"{split}: {part['used']} {what} used of {part['found']} found", *_left_out(part)]
    if findings["warnings"]:
        lines += ["", "warnings", *(f"  {warning}" for warning in findings["warnings"])]
    return "\n".join(lines)


def _left_out(part: dict[str, Any]) -> list[str]:
    lines = []
    for reason, drop in part["dropped_by_reason"].items():
        names = ", ".join(drop["names"]) + (", ..." if drop["count"] > len(drop["names"]) else "")
        lines.append(f"  dropped  {drop['count']}: {reason} ({names})")
    return lines + [f"  note     {note}" for note in part["notes"]]
