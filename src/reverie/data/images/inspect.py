"""`reverie data inspect` for images: sizes, formats, classes, damaged files and duplicates, before training.

`inspect` decodes every image (at 32 pixels, into the cache), so that truncated files are found, and compares the
splits: images that are identical byte for byte, and near-duplicates. Two images are near-duplicates if their centre
squares, as 16x16 grey thumbnails, differ by less than 5 grey levels (of 255) root mean square, and by less than a
fifth of their own contrast, so that two clear skies or two dark frames do not count as the same image.
"""

from collections import Counter
from statistics import median
from typing import Any

import numpy as np

from reverie.data.images.conversion import LUMA
from reverie.data.images.dataset import Images
from reverie.data.images.decode import ImageHeader
from reverie.data.images.records import ImageRecord, reason_group
from reverie.utils.errors import UserError
from reverie.utils.formatting import counted

SIZE = 32  # pixels a side that images are decoded to
THUMBNAIL = 16  # pixels a side
MAX_DISTANCE = 5.0  # of near-duplicates, grey levels RMS
MAX_RELATIVE_DISTANCE = 0.2  # of near-duplicates, as a share of the thumbnail's own standard deviation
COMPARED = (100_000, 10_000)  # images of train and of another split that are compared at most, the first ones
LISTED = 10  # duplicates that are listed

FEW = 100  # images; fewer are warned of
LEAN = 1000  # images; fewer are warned of in milder words
IMBALANCE = 10.0  # size of the largest class over the smallest
TINY = 16  # pixels of the short side
ASPECT = 2.0  # long side over short side


def inspect(spec: str) -> dict[str, Any]:
    """The report on the images that `spec` names, a dict that json can write. Raises UserError as Images.open does."""
    first = Images.open(spec)
    parts, unusable = usable_splits(first)
    report: dict[str, Any] = {
        "spec": str(spec),
        "name": first.name,
        "kind": first.kind,
        "facts": parts["train"].facts,
        "classes": first.classes,
        "splits": {split: _split_report(images) for split, images in parts.items()},
        "exact_duplicates": [],
        "near_duplicates": [],
    }
    for split, images in parts.items():
        if split != "train":
            report["exact_duplicates"].append(_exact_duplicates(parts["train"], images))
            report["near_duplicates"].append(_near_duplicates(parts["train"], images))
    report["warnings"] = _warnings(report, parts) + unusable
    return report


def usable_splits(first: Any) -> tuple[dict[str, Any], list[str]]:
    """The splits of data of any kind, decoded at SIZE pixels, and a warning for each split that cannot be used.

    first: the split that is opened already. Raises UserError if this one cannot be used.
    """
    parts, warnings = {first.split: first.prepare(SIZE)}, []
    for split in first.splits:
        if split != first.split:
            try:
                parts[split] = type(first).open(first.spec, split).prepare(SIZE)
            except UserError as error:
                warnings.append(f"{split} cannot be used: {error}")
    return parts, warnings


def _split_report(images: Images) -> dict[str, Any]:
    """What one split holds: usage, sizes, formats and classes."""
    headers = [item.header for item in images.items]
    sizes = [f"{h.width}x{h.height}" for h in headers]
    shorts = [min(h.width, h.height) for h in headers]
    areas = sorted(headers, key=lambda h: (h.width * h.height, h.width))
    return {
        **split_usage(images),
        "sizes": {
            "smallest": f"{areas[0].width}x{areas[0].height}",
            "largest": f"{areas[-1].width}x{areas[-1].height}",
            "most_common": _ranked(sizes, 3),
            "short_side": {"min": min(shorts), "median": round(median(shorts)), "max": max(shorts)},
        },
        "native": images.facts["native"],
        "channels": images.facts["channels"],
        "formats": _ranked([h.format for h in headers]),
        "modes": _ranked([h.mode for h in headers]),
        "bits": _ranked([str(h.bits) for h in headers]),
        "classes": _classes(images.classes, images.items),
    }


def split_usage(data: Any) -> dict[str, Any]:
    """How many items of data of any kind are used, which are dropped and why."""
    reasons: dict[str, list[str]] = {}
    for drop in data.dropped:
        reasons.setdefault(reason_group(drop.reason), []).append(drop.name)
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


def _ranked(values: list[str], limit: int | None = None) -> dict[str, int]:
    """How often each value occurs, the most frequent first."""
    return dict(Counter(values).most_common(limit))


def _classes(names: list[str], items: list[ImageRecord]) -> dict[str, Any]:
    """The size of each class, and "balance": the largest over the smallest that is not empty; 1 is even."""
    if not names:
        return {"count": 0, "sizes": {}, "balance": None}
    counts = Counter(item.label for item in items)
    return {
        "count": len(names),
        "sizes": {name: counts[i] for i, name in enumerate(names)},
        "balance": round(max(counts.values()) / min(counts.values()), 2),
    }


def _exact_duplicates(train: Images, other: Images) -> dict[str, Any]:
    """Images of another split whose files are identical to one of train."""
    in_train = {item.header.sha: item.name for item in reversed(train.items)}
    pairs = [[in_train[item.header.sha], item.name] for item in other.items if item.header.sha in in_train]
    return {"splits": ["train", other.split], "count": len(pairs), "pairs": pairs[:LISTED]}


def _near_duplicates(train: Images, other: Images) -> dict[str, Any]:
    """Images of another split that look like one of train, without exact copies: how many, and the nearest pairs."""
    exact = {item.header.sha for item in train.items}
    left, right = thumbnails(train, COMPARED[0]), thumbnails(other, COMPARED[1])
    nearest, distance = nearest_rows(left, right)
    limit = np.minimum(MAX_DISTANCE, MAX_RELATIVE_DISTANCE * right.std(axis=1))
    hits = [j for j in np.flatnonzero(distance < limit).tolist() if other.items[j].header.sha not in exact]
    hits.sort(key=lambda j: (distance[j], j))
    pairs = [
        [train.items[int(nearest[j])].name, other.items[j].name, round(float(distance[j]), 2)] for j in hits[:LISTED]
    ]
    return {
        "splits": ["train", other.split],
        "threshold": MAX_DISTANCE,
        "compared": [len(left), len(right)],
        "count": len(hits),
        "pairs": pairs,
    }


def thumbnails(images: Images, limit: int) -> np.ndarray:
    """The first `limit` images as 16x16 grey, float32 [N,256] in grey levels 0..255."""
    count, step = min(limit, len(images)), SIZE // THUMBNAIL
    out = np.empty((count, THUMBNAIL * THUMBNAIL), np.float32)
    for start in range(0, count, 1024):
        part = images.array[start : min(start + 1024, count)].astype(np.float32)
        grey = part @ np.array(LUMA, np.float32) if part.shape[-1] == 3 else part[..., 0]
        small = grey.reshape(-1, THUMBNAIL, step, THUMBNAIL, step).mean(axis=(2, 4))
        out[start : start + len(part)] = small.reshape(-1, THUMBNAIL * THUMBNAIL)
    return out


def nearest_rows(left: np.ndarray, right: np.ndarray, chunk: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """For each row of right [M,D] the index of the nearest row of left [N,D], int64 [M], and the RMS difference, [M].

    chunk: rows of each that are compared at a time; memory is its square
    """
    centre = left.mean(axis=0)  # small values lose less precision in the difference of squares
    left, right = left - centre, right - centre
    norms = np.einsum("nd,nd->n", left, left)
    best = np.full(len(right), np.inf, np.float32)
    index = np.zeros(len(right), np.int64)
    for j in range(0, len(right), chunk):
        rows, here = right[j : j + chunk], slice(j, j + chunk)
        for i in range(0, len(left), chunk):
            # |a - b|^2 without |b|^2, which does not change which a is nearest
            square = norms[i : i + chunk] - 2 * (rows @ left[i : i + chunk].T)
            at = square.argmin(axis=1)
            value = square[np.arange(len(rows)), at]
            nearer = value < best[here]
            best[here][nearer] = value[nearer]
            index[here][nearer] = at[nearer] + i
    return index, np.sqrt(np.mean((left[index] - right) ** 2, axis=1))


def _warnings(report: dict[str, Any], parts: dict[str, Images]) -> list[str]:
    """What the user should know before training, the most important first."""
    train = report["splits"]["train"]
    headers = [item.header for item in parts["train"].items]
    warnings = _count_warnings(train)
    for split, part in report["splits"].items():
        warnings += _split_warnings(split, part)
    warnings += _shape_warnings(headers)
    warnings += parts["train"].warnings
    for key, what in (("exact_duplicates", "are also in train"), ("near_duplicates", "look like one in train")):
        for entry in report[key]:
            if entry["count"]:
                other = entry["splits"][1]
                warnings.append(
                    f"{entry['count']} images of {other} {what}: scores on {other} will favour memorisation"
                )
    return warnings


def _count_warnings(train: dict[str, Any]) -> list[str]:
    """On too few images, and on classes of unequal size."""
    used, warnings = train["used"], []
    if used < FEW:
        warnings.append(f"only {used} images to train on: a GAN will memorise them; augment, or collect hundreds")
    elif used < LEAN:
        warnings.append(f"{used} images to train on are few: a GAN may memorise them; use augmentation")
    balance = train["classes"]["balance"]
    if balance and balance >= IMBALANCE:
        sizes = train["classes"]["sizes"]
        largest = max(sizes, key=sizes.get)
        smallest = min((name for name in sizes if sizes[name]), key=sizes.get)
        warnings.append(
            f"classes are imbalanced: '{largest}' has {sizes[largest]} images, '{smallest}' {sizes[smallest]}"
        )
    return warnings


def _split_warnings(split: str, part: dict[str, Any]) -> list[str]:
    """On empty classes, and on many files that cannot be used."""
    warnings = []
    if empty := [name for name, count in part["classes"]["sizes"].items() if not count]:
        warnings.append(f"no images in {split} for {len(empty)} classes, such as '{empty[0]}'")
    return warnings + unused_warning(split, part)


def unused_warning(split: str, part: dict[str, Any]) -> list[str]:
    """A warning where more than a tenth of the files of a split cannot be used; part: as of split_usage."""
    not_images = part["dropped_by_reason"].get("not an image file", {"count": 0})["count"]
    unusable = part["found"] - part["used"] - not_images
    if unusable <= 0.1 * part["found"]:
        return []
    return [f"{unusable} of {part['found']} files in {split} cannot be used: see the reasons above"]


def _shape_warnings(headers: list[ImageHeader]) -> list[str]:
    """On images that are very small, or far from square."""
    warnings = []
    tiny = sum(min(header.width, header.height) < TINY for header in headers)
    if 2 * tiny > len(headers):
        warnings.append(f"{tiny} of {len(headers)} images are under {TINY} pixels: enlarging them adds no detail")
    elongated = sum(max(h.width, h.height) > ASPECT * min(h.width, h.height) for h in headers)
    if elongated:
        warnings.append(
            f"{elongated} of {len(headers)} images are more than twice as long as wide: the centre square leaves out "
            "more than half of each"
        )
    return warnings


def describe(report: dict[str, Any]) -> str:
    """The report of `inspect` as text for the terminal."""
    facts = report["facts"]
    labels = f"{facts['classes']} classes" if facts["classes"] else "unlabelled"
    colour = "grey" if facts["channels"] == 1 else "colour"
    lines = [f"{report['name']}: images, {colour}, {labels}, about {facts['native']} pixels a side"]
    for split, part in report["splits"].items():
        lines += ["", *_describe_split(split, part)]
    for entry in report["exact_duplicates"]:
        lines += ["", f"identical files in train and {entry['splits'][1]}: {entry['count']}"]
        lines += [f"  {a} = {b}" for a, b in entry["pairs"]]
    for entry in report["near_duplicates"]:
        n, m = entry["compared"]
        lines += ["", f"near-duplicates between train ({n}) and {entry['splits'][1]} ({m}): {entry['count']}"]
        lines.append(f"  (16x16 grey thumbnails that differ by less than {entry['threshold']:g} grey levels RMS)")
        lines += [f"  {a} ~ {b}  ({d:.2f})" for a, b, d in entry["pairs"]]
    if report["warnings"]:
        lines += ["", "warnings", *(f"  {warning}" for warning in report["warnings"])]
    return "\n".join(lines)


def _describe_split(split: str, part: dict[str, Any]) -> list[str]:
    """The lines on one split."""
    sizes, classes = part["sizes"], part["classes"]
    lines = [f"{split}: {counted(part['used'], 'image')} used of {counted(part['found'], 'file')} found"]
    short = sizes["short_side"]
    common = ", ".join(f"{size} ({count})" for size, count in sizes["most_common"].items())
    lines.append(f"  sizes    {sizes['smallest']} to {sizes['largest']}; most common {common}")
    lines.append(f"           short side {short['min']} to {short['max']}, median {short['median']}")
    for key in ("formats", "modes", "bits"):
        counts = ", ".join(f"{name} ({count})" for name, count in part[key].items())
        lines.append(f"  {key:<8} {counts}")
    if classes["count"]:
        shown = list(classes["sizes"].items())
        text = ", ".join(f"{name} ({count})" for name, count in shown[:12])
        rest = f", and {len(shown) - 12} more" if len(shown) > 12 else ""
        lines.append(f"  classes  {classes['count']}, largest/smallest {classes['balance']:g}: {text}{rest}")
    return lines + _dropped_lines(part)


def usage_summary(report: dict[str, Any], heading: str, noun: str) -> str:
    """The report on data of any kind as text: `heading`, then how many items of each split are used or dropped.

    noun: what an item is called
    """
    lines = [f"{report['name']}: {heading}"]
    for split, part in report["splits"].items():
        lines += ["", f"{split}: {counted(part['used'], noun)} used of {part['found']:,} found", *_dropped_lines(part)]
    if report["warnings"]:
        lines += ["", "warnings", *(f"  {warning}" for warning in report["warnings"])]
    return "\n".join(lines)


def _dropped_lines(part: dict[str, Any]) -> list[str]:
    """The lines on files that are not used, and on how the others are converted."""
    lines = []
    for reason, drop in part["dropped_by_reason"].items():
        names = ", ".join(drop["names"]) + (", ..." if drop["count"] > len(drop["names"]) else "")
        lines.append(f"  dropped  {drop['count']}: {reason} ({names})")
    return lines + [f"  note     {note}" for note in part["notes"]]
