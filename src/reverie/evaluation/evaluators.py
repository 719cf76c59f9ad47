"""The evaluator of each kind of data."""

from __future__ import annotations

from reverie.evaluation.evaluate_images import ImageEvaluator
from reverie.evaluation.evaluate_inpainting import InpaintingEvaluator
from reverie.evaluation.evaluate_music import MusicEvaluator
from reverie.evaluation.evaluate_paragraphs import ParagraphEvaluator
from reverie.evaluation.evaluate_restoration import RestorationEvaluator
from reverie.evaluation.evaluate_saliency import SaliencyEvaluator
from reverie.evaluation.evaluate_text import TextEvaluator
from reverie.evaluation.evaluate_translations import PairEvaluator, UnpairedEvaluator
from reverie.evaluation.evaluators_base import Evaluator
from reverie.evaluation.samples_source import SampleSource

EVALUATORS: dict[str, type[Evaluator]] = {
    "images": ImageEvaluator,
    "photos": RestorationEvaluator,
    "pairs": PairEvaluator,
    "unpaired": UnpairedEvaluator,
    "text": TextEvaluator,
    "music": MusicEvaluator,
    "fixations": SaliencyEvaluator,
    "paragraphs": ParagraphEvaluator,
}
"""by the kind of data that a method is trained on"""


def has_targets(source: SampleSource) -> bool:
    """Whether each output of the source's method has a target image, which LPIPS needs."""
    return hasattr(source.method, "restoration_examples") or (
        source.method is not None and source.method.data_type.kind in ("pairs", "photos")
    )


def evaluator_for(source: SampleSource) -> type[Evaluator]:
    """The evaluator for the data that the source's method is trained on, or for the holes that it fills; for a folder
    of images, that of images."""
    if hasattr(source.method, "inpainting_examples"):
        return InpaintingEvaluator
    if hasattr(source.method, "restoration_examples"):
        return RestorationEvaluator
    return EVALUATORS["images" if source.method is None else source.method.data_type.kind]
