"""What is shown and recorded while a method trains: a bar in a terminal, plain lines elsewhere, the log, samples."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from reverie.core.stage import Stage
from reverie.core.train_config import TrainConfig
from reverie.media import Image
from reverie.runs.run_folder import Run
from reverie.training.monitor import Alert
from reverie.training.time_left import TimeLeft
from reverie.utils.atomic_files import disk_errors
from reverie.utils.errors import UserError


class Progress:
    """Shows and records the progress of a run. On ranks other than the first it does nothing."""

    def __init__(self, run: Run, start: int, stages: Sequence[Stage], settings: TrainConfig, active: bool) -> None:
        self.run, self.active, self.total = run, active, sum(stage.steps for stage in stages)
        self.terminal = sys.stderr.isatty()
        self.began, self.start, self.step = time.monotonic(), start, start
        self.shown, self.refreshed = "", self.began
        self.board: Any = _tensorboard(run, start) if settings.tensorboard and active else None
        self.time_left = TimeLeft(stages, run.lines())
        self.seconds_before = self.time_left.seconds
        self.time_left.go_on_at(start, self.seconds_before)

    def __enter__(self) -> Progress:
        self.bar = tqdm(
            total=self.total, initial=self.start, unit="step", file=sys.stderr, dynamic_ncols=True, smoothing=0.05,
            disable=not (self.active and self.terminal),
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}{postfix}]",  # what is left: see tick
        )  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()
        if self.board:
            self.board.close()

    def tick(self, step: int) -> None:
        """Moves the bar, and shows every second how long training still takes."""
        self.bar.update(step - self.step)
        self.step = step
        if self.terminal and self.active and time.monotonic() - self.refreshed > 1:
            self.refreshed = time.monotonic()
            left = self.time_left.estimate(step, self.seconds)
            self.bar.set_postfix_str(f"{left}  {self.shown}" if left else self.shown, refresh=False)

    @property
    def seconds(self) -> float:
        """How long training has taken, with what it took before it was resumed."""
        return self.seconds_before + time.monotonic() - self.began

    def log(self, step: int, stage: str, metrics: dict[str, float], is_remainder: bool = False) -> None:
        """Writes a line of metrics to the log, and shows it. is_remainder: see Cadence.is_remainder."""
        if not self.active:
            return
        speed = self.time_left.add(stage, step, self.seconds) or 0.0  # steps/s since the last line
        remainder = {"remainder": True} if is_remainder else {}
        self._write(step, stage, {"metrics": metrics, "steps_per_s": round(speed, 3), **remainder})
        self.shown, self.refreshed = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items()), 0.0
        if not self.terminal:
            left = self.time_left.estimate(step, self.seconds)
            print(f"step {step}/{self.total}  {stage}  {self.shown}  {speed:.2f} steps/s  {left}", file=sys.stderr)
            sys.stderr.flush()
        self._plot(step, stage, metrics)

    def log_samples(self, step: int, stage: str, samples: dict[str, float]) -> None:
        """Writes a line to the log on what was measured on samples, such as {"nn_distance_ratio": 0.9}."""
        if self.active:
            self._write(step, stage, {"samples": samples})
            self._plot(step, "samples", samples)

    def warn(self, step: int, stage: str, alert: Alert) -> None:
        """Shows an alert, and writes it to the log."""
        if self.active:
            self._write(step, stage, {"alert": alert.to_json()})
            tqdm.write(f"step {step}: {alert.name}: {alert.what}. {alert.advice}", file=sys.stderr)

    def show(self, step: int, images: dict[str, Image]) -> None:
        """Writes samples/step-000500.png, samples/step-000500-NAME.png, and their text or sound beside them."""
        for name, image in images.items():
            path = self.run.path / "samples" / f"step-{step:06d}{'-' + name if name else ''}.png"
            with disk_errors(self.run.path):
                image.save_with_companions(path)
            if self.board:
                self.board.add_image(name or "samples", image.pixels, step, dataformats="HWC")

    def _write(self, step: int, stage: str, content: dict[str, Any]) -> None:
        self.run.log({"step": step, "stage": stage, **content, "seconds": round(self.seconds, 3)})

    def _plot(self, step: int, group: str, values: dict[str, float]) -> None:
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"{group}/{name}", value, step)


def _tensorboard(run: Run, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError("--tensorboard needs the package tensorboard: pip install 'reverie[tensorboard]'.") from None
    return SummaryWriter(run.path / "tensorboard", purge_step=start + 1 if start else None)
