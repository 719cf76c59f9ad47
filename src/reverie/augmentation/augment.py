"""Augment: a labelled set in, a folder of labelled synthetic images out, with a card that says what they are worth.

Item j of a class follows from (the run, the seed, the class, j) alone, so that any division of the work over processes
and machines gives the same files; what is there already is not made again.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from tqdm import tqdm

from reverie.api import load, resume, train
from reverie.augmentation.dataset_card import write_card
from reverie.augmentation.plan import PLAN, Plan
from reverie.core import registry
from reverie.core.generation import BLOCK, Shard
from reverie.core.method import Method
from reverie.data.images.dataset import Images
from reverie.evaluation.class_conditional import takes_labels
from reverie.media import Image
from reverie.utils.atomic_files import flush, friendly, replace_text
from reverie.utils.errors import UserError


def augment(
    data: str | Path,
    out: str | Path,
    *,
    run: str | Path | None = None,
    method: str = "",
    each: int | None = None,
    fill: int | None = None,
    seed: int = 0,
    shard: Shard | None = None,
    tar: int = 0,
) -> Path:
    """Fills a folder with synthetic images of the classes of labelled data, and returns it.

    run: the run that makes them; None: one is trained first, beside the folder. method: METHOD[:PRESET] of that run
    (none: the first that is told the class of an image); each: images of each class; fill: as many as, with the real
    ones, make so many; neither: as many as fill up the smaller classes. tar: items of a WebDataset tar; 0: class
    folders. The card is written by whoever finds the folder complete. Raises UserError, and Interrupted after Ctrl-C.
    """
    images, out = Images.open(data), Path(out)
    counts = _counts(images, each, fill)
    if tar < 0:
        raise UserError(f"tar is {tar}; give the number of items of a tar, such as 1000, or 0 for class folders.")
    place = Path(run) if run is not None else _trained(images, method, out)
    model = load(place)
    _check_fit(model, images, place)
    inside = "train" if len(images.splits) > 1 else ""
    plan = Plan(
        images.name, images.fingerprint, model.origin["method"], model.origin["run"], seed, counts, inside, tar
    )  # fmt: skip
    with friendly(out):
        _agree(plan, out)
        before = sum(path.is_file() for path in _files(plan, out))
        (_make_tars if tar else _make_files)(plan, model, out, shard)
        left = sum(not path.is_file() for path in _files(plan, out))
    if left:
        print(f"{left} files are left to other shards; the last to end writes the card.", file=sys.stderr)
    elif before < len(_files(plan, out)) or not (out / "CARD.md").is_file():
        write_card(out, plan, _pictures(plan, out), data, str(place))
    return out


# -- what is to be made ------------------------------------------------------------------------------------------------


def _counts(images: Images, each: int | None, fill: int | None) -> dict[str, int]:
    """Images of each class that are to be made. Raises UserError."""
    if len(images.classes) < 2:
        raise UserError(f"{images.spec} has no labels; put each class into a folder of its own, named after it.")
    for name in images.classes:
        if name in (".", "..") or set(name) & set('/\\:*?"<>|'):
            raise UserError(f"the class '{name}' cannot be the name of a folder; rename it.")
    if each is not None and fill is not None:
        raise UserError("give --each or --fill, not both.")
    for word, value in (("each", each), ("fill", fill)):
        if value is not None and value < 1:
            raise UserError(f"{word} is {value}; it must be 1 or more.")
    real = Counter(item.label for item in images.items)
    have = {name: real[k] for k, name in enumerate(images.classes)}
    if each is not None:
        return dict.fromkeys(have, each)
    full = max(have.values()) if fill is None else fill
    wanted = {name: max(0, full - count) for name, count in have.items()}
    if not any(wanted.values()):
        told = f"every class has {full} images" if fill is None else f"every class has {fill} images or more"
        raise UserError(f"{told}: there is nothing to fill up; give --each N for so many new ones of each.")
    return wanted


def _trained(images: Images, method: str, out: Path) -> Path:
    """The run beside the folder, trained to its end: begun, gone on with, or as it is."""
    place = out.with_name(out.name + ".run")
    if not (place / "run.json").is_file():
        name = method or next(n for n, e in registry.list_methods().items() if e.needs_labels and not e.is_classifier)
        print(f"training {name} on {images.name}, into {place}", file=sys.stderr)
        train(name, data=images.spec, out=place)
    elif method:
        raise UserError(f"{place} is there already; name it with --run {place}, or remove it to train another.")
    else:
        resume(place, data=images.spec)  # which does nothing to one that has come to its end
    return place


def _check_fit(model: Method, images: Images, place: Path) -> None:
    """Raises UserError unless the model makes images of the classes of the data."""
    name = model.origin["method"]
    if not takes_labels(model):
        able = [n for n, e in registry.list_methods().items() if e.needs_labels and not e.is_classifier]
        raise UserError(f"{place} holds a {name}, which is not told classes; give a run of {' or '.join(able)}.")
    known = list(getattr(model.config, "names", None) or ())
    if sorted(known) != sorted(images.classes):
        raise UserError(
            f"{place} knows the classes {', '.join(known)}, the data has {', '.join(images.classes)}; give a run that "
            "learnt from it."
        )


def _agree(plan: Plan, out: Path) -> None:
    """Writes the plan, or finds the same one there. Raises UserError if something else is."""
    out.mkdir(parents=True, exist_ok=True)
    told = json.loads(json.dumps(dataclasses.asdict(plan)))
    if not (out / PLAN).exists():
        others = any(not path.name.startswith(".") for path in out.iterdir())
        if not others:
            _propose(json.dumps(told, indent=2, ensure_ascii=False) + "\n", out)
        elif not (out / PLAN).exists():  # else they are of another process, which has begun since
            raise UserError(f"{out} holds other files; give another --out.")
    try:
        held = json.loads((out / PLAN).read_text(encoding="utf-8"))
    except ValueError:
        held = {}
    if held != told:
        unlike = ", ".join(key for key in told if not isinstance(held, dict) or held.get(key) != told[key])
        raise UserError(f"{out} was begun otherwise ({unlike} differ); give another --out, or do it as before.")


def _propose(text: str, out: Path) -> None:
    """Makes this the plan, unless another process was first."""
    fresh = out / f".{PLAN}.{uuid4().hex}"  # hidden, so that it is none of the other files
    replace_text(fresh, text)
    try:
        (out / PLAN).hardlink_to(fresh)  # which a plan that is there refuses, and a rename would not
    except FileExistsError:
        pass
    except OSError:  # not every file system has links
        fresh.replace(out / PLAN)
    finally:
        fresh.unlink(missing_ok=True)


# -- making it ---------------------------------------------------------------------------------------------------------


def _make_files(plan: Plan, model: Method, out: Path, shard: Shard | None) -> None:
    """A PNG an item, in a folder for each class."""
    act, bar = model.verb("generate"), _bar(plan)
    blocks = [(name, start) for name, count in plan.counts.items() for start in range(0, count, BLOCK)]
    part, of = (shard.part, shard.of) if shard else (1, 1)
    mine = blocks[len(blocks) * (part - 1) // of : len(blocks) * part // of]  # what is made together stays together
    for name, starts in ((name, [start for other, start in mine if other == name]) for name in plan.counts):
        count = plan.counts[name]
        items = [j for start in starts for j in range(start, min(start + BLOCK, count))]
        wanted = [j for j in items if not _file(plan, out, name, j).is_file()]
        bar.update(len(items) - len(wanted))
        if not wanted:
            continue
        made = act.stream(model, n=count, label=name, seed=plan.seed, items=wanted)
        for j, image in zip(wanted, made, strict=True):
            path = _file(plan, out, name, j)
            fresh = path.with_name(f".{path.name}.part.png")
            image.save(fresh)
            fresh.replace(path)
            bar.update()
    bar.close()


def _make_tars(plan: Plan, model: Method, out: Path, shard: Shard | None) -> None:
    """WebDataset: tars of NNNNNNNN.png, .cls (the number of the class) and .json (its name, and how it was made)."""
    act, names, items = model.verb("generate"), list(plan.counts), plan.items
    bar = _bar(plan)
    for number, path in enumerate(_files(plan, out)):
        if shard is not None and number % shard.of != shard.part - 1:
            continue
        held = list(enumerate(items))[number * plan.tar : (number + 1) * plan.tar]
        bar.update(len(held) if path.is_file() else 0)
        if path.is_file():
            continue
        ready: dict[tuple[str, int], Image] = {}
        for name in names:
            if wanted := [j for _, (of, j) in held if of == name]:
                made = act.stream(model, n=plan.counts[name], label=name, seed=plan.seed, items=wanted)
                for j, image in zip(wanted, made, strict=True):
                    ready[name, j] = image
                    bar.update()
        part = path.with_name(f".{path.name}.part")
        with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
            for index, (name, j) in held:
                for ending, content in _members(ready[name, j], name, names.index(name)).items():
                    member = tarfile.TarInfo(f"{index:08d}.{ending}")  # without a time or a user: always the same
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        flush(part)
        part.replace(path)
    bar.close()


def _members(image: Image, name: str, label: int) -> dict[str, bytes]:
    """The files of an item in a tar, by their endings."""
    told = {"class": name, **(image.record or {})}
    return {
        "png": image.png(),
        "cls": str(label).encode(),
        "json": json.dumps(told, sort_keys=True, ensure_ascii=False).encode(),
    }


def _bar(plan: Plan) -> Any:
    total = sum(plan.counts.values())
    return tqdm(total=total, desc="generating", unit=" images", delay=1, disable=None, leave=False, file=sys.stderr)


def _file(plan: Plan, out: Path, name: str, j: int) -> Path:
    return out / plan.inside / name / f"synthetic-{plan.run[:8]}-{j:06d}.png"


def _files(plan: Plan, out: Path) -> list[Path]:
    """All that a complete folder holds, but for the plan and the card."""
    if plan.tar:
        return [out / f"synthetic-{i:06d}.tar" for i in range(-(-len(plan.items) // plan.tar))]
    return [_file(plan, out, name, j) for name, j in plan.items]


def _pictures(plan: Plan, out: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Pixels [H,W,C] and label of all items, the classes in turn."""
    names = list(plan.counts)
    if not plan.tar:
        for name, j in plan.items:
            yield Image.load(_file(plan, out, name, j)).pixels, names.index(name)
        return
    for path in _files(plan, out):
        with tarfile.open(path) as tar:
            for member in tar:
                content = tar.extractfile(member)
                if member.name.endswith(".png") and content is not None:
                    pixels = Image.read(content.read()).pixels
                elif member.name.endswith(".cls") and content is not None:
                    yield pixels, int(content.read())
