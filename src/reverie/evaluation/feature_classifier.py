"""The classifier that `--features classifier` and the scores of classes use: of a run, or trained here and cached."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from reverie._version import __version__
from reverie.api import load, resume, train
from reverie.core import registry
from reverie.core.method import Method
from reverie.data.cache import cache_folder
from reverie.data.images.dataset import Images
from reverie.data.images.in_memory import InMemoryImages
from reverie.utils.atomic_files import disk_errors
from reverie.utils.errors import UserError
from reverie.utils.formatting import clock

PRESET = "features"
SEED = 0


def classifier_name() -> str:
    """The method that is used as a classifier: the first that says it is one."""
    return next(name for name, entry in registry.list_methods().items() if entry.is_classifier)


def read_classifier(place: str | Path) -> Method:
    """The classifier of a run folder or a weights file. Raises UserError if it holds another method."""
    method = load(place)
    if not method.is_classifier:
        able = " or ".join(name for name, entry in registry.list_methods().items() if entry.is_classifier)
        raise UserError(
            f"{place} holds a {method.origin['method']}, which is not a classifier; give a run of {able} or a weights "
            "file, or leave --features away: a network trained on ImageNet is installed."
        )
    return method


def train_feature_classifier(data: Images | InMemoryImages, device: str) -> Method:
    """A classifier trained on the training split of labelled data; from the cache if it was trained before.

    Training takes minutes and is announced on stderr. Where another process is training the same one, this waits for
    it. Raises UserError for data without labels, and Interrupted after Ctrl-C: a checkpoint was saved, and the next
    call resumes from it.
    """
    training_data = data if data.split == "train" else Images.open(data.spec)
    if not training_data.classes:
        raise UserError(
            f"{data.spec} has no labels to train a classifier on; leave --features away (a network trained on ImageNet "
            "is installed), or name the run of a classifier that was trained on similar images."
        )
    name = classifier_name()
    setting = [name, registry.method_class(name).preset(PRESET), SEED, __version__]
    digest = hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()
    place = cache_folder() / "classifiers" / f"{training_data.fingerprint}-{digest[:12]}"
    if (finished := _read_finished(place)) is not None:
        return finished
    lock = FileLock(f"{place}.lock")
    with disk_errors(cache_folder()):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"another process is training the same {name}; waiting for it.", file=sys.stderr)
            lock.acquire()
    try:
        return _read_finished(place) or _train(name, training_data, place, device)
    finally:
        lock.release()


def _train(name: str, training_data: Images | InMemoryImages, place: Path, device: str) -> Method:
    print(
        f"training a {name} on {training_data.name}, which takes minutes (once: it is kept in {place})",
        file=sys.stderr,
    )
    began = time.monotonic()
    data = training_data if isinstance(training_data, InMemoryImages) else training_data.spec
    if isinstance(data, InMemoryImages) or not _resume(place, data):
        shutil.rmtree(place, ignore_errors=True)
        size = {"size": data.array.shape[1]} if isinstance(data, InMemoryImages) else {}  # images in memory keep theirs
        train(f"{name}:{PRESET}", data=data, out=place, seed=SEED, device=device, **size)
    print(f"the {name} is trained ({clock(time.monotonic() - began)})", file=sys.stderr)
    return read_classifier(place)


def _resume(place: Path, data: str) -> bool:
    """Finishes an interrupted training; False if there is none, or it is damaged."""
    try:
        resume(place, data=data)
    except UserError:
        return False
    return True


def _read_finished(place: Path) -> Method | None:
    """The classifier of a run that was trained to its end."""
    try:
        method = read_classifier(place)
    except UserError:
        return None
    return method if method.origin["step"] == sum(stage.steps for stage in method.stages()) else None
