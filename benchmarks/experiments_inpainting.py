"""Experiments of the ledger: inpainting."""

from __future__ import annotations

from benchmarks.experiment import Claim, Experiment
from reverie.metrics.inpainting import TOOLS

PROTOCOL = (
    "super_resolution.zip: trained on T91 and the 400 photos of BSDS500 that are not BSD100, of which those with 320 "
    "pixels a side are used. Tested on Set5, Set14 and the first 20 photos of saliency_scenes.zip's test.txt, scaled "
    "and cropped: the hole is the middle 64 of 128 pixels a side; the holes of irregular_masks.zip at 256 pixels a "
    "side, of the photos that are that large. The Laplace fill beside it learns nothing."
)
SMALL = {
    "steps": 2_500, "adv_share": 0.12, "lr": 5e-4, "pixel_weight": 1.0, "feature_weight": 0.3, "adv_weight": 0.01,
    "threads": 1,
}  # fmt: skip
"""2,200 steps by pixels, then 300 with a discriminator that has little to say"""
LARGE = {"steps": 150_000, "base_channels": 64, "batch_size": 64}
FOLDER = "."
"""the folder of data files itself, of which three are used"""

EXPERIMENTS = [
    Experiment("inpainting", "Holes filled", f"{PROTOCOL} In bf16, which this CPU computes faster.",
               "inpainting:laptop", "inpainting", FOLDER, options={"threads": 1, "precision": "bf16"}),
    Experiment("inpainting-small", "Holes after a short training", PROTOCOL, "inpainting:adversarial", "inpainting",
               FOLDER, options=SMALL),
    Experiment("inpainting-large", "Holes filled by a network for a GPU", f"{PROTOCOL} For a GPU, not run yet.",
               "inpainting:laptop", "inpainting", FOLDER, options=LARGE),
]  # fmt: skip

GAIN = "psnr-hole gain over laplace"
CLAIMS = [
    Claim("inpainting", f"{GAIN}, centre", target=">= 1 dB", at_least=1.0),
    Claim("inpainting", "psnr-hole, centre", beats="baseline"),
    Claim("inpainting", f"{GAIN}, irregular", target=">= 1.5 dB", at_least=1.5),
    Claim("inpainting", "psnr-hole, irregular", beats="baseline"),
    Claim("inpainting-large", f"{GAIN}, centre", target=">= 1 dB", at_least=1.0),
    Claim("inpainting-large", f"{GAIN}, irregular", target=">= 1.5 dB", at_least=1.5),
    *(
        Claim("inpainting-small", score, beats="baseline" if "psnr-hole" in score else None)
        for kind in ("centre", "irregular")
        for score in (f"psnr-hole, {kind}", f"{GAIN}, {kind}", f"ssim-hole, {kind}", f"sharpness in the hole, {kind}")
    ),
    *(
        Claim("inpainting-small", f"psnr-hole, {kind}, {tool.name}")
        for kind in ("centre", "irregular")
        for tool in TOOLS
    ),
]
