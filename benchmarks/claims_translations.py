"""What the ledger claims of methods that make images of images: translations and repairs."""

from __future__ import annotations

from typing import Any

from benchmarks.claim import MOBILENET, Claim, Experiment

FACADES = (
    "facades.zip, its 400 pairs of train, 128x128, width 32, batch 1; a U-Net with dropout and batch statistics at "
    "test time, as in training. Judged by the 106 pairs of test. Its maps grow by repeated pixels and a convolution: "
    "by the paper's transposed ones (`--upsampling transposed --ema-decay 0`) a fine grid lay over the photos made, and "
    "with L1 and the game their FID was 637 and their KID 1.354. Chosen on the pairs of val (`--steps 4000`, then "
    "`reverie evaluate RUN --split val --features FILE`): FID 628 for 753, and with averaged weights 583."
)
ABLATION = (
    ("both", "L1 and the game", {}), ("l1", "L1 alone", {"game": 0.0}), ("game", "the game alone", {"l1": 0.0}),
)  # fmt: skip
MONET = (
    "monet2photo.zip: 250 paintings (a) and 800 photos (b) to learn from, 64x64, width 32, 6 blocks, batch 1; judged "
    "by 50 paintings and 100 photos of test. The floor of a distance is that of the untranslated pictures. The "
    "generators are residual, not the paper's: those (`reverie train cyclegan --network resnet --cycle 10 --identity "
    "0.5 --ema-decay 0`) laid a grid over all pictures after 4,000 steps, and their distances were above the "
    "untranslated (638 and 619 for 460). Network and weight of the cycle were chosen on "
    "training pictures that were held out."
)
SET14 = (
    "super_resolution.zip: learnt from pieces of the 400 BSDS images, judged by the 14 images of Set14 in their own "
    "size. The classical method (extra `classical`) is given exactly the same spoilt pixels, and knows how they were "
    "spoilt."
)
BSDS = {"train": "bsds400/*", "test": "set14/x2/*_HR.png"}
RESTORED: dict[str, Any] = {"width": 32, "threads": 1}

EXPERIMENTS = [
    *(
        Experiment(
            f"facades-{order}", f"Labels to photos of facades, {title}", FACADES, "pix2pix:facades",
            data="facades.zip", options={**weights, "threads": 1}, features=MOBILENET,
        )
        for order, title, weights in ABLATION
    ),
    *(
        Experiment(
            f"photos-{order}", f"ImagePatches of facades to labels, {title}", FACADES, "pix2pix:laptop",
            data="facades.zip", options={**weights, "threads": 1}, features=MOBILENET,
        )
        for order, title, weights in ABLATION if order != "game"
    ),
    *(
        Experiment(
            f"monet-{order}", f"Paintings to photos and back, {title}", MONET, "cyclegan:laptop",
            data="monet2photo.zip", options={**weights, "threads": 1}, features=MOBILENET,
        )
        for order, title, weights in (
            ("full", "both losses", {}), ("cycle", "the cycle alone", {"game": 0.0}),
            ("game", "the game alone", {"cycle": 0.0}),
        )
    ),
    Experiment(
        "denoise", "Noise of sigma 25 on Set14, grey", f"{SET14} Noise as uint8, clipped; sigma 25 of 255.",
        "restoration:laptop", data="super_resolution.zip", parts=BSDS, options={"channels": 1, **RESTORED},
    ),
    Experiment(
        "photo-12mp", "A photograph of 12 megapixels repaired",
        "4000x3000 pixels in colour, put together from the built-in shapes, with noise of sigma 25, repaired by "
        "`reverie restore` on one thread in a process of its own. The network is that of the laptop preset, "
        "trained for 60 steps on the picture: time and memory do not depend on how well it is trained.",
        "laptop", "large", options={"threads": 1},
    ),
    Experiment(
        "deblur", "Blur on Set14, colour", SET14, "restoration:deblur", data="super_resolution.zip", parts=BSDS,
        options=RESTORED,
    ),
    Experiment(
        "colourise", "Grey to colour, Set14",
        f"{SET14} Two of the 14 are grey: untouched they are perfect, which alone lifts the floor above the figure.",
        "restoration:colourise", data="super_resolution.zip", parts=BSDS, options=RESTORED,
    ),
]  # fmt: skip

CLAIMS = [
    *(
        Claim(f"facades-{order}", score, source="none with these features" if score in ("fid", "kid") else "")
        for order, *_ in ABLATION
        for score in ("fid", "kid", "feature distance", "sharpness", "psnr", "ssim")
    ),
    *(
        Claim(f"photos-{order}", f"label {score}", target="above the commonest class", beats="floor")
        for order in ("both", "l1")
        for score in ("accuracy", "overlap")
    ),
    *(
        Claim(f"monet-{order}", f"{score}, {way}", target=target, beats=beats)
        for order, target, beats in (
            ("full", "below the untranslated", "floor"),
            ("cycle", "", None),
            ("game", "", None),
        )
        for way in ("a to b", "b to a")
        for score in ("fid", "kid")
    ),
    *(
        Claim(f"monet-{order}", f"cycle error, {w}")
        for order in ("full", "cycle", "game")
        for w in ("a to b", "b to a")
    ),
    Claim("photo-12mp", "seam", target="<= 1 level", at_most=1.0),
    *(Claim("photo-12mp", score) for score in ("seconds", "megapixels a second", "memory added")),
    Claim("denoise", "psnr", target="above non-local means", beats="psnr, non-local means"),
    Claim("denoise", "psnr, non-local means"),
    Claim("deblur", "psnr", target="above Wiener", beats="psnr, wiener"),
    Claim("deblur", "psnr, wiener"),
    Claim("colourise", "psnr"),
    *(Claim(name, "ssim") for name in ("denoise", "deblur", "colourise")),
]
