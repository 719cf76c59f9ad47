"""Experiments of the ledger: super-resolution."""

from __future__ import annotations

from benchmarks.experiment import Claim, Experiment

PROTOCOL = (
    "super_resolution.zip: trained on T91 and the 400 photos of BSDS500 that are not BSD100; small images as MATLAB's "
    "imresize makes them. PSNR and SSIM of Y, a border as wide as the scale left out, grey files as grey. Published: "
    "networks trained on 291 images such as these."
)
LARGE = {"scale": 4, "steps": 200_000, "size": 48, "base_channels": 64, "blocks": 16, "threads": 0}

EXPERIMENTS = [
    *(
        Experiment(
            f"upscale-{scale}", f"Super-resolution x{scale}, Set5 and Set14", PROTOCOL, "srgan:laptop",
            "super_resolution", data="super_resolution.zip", options={"scale": scale, "steps": 8_000, "threads": 1},
        )
        for scale in (4, 2)
    ),
    Experiment(
        "upscale-4-large", "Super-resolution x4 by a network for a GPU", f"{PROTOCOL} For a GPU, not run yet.",
        "srgan:laptop", "super_resolution", data="super_resolution.zip", options=LARGE,
    ),
]  # fmt: skip

UPSCALED = {
    (4, "psnr-y, set5"): ("bicubic 28.42, FSRCNN 30.55, VDSR 31.35", ">= 31.0", 31.0),
    (4, "ssim-y, set5"): ("bicubic .8104", "above bicubic", None),
    (4, "psnr-y, set14"): ("bicubic 26.00", "above bicubic", None),
    (4, "ssim-y, set14"): ("bicubic .7027", "above bicubic", None),
    (2, "psnr-y, set5"): ("bicubic 33.66, FSRCNN 37.00, VDSR 37.53", "above bicubic", None),
    (2, "ssim-y, set5"): ("bicubic .9299", "above bicubic", None),
    (2, "psnr-y, set14"): ("bicubic 30.24", "above bicubic", None),
}
"""(scale, score) -> published, target, its least value"""

CLAIMS = [
    *(
        Claim(f"upscale-{scale}", score, published, "their papers", target, at_least=least, beats="baseline")
        for (scale, score), (published, target, least) in UPSCALED.items()
    ),
    Claim("upscale-4-large", "psnr-y, set5", "IDN 31.82", "Hui 2018", ">= 31.82", at_least=31.82, beats="baseline"),
    *(
        Claim(f"upscale-{scale}", score)
        for scale in (4, 2)
        for score in ("seconds per megapixel", "seconds per megapixel, fsrcnn")
    ),
]
