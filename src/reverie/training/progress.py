"""What is shown and recorded while a method trains: a bar in a terminal, plain lines elsewhere, the log, samples."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

from reverie.core.train_config import TrainConfig
from reverie.media import Image
from reverie.runs.run_folder import Run
from reverie.training.monitor import Alert
from reverie.utils.atomic_files import disk_errors
from reverie.utils.errors import UserError
from reverie.utils.formatting import clock


class Progress:
    """Shows and records the progress of a run. On ranks other than the first it does nothing."""

    def __init__(self, run: Run, start: int, total: int, settings: TrainConfig, active: bool) -> None:
        self.run, self.active, self.total = run, active, total
        self.terminal = sys.stderr.isatty()
        self.began, self.start, self.step = time.monotonic(), start, start
        self.board: Any = _tensorboard(run, start) if settings.tensorboard and active else None
        lines = reversed(run.lines())
        self.seconds_before = next((float(line["seconds"]) for line in lines if "seconds" in line), 0.0)

    def __enter__(self) -> Progress:
        self.bar = tqdm(
            total=self.total, initial=self.start, unit="step", file=sys.stderr, dynamic_ncols=True, smoothing=0.05,
            disable=not (self.active and self.terminal),
        )  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()
        if self.board:
            self.board.close()

    def tick(self, step: int) -> None:
        """Moves the bar."""
        self.bar.update(step - self.step)
        self.step = step

    def log(self, step: int, stage: str, metrics: dict[str, float]) -> None:
        """Writes a line of metrics to the log, and shows it."""
        if not self.active:
            return
        speed = (step - self.start) / max(time.monotonic() - self.began, 1e-9)  # steps/s
        self._write(step, stage, {"metrics": metrics, "steps_per_s": round(speed, 3)})
        shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        if self.terminal:
            self.bar.set_postfix_str(shown, refresh=False)
        else:
            left = clock((self.total - step) / max(speed, 1e-9))
            print(f"step {step}/{self.total}  {stage}  {shown}  {speed:.2f} steps/s  {left} left", file=sys.stderr)
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
        seconds = round(self.seconds_before + time.monotonic() - self.began, 3)
        self.run.log({"step": step, "stage": stage, **content, "seconds": seconds})

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
