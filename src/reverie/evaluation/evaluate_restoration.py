"""The bench of methods whose scores are all their own: photographs that are repaired, enlarged, completed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from reverie.data.images.decode import convert_channels
from reverie.evaluation.baselines import TRIED, add_baselines, has_baselines
from reverie.evaluation.evaluators_base import SplitEvaluator, learnt_from
from reverie.evaluation.lpips import add_lpips, open_lpips
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource
from reverie.media import Image, image_grid
from reverie.metrics.full_reference import Restored, full_reference_scores, psnrs
from reverie.metrics.score import Reference

SHOWN, LARGEST = 8, 256
"""pictures of a figure, and pixels a side of what is shown of each at most"""


class RestorationEvaluator(SplitEvaluator):
    """The split that is measured on."""

    usual = 100

    def judge(self, found: Evaluation, subject: SampleSource, asked: Any, own: dict[str, Any]) -> None:
        """The method's own scores; where it repairs, whole pictures beside the truth and beside classical tools."""
        method = subject.method
        assert method is not None
        found.notes += learnt_from(subject, self.data)
        looks = None if asked.lpips is None else open_lpips(asked.lpips)  # before anything takes long
        found.scores += list(method.method_scores(self.data, asked.n, asked.seed, **own))
        repaired = getattr(method, "restoration_examples", None)
        pictures = list[Restored](repaired(self.data, asked.n, asked.seed)) if repaired else []
        if not pictures:
            if looks is not None:
                found.skip(["lpips"], f"{method.origin['method']} repairs nothing that is held against a truth")
            return
        reference = Reference(
            self.data.name, self.data.split, self.data.fingerprint, len(pictures), 0, pictures[0].good.shape[2]
        )
        good, spoilt, made = ([getattr(p, what) for p in pictures] for what in ("good", "spoilt", "made"))
        floor_source = "the pictures as they were spoilt"
        about = f"whole pictures of the reference, spoilt by {method.degradation_description}, 8 bits, and repaired"
        found.scores += full_reference_scores(made, good, spoilt, floor_source, reference, asked.seed, about)
        if asked.classical and has_baselines(method):
            train = type(self.data).open(self.data.spec)
            # What is scored is nothing to choose on.
            first = asked.n if train.fingerprint == self.data.fingerprint else 0
            training = [p for _, p in islice(train.full_images(first + TRIED, method.config.channels), first, None)]
            told = "whole pictures of the reference, 8 bits"
            add_baselines(found, method, good, spoilt, train, training, reference, asked.seed, told)
        if looks is not None:
            add_lpips(found, looks, made, good, spoilt, floor_source, reference, asked.seed, about)
        self._show(found, pictures)

    def _show(self, found: Evaluation, pictures: Sequence[Restored]) -> None:
        """Figures: the middles of those that come out worst, and of the first."""
        side = min(LARGEST, *(min(p.good.shape[:2]) for p in pictures))
        order = psnrs([p.made for p in pictures], [p.good for p in pictures]).argsort(stable=True).tolist()
        for name, chosen, told in (
            ("worst", order[:SHOWN], "The pictures that come out worst"),
            ("repaired", range(min(len(pictures), SHOWN)), "The first pictures of the reference"),
        ):
            rows = [_middle(x, side, pictures[i].good.shape[2]) for i in chosen for x in pictures[i].seen()]
            found.pictures[name] = (image_grid(rows, 6), f"{told}, their middles: spoilt, repaired, the truth.")

    def pictures(self, subject: SampleSource, seed: int) -> dict[str, Image | str]:
        """The previews of training, of the reference."""
        method, size = subject.method, subject.data_args
        assert method is not None
        batch = self.data.prepare(**size).batch(np.arange(min(8, len(self.data))), method.device)
        shown = {name or "samples": image for name, image in method.sample_grids(batch).items()}
        method.eval()
        return {**shown}


def _middle(pixels: np.ndarray, side: int, channels: int) -> Image:
    """The square in the middle of a picture."""
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return Image(convert_channels(pixels[top : top + side, left : left + side], channels))
