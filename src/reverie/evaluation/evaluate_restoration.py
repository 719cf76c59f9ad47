"""The evaluator of restoration: images that are degraded, restored, and compared with the originals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from reverie.data.images.conversion import convert_channels
from reverie.evaluation.baselines import TUNING_IMAGES, add_baselines, has_baselines, time_baselines
from reverie.evaluation.eval_config import EvalConfig
from reverie.evaluation.evaluators_base import SplitEvaluator, training_data_notes
from reverie.evaluation.lpips import PairedLPIPS, add_lpips, open_lpips
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource
from reverie.evaluation.time_estimate import TimeEstimate
from reverie.media import Image, grid_of_groups
from reverie.metrics.full_reference import Restored, full_reference_scores, psnrs
from reverie.metrics.score import Reference

LABELS = ("degraded", "restored", "original")
SHOWN, MAX_SHOWN_SIZE = 8, 256
"""images of a figure, and pixels per side of what is shown of each at most"""


class RestorationEvaluator(SplitEvaluator):
    """Compares with the images of a split in their own size."""

    max_default_n, max_quick_n = 100, 16

    def evaluate(
        self, result: Evaluation, source: SampleSource, config: EvalConfig, method_options: dict[str, Any]
    ) -> None:
        """The method's own scores; if it has restoration_examples, also scores of these, and of baselines."""
        method, n = source.method, config.n or self.default_n(source, config.full)
        assert method is not None
        result.notes += training_data_notes(source, self.data)
        lpips = (
            None if config.lpips is None else open_lpips(config.lpips)
        )  # errors are found before anything takes long
        restore = getattr(method, "restoration_examples", None)
        if restore:
            self._say_time(method, config, n)
        result.scores += list(method.method_scores(self.data, n, config.seed, **method_options))
        examples = list[Restored](restore(self.data, n, config.seed)) if restore else []
        if examples:
            self._score_examples(result, method, examples, config, n, lpips)
            self._add_figures(result, examples, getattr(method, "example_labels", LABELS))
        elif restore:
            result.skip(["psnr"], "no image of the reference is large enough")
        elif lpips is not None:
            result.skip(["lpips"], f"{source.name} restores nothing that has a target image")

    def _say_time(self, method: Any, config: EvalConfig, n: int) -> None:
        """Says how long it takes, from the first image."""
        examples, estimate = list[Restored](), TimeEstimate()

        def restore(count: int) -> None:
            examples[:] = method.restoration_examples(self.data, count, config.seed)

        estimate.add("restored images", n, 1, restore)
        if config.baselines and has_baselines(method):
            time_baselines(estimate, method, examples[0].original, examples[0].degraded, n, config.seed)
        estimate.say("" if config.full else "; --full takes more")

    def _score_examples(
        self,
        result: Evaluation,
        method: Any,
        examples: Sequence[Restored],
        config: EvalConfig,
        n: int,
        lpips: PairedLPIPS | None,
    ) -> None:
        seed, channels = config.seed, examples[0].original.shape[2]
        reference = Reference(self.data.name, self.data.split, self.data.fingerprint, len(examples), 0, channels)
        originals = [example.original for example in examples]
        degraded = [example.degraded for example in examples]
        restored = [example.restored for example in examples]
        baseline_name = "the degraded images"
        conditions = f"whole images of the reference, degraded by {method.degradation_description}, 8 bits, restored"
        if hasattr(method, "score_examples"):  # by the definitions of its own field
            result.scores += method.score_examples(examples, reference, seed)
        else:
            result.scores += full_reference_scores(
                restored, originals, degraded, baseline_name, reference, seed, conditions
            )
        if config.baselines and has_baselines(method):
            train = type(self.data).open(self.data.spec)
            # Settings are never chosen on images that are scored.
            first = n if train.fingerprint == self.data.fingerprint else 0
            images = train.full_images(first + TUNING_IMAGES, method.config.channels)
            training = [pixels for _, pixels in islice(images, first, None)]
            which = "whole images of the reference, 8 bits"
            add_baselines(result, method, originals, degraded, train, training, reference, seed, which)
        if lpips is not None:
            add_lpips(result, lpips, restored, originals, degraded, baseline_name, reference, seed, conditions)

    def _add_figures(self, result: Evaluation, examples: Sequence[Restored], labels: tuple[str, str, str]) -> None:
        """Centre crops of the images with the lowest PSNR, and of the first images."""
        side = min(MAX_SHOWN_SIZE, *(min(example.original.shape[:2]) for example in examples))
        values = psnrs([example.restored for example in examples], [example.original for example in examples])
        worst = values.argsort(stable=True).tolist()[:SHOWN]
        first = list(range(min(len(examples), SHOWN)))
        for name, chosen, which in (
            ("worst", worst, "The images with the lowest PSNR"),
            ("restored", first, "The first images of the reference"),
        ):
            cells = []
            for i in chosen:
                channels = examples[i].original.shape[2]
                cells += [_centre_crop(pixels, side, channels) for pixels in examples[i].as_row()]
            grid = grid_of_groups(cells, labels)
            result.figures[name] = (grid, f"{which}, centre crops: {', '.join(labels)}.")


def _centre_crop(pixels: np.ndarray, side: int, channels: int) -> Image:
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return Image(convert_channels(pixels[top : top + side, left : left + side], channels))
