"""Classifier.   B batch, K classes, D features, C channels, H = W pixels; images [B,C,H,W] in [-1,1], logits [B,K]."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.generation import BLOCK
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.dataset import Images
from reverie.media import Image, image_grid
from reverie.metrics.score import Better, Reference, Score
from reverie.transforms.augment import check_shift, random_flip, random_shift
from reverie.utils.errors import UserError

WHITE, GREY, GREEN, RED = (255, 255, 255), (150, 150, 150), (110, 220, 120), (255, 110, 100)


class Classifier(Method):
    """The class of an image, with a residual network; its features serve scores.

    He, Zhang, Ren, Sun 2015, arXiv:1512.03385, section 4.2
    """

    data_type = Images
    needs_labels = True
    is_classifier = True

    @dataclass(frozen=True)
    class Config:
        size: int | None = None
        """pixels, from 8; none: as the data, at most 64"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        class_names: tuple[str, ...] | None = None
        """of the classes, in the order of their labels; none: as the data"""
        base_channels: int = 32
        """channels of the first maps; both halvings of the side double them, so there are 4 times as many features"""
        blocks: int = 1
        """residual blocks in each of the three groups (section 4.2: n, for 6n + 2 layers)"""
        stride: int = 2
        """of the first convolution; 2 halves the side at once and takes a quarter of the time of the paper's 1"""
        lr: float = 0.1
        """learning rate of SGD with momentum 0.9, Nesterov's (the paper's is plain)"""
        lr_schedule: Literal["cosine", "steps"] = "cosine"
        """of the rate: a rise over the first tenth, then half a cosine to 0; or the paper's, a tenth of it from 1/2 of
        the steps and a hundredth from 3/4"""
        weight_decay: float = 5e-4
        """weight decay of the convolutions and the last layer"""
        label_smoothing: float = 0.0
        """share of the target spread over all classes (label smoothing); more than 0 makes probabilities too low"""
        shift: float = 0.125
        """training images are moved by up to this share of the side (section 4.2: 4 of 32 pixels)"""
        hflip: bool = False
        """mirror training images left to right at random: for photographs, not for letters and digits"""
        ema_decay: float = 0.0
        """decay of averaged weights; 0: none"""
        steps: int = 6_000
        """training steps"""

        def __post_init__(self) -> None:
            if self.size is not None and self.size < 8:
                raise UserError(f"size is {self.size}; classifier looks at squares of 8 pixels or more.")
            if min(self.base_channels, self.blocks) < 1:
                raise UserError("base_channels and blocks must be 1 or more.")
            if self.stride not in (1, 2):
                raise UserError(f"stride is {self.stride}; it is 1 or 2.")
            if self.lr <= 0 or self.weight_decay < 0:
                raise UserError("lr must be above 0, and weight_decay must not be negative.")
            if not 0 <= self.label_smoothing < 1:
                raise UserError(
                    f"label_smoothing is {self.label_smoothing}; it is a share from 0 to below 1, such as 0.1."
                )
            check_shift(self.shift)
            if not 0 <= self.ema_decay < 1:
                raise UserError(
                    f"ema_decay is {self.ema_decay}; it is a weight_decay from 0 to below 1, such as 0.999."
                )

    presets = {
        "smoke": dict(size=16, base_channels=16, batch_size=16),
        "laptop": dict(blocks=2),
        "features": dict(steps=1_200),
        "paper": dict(
            base_channels=16,
            blocks=9,
            stride=1,
            lr_schedule="steps",
            weight_decay=1e-4,
            hflip=True,
            batch_size=128,
            steps=64_000,
        ),
    }

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        return super().resolve_config(config, {**facts, "size": min(64, max(8, facts["native"]))})

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        if len(c.class_names) < 2:
            few = f"one class, {c.class_names[0]}" if c.class_names else "no class"
            raise UserError(f"there is {few}; telling apart takes 2 or more, a folder for each.")
        self.trunk = ResNetTrunk(c.channels, c.base_channels, c.blocks, c.stride)
        self.head = nn.Linear(4 * c.base_channels, len(c.class_names))

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c, weights = self.config, list(self.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [w for w in weights if w.ndim > 1]},
            {"params": [w for w in weights if w.ndim == 1], "weight_decay": 0.0},
        ]  # biases and gains are free: here; the paper decays them too
        return {"classifier": torch.optim.SGD(groups, c.lr, momentum=0.9, nesterov=True, weight_decay=c.weight_decay)}

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, RATES[self.config.lr_schedule])]

    def ema_decays(self) -> dict[str, float]:
        return {"trunk": self.config.ema_decay, "head": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        c, label = self.config, batch["label"]  # [B]
        x = random_flip(batch["image"]) if c.hflip else batch["image"]  # [B,C,H,W] in [-1,1]
        x = random_shift(x, round(c.shift * c.size))
        logits = self.head(self.trunk(x))  # [B,K]
        loss = update("classifier", F.cross_entropy(logits, label, label_smoothing=c.label_smoothing))
        return {"loss": loss, "accuracy": (logits.argmax(1) == label).float().mean()}

    # -- what it sees ----------------------------------------------------------------------------------------------

    def features(self, x: Tensor) -> Tensor:
        """What the last layer looks at, [B,D] with D = 4 * base_channels, 0 or above, for images [B,C,H,W] in [-1,1].

        In evaluation mode a row depends on its own image alone, but for rounding.
        """
        return self.trunk(x)

    @torch.no_grad()
    def log_probabilities(self, x: Tensor) -> Tensor:
        """log p(class) [B,K] for images [B,C,H,W] in [-1,1], BLOCK at a time, in evaluation mode."""
        was_training, rows = self.training, []
        self.eval()
        for part in x.split(BLOCK):
            filled = torch.cat([part, part[-1:].expand(BLOCK - len(part), *part.shape[1:])])
            rows.append(self.head(self.trunk(filled)).log_softmax(1)[: len(part)])
        self.train(was_training)
        return torch.cat(rows)

    # -- what users do ---------------------------------------------------------------------------------------------

    @verb
    def classify(self, images: list[Image]) -> Iterator[Image]:
        """Tells the class of each picture: as text, and under the picture as the network sees it.

        images: pictures
        """
        for start in range(0, len(images), BLOCK):
            group = images[start : start + BLOCK]
            x = Image.to_tensor(group, self.config.size, self.config.channels).to(self.device)
            for seen, p, source in zip(Image.from_tensor(x), self.log_probabilities(x).exp(), group, strict=True):
                prediction, lines = self.verdict(p)
                yield replace(captioned(seen, lines), prediction=prediction).made_from(source)

    def verdict(self, p: Tensor) -> tuple[dict[str, str | float], list[tuple[str, tuple[int, int, int]]]]:
        """The likeliest class of p [K] as facts, and it and the next as lines for a caption."""
        best, second = p.topk(2).indices.tolist()
        lines = [
            (f"{100 * float(p[k]):.0f}% {self.config.class_names[k]}", c) for k, c in ((best, WHITE), (second, GREY))
        ]
        if p[second] < 0.005:
            lines[1] = ("", GREY)
        return {"class": self.config.class_names[best], "probability": round(float(p[best]), 3)}, lines

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """The first images with their likeliest class, green where it is right; where it is not, with the true one."""
        x, shown = batch["image"], []
        probabilities = self.log_probabilities(x).exp()
        for seen, p, label in zip(Image.from_tensor(x), probabilities, batch["label"].tolist(), strict=True):
            prediction, (first, second) = self.verdict(p)
            right = prediction["class"] == self.config.class_names[label]
            truth = second if right else (f"is {self.config.class_names[label]}", WHITE)
            shown.append(captioned(seen, [(first[0], GREEN if right else RED), truth]))
        return {"": image_grid(shown, columns=8)}

    # -- what it is worth ------------------------------------------------------------------------------------------

    def method_scores(self, data: Images, n: int, seed: int) -> Iterator[Score]:
        """Accuracy, that of the worst class, and the log loss, on n images drawn by the seed without replacement.

        Raises UserError if the data has no labels, or classes that are not known here.
        """
        label_of = self.reference_labels(data)
        draw = np.random.Generator(np.random.Philox(key=[seed, len(data)]))
        rows = np.sort(draw.permutation(len(data))[:n])  # not the first n: a folder lists class after class
        log_p, labels = [], []
        for start in range(0, len(rows), 256):
            batch = data.batch(rows[start : start + 256], self.device)
            log_p.append(self.log_probabilities(batch["image"]).cpu().double())
            labels.append(label_of[batch["label"].cpu()])
        yield from accuracy_scores(torch.cat(log_p), torch.cat(labels), data, seed)

    def reference_labels(self, data: Images) -> Tensor:
        """Our number of each class of the data [K], matched by name. Raises UserError."""
        if not data.classes:
            raise UserError(f"{data.spec} has no labels; put each class into a folder of its own, named after it.")
        strange = [name for name in data.classes if name not in self.config.class_names]
        if strange:
            raise UserError(
                f"{data.spec} has a class '{strange[0]}', which the classifier did not learn; "
                f"it knows {', '.join(self.config.class_names[:12])}{' ...' if self.config.class_names[12:] else ''}."
            )
        return torch.tensor([self.config.class_names.index(name) for name in data.classes])


class ResNetTrunk(nn.Sequential):
    """Images [B,C,H,W] -> features [B,D]: a convolution, three groups of residual blocks, the mean over the map."""

    def __init__(self, channels: int, base_channels: int, blocks: int, stride: int) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(channels, base_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(base_channels),
        ]
        layers += [nn.ReLU(True)]
        for wide in (base_channels, 2 * base_channels, 4 * base_channels):
            narrow = max(base_channels, wide // 2)
            layers += [ResidualBlock(narrow, wide), *(ResidualBlock(wide, wide) for _ in range(blocks - 1))]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


class ResidualBlock(nn.Module):
    """Two convolutions and a way around them [B,N,H,W] -> [B,W,H/s,W/s]; where maps widen, the side is halved.

    The way around then takes every second pixel, with zeros for the new maps (section 4.2: option A).
    """

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.more = wide - narrow
        self.first, self.first_norm = (
            nn.Conv2d(narrow, wide, 3, 2 if self.more else 1, 1, bias=False),
            nn.BatchNorm2d(wide),
        )
        self.second, self.second_norm = nn.Conv2d(wide, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)), True)
        y = self.second_norm(self.second(y))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.more))
        return F.relu(x + y, True)


def cosine(done: float) -> float:
    """The factor on the rate: a rise over the first tenth of the steps, then half a cosine down to 0."""
    return max(0.05, done / 0.1) if done < 0.1 else (1 + math.cos(math.pi * (done - 0.1) / 0.9)) / 2


def tenths(done: float) -> float:
    """The paper's factor on the rate: a tenth of it from 32,000 of 64,000 steps, a hundredth from 48,000."""
    return 1.0 if done < 1 / 2 else 0.1 if done < 3 / 4 else 0.01


RATES = {"cosine": cosine, "steps": tenths}


def captioned(image: Image, lines: Sequence[tuple[str, tuple[int, int, int]]]) -> Image:
    """The image enlarged to about 100 pixels, with lines of (text, colour) on a dark band below it.

    The letters are a bitmap font, so that they are the same on every machine; what it lacks becomes "?".
    """
    side = image.pixels.shape[0]
    times = max(1, round(100 / side))
    font = PIL.ImageFont.load_default_imagefont()
    pixels = image.pixels.repeat(times, 0).repeat(times, 1)
    band = PIL.Image.new("RGB", (side * times, 12 * len(lines) + 3))
    draw = PIL.ImageDraw.Draw(band)
    for i, (text, colour) in enumerate(lines):
        draw.text((3, 12 * i + 1), text.encode("latin-1", "replace"), colour, font)
    return Image(np.concatenate([np.broadcast_to(pixels, (*pixels.shape[:2], 3)), np.asarray(band)]))


def accuracy_scores(log_p: Tensor, labels: Tensor, data: Images, seed: int) -> Iterator[Score]:
    """Scores of log p(class) [N,K] in float64 against labels [N], rows of the data."""
    n = len(labels)
    right = (log_p.argmax(1) == labels).double()
    known, counts = labels.unique(return_counts=True)
    shares = counts.double() / n
    loss = -log_p.gather(1, labels.unsqueeze(1)).squeeze(1)
    worst = min(float(right[labels == k].mean()) for k in known)
    drawn = "over n images drawn by the seed without replacement"

    def score(name: str, value: float, unit: str, definition: str, floor: float, floor_source: str) -> Score:
        reference = Reference.of(data, n)
        better: Better = "lower" if unit == "nats" else "higher"
        return Score(
            name, value, unit, better, f"{definition}, {drawn}", reference, n, seed, floor, floor_source, group="accuracy"
        )

    guess = "always the most frequent class"
    share = "share of images whose likeliest class is their label"
    accuracy = score("accuracy", float(right.mean()), "", share, float(shares.max()), guess)
    yield replace(accuracy, std_error=float(right.std() / math.sqrt(n)))
    yield score("worst class accuracy", worst, "", f"{share}, of the class where it is lowest", 0.0, guess)
    told = "mean of -log p(label), p the softmax of the logits"
    entropy = -float((shares * shares.log()).sum())
    log_loss = score("log loss", float(loss.mean()), "nats", told, entropy, "the shares of the classes as p")
    yield replace(log_loss, std_error=float(loss.std() / math.sqrt(n)))
