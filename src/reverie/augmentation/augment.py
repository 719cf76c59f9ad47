"""Augment: from a labelled set to a folder of labelled synthetic images, with a dataset card.

Item j of a class depends on (the run, the seed, the class, j) alone, so that any division of the work over processes
and machines gives the same files; files that exist are not generated again.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from reverie.api import load, resume, train
from reverie.augmentation.dataset_card import write_card
from reverie.augmentation.plan import PLAN_FILE, Plan
from reverie.core import registry
from reverie.core.generation import BLOCK, Shard
from reverie.core.method import Method
from reverie.core.options import checks_arguments
from reverie.data.images.dataset import Images
from reverie.data.images.from_python import why_unlabelled
from reverie.data.python_data import place_of
from reverie.evaluation.class_conditional import takes_labels
from reverie.evaluation.eval_config import EvalConfig
from reverie.evaluation.metric_selection import read_metrics
from reverie.media import Image
from reverie.runs.run_place import run_place
from reverie.utils.atomic_files import disk_errors, replace_text, replacing
from reverie.utils.errors import UserError
from reverie.utils.paths import folder_fault
from reverie.utils.progress_bar import bar


@checks_arguments("run")
def augment(
    data: Any,
    out: str | Path,
    *,
    run: str | Path | Method | None = None,
    method: str = "",
    per_class: int | None = None,
    balance_to: int | None = None,
    seed: int = 0,
    shard: Shard | None = None,
    tar: int = 0,
    metrics: str | Sequence[str] | None = None,
    full: bool = False,
) -> Path:
    """Fills a folder with synthetic images of the classes of labelled data, and returns it.

    data: labelled images, a place or in memory as in reverie.train
    out: the folder
    run: the run that generates them, its folder or what reverie.load returned of it; None: OUT.run, which is TRAINED
        first if it is not there
    method: METHOD[:PRESET] to train; "": the first class-conditional method
    per_class: the number of images of each class
    balance_to: the number of images of each class, real ones included; neither: that of the largest class
    seed: of the images
    shard: the part of the work that is done here; the process that completes the folder writes the card
    tar: the number of items of each WebDataset tar; 0: class folders of PNG files

    metrics: names or groups of the scores of the card, such as "classes,copying"; None: those that take no training
    full: the scores of the card that TRAIN classifiers too (GAN-train and GAN-test accuracy): minutes, announced on
        stderr. With it, or with metrics, the card of a folder that is complete is written again

    Raises UserError, and Interrupted after Ctrl-C.
    """
    data = place_of(data)
    names = None if metrics is None else read_metrics(metrics)
    images, out = Images.open(data), Path(out)
    counts = _class_counts(images, per_class, balance_to, tar)
    if tar < 0:
        raise UserError(f"tar is {tar}; give the number of items of a tar, such as 1000, or 0 for class folders.")
    run_folder = Path(run_place(run)) if run is not None else _trained_run(images, method, out)
    model = load(run_folder)
    _check_classes(model, images, run_folder)
    subfolder = "train" if len(images.splits) > 1 else ""
    origin = model.origin
    plan = Plan(images.name, images.fingerprint, origin["method"], origin["run"], seed, counts, subfolder, tar)
    with disk_errors(out):
        _write_or_check_plan(plan, out)
        files = _files(plan, out)
        before = sum(path.is_file() for path in files)
        write = _write_tars if tar else _write_pngs
        write(plan, model, out, shard)
        missing = sum(not path.is_file() for path in files)
    if missing:
        print(f"{missing} files are left to other shards; the last one to finish writes the card.", file=sys.stderr)
    elif before < len(files) or full or names or not (out / "CARD.md").is_file():
        write_card(out, plan, _read_images(plan, out), data, str(run_folder), EvalConfig(metrics=names, full=full))
    return out


# -- the plan ----------------------------------------------------------------------------------------------------------


def _class_counts(images: Images, per_class: int | None, balance_to: int | None, tar: int) -> dict[str, int]:
    """The number of images to generate of each class. Raises UserError."""
    if len(images.classes) < 2:
        raise UserError(why_unlabelled(images))
    if not tar and (fault := folder_fault(images.classes)):
        raise UserError(f"there is a folder for each class, and {fault}; rename the class, or write tars: --tar 1000.")
    if per_class is not None and balance_to is not None:
        raise UserError("give --per-class or --balance-to, not both.")
    for option, value in (("per_class", per_class), ("balance_to", balance_to)):
        if value is not None and value < 1:
            raise UserError(f"{option} is {value}; it must be 1 or more.")
    labels = Counter(item.label for item in images.items)
    real = {name: labels[k] for k, name in enumerate(images.classes)}
    if per_class is not None:
        return dict.fromkeys(real, per_class)
    target = max(real.values()) if balance_to is None else balance_to
    counts = {name: max(0, target - count) for name, count in real.items()}
    if not any(counts.values()):
        or_more = "" if balance_to is None else " or more"
        raise UserError(
            f"every class has {target} images{or_more}: there is nothing to balance; give --per-class N for N new "
            "images of each."
        )
    return counts


def _class_conditional_methods() -> list[str]:
    return [name for name, entry in registry.list_methods().items() if entry.needs_labels and not entry.is_classifier]


def _trained_run(images: Images, method: str, out: Path) -> Path:
    """The run beside the folder, trained to its end: started, resumed, or as it is. Raises UserError."""
    run_folder = out.with_name(out.name + ".run")
    if not (run_folder / "run.json").is_file():
        name = method or _class_conditional_methods()[0]
        print(f"training {name} on {images.name}, into {run_folder}", file=sys.stderr)
        train(name, data=images.spec, out=run_folder)
    elif method:
        raise UserError(f"{run_folder} exists; use it with --run {run_folder}, or remove it to train another.")
    else:
        resume(run_folder, data=images.spec)  # which does nothing to a finished run
    return run_folder


def _check_classes(model: Method, images: Images, run_folder: Path) -> None:
    """Raises UserError unless the model generates images of the classes of the data."""
    if not takes_labels(model):
        able = " or ".join(_class_conditional_methods())
        raise UserError(
            f"{run_folder} holds a {model.origin['method']}, which does not generate images of a given class; give a "
            f"run of {able}."
        )
    known = list(getattr(model.config, "class_names", None) or ())
    if sorted(known) != sorted(images.classes):
        raise UserError(
            f"{run_folder} knows the classes {', '.join(known)}, the data has {', '.join(images.classes)}; give a run "
            "that was trained on the data."
        )


def _write_or_check_plan(plan: Plan, out: Path) -> None:
    """Writes the plan, or finds the same one there. Raises UserError if there are other files or another plan."""
    out.mkdir(parents=True, exist_ok=True)
    record, file = json.loads(json.dumps(dataclasses.asdict(plan))), out / PLAN_FILE
    if not file.exists():
        has_files = any(not path.name.startswith(".") for path in out.iterdir())
        if not has_files:
            _create_plan(json.dumps(record, indent=2, ensure_ascii=False) + "\n", out)
        elif not file.exists():  # else another process has created it since, and these files are its own
            raise UserError(f"{out} holds other files; give another --out.")
    try:
        existing = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        existing = {}
    if existing != record:
        known = existing if isinstance(existing, dict) else {}
        different = ", ".join(key for key in record if known.get(key) != record[key])
        raise UserError(f"{out} was started with another plan ({different} differ); give another --out.")


def _create_plan(text: str, out: Path) -> None:
    """Creates the plan, unless another process was first."""
    temporary = out / f".{PLAN_FILE}.{uuid4().hex}"  # hidden, so that it does not count as another file
    replace_text(temporary, text)
    try:
        (out / PLAN_FILE).hardlink_to(temporary)  # which fails where a plan exists; a rename would replace it
    except FileExistsError:
        pass
    except OSError:  # not every file system has links
        temporary.replace(out / PLAN_FILE)
    finally:
        temporary.unlink(missing_ok=True)


# -- generation --------------------------------------------------------------------------------------------------------


def _write_pngs(plan: Plan, model: Method, out: Path, shard: Shard | None) -> None:
    """One PNG per item, in a folder for each class."""
    act, progress = model.verb("generate"), bar(None, sum(plan.counts.values()), "generating")
    blocks = [(name, start) for name, count in plan.counts.items() for start in range(0, count, BLOCK)]
    part, of = (shard.part, shard.of) if shard else (1, 1)
    mine = blocks[len(blocks) * (part - 1) // of : len(blocks) * part // of]  # a block is generated in one batch
    for name, count in plan.counts.items():
        starts = [start for other, start in mine if other == name]
        items = [j for start in starts for j in range(start, min(start + BLOCK, count))]
        missing = [j for j in items if not _png_path(plan, out, name, j).is_file()]
        progress.update(len(items) - len(missing))
        if not missing:
            continue
        images = act.stream(model, n=count, label=name, seed=plan.seed, items=missing)
        for j, image in zip(missing, images, strict=True):
            image.save(_png_path(plan, out, name, j))
            progress.update()
    progress.close()


def _write_tars(plan: Plan, model: Method, out: Path, shard: Shard | None) -> None:
    """WebDataset tars of NNNNNNNN.png, .cls (the index of the class) and .json (its name, and the image's record)."""
    items, progress = list(enumerate(plan.items)), bar(None, len(plan.items), "generating")
    for number, path in enumerate(_files(plan, out)):
        if shard is not None and number % shard.of != shard.part - 1:
            continue
        members = items[number * plan.tar : (number + 1) * plan.tar]
        if path.is_file():
            progress.update(len(members))
            continue
        images = _generate_items(plan, model, [item for _, item in members], progress)
        with replacing(path) as fresh:
            _write_tar(fresh, plan, members, images)
    progress.close()


def _generate_items(
    plan: Plan, model: Method, items: list[tuple[str, int]], progress: Any
) -> dict[tuple[str, int], Image]:
    """The images of items (class, index), each class in one call."""
    act, generated = model.verb("generate"), dict[tuple[str, int], Image]()
    for name, count in plan.counts.items():
        wanted = [j for of, j in items if of == name]
        if not wanted:
            continue
        images = act.stream(model, n=count, label=name, seed=plan.seed, items=wanted)
        for j, image in zip(wanted, images, strict=True):
            generated[name, j] = image
            progress.update()
    return generated


def _write_tar(
    path: Path,
    plan: Plan,
    members: list[tuple[int, tuple[str, int]]],
    images: dict[tuple[str, int], Image],
) -> None:
    """A tar whose bytes depend on its images alone: members have no time and no user."""
    names = list(plan.counts)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for index, (name, j) in members:
            for suffix, content in _member_files(images[name, j], name, names.index(name)).items():
                member = tarfile.TarInfo(f"{index:08d}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _member_files(image: Image, name: str, label: int) -> dict[str, bytes]:
    """The files of an item of a tar, by their suffixes."""
    record = {"class": name, **(image.record or {})}
    return {
        "png": image.png(),
        "cls": str(label).encode(),
        "json": json.dumps(record, sort_keys=True, ensure_ascii=False).encode(),
    }


def _png_path(plan: Plan, out: Path, name: str, j: int) -> Path:
    return out / plan.subfolder / name / f"synthetic-{plan.run[:8]}-{j:06d}.png"


def _files(plan: Plan, out: Path) -> list[Path]:
    """All files of a complete folder, except the plan and the card."""
    if plan.tar:
        return [out / f"synthetic-{i:06d}.tar" for i in range(-(-len(plan.items) // plan.tar))]
    return [_png_path(plan, out, name, j) for name, j in plan.items]


def _read_images(plan: Plan, out: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Pixels uint8 [H,W,C] and label of all items; the classes take turns."""
    names = list(plan.counts)
    if not plan.tar:
        for name, j in plan.items:
            yield Image.load(_png_path(plan, out, name, j)).pixels, names.index(name)
        return
    for path in _files(plan, out):
        with tarfile.open(path) as tar:
            for member in tar:
                content = tar.extractfile(member)
                if member.name.endswith(".png") and content is not None:
                    pixels = Image.read(content.read()).pixels
                elif member.name.endswith(".cls") and content is not None:
                    yield pixels, int(content.read())
