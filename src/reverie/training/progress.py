"""What is seen and kept while it trains: a bar in a terminal, plain lines elsewhere, the log, previews."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

from reverie.core.train_config import TrainConfig
from reverie.media import Image
from reverie.runs.run_folder import Run
from reverie.training.monitor import Alert
from reverie.utils.atomic_files import friendly
from reverie.utils.errors import UserError
from reverie.utils.formatting import clock


class Progress:
    """Shows and records the progress of a run. On ranks other than the first it does nothing."""

    def __init__(self, run: Run, start: int, total: int, settings: TrainConfig, active: bool) -> None:
        self.run, self.active, self.total, self.settings = run, active, total, settings
        self.terminal = sys.stderr.isatty()
        self.began, self.at, self.first = time.monotonic(), start, start
        self.board: Any = _tensorboard(run, start) if settings.tensorboard and active else None
        self.earlier = next((float(line["seconds"]) for line in reversed(run.lines()) if "seconds" in line), 0.0)

    def __enter__(self) -> Progress:
        self.bar = tqdm(
            total=self.total, initial=self.at, unit="step", file=sys.stderr, dynamic_ncols=True, smoothing=0.05,
            disable=not (self.active and self.terminal),
        )  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()
        if self.board:
            self.board.close()

    def tick(self, step: int) -> None:
        """Moves the bar."""
        self.bar.update(step - self.at)
        self.at = step

    def log(self, step: int, stage: str, losses: dict[str, float]) -> None:
        """Writes a line of the log, and shows it."""
        if not self.active:
            return
        seconds = time.monotonic() - self.began
        speed = (step - self.first) / max(seconds, 1e-9)
        line = {
            "step": step, "stage": stage, "losses": losses,
            "steps_per_s": round(speed, 3), "seconds": round(self.earlier + seconds, 3),
        }  # fmt: skip
        self.run.log(line)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        if self.terminal:
            self.bar.set_postfix_str(shown, refresh=False)
        else:
            left = (self.total - step) / max(speed, 1e-9)
            print(
                f"step {step}/{self.total}  {stage}  {shown}  {speed:.2f} steps/s  {clock(left)} left", file=sys.stderr
            )
            sys.stderr.flush()
        if self.board:
            for name, value in losses.items():
                self.board.add_scalar(f"{stage}/{name}", value, step)

    def warn(self, step: int, stage: str, found: Alert) -> None:
        """Says what the monitor found, in the terminal and in the log."""
        if self.active:
            seconds = round(self.earlier + time.monotonic() - self.began, 3)
            self.run.log({"step": step, "stage": stage, "finding": found.to_json(), "seconds": seconds})
            tqdm.write(f"step {step}: {found.name}: {found.what}. {found.advice}", file=sys.stderr)

    def show(self, step: int, pictures: dict[str, Image]) -> None:
        """Writes preview pictures: samples/step-000500.png, samples/step-000500-NAME.png."""
        for name, picture in pictures.items():
            path = self.run.path / "samples" / f"step-{step:06d}{'-' + name if name else ''}.png"
            with friendly(self.run.path):
                picture.save(path)
            if self.board:
                self.board.add_image(name or "samples", picture.pixels, step, dataformats="HWC")


def _tensorboard(run: Run, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError("--tensorboard needs the package tensorboard: pip install 'reverie[tensorboard]'.") from None
    return SummaryWriter(run.path / "tensorboard", purge_step=start + 1 if start else None)
