"""What values an option may have, written in its annotation: `lr: Annotated[float, Range(above=0)]`.

Read once, with the type, for the command line, for Python and for forms alike (`core/options.py`). A rule between two
options stands in the Config's `__post_init__`. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Range:
    """A number from `least` to `most`, both included; `above` and `below` are not included."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def allows(self, value: Any) -> bool:
        """Whether the value lies inside."""
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        low = f"above {self.above}" if self.above is not None else ""
        if self.least is not None:
            low = f"from {self.least}" if self.bounded_above else f"{self.least} or more"
        high = f"{'to' if low else 'at most'} {self.most}" if self.most is not None else ""
        if self.below is not None:
            high = f"to below {self.below}" if low else f"below {self.below}"
        return " ".join(part for part in (low, high) if part)

    @property
    def bounded_above(self) -> bool:
        """Whether there is a largest value."""
        return self.most is not None or self.below is not None


@dataclass(frozen=True)
class PowerOfTwo:
    """A power of two, `least` or more."""

    least: int = 1

    def allows(self, value: Any) -> bool:
        """Whether the value is one."""
        return value >= self.least and value & (value - 1) == 0

    def __str__(self) -> str:
        return f"a power of two: {self.least}, {2 * self.least}, {4 * self.least} ..."


@dataclass(frozen=True)
class MultipleOf:
    """A multiple of `step`, `least` or more."""

    step: int
    least: int = 0

    def allows(self, value: Any) -> bool:
        """Whether the value is one."""
        return value >= self.least and value % self.step == 0

    def __str__(self) -> str:
        return f"a multiple of {self.step}, {self.least} or more"


@dataclass(frozen=True)
class Repeated:
    """Of a tuple: groups of `size` values. On the command line the option may be given several times, a group each."""

    size: int

    def allows(self, value: Any) -> bool:
        """Whether one value may be in a group: any."""
        return True

    def __str__(self) -> str:
        return f"{self.size} of them or a multiple"


Constraint = Repeated | Range | PowerOfTwo | MultipleOf

Positive = Annotated[float, Range(above=0)]
"""a number above 0, such as a learning rate"""
NonNegative = Annotated[float, Range(0)]
"""0 or more, such as the weight of a loss"""
Share = Annotated[float, Range(0, 1)]
"""from 0 to 1, both included"""
Decay = Annotated[float, Range(0, below=1)]
"""from 0 to below 1: of moving averages, Adam's betas, dropout"""
Count = Annotated[int, Range(1)]
"""1 or more"""
CountOrNone = Annotated[int, Range(0)]
"""0 or more, where 0 means none or never"""
Boxes = Annotated[tuple[float, ...], Repeated(4)]
"""left, top, right, bottom of each box, one box after the other"""
