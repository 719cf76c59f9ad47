"""The monitor: watches every run the same way, by the names that a method's step reports, and names what went wrong.

What it knows (a step reports what it can; see `parts/watch.py`):

    right     share of (real, generated) pairs that a discriminator puts in the right order: 0.5 fooled, 1 never wrong
    variety   how far generated items lie from one another, in units of how far real ones do: 1 as varied, 0 all alike
    active    latents whose posterior mean moves with the data (Burda 2015, section 5.2)
    anything  that is not a finite number

It sees nothing but the lines of the log, so a resumed run comes to the same findings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

WINDOW = 500
"""steps that a fault must last at least, so that no bad moment is taken for one"""
LINES = 3
"""lines of the log that it must last, where lines are rare"""


@dataclass(frozen=True)
class Rule:
    """Something that goes wrong in training: how it shows, and what helps."""

    name: str
    sign: str
    """what of the log shows it"""
    threshold: float
    above: bool
    """whether values above the threshold are bad, or below"""
    what: str
    """what has happened, in words, with {value} and {threshold}"""
    advice: str
    window: int = WINDOW
    """steps that it must last"""


RULES = (
    Rule(
        "discriminator has won", "d_auc", 0.998, True,
        "it tells real from generated in {value:.2%} of pairs, so the generator learns nothing from it any more",
        "Give the discriminator a gradient penalty or spectral norm (a preset called stable has them), a lower rate, "
        "or, for few images, --augment.",
        window=2 * WINDOW,  # at first many a generator learns for hundreds of steps from one that is never wrong
    ),
    Rule(
        "lost diversity", "nn_distance_ratio", 0.25, False,
        "what is generated lies {value:.2f} times as far from one another as what is real (mode collapse)",
        "Use a loss that compares pairs, or a gradient penalty (a preset called stable has them), a lower rate, a "
        "larger batch, or more numbers in z.",
    ),
    Rule(
        "posterior collapse", "active_units", 0.5, False,
        "{value:.1f} latents answer to the data: the decoder ignores its code",
        "Lower --beta, give --free-bits 0.1 or more, or a weaker decoder (smaller --width).",
    ),
)  # fmt: skip
"""thresholds: chosen between runs made to fail and good ones; benchmarks/monitor.py has both and counts false alarms"""

NOT_A_NUMBER = "not a number"


@dataclass(frozen=True)
class Alert:
    """A fault that was found."""

    name: str
    what: str
    advice: str
    value: float | None
    threshold: float | None
    since: int
    """the last step of which it is known that all was well"""

    @property
    def fatal(self) -> bool:
        """Whether going on is of no use."""
        return self.name == NOT_A_NUMBER

    def to_json(self) -> dict[str, Any]:
        """As in a line of the log."""
        return asdict(self)


class Monitor:
    """Reads the lines of a log as they are written, and says what is wrong, once for each time it begins."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, dict[str, float]]] = []
        self.open: set[str] = set()

    def check_metrics(self, step: int, values: dict[str, float]) -> Alert | None:
        """What the log shows with this line: the first finding that is new, or None."""
        if broken := [name for name, value in values.items() if not math.isfinite(value)]:
            return self._not_a_number(step, broken[0])
        self.lines.append((step, values))
        found = None
        for fault in RULES:
            finding = self._judge(fault)
            if finding is None:
                self.open.discard(fault.name)
            elif fault.name not in self.open and found is None:  # of two, the other is told with the next line
                self.open.add(fault.name)
                found = finding
        del self.lines[:-1000]  # no window reaches back further
        return found

    @property
    def healthy(self) -> bool:
        """Whether nothing that was told last is a sign of a fault."""
        last = {name: value for _, values in self.lines for name, value in values.items()}
        return not any(f.sign in last and (last[f.sign] > f.threshold) == f.above for f in RULES)

    def check_weights(self, step: int, parameters: Iterable[Tensor], buffers: Iterable[Tensor]) -> Alert | None:
        """What the weights show that are about to be saved. A buffer may be infinite: a best that was not yet."""
        broken = any(bool(t.isnan().any()) for t in buffers) or not all(bool(p.isfinite().all()) for p in parameters)
        return self._not_a_number(step, "a weight") if broken else None

    def _not_a_number(self, step: int, name: str) -> Alert:
        known = self.lines[-1][0] if self.lines else 0
        what = f"{name} is no finite number any more at step {step}"
        advice = "Lower --rate, or clip; for bf16 try --precision fp32. A save with such weights is never written."
        return Alert(NOT_A_NUMBER, what, advice, None, None, known)

    def _judge(self, fault: Rule) -> Alert | None:
        told = [(step, values[fault.sign]) for step, values in self.lines if fault.sign in values]
        bad: list[float] = []
        since = 0
        for step, value in reversed(told):
            if (value > fault.threshold) != fault.above:
                since = step
                break
            bad.append(value)
        if len(bad) < LINES or told[-1][0] - since < fault.window:
            return None
        mean = sum(bad) / len(bad)
        return Alert(fault.name, fault.what.format(value=mean), fault.advice, round(mean, 6), fault.threshold, since)
