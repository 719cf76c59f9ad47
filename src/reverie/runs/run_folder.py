"""The run folder: what a run is, its checkpoints, its log.

    run.json              format, method, config, settings, data fingerprint, versions, commit, command: written first
    weights.safetensors   the weights to use (averaged where the method averages), config in the header
    resume.pt             everything that training resumes from
    save.json             step and SHA-256 of the two files above: the checkpoint is valid if they agree
    previous/             the checkpoint before, the same three files
    last_good/            the newest one made while all metrics were good, where there may be rollbacks
    log.jsonl  samples/  report.html

A checkpoint is written into next/ and flushed to disk, save.json last; then previous/ takes the old one too, and file
by file the new one takes its place. At every moment the checkpoint in place or the one in previous/ is valid, for
readers and for a process that dies: `Run.recover` finishes or drops what was under way. Nothing is unpickled: resume.pt
is read with weights_only=True.
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

from reverie._version import FORMAT
from reverie.runs.format import check_format
from reverie.runs.weights_file import step_of, write_weights
from reverie.utils.atomic_files import disk_errors, flush, is_temporary, link, replace_text, sha256
from reverie.utils.errors import UserError

WEIGHTS, RESUME, MANIFEST = "weights.safetensors", "resume.pt", "save.json"
FILES = (RESUME, WEIGHTS, MANIFEST)
LAST_GOOD = "last_good"


class Run:
    """One run folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = FileLock(str(self.path / ".lock"))

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        try:
            method, step = self.about["method"], manifest(self.path).get("step", 0)
        except UserError:
            return f"<Run {self.path}>"
        return f"<Run {self.path}: {method} at step {step}>"

    # -- making and opening ------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: str | Path, about: dict[str, Any]) -> Run:
        """A new run folder with its run.json. Raises UserError if the folder holds something already."""
        run = cls(path)
        held = sorted(p.name for p in run.path.iterdir() if not is_under_way(p)) if run.path.is_dir() else []
        if "run.json" in held:
            raise UserError(f"{path} already holds a run; go on with `reverie resume {path}`, or give another --out.")
        if held or run.path.is_file():
            raise UserError(
                f"{path} is not an empty folder (it holds {held[0] if held else 'a file'}); give another --out."
            )
        with disk_errors(run.path):
            run.path.mkdir(parents=True, exist_ok=True)
            run.lock()
            replace_text(run.path / "run.json", _pretty({"format": FORMAT, **about}))
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
            if (held := [*run.path.iterdir()]) and all(map(is_under_way, held)):
                raise UserError(
                    f"{path} was stopped before training began; give the same `reverie train` command again."
                )
            raise UserError(f"{path} is not a run folder (it has no run.json); give the folder that --out named.")
        return run

    @property
    def about(self) -> dict[str, Any]:
        """What run.json holds. Raises UserError if it is damaged, or of another format."""
        try:
            about = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            kinds = {"method": str, "config": dict, "train": dict, "data": dict}
            if changed := [name for name, kind in kinds.items() if not isinstance(about[name], kind)]:
                raise ValueError(f"{changed[0]} is not what it was")
            about["data"]["fingerprint"], about["data"]["spec"]  # raises where one is missing
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise UserError(f"{self.path / 'run.json'} cannot be read ({reason}); restore it from a copy.") from None
        version = about["versions"].get("reverie") if isinstance(about.get("versions"), dict) else None
        check_format(self.path, about.get("format"), version)
        return about

    def update(self, **changes: Any) -> None:
        """Changes entries of run.json."""
        with disk_errors(self.path):
            replace_text(self.path / "run.json", _pretty({**self.about, **changes}))

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

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def save(self, step: int, state: dict[str, Any], weights: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
        """Replaces the checkpoint by a newer one; the old one becomes previous/. Raises UserError on a full disk."""
        next_ = self.path / "next"
        with disk_errors(self.path, undo=lambda: shutil.rmtree(next_, ignore_errors=True)):
            shutil.rmtree(next_, ignore_errors=True)
            next_.mkdir()
            torch.save(state, next_ / RESUME)
            write_weights(next_ / WEIGHTS, weights, {**header, "step": step})
            files = {name: sha256(next_ / name) for name in (RESUME, WEIGHTS)}
            for name in files:
                flush(next_ / name)
            replace_text(next_ / MANIFEST, json.dumps({"step": step, "sha256": files}, indent=2) + "\n")
            flush(next_)
        with disk_errors(self.path):
            self._promote()

    def recover(self) -> int | None:
        """Finishes or drops a checkpoint that was cut off, and puts the previous one in place of a damaged one.

        Returns the step of the checkpoint in place, None if there is none yet. Only the process that holds the lock
        calls it. Raises UserError if there are checkpoints and none is valid.
        """
        next_, previous = self.path / "next", self.path / "previous"
        with disk_errors(self.path):
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
        """Puts the newest checkpoint that is not after step `since`, or else the oldest, in place; returns its step.

        step: where the run is; since: the last step known to be good; why: what the line on the rollback says.
        The log loses the lines after the checkpoint and gets a line on the rollback.
        """
        places = [self.path, *(self.path / name for name in ("previous", LAST_GOOD))]
        steps = {place: manifest(place)["step"] for place in places if find_damage(place, (RESUME, WEIGHTS)) is None}
        good = [place for place in steps if steps[place] <= since]
        chosen = max(good, key=steps.__getitem__) if good else min(steps, key=steps.__getitem__, default=self.path)
        if chosen != self.path:
            with disk_errors(self.path):
                self._retreat(chosen.name)
                for name in FILES:  # what lies there may be of a later step, after the failure began
                    link(chosen / name, self.path / "previous" / name)
        to, lines = manifest(self.path)["step"], self.lines()
        self.truncate_log(to)
        attempt = 1 + sum("rollback" in line for line in self.lines())
        rollback = {"from": step, "to": to, **why, "attempt": attempt}
        self.log({"step": to, "stage": lines[-1]["stage"], "rollback": rollback, "seconds": lines[-1]["seconds"]})
        return to

    def mark_good(self) -> None:
        """Keeps the checkpoint in place in last_good/, to go back to, whatever comes after it."""
        with disk_errors(self.path):
            (self.path / LAST_GOOD).mkdir(exist_ok=True)
            for name in FILES:
                link(self.path / name, self.path / LAST_GOOD / name)

    def _retreat(self, source: str = "previous") -> None:
        for name in FILES:
            link(self.path / source / name, self.path / name)

    def latest_valid(self, names: tuple[str, ...] = (RESUME, WEIGHTS)) -> Path:
        """The folder of the newest checkpoint whose files of these names are valid: this one, or previous/ with a note
        on stderr. Raises UserError if there is none."""
        # What looks damaged may be a checkpoint that another process is just putting in place: it is damaged if it
        # stays so while save.json stays the same.
        latest, tries, end = manifest(self.path), 0, time.monotonic() + 5
        while (damage := find_damage(self.path, names)) and tries < 3 and time.monotonic() < end:
            time.sleep(0.05)
            before, latest = latest, manifest(self.path)
            tries = tries + 1 if latest == before else 0
        if damage is None:
            return self.path
        previous = self.path / "previous"
        if find_damage(previous, names) is None:
            step = manifest(previous)["step"]
            print(f"{damage}; using the previous checkpoint, of step {step}.", file=sys.stderr)
            return previous
        if (self.path / "next" / MANIFEST).is_file():
            raise UserError(
                f"the first checkpoint of {self.path} was cut off; `reverie resume {self.path}` finishes it."
            )
        if not any((folder / name).exists() for folder in (self.path, previous) for name in FILES):
            raise UserError(
                f"{self.path} was stopped before its first checkpoint was finished, and nothing is damaged; `reverie "
                f"resume {self.path}` starts it again."
            )
        raise UserError(f"{damage}, and there is no valid previous one; restore the folder from a copy.")

    def _promote(self) -> None:
        next_, previous = self.path / "next", self.path / "previous"
        previous.mkdir(exist_ok=True)
        if (next_ / FILES[0]).exists():  # else the old checkpoint is no longer whole: this goes on where it was cut off
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
        except Exception as error:  # any error that a strange file causes in the reader is the file's fault
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"{self.path / RESUME} is not a checkpoint of reverie ({reason}); nothing was run from it."
            ) from None

    # -- the log -----------------------------------------------------------------------------------------------------

    def log(self, line: dict[str, Any]) -> None:
        """Adds a line to log.jsonl."""
        with disk_errors(self.path), (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """The lines of log.jsonl; one that was cut off is left out."""
        parsed = [_parse(line) for line in _lines(self.path / "log.jsonl")]
        return [line for line in parsed if line and _is_of_log(line)]

    def truncate_log(self, step: int) -> None:
        """Drops the lines after `step` (and one that was cut off), so that a resumed run does not log a step twice."""
        path = self.path / "log.jsonl"
        if path.exists():
            kept = [line for line in _lines(path) if _step_in(_parse(line)) <= step]
            with disk_errors(self.path):
                replace_text(path, "".join(line + "\n" for line in kept))

    def drop_remainder(self) -> None:
        """Takes the metrics out of lines that stand there only because the run had ended: their steps are logged again
        with those that follow, as in a run that was longer from the start. When they ended stays."""
        lines = self.lines()
        if any("remainder" in line for line in lines):
            kept = [
                {k: line[k] for k in ("step", "stage", "seconds")} if "remainder" in line else line for line in lines
            ]
            with disk_errors(self.path):
                replace_text(self.path / "log.jsonl", "".join(json.dumps(line) + "\n" for line in kept))


def is_under_way(path: Path) -> bool:
    """Whether a file is what a process leaves that dies before there is a run."""
    return path.name == ".lock" or is_temporary(path.name)


def _pretty(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def _parse(line: str) -> dict[str, Any]:
    """A line of the log; {} if it is no JSON object."""
    try:
        found = json.loads(line)
        return found if isinstance(found, dict) else {}
    except (ValueError, RecursionError):
        return {}


def _step_in(line: dict[str, Any]) -> float:
    """The step of a line of the log; infinity if it has none."""
    step = line.get("step")
    return step if isinstance(step, int) else float("inf")


def _is_of_log(line: dict[str, Any]) -> bool:
    """Whether a line has the entries that are read from it, of the right types."""
    if not (isinstance(line.get("step"), int) and isinstance(line.get("stage"), str)):
        return False
    measured = [line[name] for name in ("metrics", "samples") if name in line]
    return isinstance(line.get("seconds", 0), int | float) and all(_are_numbers(values) for values in measured)


def _are_numbers(values: Any) -> bool:
    """Whether it is an object of numbers, or None for those that are not finite."""
    return isinstance(values, dict) and all(
        value is None or isinstance(value, int | float) for value in values.values()
    )


def manifest(folder: Path) -> dict[str, Any]:
    """save.json of a folder; {} if it is missing or damaged."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return found if isinstance(found["step"], int) and isinstance(found["sha256"], dict) else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def find_damage(folder: Path, names: tuple[str, ...]) -> str | None:
    """What is wrong with the named files of the checkpoint in a folder, or None."""
    expected = manifest(folder)
    if not expected:
        return f"{folder / MANIFEST} is missing or damaged"
    for name in names:
        try:
            same = sha256(folder / name) == expected["sha256"].get(name)
        except OSError as error:
            return f"{folder / name} cannot be read ({error.strerror})"
        if not same:
            return f"{folder / name} is damaged (its checksum differs)"
    step = step_of(folder / WEIGHTS)
    if step is None:
        return f"{folder / WEIGHTS} is not a weights file of reverie"
    if step != expected["step"]:
        return f"{folder / MANIFEST} is damaged (its step is not that of the weights)"
    return None
