"""The evaluator of inpainting: photos with holes, filled, and compared with the photos."""

from __future__ import annotations

from typing import Any

import numpy as np

from reverie.evaluation.eval_config import EvalConfig
from reverie.evaluation.evaluate_restoration import RestorationEvaluator
from reverie.evaluation.evaluators_base import training_data_notes
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource
from reverie.media import Image, grid_of_groups
from reverie.metrics.inpainting import hole_psnrs, inpainting_scores
from reverie.metrics.inpainting_examples import Filled, FilledPhotos
from reverie.utils.errors import UserError

LABELS = ("hole", "Laplace fill", "inpainted", "original")
WORST, FIRST = 10, 8
"""photos of a figure"""
GREY = 128
"""of holes in figures"""


class InpaintingEvaluator(RestorationEvaluator):
    """Compares with the photos of a split, scaled to one size."""

    def evaluate(
        self, result: Evaluation, source: SampleSource, config: EvalConfig, method_options: dict[str, Any]
    ) -> None:
        """Scores of each kind of hole; figures of the first photos, and of those with the lowest PSNR."""
        method: Any = source.method
        n = config.n or self.default_n(source, config.full)
        if config.lpips is not None:
            raise UserError(f"lpips is not measured of {source.name}; leave --lpips away.")
        result.notes += training_data_notes(source, self.data)
        for photos in method.inpainting_examples(self.data, n, config.seed, **method_options):
            if not photos.examples:
                result.skip([f"psnr-hole, {photos.kind}"], "no image of the reference is large enough")
                continue
            scores = inpainting_scores(photos, self.data, config.seed)
            result.scores += [one for one in scores if config.baselines or one.group != "baselines"]
            add_figures(result, photos)


def add_figures(result: Evaluation, photos: FilledPhotos) -> None:
    """Rows of hole, Laplace fill, inpainted and original: of the first photos, and of the worst."""
    examples = photos.examples
    order = hole_psnrs([e.filled for e in examples], examples).argsort(stable=True).tolist()
    for name, chosen, which in (
        (f"first-{photos.kind}", range(min(FIRST, len(examples))), "The first photos of the reference"),
        (f"worst-{photos.kind}", order[:WORST], "The photos with the lowest PSNR in the hole"),
    ):
        cells = [cell for i in chosen for cell in row_of(examples[i])]
        grid = grid_of_groups(cells, LABELS, 2 * len(LABELS))
        result.figures[name] = (grid, f"{which}, {photos.kind} holes: {', '.join(LABELS)}.")


def row_of(e: Filled) -> list[Image]:
    """A photo with its hole, filled in two ways, and as it is."""
    cut = np.where(e.hole[:, :, None], np.uint8(GREY), e.original)
    return [Image(pixels) for pixels in (cut, e.laplace, e.filled, e.original)]
