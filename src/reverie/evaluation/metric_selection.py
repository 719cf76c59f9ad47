"""Which scores are asked for: names and groups as in `--metrics fid,copying`, and what the quick default leaves out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reverie.report.reading import base_name
from reverie.utils.errors import UserError, near_miss

if TYPE_CHECKING:
    from reverie.evaluation.result import Evaluation

GROUPS: dict[str, tuple[str, ...]] = {
    "distribution": ("fid", "kid", "precision", "recall", "density", "coverage"),
    "copying": ("nn distance ratio", "data-copying auc", "near-duplicate rate", "nn dice similarity", "nn distance",
                "exact-match rate"),
    "classes": ("gan-test accuracy", "intra-class diversity", "per-class coverage"),
    "reconstruction": ("mse", "normalised mse", "psnr"),
    "codes": ("1-nn accuracy",),
    "likelihood": ("nll", "bits/dim", "elbo", "active units", "kl", "nll-gen", "nll-gen per line", "nll-oracle"),
    "accuracy": ("accuracy", "worst class accuracy", "log loss"),
    "similarity": ("psnr", "ssim", "psnr-y", "ssim-y", "lpips", "paired feature distance", "sharpness",
                   "colourfulness"),
    "holes": ("psnr-hole", "psnr-hole gain over laplace", "ssim-hole", "sharpness in the hole"),
    "segmentation": ("pixel accuracy", "miou"),
    "saliency": ("auc-judd", "shuffled auc", "nss", "cc", "sim", "saliency kl", "information gain"),
    "captions": ("cider-d", "length ratio", "bleu-1", "bleu-2", "bleu-3", "bleu-4", "repetition", "distinct-1",
                 "distinct-2", "distinct-3"),
    "facts": ("fact precision", "fact recall", "once in order", "held-out recall"),
    "cycle": ("cycle-consistency l1",),
    "n-grams": ("bleu-2", "bleu-3", "bleu-4", "bleu-5", "self-bleu-2", "self-bleu-3", "self-bleu-4", "self-bleu-5",
                "distinct-1", "distinct-2", "distinct-3", "distinct-4", "regular metre"),
    "music": ("onset accuracy", "scale consistency", "joint scale consistency", "bar self-similarity",
              "note density distance", "note length distance", "pitch-class histogram distance",
              "drum-class histogram distance"),
}  # fmt: skip
"""names of groups -> names of scores"""
SINGLE = ("sharpness", "gan-train accuracy")
"""names of scores of no group"""
SLOW = ("gan-test accuracy", "gan-train accuracy")
"""scores that the quick default leaves out: a classifier is trained for them"""
WHY_SLOW = "it trains a classifier, which takes minutes: ask for it with --full or --metrics"


def read_metrics(text: str | Iterable[str]) -> tuple[str, ...]:
    """The names of scores in "fid,copying", or in a list: groups are spelt out, spaces may be written as - or _.

    Raises UserError for a name that is neither a score's nor a group's, and if there is none.
    """
    words = text.split(",") if isinstance(text, str) else list(text)
    known: dict[str, tuple[str, ...]] = {_plain(name): (name,) for names in GROUPS.values() for name in names}
    known |= {_plain(name): (name,) for name in SINGLE}
    known |= {_plain(group): names for group, names in GROUPS.items()}
    for family in ("bleu", "self-bleu", "distinct"):  # of any n
        known[family] = tuple(name for name in GROUPS["n-grams"] if name.startswith(f"{family}-"))
    found, groups = dict[str, None](), f" There are the groups {', '.join(GROUPS)}."
    for word in filter(None, (_plain(word) for word in words)):
        if word not in known:
            raise UserError(f"there is no score or group of scores '{word}'.{near_miss(word, [*known]) or groups}")
        found |= dict.fromkeys(known[word])
    if not found:
        raise UserError("metrics names no score; give names or groups with commas between them, such as fid,kid.")
    return tuple(found)


def _plain(word: str) -> str:
    return word.strip().lower().replace(" ", "-").replace("_", "-")


def keep_wanted(result: Evaluation, metrics: tuple[str, ...] | None, source_name: str) -> None:
    """Removes scores that were not asked for, and notes asked ones that there are not. metrics None: keeps all."""
    if metrics is None:
        return
    result.scores = [score for score in result.scores if base_name(score.name) in metrics]
    result.skipped = [line for line in result.skipped if base_name(line["score"]) in metrics]
    there = {base_name(score.name) for score in result.scores} | {base_name(line["score"]) for line in result.skipped}
    # Of a group whose other scores are there, the rest is of other kinds of data.
    of_others = {name for names in GROUPS.values() if there & {*names} for name in names}
    if missing := [name for name in metrics if name not in there | of_others]:
        result.skip(missing, f"{source_name} has no such score on this data")
