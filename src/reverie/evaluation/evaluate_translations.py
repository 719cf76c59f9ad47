"""The evaluators of image translation: of pairs, where each output has a target image, and of two unpaired domains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reverie.data.images.conversion import convert_channels
from reverie.data.images.label_maps import nearest_colour_indices
from reverie.evaluation.baselines import TUNING_IMAGES, add_baselines, has_baselines, time_baselines
from reverie.evaluation.eval_config import EvalConfig
from reverie.evaluation.evaluators_base import (
    OneSplit,
    SplitEvaluator,
    open_split,
    seen_in_training_notes,
    training_data_notes,
)
from reverie.evaluation.feature_extractors import open_features
from reverie.evaluation.image_metrics import FEATURE_SCORES, LAPLACIAN
from reverie.evaluation.lpips import add_lpips, open_lpips
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource
from reverie.evaluation.time_estimate import TimeEstimate
from reverie.media import Image, Photo, grid_of_groups
from reverie.metrics.distribution import frechet_distance, kernel_distance
from reverie.metrics.full_reference import full_reference_scores, psnrs, segmentation_metrics
from reverie.metrics.pixels import ratio_of_means, sharpness
from reverie.metrics.score import Better, Reference, Score, standard_error
from reverie.utils.errors import UserError

MIN_IMAGES = 32
"""translated and real images that a comparison of distributions takes, at least"""
SHOWN = 8
"""images of a figure"""
OF_PAIRS, OF_DOMAINS = ("input", "output", "target"), ("input", "translated", "translated back")
"""what stands side by side in figures"""


class TranslationEvaluator(SplitEvaluator):
    """Base of both: a split, prepared in the size that the method was trained at."""

    @classmethod
    def open(cls: type[OneSplit], source: SampleSource, data: str | Path, split: str | None) -> OneSplit:
        """As for every split, prepared. Raises UserError."""
        data_args = {**source.data_args, "size": _method_config(source).size}
        return cls(open_split(source, data, split).prepare(**data_args))


class _Translated(NamedTuple):
    """Inputs, their translations, and the targets: uint8 [H,W,C] each."""

    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    targets: list[np.ndarray]

    def row(self, i: int) -> list[Image]:
        """Input, output and target i, for a figure."""
        return _same_channels(self.inputs[i], self.outputs[i], self.targets[i])


class PairEvaluator(TranslationEvaluator):
    """Compares translations with their targets."""

    @classmethod
    def open(cls: type[OneSplit], source: SampleSource, data: str | Path, split: str | None) -> OneSplit:
        """As of translations. Raises UserError also for single images of a run on pairs, and the other way round."""
        opened, made = open_split(source, data, split), _method_config(source).degradation
        if made and opened.a is not None:
            raise UserError(
                f"{data} holds pairs, and the run makes its inputs of single images ({made}); {opened.how_to_unpair}."
            )
        if not made and opened.a is None and not opened.maybe_pairs:
            raise UserError(
                f"{data} holds single images, and the run learnt from pairs, with which its translations are "
                f"compared: {opened.how_to_pair}. `reverie translate` takes single images."
            )
        return super().open(source, data, split)

    def evaluate(
        self, result: Evaluation, source: SampleSource, config: EvalConfig, method_options: dict[str, Any]
    ) -> None:
        """PSNR, SSIM, sharpness; of label maps their agreement; LPIPS, features and baselines where asked for."""
        n = min(config.n or self.default_n(source, config.full), len(self.data))
        estimate = TimeEstimate()
        estimate.add("translated images", n, 1, lambda k: self._translate(source, k, config.seed))
        with_baselines = config.baselines and has_baselines(source.method)
        if with_baselines:
            one = self._translate(source, 1, config.seed)
            time_baselines(estimate, source.method, one.targets[0], one.inputs[0], n, config.seed)
        estimate.say("" if config.full else "; --full takes more")
        lpips = (
            None if config.lpips is None else open_lpips(config.lpips)
        )  # errors are found before anything takes long
        images = self._translate(source, n, config.seed)
        method_config, size = _method_config(source), images.inputs[0].shape[0]
        channels = images.targets[0].shape[2]
        reference = Reference(self.data.name, self.data.split, self.data.fingerprint, n, size, channels)
        result.notes += training_data_notes(source, self.data)
        mode = "with dropout and batch statistics of the image itself"
        if method_config.deterministic:
            mode = "deterministic"
        conditions = f"pairs at {size}x{size}, {mode}"
        baseline, baseline_name = self._baseline(source, images)
        result.scores += full_reference_scores(
            images.outputs, images.targets, baseline, baseline_name, reference, config.seed, conditions
        )
        if lpips is not None:
            add_lpips(
                result,
                lpips,
                images.outputs,
                images.targets,
                baseline,
                baseline_name,
                reference,
                config.seed,
                conditions,
            )
        result.scores.append(_sharpness_score(images, reference, config.seed, conditions))
        if (palette := self.palette(source)) is not None:
            result.scores += _segmentation_scores(images, palette, reference, config.seed, conditions)
        train, others = None, list[np.ndarray]()
        wants_features = config.wants("paired feature distance", "fid", "kid")
        if with_baselines or wants_features:
            train, others = self._other_targets(source, n)
        if wants_features:
            self._score_features(result, source, images, others, reference, config, conditions)
        if with_baselines:
            add_baselines(
                result, source.method, images.targets, images.inputs, train, others[:TUNING_IMAGES], reference,
                config.seed, f"pairs at {size}x{size}",
            )  # fmt: skip
        self._add_figures(result, images)

    def _add_figures(self, result: Evaluation, images: _Translated) -> None:
        """The images with the lowest PSNR, and the first ones."""
        worst = psnrs(images.outputs, images.targets).argsort(stable=True).tolist()[:SHOWN]
        first = list(range(min(len(images.targets), SHOWN)))
        for name, chosen, which in (
            ("worst", worst, f"The {SHOWN} images with the lowest PSNR"),
            ("translations", first, "The first images of the reference"),
        ):
            cells = [image for i in chosen for image in images.row(i)]
            result.figures[name] = (grid_of_groups(cells, OF_PAIRS), f"{which}: input, output, target.")

    def comparison_images(self, source: SampleSource, seed: int) -> dict[str, Image | str]:
        """The first of the reference: input, output, target."""
        images = self._translate(source, min(SHOWN, len(self.data)), seed)
        cells = [image for i in range(len(images.targets)) for image in images.row(i)]
        return {"translations": grid_of_groups(cells, OF_PAIRS)}

    def palette(self, source: SampleSource) -> np.ndarray | None:
        """The colours of the targets as they are scored, where these are label maps."""
        codes = self.data.codes.get(_target_side(source))
        return None if codes is None else codes.codes

    def _baseline(self, source: SampleSource, images: _Translated) -> tuple[list[np.ndarray], str]:
        """What there is without the method: the input; where one side is a label map, the mean target."""
        if self.palette(source) is None and "a" not in self.data.palettes and "b" not in self.data.palettes:
            return images.inputs, "the input itself"
        mean = np.mean(np.stack(images.targets).astype(np.float64), 0).round().astype(np.uint8)
        return [mean] * len(images.targets), "the mean target image in place of each"

    def _translate(self, source: SampleSource, n: int, seed: int) -> _Translated:
        """The first n pairs; of methods that degrade the targets, the inputs are made with `degrade`.

        Labels that hardly differ in the files are in the colours in which networks see them.
        """
        method, side = source.method, _target_side(source)
        other = "b" if side == "a" else "a"
        assert method is not None
        targets = [self.data.pixels(i, side) for i in range(n)]
        if _method_config(source).degradation:
            inputs = [photo.pixels for photo in method.verb("degrade")(_photos(targets), seed=seed)]
        else:
            inputs = [self.data.pixels(i, other) for i in range(n)]
        outputs = [photo.pixels for photo in method.verb("translate")(_photos(inputs), seed=seed)]
        coded = ((inputs, other), (outputs, side), (targets, side))
        return _Translated(*([self.data.coded(pixels, domain) for pixels in images] for images, domain in coded))

    def _other_targets(self, source: SampleSource, n: int) -> tuple[Any, list[np.ndarray]]:
        """The training pairs, and as many of their targets that are not among the first n of the reference."""
        data_args = {**source.data_args, "size": _method_config(source).size}
        train = type(self.data).open(self.data.spec).prepare(**data_args)
        first = n if train.fingerprint == self.data.fingerprint else 0  # settings are never chosen on scored images
        rows = range(first, min(first + max(n, TUNING_IMAGES), len(train)))
        side = _target_side(source)
        return train, [train.coded(train.pixels(i, side), side) for i in rows]

    def _score_features(
        self,
        result: Evaluation,
        source: SampleSource,
        images: _Translated,
        others: list[np.ndarray],
        reference: Reference,
        config: EvalConfig,
        conditions: str,
    ) -> None:
        """Paired feature distance, FID and KID. others: further targets, whose FID and KID are given beside."""
        names = ("paired feature distance", "fid", "kid")
        net, n = open_features(config.features, self.data), len(images.outputs)
        result.notes += seen_in_training_notes(source, net)
        outputs = net.features(np.stack(images.outputs), "translations")
        targets = net.features(np.stack(images.targets), "targets")
        distances, of_others = ((targets - x).norm(dim=1) for x in (outputs, targets.roll(1, 0)))
        result.scores.append(
            Score(
                "paired feature distance", float(distances.mean()), "", "lower",
                "Euclidean distance between the features of a translation and of its target, mean over images; "
                f"features: {net.definition}; {conditions}", reference, n, config.seed,
                std_error=standard_error(distances), group="image similarity", baseline=float(of_others.mean()),
                baseline_name="another target image in place of the translation",
            )
        )  # fmt: skip
        if n < MIN_IMAGES:
            result.skip(names[1:], f"{n} images are too few to compare distributions; it takes {MIN_IMAGES}")
            return
        if n < net.width:
            result.notes.append(
                f"fid: {n} images are fewer than the {net.width} dimensions of a feature, which biases it upwards; "
                "compare it with the value of real images only, or use kid, which has no bias."
            )
        stand_in, source_name = None, ""
        if len(others) >= n:  # of fewer, fid would be higher
            stand_in = net.features(np.stack(others[:n]), "other targets")
            source_name = f"{n} other target images"
        result.scores += _distribution_scores(
            outputs, targets, net, reference, config.seed, "image similarity", others=stand_in, others_name=source_name
        )


class UnpairedEvaluator(TranslationEvaluator):
    """Compares translations with images of the other domain, and translations there and back with their inputs."""

    def default_n(self, source: SampleSource, full: bool) -> int:
        """All images of the larger side, but at most max_default_n, or max_quick_n where not full."""
        return min(self.max_default_n if full else self.max_quick_n, max(len(self.data.a), len(self.data.b)))

    def evaluate(
        self, result: Evaluation, source: SampleSource, config: EvalConfig, method_options: dict[str, Any]
    ) -> None:
        """Both ways: cycle-consistency, and FID and KID to the other domain; the baseline is without translation, and
        real data are as many images of training."""
        n = config.n or self.default_n(source, config.full)
        result.notes += training_data_notes(source, self.data)
        sides = {}
        for side in "ab":
            count = min(n, len(getattr(self.data, side)))
            sides[side] = [self.data.pixels(i, side) for i in range(count)]
        net = open_features(config.features, self.data) if config.wants("fid", "kid") else None
        result.notes += seen_in_training_notes(source, net)
        estimate, some = TimeEstimate(), sides["a"][:1]
        estimate.add("translations there and back", sum(map(len, sides.values())), 1,
                     lambda k: _there_and_back(source.method, some, "b"))  # fmt: skip
        estimate.say("" if config.full else "; --full takes more")
        fewest, features, train = min(map(len, sides.values())), {}, None
        if net is not None and fewest >= MIN_IMAGES:
            features = {side: net.features(np.stack(pixels), f"side {side}") for side, pixels in sides.items()}
            train = self._training_split(source)
        for side, target in (("a", "b"), ("b", "a")):
            way = f"{side} to {target}"
            outputs, back = _there_and_back(source.method, sides[side], target)
            reference = Reference(
                self.data.name, self.data.split, self.data.fingerprint, len(sides[target]),
                _method_config(source).size, outputs[0].shape[2],
            )  # fmt: skip
            result.scores.append(_cycle_score(sides[side], back, reference, config.seed, way))
            rows = zip(sides[side], outputs, back, strict=True)
            cells = [image for row in rows for image in _same_channels(*row)][: 3 * SHOWN]
            caption = f"From {way}, the first images: input, translation, translation there and back."
            result.figures[f"{side}-to-{target}"] = (grid_of_groups(cells, OF_DOMAINS), caption)
            names = [f"{name}, {way}" for name in ("fid", "kid")]
            if net is None:
                continue
            if fewest < MIN_IMAGES:
                result.skip(names, f"{fewest} images are too few to compare distributions; it takes {MIN_IMAGES}")
            else:
                translated = net.features(np.stack(outputs), "translations")
                others = _spread(train, target, len(outputs)) if train else []
                result.scores += _distribution_scores(
                    translated, features[target], net, reference, config.seed, way, f", {way}",
                    others=net.features(np.stack(others), "images of training") if others else None,
                    others_name=f"{len(others)} images of training, side {target}", untranslated=features[side],
                )  # fmt: skip

    def _training_split(self, source: SampleSource) -> Any:
        """The images of training, prepared as those that are scored; None where these are of training themselves."""
        if self.data.split == "train" or "train" not in self.data.splits:
            return None
        train = type(self.data).open(self.data.spec, "train")
        return train.prepare(**{**source.data_args, "size": _method_config(source).size})

    def comparison_images(self, source: SampleSource, seed: int) -> dict[str, Image | str]:
        """Both ways: input, translation, translation there and back."""
        shown: dict[str, Image | str] = {}
        for side, target in (("a", "b"), ("b", "a")):
            count = min(SHOWN, len(getattr(self.data, side)))
            inputs = [self.data.pixels(i, side) for i in range(count)]
            rows = zip(inputs, *_there_and_back(source.method, inputs, target), strict=True)
            cells = [image for row in rows for image in _same_channels(*row)]
            shown[f"{side}-to-{target}"] = grid_of_groups(cells, OF_DOMAINS)
        return shown


def _there_and_back(method: Any, inputs: list[np.ndarray], target: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Translations of the inputs into a domain, and these translated back."""
    photos = _photos(inputs)
    outputs = [photo.pixels for photo in method.verb("translate")(photos, to=target)]
    return outputs, [photo.pixels for photo in method.verb("cycle")(photos, to=target)]


def _cycle_score(inputs: list[np.ndarray], back: list[np.ndarray], reference: Reference, seed: int, way: str) -> Score:
    errors = torch.tensor([_mean_absolute_error(x, y) for x, y in zip(back, inputs, strict=True)])
    mean = np.mean(np.stack(inputs).astype(np.float64), 0)
    trivial = float(np.mean([_mean_absolute_error(mean, x) for x in inputs]))
    size = reference.size
    return Score(
        f"cycle-consistency l1, {way}", float(errors.mean()), "", "lower",
        f"mean absolute difference, of pixels in [0,1], between an image at {size}x{size} and its translation there "
        "and back, mean over images", reference, len(errors), seed,
        std_error=standard_error(errors), group=way, baseline=trivial,
        baseline_name="the mean image in place of the translation there and back",
    )  # fmt: skip


def _spread(data: Any, side: str, n: int) -> list[np.ndarray]:
    """n images uint8 [H,W,C] of a side, evenly spread; none where it has fewer, whose FID would be higher."""
    count = len(getattr(data, side))
    return [data.pixels(i * count // n, side) for i in range(n)] if count >= n else []


def _distribution_scores(
    fake: Tensor, real: Tensor, net: Any, reference: Reference, seed: int, group: str, suffix: str = "", *,
    others: Tensor | None = None, others_name: str = "", untranslated: Tensor | None = None,
) -> list[Score]:  # fmt: skip
    """FID and KID of the features [N,D] of translations against those of real images [M,D] of the target domain.

    suffix: of the names; others: features of other real images, N of them; untranslated: features of the images before
    translation
    """

    def fid(features: Tensor) -> tuple[float, float | None]:
        return frechet_distance(real, features), None

    def kid(features: Tensor) -> tuple[float, float | None]:
        return kernel_distance(real, features)

    scores = []
    for name, distance in (("fid", fid), ("kid", kid)):
        better, definition = FEATURE_SCORES[name]
        value, std_error = distance(fake)
        score = Score(
            f"{name}{suffix}", value, "", better,
            f"{definition}; {len(real)} real images; features: {net.definition}", reference, len(fake), seed,
            std_error=std_error, group=group,
        )  # fmt: skip
        if others is not None:
            score = replace(score, real=distance(others)[0], real_source=others_name)
        if untranslated is not None:
            before = "the same images before translation"
            score = replace(score, baseline=distance(untranslated)[0], baseline_name=before)
        scores.append(score)
    return scores


def _sharpness_score(images: _Translated, reference: Reference, seed: int, conditions: str) -> Score:
    real = sharpness(np.stack(images.targets))
    ratio = ratio_of_means(sharpness(np.stack(images.outputs)), real)
    return Score(
        "sharpness", ratio.value, "", "match",
        f"{LAPLACIAN} of translations, divided by that of target images; {conditions}", reference,
        len(images.targets), seed, 1.0, "the target images", ratio.std_error, group="image similarity",
    )  # fmt: skip


def _segmentation_scores(
    images: _Translated, palette: np.ndarray, reference: Reference, seed: int, conditions: str
) -> list[Score]:
    """Pixel accuracy and mIoU of translations into label maps."""
    predicted, true = (
        np.stack([nearest_colour_indices(convert_channels(x, 3), palette) for x in maps])
        for maps in (images.outputs, images.targets)
    )
    values = segmentation_metrics(predicted, true, len(palette))
    most_frequent = int(np.bincount(true.reshape(-1)).argmax())
    trivial = segmentation_metrics(np.full_like(true, most_frequent), true, len(palette))
    better: Better = "higher"
    colours = f"each pixel counts as the nearest of the {len(palette)} palette colours; {conditions}"
    return [
        Score(
            name, value, "", better, f"{definition}; {colours}", reference, len(true), seed, group="segmentation",
            baseline=baseline, baseline_name="the most frequent class everywhere",
        )
        for name, definition, value, baseline in (
            ("pixel accuracy", "share of pixels of the correct class", values.pixel_accuracy, trivial.pixel_accuracy),
            ("miou", "intersection over union of each class, mean over the classes that occur", values.miou,
             trivial.miou),
        )
    ]  # fmt: skip


def _photos(images: Sequence[np.ndarray]) -> list[Photo]:
    return [Photo(pixels, name=str(i)) for i, pixels in enumerate(images)]


def _same_channels(*pixels: np.ndarray) -> list[Image]:
    """Images converted to colour if one of them is, to stand side by side."""
    channels = max(p.shape[2] for p in pixels)
    return [Image(convert_channels(p, channels)) for p in pixels]


def _mean_absolute_error(a: np.ndarray, b: np.ndarray) -> float:
    """The mean absolute difference of two images, of pixels in [0,1]."""
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).mean() / 255)


def _method_config(source: SampleSource) -> Any:
    assert source.method is not None
    return source.method.config


def _target_side(source: SampleSource) -> str:
    """The side of the pairs that the method translates into: "a" or "b"."""
    return "a" if _method_config(source).direction == "BtoA" else "b"
