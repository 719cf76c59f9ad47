"""The run folder: what a run is, its saves, its log.

    run.json              method, config, settings, data fingerprint, versions, commit, command: written first
    weights.safetensors   the weights to use (averaged where the method averages), config in the header
    resume.pt             everything training goes on from
    save.json             step and SHA-256 of the two files above: a save is whole if they agree
    previous/             the save before, the same three files
    log.jsonl  samples/  report.html

A save is written into next/ and flushed to disk, save.json last; then previous/ takes the old one too, and file by
file the new one takes its place. At every moment the save in place or the one in previous/ is whole, for readers and
for a process that dies: `settle` finishes or drops what was under way. Nothing is unpickled: resume.pt is read with
weights_only=True.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from reverie.runs.weights_file import _step_of, write_weights
from reverie.utils.atomic_files import flush, friendly, link, replace_text, sha256
from reverie.utils.errors import UserError

WEIGHTS, RESUME, MANIFEST = "weights.safetensors", "resume.pt", "save.json"
FILES = (RESUME, WEIGHTS, MANIFEST)
LAST_GOOD = "last_good"  # the folder of the newest save that was made while all was well, where there may be rollbacks
UNDER_WAY = (".lock", "run.json.new")  # what a process leaves that dies before there is a run


class Run:
    """One run folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = FileLock(str(self.path / ".lock"))

    # -- making and opening ------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: str | Path, about: dict[str, Any]) -> Run:
        """A new run folder with its run.json. Raises UserError if the folder holds something already."""
        run = cls(path)
        held = sorted(p.name for p in run.path.iterdir() if p.name not in UNDER_WAY) if run.path.is_dir() else []
        if "run.json" in held:
            raise UserError(f"{path} already holds a run; go on with `reverie resume {path}`, or give another --out.")
        if held or run.path.is_file():
            raise UserError(
                f"{path} is not an empty folder (it holds {held[0] if held else 'a file'}); give another --out."
            )
        with friendly(run.path):
            run.path.mkdir(parents=True, exist_ok=True)
            run.lock()
            replace_text(run.path / "run.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run in an existing folder. Raises UserError if it is none."""
        run = cls(path)
        if not run.path.is_dir():
            raise UserError(
                f"there is no run folder {path}; make one with `reverie train METHOD --data DATA --out {path}`."
            )
        if not (run.path / "run.json").is_file():
            raise UserError(f"{path} is not a run folder (it has no run.json); give the folder that --out named.")
        return run

    @property
    def about(self) -> dict[str, Any]:
        """run.json. Raises UserError if it is damaged."""
        try:
            about = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            parts = {"method": str, "config": dict, "train": dict, "data": dict}
            if strange := [name for name, kind in parts.items() if not isinstance(about[name], kind)]:
                raise ValueError(f"{strange[0]} is not what it was")
            about["data"]["fingerprint"], about["data"]["spec"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise UserError(f"{self.path / 'run.json'} cannot be read ({reason}); restore it from a copy.") from None
        return about

    def update(self, **changes: Any) -> None:
        """Changes entries of run.json."""
        with friendly(self.path):
            replace_text(
                self.path / "run.json", json.dumps({**self.about, **changes}, indent=2, ensure_ascii=False) + "\n"
            )

    def lock(self) -> None:
        """Makes this process the only one that writes here, until it ends. Raises UserError if another is at work."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"{self.path} is in use by another process; wait for it, or stop it first.") from None
        except OSError as error:
            raise UserError(f"{self.path} cannot be written ({error.strerror}); check its permissions.") from None

    def release(self) -> None:
        """Lets others write here again."""
        self._lock.release()

    # -- saves -------------------------------------------------------------------------------------------------------

    def save(self, step: int, state: dict[str, Any], weights: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
        """Replaces the save by a newer one; the old one becomes previous/. Raises UserError on a full disk."""
        next_ = self.path / "next"
        with friendly(self.path, undo=lambda: shutil.rmtree(next_, ignore_errors=True)):
            shutil.rmtree(next_, ignore_errors=True)
            next_.mkdir()
            torch.save(state, next_ / RESUME)
            write_weights(next_ / WEIGHTS, weights, {**header, "step": step})
            files = {name: sha256(next_ / name) for name in (RESUME, WEIGHTS)}
            for name in files:
                flush(next_ / name)
            replace_text(next_ / MANIFEST, json.dumps({"step": step, "sha256": files}, indent=2) + "\n")
            flush(next_)
        with friendly(self.path):
            self._promote()

    def recover(self) -> int | None:
        """Finishes or drops a save that was cut off, and puts the previous save in place of a damaged one.

        Returns the step of the save in place, None if there is none yet. Only the process that holds the lock
        calls it. Raises UserError if saves are there and none is whole.
        """
        next_, previous = self.path / "next", self.path / "previous"
        with friendly(self.path):
            if (next_ / MANIFEST).is_file():
                self._promote()
            shutil.rmtree(next_, ignore_errors=True)
            if not any((folder / name).exists() for folder in (self.path, previous) for name in FILES):
                self.truncate_log(0)
                return None
            if self.latest_valid() == previous:
                self._retreat()
        step = manifest(self.path)["step"]
        self.truncate_log(step)
        return step

    def rollback(self, step: int, since: int, why: dict[str, Any]) -> int:
        """Puts the newest save that is not after step `since`, or the oldest there is, in place; returns its step.

        The log loses what came after it and gets a line on the rollback.
        """
        places = [self.path, *(self.path / name for name in ("previous", LAST_GOOD))]
        steps = {place: manifest(place)["step"] for place in places if find_damage(place, (RESUME, WEIGHTS)) is None}
        good = [place for place in steps if steps[place] <= since]
        chosen = max(good, key=steps.__getitem__) if good else min(steps, key=steps.__getitem__, default=self.path)
        if chosen != self.path:
            with friendly(self.path):
                self._retreat(chosen.name)
                for name in FILES:  # what lies there may be of later, when all was not well
                    link(chosen / name, self.path / "previous" / name)
        to, lines = manifest(self.path)["step"], self.lines()
        self.truncate_log(to)
        told = {"from": step, "to": to, **why, "attempt": 1 + sum("rollback" in line for line in self.lines())}
        self.log({"step": to, "stage": lines[-1]["stage"], "rollback": told, "seconds": lines[-1]["seconds"]})
        return to

    def mark_good(self) -> None:
        """Keeps the save in place as the one to go back to, whatever comes after it."""
        with friendly(self.path):
            (self.path / LAST_GOOD).mkdir(exist_ok=True)
            for name in FILES:
                link(self.path / name, self.path / LAST_GOOD / name)

    def _retreat(self, source: str = "previous") -> None:
        for name in FILES:
            link(self.path / source / name, self.path / name)

    def latest_valid(self, names: tuple[str, ...] = (RESUME, WEIGHTS)) -> Path:
        """The folder of the newest save with these files whole: this one or previous/, which it says."""
        # What looks damaged may be a save that another process is just putting in place: it is damaged if it stays so
        # while save.json stays the same.
        told, tries, end = manifest(self.path), 0, time.monotonic() + 5
        while (damage := find_damage(self.path, names)) and tries < 3 and time.monotonic() < end:
            time.sleep(0.05)
            before, told = told, manifest(self.path)
            tries = tries + 1 if told == before else 0
        if damage is None:
            return self.path
        previous = self.path / "previous"
        if find_damage(previous, names) is None:
            step = manifest(previous)["step"]
            print(f"{damage}; using the previous save, of step {step}.", file=sys.stderr)
            return previous
        if (self.path / "next" / MANIFEST).is_file():
            raise UserError(f"the first save of {self.path} was cut off; `reverie resume {self.path}` finishes it.")
        raise UserError(f"{damage}, and there is no whole previous save; restore the folder from a copy.")

    def _promote(self) -> None:
        next_, previous = self.path / "next", self.path / "previous"
        previous.mkdir(exist_ok=True)
        if (next_ / FILES[0]).exists():  # else the old save is no longer whole: this goes on where it was cut off
            for name in FILES:
                if (self.path / name).exists():
                    link(self.path / name, previous / name)
            flush(previous)
        for name in FILES:
            if (next_ / name).exists():
                (next_ / name).replace(self.path / name)
        flush(self.path)
        next_.rmdir()

    def state(self) -> dict[str, Any]:
        """What resume.pt holds. Raises UserError if it is not plain tensors, numbers and names."""
        try:
            return torch.load(self.path / RESUME, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a strange file provokes in the reader, it is the file's fault
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"{self.path / RESUME} is not a state of reverie ({reason}); nothing was run from it."
            ) from None

    # -- the log -----------------------------------------------------------------------------------------------------

    def log(self, line: dict[str, Any]) -> None:
        """Adds a line to log.jsonl."""
        with friendly(self.path), (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """What log.jsonl tells; a line that was cut off is left out."""
        return [told for line in _lines(self.path / "log.jsonl") if (told := _told(line))]

    def truncate_log(self, step: int) -> None:
        """Drops the lines after `step` (and one that was cut off), so that a resumed run does not tell it twice."""
        path = self.path / "log.jsonl"
        if path.exists():
            kept = [line for line in _lines(path) if _told(line).get("step", float("inf")) <= step]
            with friendly(self.path):
                replace_text(path, "".join(line + "\n" for line in kept))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def _told(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
        return found if isinstance(found, dict) else {}
    except ValueError:
        return {}


def manifest(folder: Path) -> dict[str, Any]:
    """save.json of a folder; {} if it is missing or damaged."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return found if isinstance(found["step"], int) and isinstance(found["sha256"], dict) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def find_damage(folder: Path, names: tuple[str, ...]) -> str | None:
    """What is wrong with the named files of the save in a folder, or None."""
    told = manifest(folder)
    if not told:
        return f"{folder / MANIFEST} is missing or damaged"
    for name in names:
        try:
            same = sha256(folder / name) == told["sha256"].get(name)
        except OSError as error:
            return f"{folder / name} cannot be read ({error.strerror})"
        if not same:
            return f"{folder / name} is damaged (its checksum differs)"
    step = _step_of(folder / WEIGHTS)
    if step is None:
        return f"{folder / WEIGHTS} is not a weights file of reverie"
    if step != told["step"]:
        return f"{folder / MANIFEST} is damaged (its step is not that of the weights)"
    return None
