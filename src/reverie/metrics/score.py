"""Score: a number with its definition, its reference, the number of items it was measured on, and its noise floor."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from reverie.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Better = Literal["lower", "higher", "match", "neither"]
"""which values are good; match: those near the floor, which is the value of real data; neither: none is, the value
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


@dataclass(frozen=True)
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
    floor: float | None = None
    """the same score of real data against real data, or of a trivial baseline"""
    floor_source: str = ""
    """what the floor was measured on"""
    std_error: float | None = None
    """standard error of the value, where the value is a mean"""
    versions: dict[str, str] = field(default_factory=dict)
    group: str = "samples"
    """heading in tables and reports: samples, reconstruction, likelihood, accuracy ..."""

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
    if score.better == "match" and score.value == 0 and score.floor == 0:
        return "it is 0 of real items too: this data has nothing that it could measure"
    return ""


def check_comparable(a: Score, b: Score) -> None:
    """Raises UserError, naming the difference, unless two scores have one name, definition, reference and n."""
    if a.name != b.name:
        raise UserError(f"{a.name} and {b.name} are different scores; compare scores of one name.")
    if a.hash != b.hash:
        raise UserError(f"the two {a.name} have different definitions: '{a.definition}'; '{b.definition}'.")
    if why := why_incomparable(a, b):
        raise UserError(f"the two {a.name} {why}.")


def why_incomparable(a: Score, b: Score) -> str:
    """Why two scores of one name cannot be compared, without that name: many have one reason; "" if they can be."""
    if a.reference != b.reference:
        found = f"({_describe(a.reference)}; {_describe(b.reference)})"
        return f"have different references {found}; evaluate both against the same data"
    if a.n != b.n:
        return f"are of {a.n} and of {b.n} items; evaluate both with the same -n"
    return "have different definitions; they are listed below" if a.hash != b.hash else ""


def _describe(reference: Reference | None) -> str:
    if reference is None:
        return "none"
    r = reference
    return f"{r.name} {r.split}, {r.n} items{r.shape}, fingerprint {r.fingerprint}"
