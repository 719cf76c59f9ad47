"""Classifier.   B batch, K classes, D features, C channels, H = W pixels.

Images are [B,C,H,W] in [-1,1], logits [B,K].
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.constraints import Count, Decay, NonNegative, Positive, Range
from reverie.core.generation import BLOCK
from reverie.core.lr_schedules import cosine_with_warmup, resnet_steps
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.class_labels import without_labels
from reverie.data.images.dataset import Images
from reverie.media import Image, image_grid
from reverie.media.text_image import draw_line
from reverie.metrics.score import Better, Reference, Score
from reverie.transforms.augment import random_flip, random_shift
from reverie.utils.errors import UserError

LR_SCHEDULES = {"cosine": cosine_with_warmup, "steps": resnet_steps}

Colour = tuple[int, int, int]
WHITE, GREY, GREEN, RED = (255, 255, 255), (150, 150, 150), (110, 220, 120), (255, 110, 100)


class Classifier(Method):
    """Image classification with a residual network; its features serve evaluation.

    He, Zhang, Ren, Sun 2015, arXiv:1512.03385, section 4.2
    """

    data_type = Images
    needs_labels = True
    is_classifier = True
    monitored = {"loss": "loss"}

    @dataclass(frozen=True)
    class Config:
        size: Annotated[int, Range(8)] | None = None
        """height and width in pixels, from 8; none: as the data, at most 64"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        class_names: tuple[str, ...] | None = None
        """names of the classes, in the order of their labels; none: as the data"""
        base_channels: Count = 32
        """channels of the first group; the second and third have 2 and 4 times as many, the last the features"""
        blocks: Count = 1
        """residual blocks in each of the three groups (section 4.2: n, for 6n + 2 layers)"""
        stride: Literal[1, 2] = 2
        """stride of the first convolution; 2 halves the side and takes a quarter of the time of the paper's 1"""
        lr: Positive = 0.1
        """learning rate of SGD with Nesterov momentum 0.9 (the paper's momentum is plain)"""
        lr_schedule: Literal["cosine", "steps"] = "cosine"
        """learning rate schedule: linear warm-up over the first tenth, then half a cosine to 0; or the paper's, times
        0.1 from 1/2 and 0.01 from 3/4 of the steps"""
        weight_decay: NonNegative = 5e-4
        """weight decay of the convolutions and the last layer"""
        label_smoothing: Annotated[float, Range(0, below=1)] = 0.0
        """share of the target that is spread over all classes; above 0, predicted probabilities are too low"""
        shift: Annotated[float, Range(0, 0.5)] = 0.125
        """random shifts of training images, as a share of the side (section 4.2: 4 of 32 pixels)"""
        hflip: bool = False
        """random horizontal flips of training images: for photos, not for letters and digits"""
        ema_decay: Decay = 0.0
        """decay per step of the moving average (EMA) of weights; 0: none"""
        steps: Count = 6_000
        """training steps"""

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
        c = self.config
        if len(c.class_names) < 2:
            number = f"one class, {c.class_names[0]}" if c.class_names else "no class"
            raise UserError(f"there is {number}; classification needs 2 or more, each in a folder of its own.")
        self.trunk = ResNetTrunk(c.channels, c.base_channels, c.blocks, c.stride)
        self.head = nn.Linear(4 * c.base_channels, len(c.class_names))

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c, weights = self.config, list(self.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [w for w in weights if w.ndim > 1]},
            {"params": [w for w in weights if w.ndim == 1], "weight_decay": 0.0},
        ]  # no weight decay of biases and batch norm; the paper decays them too
        return {"classifier": torch.optim.SGD(groups, c.lr, momentum=0.9, nesterov=True, weight_decay=c.weight_decay)}

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, LR_SCHEDULES[self.config.lr_schedule])]

    def ema_decays(self) -> dict[str, float]:
        return {"trunk": self.config.ema_decay, "head": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        """Minimises the cross-entropy.

        batch: "image" [B,C,H,W] in [-1,1] and "label" [B]
        """
        c, label = self.config, batch["label"]  # [B]
        x = random_flip(batch["image"]) if c.hflip else batch["image"]  # [B,C,H,W] in [-1,1]
        x = random_shift(x, round(c.shift * c.size))
        logits = self.head(self.trunk(x))  # [B,K]
        loss = update("classifier", F.cross_entropy(logits, label, label_smoothing=c.label_smoothing))
        return {"loss": loss, "accuracy": (logits.argmax(1) == label).float().mean()}

    # -- features and probabilities --------------------------------------------------------------------------------

    def features(self, x: Tensor) -> Tensor:
        """The inputs of the last layer, [B,D] with D = 4 * base_channels, 0 or above, of images [B,C,H,W] in [-1,1].

        In evaluation mode a row depends on its own image alone, but for rounding.
        """
        return self.trunk(x)

    def logits(self, x: Tensor) -> Tensor:
        """[B,K], before the softmax, of images [B,C,H,W] in [-1,1]; gradients reach the images."""
        return self.head(self.trunk(x))

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

    # -- verbs -----------------------------------------------------------------------------------------------------

    @verb
    def classify(self, images: list[Image]) -> Iterator[Image]:
        """The class of each image, as text and as a caption under the image as the network gets it.

        images: images to classify
        """
        for start in range(0, len(images), BLOCK):
            group = images[start : start + BLOCK]
            x = Image.to_tensor(group, self.config.size, self.config.channels).to(self.device)
            for image, p, source in zip(Image.from_tensor(x), self.log_probabilities(x).exp(), group, strict=True):
                lines = [(self.top_class(p, 0), WHITE), (self.top_class(p, 1), GREY)]
                yield replace(captioned(image, lines), prediction=self.prediction(p)).made_from(source)

    def prediction(self, p: Tensor) -> dict[str, str | float]:
        """The likeliest class of probabilities p [K], as in records: {"class": "cat", "probability": 0.93}."""
        best = p.topk(2).indices.tolist()[0]
        return {"class": self.config.class_names[best], "probability": round(float(p[best]), 3)}

    def top_class(self, p: Tensor, rank: int) -> str:
        """The likeliest (rank 0) or second class of probabilities p [K], as "93% cat"; "" for a second one of 0%."""
        k = p.topk(2).indices.tolist()[rank]
        if rank and p[k] < 0.005:
            return ""
        return f"{100 * float(p[k]):.0f}% {self.config.class_names[k]}"

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """The first images with the predicted class: green where it is correct, else red and with the true one."""
        x, shown = batch["image"], []
        probabilities = self.log_probabilities(x).exp()
        for image, p, label in zip(Image.from_tensor(x), probabilities, batch["label"].tolist(), strict=True):
            true_class = self.config.class_names[label]
            if self.prediction(p)["class"] == true_class:
                lines = [(self.top_class(p, 0), GREEN), (self.top_class(p, 1), GREY)]
            else:
                lines = [(self.top_class(p, 0), RED), (f"is {true_class}", WHITE)]
            shown.append(captioned(image, lines))
        return {"": image_grid(shown, columns=8)}

    # -- scores ----------------------------------------------------------------------------------------------------

    def method_scores(self, data: Images, n: int, seed: int) -> Iterator[Score]:
        """Accuracy, the accuracy of the worst class, and log loss, on n images drawn by the seed without replacement.

        Raises UserError if the data has no labels, or classes that this run did not learn.
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
        """The label here of each class of the data, matched by name: int64 [number of classes of the data].

        Raises UserError if the data has no labels, or classes that this run did not learn.
        """
        if not data.classes:
            raise UserError(without_labels(data))
        class_names = self.config.class_names
        unknown = [name for name in data.classes if name not in class_names]
        if unknown:
            more = " ..." if len(class_names) > 12 else ""
            raise UserError(
                f"{data.spec} has a class '{unknown[0]}', which the classifier did not learn; "
                f"it knows {', '.join(class_names[:12])}{more}."
            )
        return torch.tensor([class_names.index(name) for name in data.classes])


class ResNetTrunk(nn.Sequential):
    """Images [B,C,H,W] -> features [B,D]: a convolution, three groups of residual blocks, global average pooling."""

    def __init__(self, channels: int, base_channels: int, blocks: int, stride: int) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(channels, base_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(base_channels),
            nn.ReLU(True),
        ]
        for wide in (base_channels, 2 * base_channels, 4 * base_channels):
            narrow = max(base_channels, wide // 2)
            layers += [ResidualBlock(narrow, wide), *(ResidualBlock(wide, wide) for _ in range(blocks - 1))]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut: [B,N,H,W] -> [B,N,H,W], or -> [B,M,H/2,W/2] where M > N.

    The shortcut then takes every second pixel, with zeros for the added channels (section 4.2: option A).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.added = out_channels - in_channels
        stride = 2 if self.added else 1
        self.conv1, self.norm1 = (
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.conv2, self.norm2 = (
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), True)
        y = self.norm2(self.conv2(y))
        if self.added:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.added))
        return F.relu(x + y, True)


def captioned(image: Image, lines: Sequence[tuple[str, Colour]]) -> Image:
    """The image enlarged to about 100 pixels, with lines of (text, colour) on a dark band below it.

    Pillow's built-in bitmap font gives the same pixels on every machine; names beyond ASCII are drawn with the fonts of
    sheets of text.
    """
    side = image.pixels.shape[0]
    scale = max(1, round(100 / side))
    font = PIL.ImageFont.load_default_imagefont()
    pixels = image.pixels.repeat(scale, 0).repeat(scale, 1)
    band = PIL.Image.new("RGB", (side * scale, 12 * len(lines) + 3))
    draw = PIL.ImageDraw.Draw(band)
    for i, (text, colour) in enumerate(lines):
        if all(name.isascii() for name, _ in lines):
            draw.text((3, 12 * i + 1), text, colour, font)
        else:
            draw_line(draw, (3, 12 * i), text, colour, 11)
    return Image(np.concatenate([np.broadcast_to(pixels, (*pixels.shape[:2], 3)), np.asarray(band)]))


def accuracy_scores(log_p: Tensor, labels: Tensor, data: Images, seed: int) -> Iterator[Score]:
    """Accuracy, worst class accuracy and log loss of log p(class) [N,K] in float64 against labels [N]."""
    n = len(labels)
    correct = (log_p.argmax(1) == labels).double()
    known, counts = labels.unique(return_counts=True)
    shares = counts.double() / n
    loss = -log_p.gather(1, labels.unsqueeze(1)).squeeze(1)
    worst = min(float(correct[labels == k].mean()) for k in known)
    drawn = "over n images drawn by the seed without replacement"

    def score(name: str, value: float, unit: str, definition: str, baseline: float, baseline_name: str) -> Score:
        reference = Reference.of(data, n)
        better: Better = "lower" if unit == "nats" else "higher"
        return Score(
            name,
            value,
            unit,
            better,
            f"{definition}, {drawn}",
            reference,
            n,
            seed,
            group="accuracy",
            baseline=baseline,
            baseline_name=baseline_name,
        )

    guess = "always the most frequent class"
    share = "share of images whose likeliest class is their label"
    accuracy = score("accuracy", float(correct.mean()), "", share, float(shares.max()), guess)
    yield replace(accuracy, std_error=float(correct.std() / math.sqrt(n)))
    yield score("worst class accuracy", worst, "", f"{share}, of the class where it is lowest", 0.0, guess)
    definition = "mean of -log p(label), p the softmax of the logits"
    entropy = -float((shares * shares.log()).sum())
    log_loss = score("log loss", float(loss.mean()), "nats", definition, entropy, "the shares of the classes as p")
    yield replace(log_loss, std_error=float(loss.std() / math.sqrt(n)))
