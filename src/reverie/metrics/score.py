"""Score: a number with its definition, its reference, and what real data and trivial baselines get."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from reverie.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Better = Literal["lower", "higher", "match", "neither"]
"""which values are good; match: those near the value of real data; neither: none is, the value
describes a model without praising it"""


def standard_error(values: Tensor) -> float | None:
    """The standard error of the mean of values [N]; None where N < 2."""
    if len(values) < 2:
        return None
    return float(values.std() / len(values) ** 0.5)


@dataclass(frozen=True)
class Reference:
    """The data that a score was measured against."""

    name: str
    split: str
    fingerprint: str
    """of the data, as in run.json"""
    n: int
    """number of its items that were used"""
    size: int
    """images: pixels per side they were prepared to, 0 where each keeps its own size; text and music: time steps"""
    channels: int
    """of images; 0 for text and music"""

    @property
    def shape(self) -> str:
        """The size of its items as words that follow them, such as " at 32x32x3"; "" for images of their own size."""
        if self.channels and self.size:
            return f" at {self.size}x{self.size}x{self.channels}"
        return f" of {self.size} steps" if self.size else ""

    @classmethod
    def of(cls, data: Any, n: int) -> Reference:
        """n images of prepared data."""
        return cls(data.name, data.split, data.fingerprint, n, *data.array.shape[2:])


@dataclass(frozen=True, repr=False)
class Score:
    """One measured value, with everything needed to check it or to compare it with another one."""

    name: str
    """the standard name, in lower case: "fid", "kid", "precision", "nll" ..."""
    value: float
    unit: str
    """"" for a plain number, "nats", "bits/dim", "dB" ..."""
    better: Better
    definition: str
    """one sentence that a reader can check: formula, network, resizing and every other choice that changes the value"""
    reference: Reference | None
    n: int
    """number of items that were scored"""
    seed: int
    real: float | None = None
    """the same score of real data against real data; None where that says nothing, or was not measured"""
    real_source: str = ""
    """what real data that was"""
    std_error: float | None = None
    """standard error of the value, where the value is a mean"""
    versions: dict[str, str] = field(default_factory=dict)
    group: str = "samples"
    """heading in tables and reports: samples, reconstruction, likelihood, accuracy ..."""
    baseline: float | None = None
    """the same score of a trivial answer, which a model has to beat"""
    baseline_name: str = ""
    """what answer: "the mean training image in place of each", "the input itself" ..."""

    @property
    def yardstick(self) -> float | None:
        """What the value is read beside: that of real data, else that of the baseline."""
        return self.baseline if self.real is None else self.real

    @property
    def yardstick_source(self) -> str:
        """What that is, in words: "real data: 300 training images", "baseline: the input itself"; "" for none."""
        if self.real is not None:
            return f"real data: {self.real_source}"
        return f"baseline: {self.baseline_name}" if self.baseline is not None else ""

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        error = "" if self.std_error is None else f" +- {self.std_error:.2g}"
        parts = [f"{self.name} {self.value:.4g}{error} {self.unit}".strip()]
        parts += [f"real data {self.real:.4g}"] if self.real is not None else []
        parts += [f"baseline {self.baseline:.4g}"] if self.baseline is not None else []
        parts += {"match": ["near real data is better"], "neither": []}.get(self.better, [f"{self.better} is better"])
        return f"<Score {', '.join(parts)}, n {self.n}>"

    @property
    def hash(self) -> str:
        """12 hex digits of the name, unit and definition: scores whose hashes differ measure different things."""
        return hashlib.sha256(f"{self.name}|{self.unit}|{self.definition}".encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """As an object of scores.json and of the ledger. Values that are not finite become None."""
        fields = {**asdict(self), "hash": self.hash}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields.items()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Score:
        """The inverse of to_json. Raises UserError for other objects, and if the hash does not fit the definition."""
        try:
            fields = {k: v for k, v in record.items() if k != "hash"}
            fields["value"] = math.nan if fields["value"] is None else fields["value"]
            fields["reference"] = fields["reference"] and Reference(**fields["reference"])
            score = cls(**fields)
        except (KeyError, TypeError) as error:
            raise UserError(
                f"this is not a score of this version of reverie ({error}); evaluate the run again."
            ) from None
        if record.get("hash") != score.hash:
            raise UserError(f"the definition of score '{score.name}' was edited by hand; evaluate the run again.")
        return score


def why_meaningless(score: Score) -> str:
    """Why a score says nothing on the data that it was measured on; "" if it says something."""
    if not math.isfinite(score.value):
        return "it is not a finite number on this data"
    if score.better == "match" and score.value == 0 and score.real == 0:
        return "it is 0 of real items too: this data has nothing that it could measure"
    return ""


def why_incomparable(a: Score, b: Score) -> str:
    """Why two scores of one name cannot be compared, without that name: many have one reason; "" if they can be."""
    first, other = a.reference, b.reference
    if first is None or other is None or _origin(first) != _origin(other):
        if first != other:
            found = f"({_describe(first)}; {_describe(other)})"
            return f"have different references {found}; evaluate both against the same data"
    elif first.shape != other.shape:
        return f"have different references: items{first.shape} and{other.shape}; train both at one size"
    elif first.n != other.n:
        return f"have different references: {first.n} and {other.n} items; evaluate both with the same -n"
    if a.n != b.n:
        return f"are of {a.n} and of {b.n} items; evaluate both with the same -n"
    return "have different definitions; they are listed below" if a.hash != b.hash else ""


def _origin(reference: Reference) -> tuple[str, str, str]:
    return reference.name, reference.split, reference.fingerprint


def _describe(reference: Reference | None) -> str:
    if reference is None:
        return "none"
    r = reference
    return f"{r.name} {r.split}, {r.n} items{r.shape}, fingerprint {r.fingerprint}"
