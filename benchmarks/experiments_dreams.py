"""Experiments of the ledger: what networks dream."""

from __future__ import annotations

from benchmarks.class_images import RECIPES
from benchmarks.experiment import MOBILENET, Claim, Experiment

CLASSES = (
    "Classes of ImageNet drawn by a fixed seed, without the 8 that the recipe was chosen on; one image of each, "
    "climbed in EfficientNet-Lite0 from noise, 160 steps, as `reverie visualize` does, and classified by it and by "
    "MobileNetV2, which never saw the ascent and is no relative of it."
)
SHIPPED, SMALL = "frequencies and crops", ("pixels", "frequencies and crops")
"""the recipe of `reverie visualize`, and what the small experiment compares"""

EXPERIMENTS = [
    Experiment("class-images", "Images of 50 classes from noise", f"{CLASSES} 160 pixels, five recipes.", "all",
               "class_images", options={"classes": 50}, features=MOBILENET, seeds=(0, 1, 2)),
    Experiment("class-images-small", "Images of 10 classes from noise", f"{CLASSES} 128 pixels, two recipes.", "all",
               "class_images", options={"classes": 10, "size": 128, "only": ",".join(SMALL)}, features=MOBILENET),
]  # fmt: skip

CLAIMS = [
    Claim("class-images", f"top-1 own, {SHIPPED}", target=">= 95 %", at_least=0.95),
    Claim("class-images", f"top-1 other, {SHIPPED}", target=">= 80 %", at_least=0.8),
    *(
        Claim("class-images", f"{score}, {recipe}")
        for recipe in RECIPES
        for score in ("top-1 own", "top-1 other", "spectrum slope")
        if recipe != SHIPPED or score == "spectrum slope"
    ),
    *(
        Claim("class-images-small", f"{score}, {recipe}", source="none for these networks")
        for recipe in SMALL
        for score in ("top-1 own", "top-1 other", "spectrum slope")
    ),
]
