"""A classifier of one's own, as a network for scores: read from a run, or trained on the data and kept in the cache."""

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
from reverie.utils.atomic_files import friendly
from reverie.utils.errors import UserError
from reverie.utils.formatting import clock

PRESET = "features"
SEED = 0


def classifier_name() -> str:
    """The method that judges, where none is named."""
    return next(name for name, entry in registry.list_methods().items() if entry.is_classifier)


def read_classifier(place: str | Path) -> Method:
    """The classifier of a run folder or a weights file. Raises UserError if a method of another kind is there."""
    method = load(place)
    if not method.is_classifier:
        able = " or ".join(name for name, entry in registry.list_methods().items() if entry.is_classifier)
        raise UserError(
            f"{place} holds a {method.origin['method']}, which makes images and does not judge them; "
            f"give a run of {able}, or a file of MobileNetV2 or Inception weights."
        )
    return method


def train_feature_classifier(data: Images | InMemoryImages, device: str) -> Method:
    """The classifier trained on the training split of the data, with labels; from the cache if it was done before.

    Raises UserError, and Interrupted after Ctrl-C: what was done is saved, and the next call goes on with it.
    """
    learnt = data if data.split == "train" else Images.open(data.spec)
    if not learnt.classes:
        raise UserError(
            f"{data.spec} has no labels to train a network for scores on; name one: a file of MobileNetV2 or Inception "
            "weights, or the run of a classifier trained on like images."
        )
    name = classifier_name()
    recipe = [name, registry.method_class(name).preset(PRESET), SEED, __version__]
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    place = cache_folder() / "judges" / f"{learnt.fingerprint}-{digest[:12]}"
    if (found := _finished(place)) is not None:
        return found
    lock = FileLock(f"{place}.lock")
    with friendly(cache_folder()):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"another process trains the {name} that scores need; waiting for it.", file=sys.stderr)
            lock.acquire()
    try:
        return _finished(place) or _train(name, learnt, place, device)
    finally:
        lock.release()


def _train(name: str, learnt: Images | InMemoryImages, place: Path, device: str) -> Method:
    print(
        f"training a {name} on {learnt.name}, whose features scores compare by (once: it is kept in {place}; "
        "another network is taken where one is named)",
        file=sys.stderr,
    )
    began = time.monotonic()
    given = learnt if isinstance(learnt, InMemoryImages) else learnt.spec
    if isinstance(given, InMemoryImages) or not _gone_on(place, given):
        shutil.rmtree(place, ignore_errors=True)
        train(f"{name}:{PRESET}", data=given, out=place, seed=SEED, device=device)
    print(f"the {name} is trained ({clock(time.monotonic() - began)})", file=sys.stderr)
    return read_classifier(place)


def _gone_on(place: Path, data: str) -> bool:
    """Whether there is a training that was cut, which has come to its end now; not so if it is damaged."""
    try:
        resume(place, data=data)
    except UserError:
        return False
    return True


def _finished(place: Path) -> Method | None:
    """The judge of a run that came to its end."""
    try:
        method = read_classifier(place)
    except UserError:
        return None
    return method if method.origin["step"] == sum(stage.steps for stage in method.stages()) else None
