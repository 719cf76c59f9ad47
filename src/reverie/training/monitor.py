"""The monitor: watches every run by the metrics that a method declares, and names what goes wrong in training.

A method says in `monitored` which of its step's metrics mean what, by one of these roles. A metric without a role is
checked for being finite and for nothing else, whatever it is called.

    discriminator_auc  share of (real, generated) pairs that a discriminator puts in the right order:
                       0.5 it cannot tell them apart, 1 it is never wrong
    diversity          distance of generated items from their nearest neighbours, in units of that of real items:
                       1 as diverse, 0 all alike. Where a method declares none and generates images, the loop measures
                       it on samples (training/sample_diversity.py)
    active_units       latent dimensions whose posterior mean depends on the data (Burda 2015, section 5.2)
    loss               what training minimises, of one meaning from the first step of a stage to its last. A
                       generator's or a discriminator's loss is no such thing: it may rise while both improve

The monitor sees nothing but the lines of the log, so a resumed run raises the same alerts as an uninterrupted one.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

ROLES = ("discriminator_auc", "diversity", "active_units", "loss")
"""what a metric can mean to the monitor"""

WINDOW = 500
"""steps that a failure must last at least, so that no single bad moment raises an alert"""
LINES = 3
"""lines of the log that it must last, where lines are rare"""


@dataclass(frozen=True)
class Rule:
    """A way in which training fails: which metrics show it, and what helps."""

    name: str
    role: str
    """the role of the metrics that it reads, one of ROLES; of a loss it reads LossTrend.rise"""
    threshold: float
    above: bool
    """whether values above the threshold are bad, or those below"""
    what: str
    """what has happened, in words, with {value}: the mean over the window"""
    remedies: tuple[tuple[str, str], ...]
    """what to try: (an option that a method must have for it, "" for none; in words)"""
    window: int = WINDOW
    """steps that it must last"""

    def advice(self, options: Collection[str] | None) -> str:
        """What to try, as far as the method has the options for it; None: all that there is."""
        fitting = [words for option, words in self.remedies if not option or options is None or option in options]
        return f"Try {'; '.join(fitting)}."

    def broken_by(self, value: float) -> bool:
        """Whether a value lies on the bad side of the threshold."""
        return (value > self.threshold) == self.above


RULES = (
    Rule(
        "discriminator has won", "discriminator_auc", 0.998, True,
        "it orders {value:.2%} of the pairs (real, generated) correctly, so the generator learns nothing from it "
        "any more",
        (
            ("r1_weight", "a gradient penalty for the discriminator (--r1-weight 1, or a preset called stable)"),
            ("diff_augment", "for few images --diff-augment"),
            ("d_steps", "fewer --d-steps"),
            ("d_lr", "a lower --d-lr"),
            ("", "a lower --lr"),
        ),
        window=2 * WINDOW,  # at first many a generator learns for hundreds of steps from one that is never wrong
    ),
    Rule(
        "lost diversity", "diversity", 0.25, False,
        "generated items lie {value:.2f} times as far from one another as real ones do (mode collapse)",
        (
            ("r1_weight", "a gradient penalty for the discriminator (--r1-weight 1, or a preset called stable)"),
            ("mle_weight", "a higher --mle-weight, the likelihood of real lines"),
            ("adv_lr_scale", "a lower --adv-lr-scale"),
            ("latent_dim", "more latent dimensions (--latent-dim)"),
            ("", "a lower --lr; a larger --batch-size"),
        ),
    ),
    Rule(
        "posterior collapse", "active_units", 0.5, False,
        "{value:.1f} latent dimensions depend on the data: the decoder ignores its code",
        (
            ("beta", "a lower --beta"),
            ("lambda_kl", "a lower --lambda-kl"),
            ("free_nats", "--free-nats 0.1 or more"),
            ("free_bits", "more --free-bits"),
            ("base_channels", "a weaker decoder (smaller --base-channels)"),
        ),
    ),
    Rule(
        "diverging", "loss", 0.5, True,
        "the loss has risen from its best by {value:.2f} of what it had fallen until then (or of its own size, where "
        "that is more)",
        (("", "a lower --lr; or --on-failure rollback, which goes back to the last checkpoint from before the rise"),),
        window=2 * WINDOW,
    ),
)  # fmt: skip
"""thresholds: chosen between runs made to fail and healthy ones; benchmarks/monitor.py has both, counts false alarms"""

NOT_A_NUMBER = "not a number"


@dataclass(frozen=True)
class Alert:
    """A failure that was found."""

    name: str
    what: str
    advice: str
    value: float | None
    threshold: float | None
    since: int
    """the last step at which the metric is known to have been good"""

    @property
    def fatal(self) -> bool:
        """Whether going on is of no use."""
        return self.name == NOT_A_NUMBER

    def to_json(self) -> dict[str, Any]:
        """As in a line of the log."""
        return asdict(self)


class LossTrend:
    """How far a loss has risen above its best.

    Losses are of any scale and sign, so the rise is measured in a unit of the run's own: the largest of what the loss
    had fallen from its first line to its best, the size of the best, and 20 times the usual difference of neighbouring
    lines (the median of the last RECENT). A rise of 0.5 is thus at least half of all progress undone, half as much
    again as the best of a positive loss, and ten times the noise. Lines are smoothed by the median of LINES, which
    neither one spike nor one lucky line moves.
    """

    RECENT = 50
    """lines from which that is estimated"""

    def __init__(self) -> None:
        self.first: float | None = None
        self.best = math.inf
        self.recent: deque[float] = deque(maxlen=self.RECENT)

    def rise(self, value: float) -> float:
        """Takes in the loss of a line. Returns how far the smoothed loss is above its best; 0: it is the best."""
        self.recent.append(value)
        if self.first is None:
            self.first = value
        smoothed = statistics.median(list(self.recent)[-LINES:])
        self.best = min(self.best, smoothed)
        noise = statistics.median([abs(b - a) for a, b in pairwise(self.recent)] or [0.0])
        unit = max(self.first - self.best, abs(self.best), 20 * noise)
        return (smoothed - self.best) / unit if unit else 0.0


class Monitor:
    """Reads the lines of a log as they are written, and raises an alert each time a failure begins.

    monitored: metric -> role, as `Method.monitored`; options: names of the method's options, which advice speaks of
    """

    def __init__(self, monitored: Mapping[str, str], options: Collection[str] | None = None) -> None:
        if unknown := sorted(set(monitored.values()) - set(ROLES)):
            raise ValueError(f"there is no role {', '.join(unknown)}; there are {', '.join(ROLES)}")
        self.roles, self.options = dict(monitored), options
        self.lines: list[tuple[int, dict[str, float]]] = []
        """step, and what rules read of a line: the values of metrics that have a role"""
        self.stage = ""
        self.trends: dict[str, LossTrend] = {}
        self.raised: set[tuple[str, str]] = set()
        """(rule, metric) of the alerts that hold at present"""

    def check_metrics(self, step: int, metrics: dict[str, float], stage: str = "") -> list[Alert]:
        """The alerts that this line of metrics raises: those that are new."""
        if broken := [name for name, value in metrics.items() if not math.isfinite(value)]:
            return [self._not_a_number(step, broken[0])]
        if stage != self.stage:
            self.stage, self.trends = stage, {}  # a loss of another stage is another loss
        values = {name: value for name, value in metrics.items() if name in self.roles}
        for name in values:
            if self.roles[name] == "loss":
                values[name] = self.trends.setdefault(name, LossTrend()).rise(values[name])
        return self._apply_rules(step, values)

    def check_samples(self, step: int, samples: dict[str, float]) -> list[Alert]:
        """The alerts that a line on the diversity of samples raises; {} holds nothing."""
        values = {f"samples/{name}": value for name, value in samples.items()}
        self.roles.update(dict.fromkeys(values, "diversity"))
        return self._apply_rules(step, values)

    def check_weights(self, step: int, weights: Iterable[Tensor]) -> list[Alert]:
        """An alert if weights that are about to be saved are not finite."""
        return [] if all(bool(x.isfinite().all()) for x in weights) else [self._not_a_number(step, "a weight")]

    @property
    def healthy(self) -> bool:
        """Whether no metric's last value is on the bad side of a threshold."""
        last = {name: value for _, values in self.lines for name, value in values.items()}
        return not any(rule.broken_by(last[name]) for rule, name in self._rules() if name in last)

    def _rules(self) -> list[tuple[Rule, str]]:
        return [(rule, name) for rule in RULES for name, role in self.roles.items() if role == rule.role]

    def _apply_rules(self, step: int, values: dict[str, float]) -> list[Alert]:
        self.lines.append((step, values))
        alerts = []
        for rule, name in self._rules():
            if name not in values:
                continue
            alert = self._apply(rule, name)
            if alert is None:
                self.raised.discard((rule.name, name))
            elif (rule.name, name) not in self.raised:
                self.raised.add((rule.name, name))
                alerts.append(alert)
        del self.lines[:-1000]  # no window reaches back further
        return alerts

    def _apply(self, rule: Rule, name: str) -> Alert | None:
        series = [(step, values[name]) for step, values in self.lines if name in values]
        bad: list[float] = []
        since = 0
        for step, value in reversed(series):
            if not rule.broken_by(value):
                since = step
                break
            bad.append(value)
        if len(bad) < LINES or series[-1][0] - since < rule.window:
            return None
        mean = sum(bad) / len(bad)
        return Alert(
            rule.name, rule.what.format(value=mean), rule.advice(self.options), round(mean, 6), rule.threshold, since
        )

    def _not_a_number(self, step: int, name: str) -> Alert:
        since = self.lines[-1][0] if self.lines else 0
        what = f"{name} is not finite any more at step {step}"
        advice = "Lower --lr, or clip gradients; for bf16 try --precision fp32. Such weights are never saved."
        return Alert(NOT_A_NUMBER, what, advice, None, None, since)
