"""A score is an object: a number with its definition, its reference, how much was measured, and its noise floor."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from reverie.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Better = Literal["lower", "higher", "near floor"]


def standard_error(values: Tensor) -> float | None:
    """The standard error of the mean of values [N]; None where there is one, which tells nothing of it."""
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else None


@dataclass(frozen=True)
class Reference:
    """What a score was measured against."""

    name: str
    split: str
    fingerprint: str
    """of the data, as in run.json"""
    n: int
    """items of it that were used"""
    size: int
    """pixels a side that it was prepared to, 0 where each item has its own; of text and music, steps"""
    channels: int
    """of pictures; 0 where there are none"""

    @property
    def shape(self) -> str:
        """How large its items are, in words that follow them; "" for pictures in their own size."""
        if self.channels and self.size:
            return f" at {self.size}x{self.size}x{self.channels}"
        return f" of {self.size} steps" if self.size else ""

    @classmethod
    def of(cls, data: Any, n: int) -> Reference:
        """n of the images of prepared data."""
        return cls(data.name, data.split, data.fingerprint, n, *data.array.shape[2:])


@dataclass(frozen=True)
class Score:
    """One figure, with all that it takes to check it or to compare it with another."""

    name: str
    """the standard name: "fid", "kid", "precision", "nll" ..."""
    value: float
    unit: str
    """"" for a plain number, "nats", "bits/dim", "pixels" ..."""
    better: Better
    """near floor: neither low nor high is good, but what real data gives"""
    definition: str
    """one line that a reader can check, with every choice that moves the figure: formula, network, resize, k"""
    reference: Reference | None
    n: int
    """items that were scored"""
    seed: int
    floor: float | None = None
    """the same score of real data against real data, or of the trivial baseline"""
    floor_of: str = ""
    """what the floor was measured on, in words"""
    spread: float | None = None
    """standard error of the value, where it is a mean"""
    versions: dict[str, str] = field(default_factory=dict)
    group: str = "samples"
    """heading that it stands under in tables: samples, reconstruction, likelihood, accuracy ..."""

    @property
    def hash(self) -> str:
        """12 hex digits of the definition: scores whose hashes differ measure different things."""
        return hashlib.sha256(f"{self.name}|{self.unit}|{self.definition}".encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """As an object of scores.json and the ledger. A value that is no finite number becomes None."""
        told = {**asdict(self), "hash": self.hash}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in told.items()}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Score:
        """What to_json gave. Raises UserError if the definition does not have the hash noted beside it."""
        try:
            fields = {k: v for k, v in told.items() if k != "hash"}
            fields["value"] = math.nan if fields["value"] is None else fields["value"]
            score = cls(**{**fields, "reference": fields["reference"] and Reference(**fields["reference"])})
        except (KeyError, TypeError) as error:
            raise UserError(f"this is no score of reverie ({error}); evaluate the run again.") from None
        if told.get("hash") != score.hash:
            raise UserError(f"the definition of score '{score.name}' was changed by hand; evaluate the run again.")
        return score


def check_alike(a: Score, b: Score) -> None:
    """Raises UserError, naming what differs, unless two scores may stand in one column."""
    if a.name != b.name:
        raise UserError(f"{a.name} and {b.name} are different scores; compare each with its like.")
    if a.hash != b.hash:
        raise UserError(f"two scores are called {a.name} but are defined unlike: '{a.definition}'; '{b.definition}'.")
    if a.reference != b.reference:
        raise UserError(
            f"the two {a.name} have unlike references ({_words(a.reference)}; {_words(b.reference)}); "
            "evaluate both against the same data."
        )
    if a.n != b.n:
        raise UserError(f"the two {a.name} are of {a.n} and of {b.n} items; evaluate both with the same -n.")


def _words(reference: Reference | None) -> str:
    if reference is None:
        return "none"
    r = reference
    return f"{r.name} {r.split}, {r.n} items{r.shape}, fingerprint {r.fingerprint}"
