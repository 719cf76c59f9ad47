"""Experiments of the ledger: what networks dream."""

from __future__ import annotations

from benchmarks.class_images import RECIPES
from benchmarks.experiment import MOBILENET, Claim, Experiment

CLASSES = (
    "Classes of ImageNet drawn by a fixed seed, without the 16 that the recipe was chosen on; one image of each, "
    "climbed from noise in 160 steps, and classified by EfficientNet-Lite0, which was climbed, and by MobileNetV2, "
    "which never saw the ascent and is no relative of it."
)
SHIPPED = "two networks"
"""the recipe of `reverie visualize`"""
SCORES = ("top-1 own", "top-1 other", "spectrum slope")

EXPERIMENTS = [
    Experiment("class-images", "Images of 50 classes from noise",
               f"{CLASSES} As `reverie visualize CLASS` does: 224 pixels, Lite0 and Lite2 in turn.", "all",
               "class_images", options={"classes": 50, "only": SHIPPED}, features=MOBILENET, seeds=(0, 1, 2)),
    Experiment("class-images-ablation", "Images of 6 classes from noise, six recipes", f"{CLASSES} 160 pixels.", "all",
               "class_images", options={"classes": 6, "size": 160}, features=MOBILENET),
]  # fmt: skip

CLAIMS = [
    Claim("class-images", f"top-1 own, {SHIPPED}", target=">= 95 %", at_least=0.95),
    Claim("class-images", f"top-1 other, {SHIPPED}", target=">= 80 %", at_least=0.8),
    Claim("class-images", f"spectrum slope, {SHIPPED}"),
    *(
        Claim("class-images-ablation", f"{score}, {recipe}", source="none for these networks")
        for recipe in RECIPES
        for score in SCORES
    ),
]
