"""What would be trained: data, networks, device, and what it will take of time, disk and memory."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reverie.core.method import Method
from reverie.core.train_config import TrainConfig
from reverie.core.update import Update
from reverie.data.description import describe
from reverie.training.batch_order import BatchOrder
from reverie.training.memory_format import to_device
from reverie.training.trainer import take_step
from reverie.utils.distributed import Ranks
from reverie.utils.environment import has_fast_bf16
from reverie.utils.formatting import clock

TIMED_STEPS = 20
"""steps of a stage that are timed, at most, after one that warms up"""
TIMED_SECONDS = 4.0
"""seconds that the timed steps of a stage take, about"""
COPIES = 4
"""of the weights that a checkpoint holds: themselves, two moments of Adam, and what verbs use"""


@dataclass(frozen=True, repr=False)
class Plan:
    """What training would do; as text, lines for the terminal."""

    data: str
    networks: dict[str, int]
    """network -> its parameters"""
    steps: dict[str, int]
    """stage -> steps"""
    device: str
    disk: int
    """bytes that the run folder takes, about"""
    free: int
    """bytes that are free where it goes; -1: not known"""
    seconds: float | None = None
    """that training takes on this machine, by a few timed steps; None: not measured"""
    memory: int | None = None
    """bytes of memory at most while steps were timed; None: not measured, or not known on this system"""

    @property
    def parameters(self) -> int:
        """Of all networks together."""
        return sum(self.networks.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {_count(n)}" for name, n in self.networks.items() if n)
        stages = " + ".join(f"{n:,} {name}" for name, n in self.steps.items() if n)
        only = list(self.steps)
        steps = f"{self.steps[only[0]]:,} steps" if len(only) == 1 else f"{sum(self.steps.values()):,} steps ({stages})"
        time = "time after the first line of the log" if self.seconds is None else f"about {clock(self.seconds)}"
        free = f" of {_bytes(self.free)} free" if self.free >= 0 else ""
        memory = f", memory up to {_bytes(self.memory)}" if self.memory else ""
        return "\n".join([
            f"data      {self.data}",
            f"networks  {_count(self.parameters)} parameters: {parts}",
            f"device    {self.device}",
            f"training  {steps}, {time}; disk about {_bytes(self.disk)}{free}{memory}",
        ])  # fmt: skip

    __repr__ = __str__

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "data": self.data, "networks": self.networks, "parameters": self.parameters, "steps": self.steps,
            "device": self.device, "disk_bytes": self.disk, "free_bytes": self.free, "seconds": self.seconds,
            "memory_bytes": self.memory,
        }  # fmt: skip


def make_plan(method: Method, data: Any, settings: TrainConfig, ranks: Ranks, out: Path, timed: bool = False) -> Plan:
    """The plan of a run that was prepared; nothing is written.

    timed: whether a few steps are made to measure what they take, which changes the method and random state
    """
    networks = {name: sum(p.numel() for p in part.parameters()) for name, part in method.named_children()}
    others = sum(p.numel() for p in method.parameters(recurse=False))
    weights = sum(x.numel() * x.element_size() for x in method.state_dict().values())
    samples = sum(stage.steps for stage in method.stages()) // settings.sample_every * 60_000
    device = _device(ranks, settings)
    seconds = _measure(method, data, settings, ranks) if timed else None
    return Plan(
        data=_describe_data(data, method.config), networks={**networks, **({"others": others} if others else {})},
        steps={stage.name: stage.steps for stage in method.stages()}, device=device,
        disk=2 * COPIES * weights + samples + 1_000_000, free=_free(out), seconds=seconds,
        memory=_peak_memory(ranks) if timed else None,
    )  # fmt: skip


def describe_plan(method: Method, data: Any, settings: TrainConfig, ranks: Ranks, out: Path) -> str:
    """The plan in four lines, of what can be known without a step."""
    return str(make_plan(method, data, settings, ranks, out))


def _describe_data(data: Any, config: Any) -> str:
    """Such as "photos: 1,231 images, 3 classes, at 64 x 64 in colour"."""
    text = describe(data)
    if data.kind == "pairs":
        made = getattr(config, "degradation", "")
        text += f", inputs made by {made}" if made else ", inputs as given"
    if size := getattr(config, "size", None):
        colour = {1: " in grey", 3: " in colour"}.get(getattr(config, "channels", None) or 0, "")
        text += f", at {size} x {size}{colour}"
    if len(data.dropped):
        text += f"; {len(data.dropped):,} not used"
    return text


def _device(ranks: Ranks, settings: TrainConfig) -> str:
    """Such as "cpu, 2 threads, fp32, batches of 64"."""
    text = f"{settings.threads} thread{'s' * (settings.threads != 1)}" if ranks.device.type == "cpu" else ""
    if ranks.device.type == "cuda":
        text = torch.cuda.get_device_name(ranks.device)
    parts = [text, settings.precision, f"batches of {settings.batch_size}"]
    if ranks.world_size > 1:
        parts.append(f"{ranks.world_size} processes")
    line = f"{ranks.device}, {', '.join(part for part in parts if part)}"
    faster = {True: "bf16", False: "fp32", None: settings.precision}[has_fast_bf16()]
    if ranks.device.type == "cpu" and settings.precision != faster:
        line += f"; this CPU trains faster with --precision {faster}"
    return line


def _free(out: Path) -> int:
    """Bytes free where a folder is, or will be made; -1 where that is not known."""
    place = out.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return -1


def _measure(method: Method, data: Any, settings: TrainConfig, ranks: Ranks) -> float:
    """Seconds that all steps take, by a few of each stage."""
    to_device(method, ranks.device, settings.memory_format)
    update = Update(method.optimizers(), ranks)
    order = BatchOrder(len(data), settings.batch_size, settings.seed)
    total = 0.0
    for stage in method.stages():
        times: list[float] = []
        while stage.steps and len(times) < 1 + min(TIMED_STEPS, stage.steps) and sum(times) < TIMED_SECONDS:
            began, step = time.perf_counter(), min(len(times), stage.steps - 1)
            metrics = take_step(step, stage, step / stage.steps, data, order, update, settings)
            [float(value.detach()) for value in metrics.values()]  # waits for the device
            times.append(time.perf_counter() - began)
        later = times[1:] or times
        total += stage.steps * sum(later) / max(1, len(later))
    return total


def _peak_memory(ranks: Ranks) -> int | None:
    """Bytes that this process has held at most; of a GPU, that it has there."""
    if ranks.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(ranks.device))
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else 1024 * peak)


def _count(n: int) -> str:
    return f"{n / 1e6:.1f} M" if n >= 1e6 else f"{n / 1e3:.0f} k" if n >= 1e4 else str(n)


def _bytes(n: int) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{max(1, round(n / 1e6))} MB"
