"""The benches of translations: pairs, where the truth is known, and two worlds, where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.data.images.decode import convert_channels
from reverie.data.images.label_maps import nearest_colour_indices
from reverie.evaluation.baselines import TRIED, add_baselines, has_baselines
from reverie.evaluation.evaluators_base import OneSplit, SplitEvaluator, learnt_from, open_split
from reverie.evaluation.feature_extractors import open_features
from reverie.evaluation.lpips import add_lpips, open_lpips
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource
from reverie.media import Image, Photo, image_grid
from reverie.metrics.distribution import frechet_distance, kernel_distance
from reverie.metrics.full_reference import segmentation_metrics, full_reference_scores, psnrs
from reverie.metrics.pixels import ratio_of_means, sharpness
from reverie.metrics.score import Better, Reference, Score, standard_error

LEAST = 32
"""pictures, translated and real, below which their distributions are not compared"""
SHOWN = 8
"""pictures of a figure"""
NO_FEATURES = "there is no network to compare pictures by; name one with --features"


class TranslationEvaluator(SplitEvaluator):
    """A split in the size that was learnt."""

    @classmethod
    def open(cls: type[OneSplit], subject: SampleSource, data: str | Path, split: str | None) -> OneSplit:
        """As for every split, prepared. Raises UserError."""
        assert subject.method is not None
        wants = {**subject.data_args, "size": subject.method.config.size}
        return cls(open_split(subject, data, split).prepare(**wants))


class PairEvaluator(TranslationEvaluator):
    """Pairs of the reference: what is given and what is wanted."""

    def judge(self, found: Evaluation, subject: SampleSource, asked: Any, own: dict[str, Any]) -> None:
        """Translations beside the truth."""
        n = min(asked.n, len(self.data))
        looks = None if asked.lpips is None else open_lpips(asked.lpips)  # before anything takes long
        given, made, true = self._translated(subject, n, asked.seed)
        config, size = _config(subject), given[0].shape[0]
        reference = Reference(self.data.name, self.data.split, self.data.fingerprint, n, size, true[0].shape[2])
        found.notes += learnt_from(subject, self.data)
        about = f"pairs at {size}x{size}, {'still' if config.still else 'with dropout and statistics of its own'}"
        floor, floor_source = given, "what is given, as it is"
        if self.palette(subject) is not None or "a" in self.data.palettes or "b" in self.data.palettes:
            mean = np.mean(np.stack(true).astype(np.float64), 0).round().astype(np.uint8)
            floor, floor_source = [mean] * n, "the mean of the true pictures in place of each"
        found.scores += full_reference_scores(made, true, floor, floor_source, reference, asked.seed, about)
        if looks is not None:
            add_lpips(found, looks, made, true, floor, floor_source, reference, asked.seed, about)
        real = sharpness(np.stack(true))
        sharp = ratio_of_means(sharpness(np.stack(made)), real)
        found.scores.append(
            Score("sharpness", sharp.value, "", "match", "mean variance of the Laplacian of the luminance, of "
                  f"translations divided by that of true pictures; {about}", reference, n, asked.seed, 1.0,
                  "the true pictures", sharp.error, group="likeness")
        )  # fmt: skip
        if (palette := self.palette(subject)) is not None:
            found.scores += _labels(made, true, palette, reference, asked.seed, about)
        rivals = asked.classical and has_baselines(subject.method)
        train, others = self._others(subject, n) if rivals or asked.features is not None else (None, [])
        self._by_features(found, made, true, others, reference, asked, about)
        if rivals:
            kind = f"pairs at {size}x{size}"
            add_baselines(found, subject.method, true, given, train, others[:TRIED], reference, asked.seed, kind)
        order = psnrs(made, true).argsort(stable=True).tolist()
        for name, chosen, told in (
            ("worst", order[:SHOWN], f"The {SHOWN} pictures that come out worst"),
            ("translations", list(range(min(n, SHOWN))), "The first pictures of the reference"),
        ):
            rows = [image for i in chosen for image in _row(given[i], made[i], true[i])]
            found.pictures[name] = (image_grid(rows, 6), f"{told}: what is given, what is made of it, the truth.")

    def pictures(self, subject: SampleSource, seed: int) -> dict[str, Image | str]:
        """The first of the reference: given, made, true."""
        given, made, true = self._translated(subject, min(SHOWN, len(self.data)), seed)
        rows = [image for three in zip(given, made, true, strict=True) for image in _row(*three)]
        return {"translations": image_grid(rows, 6)}

    def palette(self, subject: SampleSource) -> np.ndarray | None:
        """The colours of what is wanted, where these are label maps."""
        wanted = "a" if _config(subject).direction == "BtoA" else "b"
        return self.data.palettes.get(wanted)

    def _translated(self, subject: SampleSource, n: int, seed: int) -> tuple[list[np.ndarray], ...]:
        config, method = _config(subject), subject.method
        assert method is not None
        wanted = "a" if config.direction == "BtoA" else "b"
        true = [self.data.pixels(i, wanted) for i in range(n)]
        if config.degradation:
            photos = [Photo(pixels, name=str(i)) for i, pixels in enumerate(true)]
            given = [photo.pixels for photo in method.verb("degrade")(photos, seed=seed)]
        else:
            given = [self.data.pixels(i, "b" if wanted == "a" else "a") for i in range(n)]
        photos = [Photo(pixels, name=str(i)) for i, pixels in enumerate(given)]
        return given, [photo.pixels for photo in method.verb("translate")(photos, seed=seed)], true

    def _others(self, subject: SampleSource, n: int) -> tuple[Any, list[np.ndarray]]:
        """The training pairs, and as many true pictures of them that are not among the first n of the reference."""
        config = _config(subject)
        train = type(self.data).open(self.data.spec).prepare(**{**subject.data_args, "size": config.size})
        first = n if train.fingerprint == self.data.fingerprint else 0  # what is scored is nothing to choose on
        wanted = "a" if config.direction == "BtoA" else "b"
        return train, [train.pixels(i, wanted) for i in range(first, min(first + max(n, TRIED), len(train)))]

    def _by_features(
        self, found: Evaluation, made: list[np.ndarray], true: list[np.ndarray], others: list[np.ndarray],
        reference: Reference, asked: Any, about: str,
    ) -> None:  # fmt: skip
        names = ("feature distance", "fid", "kid")
        if asked.features is None:
            found.skip(names, NO_FEATURES)
            return
        net = open_features(asked.features, self.data)
        seen, real = (net.features(np.stack(x), what) for x, what in ((made, "translations"), (true, "truth")))
        apart, other = ((real - x).norm(dim=1) for x in (seen, real.roll(1, 0)))
        found.scores.append(
            Score("feature distance", float(apart.mean()), "", "lower", "distance of the features of a translation "
                  f"from those of the truth, mean; features: {net.definition}; {about}", reference, len(made),
                  asked.seed, float(other.mean()), "another true picture in place of the translation",
                  standard_error(apart), group="likeness")
        )  # fmt: skip
        if len(made) < LEAST:
            found.skip(names[1:], f"{len(made)} pictures say nothing about a distribution; it takes {LEAST}")
            return
        if len(made) < net.width:
            found.notes.append(
                f"fid: {len(made)} pictures are fewer than the {net.width} numbers of a feature, which biases it "
                "upwards; read it beside its floor only, or read kid, which has no bias."
            )
        floors, floor_source = None, ""
        if len(others) >= len(made):  # of fewer, fid would be higher
            fresh = net.features(np.stack(others[: len(made)]), "other true pictures")
            floors = (frechet_distance(real, fresh), kernel_distance(real, fresh).value)
            floor_source = f"{len(fresh)} other true pictures"
        found.scores += distances(seen, real, floors, floor_source, net, reference, asked)


class UnpairedEvaluator(TranslationEvaluator):
    """Pictures of both worlds."""

    def count(self, subject: SampleSource) -> int:
        """As many of each side as there are, but not more than is usual."""
        return min(self.usual, max(len(self.data.a), len(self.data.b)))

    def judge(self, found: Evaluation, subject: SampleSource, asked: Any, own: dict[str, Any]) -> None:
        """Each way: how near to the other world translations come, beside the untranslated; and what comes back."""
        method, size = subject.method, _config(subject).size
        assert method is not None
        found.notes += learnt_from(subject, self.data)
        sides = {s: [self.data.pixels(i, s) for i in range(min(asked.n, len(getattr(self.data, s))))] for s in "ab"}
        net = None if asked.features is None else open_features(asked.features, self.data.b)
        seen = {} if net is None else {s: net.features(np.stack(x), f"side {s}") for s, x in sides.items()}
        for source, target in (("a", "b"), ("b", "a")):
            photos = [Photo(pixels, name=str(i)) for i, pixels in enumerate(sides[source])]
            made = [photo.pixels for photo in method.verb("translate")(photos, to=target)]
            back = [photo.pixels for photo in method.verb("cycle")(photos, to=target)]
            way = f"{source} to {target}"
            reference = Reference(
                self.data.name, self.data.split, self.data.fingerprint, len(sides[target]), size, made[0].shape[2]
            )
            error = torch.tensor([_apart(x, y) for x, y in zip(back, sides[source], strict=True)])
            mean = np.mean(np.stack(sides[source]).astype(np.float64), 0)
            trivial = float(np.mean([_apart(mean, x) for x in sides[source]]))
            found.scores.append(
                Score(f"cycle error, {way}", float(error.mean()), "", "lower", "mean absolute difference, of pixels in "
                      f"[0,1], of a picture at {size}x{size} and what comes back of it", reference, len(error),
                      asked.seed, trivial, "the mean picture in place of what comes back",
                      standard_error(error), group=f"{way}")
            )  # fmt: skip
            rows = [i for three in zip(sides[source], made, back, strict=True) for i in _row(*three)][: 3 * SHOWN]
            found.pictures[f"{source}-to-{target}"] = (
                image_grid(rows, 6), f"From {way}, the first pictures: what is given, what is made of it, what comes back."
            )  # fmt: skip
            names = [f"{name}, {way}" for name in ("fid", "kid")]
            if net is None:
                found.skip(names, NO_FEATURES)
            elif min(len(made), len(sides[target])) < LEAST:
                found.skip(names, f"{len(made)} pictures say nothing about a distribution; it takes {LEAST}")
            else:
                real, given = seen[target], seen[source]
                floors = (frechet_distance(real, given), kernel_distance(real, given).value)
                told = "the same pictures untranslated"
                translated = net.features(np.stack(made), "translations")
                found.scores += distances(translated, real, floors, told, net, reference, asked, f", {way}")

    def pictures(self, subject: SampleSource, seed: int) -> dict[str, Image | str]:
        """Both ways: given, made, come back."""
        method, shown = subject.method, dict[str, Image | str]()
        assert method is not None
        for source, target in (("a", "b"), ("b", "a")):
            given = [self.data.pixels(i, source) for i in range(min(SHOWN, len(getattr(self.data, source))))]
            photos = [Photo(pixels, name=str(i)) for i, pixels in enumerate(given)]
            made, back = ([p.pixels for p in method.verb(v)(photos, to=target)] for v in ("translate", "cycle"))
            rows = [image for three in zip(given, made, back, strict=True) for image in _row(*three)]
            shown[f"{source}-to-{target}"] = image_grid(rows, 6)
        return shown


def distances(
    seen: torch.Tensor, real: torch.Tensor, floors: tuple[float, float] | None, floor_source: str, net: Any,
    reference: Reference, asked: Any, way: str = "",
) -> list[Score]:  # fmt: skip
    """FID and KID of translations against real pictures of the world they are translated into."""
    kid = kernel_distance(real, seen)
    told = {
        "fid": "Frechet distance of Gaussians with the means and unbiased covariances of features, float64",
        "kid": "squared MMD of features, unbiased, kernel (x.y/D + 1)^3, of all at once, float64",
    }
    better: Better = "lower"
    values = ((frechet_distance(real, seen), None), (kid.value, kid.error))
    return [
        Score(f"{name}{way}", value, "", better, f"{told[name]}; {len(real)} real pictures; features: {net.definition}",
              reference, len(seen), asked.seed, floor, floor_source, spread, group=way.strip(", ") or "likeness")
        for name, (value, spread), floor in zip(told, values, floors or (None, None), strict=True)
    ]  # fmt: skip


def _labels(
    made: list[np.ndarray], true: list[np.ndarray], palette: np.ndarray, reference: Reference, seed: int, about: str
) -> list[Score]:
    """Of label maps: is each pixel of the right class?"""
    found, real = (np.stack([nearest_colour_indices(convert_channels(x, 3), palette) for x in maps]) for maps in (made, true))
    value = segmentation_metrics(found, real, len(palette))
    commonest = int(np.bincount(real.reshape(-1)).argmax())
    floor = segmentation_metrics(np.full_like(real, commonest), real, len(palette))
    told = f"each pixel counts as the nearest of the {len(palette)} colours of the maps; {about}"
    return [
        Score(name, mine, "", "higher", f"{what}; {told}", reference, len(made), seed, theirs,
              "the commonest class everywhere", group="labels")
        for name, what, mine, theirs in (
            ("label accuracy", "share of pixels of the right class", value.accuracy, floor.accuracy),
            ("label overlap", "intersection over union of a class, mean over classes", value.overlap, floor.overlap),
        )
    ]  # fmt: skip


def _row(*pixels: np.ndarray) -> Sequence[Image]:
    """Pictures of one kind, to stand side by side."""
    channels = max(p.shape[2] for p in pixels)
    return [Image(convert_channels(p, channels)) for p in pixels]


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """The mean absolute difference of two pictures, of pixels in [0,1]."""
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).mean() / 255)


def _config(subject: SampleSource) -> Any:
    assert subject.method is not None
    return subject.method.config
