"""Experiments of the ledger: methods that make images from images, translation and restoration."""

from __future__ import annotations

from typing import Any

from benchmarks.experiment import MOBILENET, Claim, Experiment

FACADES = (
    "facades.zip, its 400 pairs of train, 128x128, base_channels 32, batch 1; a U-Net with dropout and batch "
    "statistics at test time, as in training. Evaluated on the 106 pairs of test. It upsamples by repeated pixels and "
    "a convolution: with the paper's transposed convolutions (`--upsampling transposed --ema-decay 0`) a fine grid lay "
    "over the generated photos, and with L1 and adversarial loss their FID was 637 and their KID 1.354. Chosen on the "
    "pairs of val (`--steps 4000`, then `reverie evaluate RUN --split val --features FILE`): FID 628 for 753, and with "
    "EMA weights 583."
)
ABLATION = (
    ("both", "L1 and adversarial loss", {}), ("l1", "L1 only", {"adv_weight": 0.0}),
    ("adversarial", "adversarial loss only", {"l1_weight": 0.0}),
)  # fmt: skip
SET14 = (
    "super_resolution.zip: trained on patches of the 400 BSDS images, evaluated on the 14 images of Set14 in their own "
    "size. The classical method (extra `classical`) is given exactly the same degraded pixels, and knows how they were "
    "degraded."
)
BSDS = {"train": "bsds400/*", "test": "set14/x2/*_HR.png"}
RESTORED: dict[str, Any] = {"threads": 1}
NOISE = (
    f"{SET14} Noise as uint8, clipped; sigma 25 of 255. The network has learnt all sigmas from 0 to 55, and estimates "
    "that of each image."
)
FEWER = "2,000 of the preset's 4,500 steps."
BF16 = (
    "Trained in bf16, by `--precision bf16`, which this CPU computes faster, beside much other work: about 10 CPU "
    "minutes."
)
BM3D = "BM3D is that of its authors (`pip install bm3d`, free for non-commercial use only)."

EXPERIMENTS = [
    *(
        Experiment(
            f"facades-{order}", f"Labels to photos of facades, {title}", FACADES, "pix2pix:plain",
            data="facades.zip", options={"direction": "BtoA", **weights, "threads": 1}, features=MOBILENET,
        )
        for order, title, weights in ABLATION
    ),
    Experiment(
        "facades-features", "Labels to photos of facades, a discriminator with a frozen network",
        "facades.zip, its 400 pairs of train, 128x128; evaluated on the 106 pairs of test. 800 steps, not the preset's "
        "10,000: the machine had much other work. The discriminators see patches of pixels and maps of "
        "EfficientNet-Lite0; L1 weighs 20. MobileNetV2, which the images are compared by, is in no training.",
        "pix2pix:facades", data="facades.zip", options={"steps": 800, "threads": 1}, features=MOBILENET,
    ),
    *(
        Experiment(
            f"photos-{order}", f"Photos of facades to labels, {title}", FACADES, "pix2pix:plain",
            data="facades.zip", options={**weights, "threads": 1}, features=MOBILENET,
        )
        for order, title, weights in ABLATION if order != "adversarial"
    ),
    Experiment(
        "photos-classes", "Photos of facades to labels, classes by a frozen encoder",
        "facades.zip, its 400 pairs of train, 128x128, batch 1; evaluated on the 106 pairs of test. 4,000 steps, not "
        "the preset's 10,000, in bf16. Cross-entropy over the 12 classes and nothing else; the encoder "
        "is EfficientNet-Lite0 as ImageNet has trained it, and frozen. Chosen on the pairs of val.",
        "pix2pix:laptop", data="facades.zip", options={"steps": 4_000, "threads": 1, "precision": "bf16"},
    ),
    Experiment(
        "monet-cut", "Paintings to photos and back, patches compared (CUT)",
        "monet2photo.zip: 250 paintings (a) and 800 photos (b) to train on, crops of 128x128 of images of 256x256; "
        "evaluated on 50 paintings and 100 photos of test, whole. The baseline of a distance is that of the "
        "untranslated images; the target of 400 was set at 64 pixels, where that is 460. Chosen on training images "
        "that were held out. MobileNetV2, which the images are compared by, is in no training.",
        "cyclegan:laptop", data="monet2photo.zip", options={"threads": 1}, features=MOBILENET,
    ),
    Experiment(
        "denoise", "Noise of sigma 25 on Set14, grey", f"{NOISE} {BF16} {BM3D}", "restoration:laptop",
        data="super_resolution.zip", parts=BSDS, options={"channels": 1, "precision": "bf16", **RESTORED},
    ),
    Experiment(
        "denoise-colour", "Noise of sigma 25 on Set14, colour", f"{NOISE} {BF16} {BM3D}", "restoration:laptop",
        data="super_resolution.zip", parts=BSDS, options={"precision": "bf16", **RESTORED},
    ),
    Experiment(
        "photo-12mp", "A photo of 12 megapixels restored",
        "4000x3000 pixels in colour, put together from the built-in shapes, with noise of sigma 25, restored by "
        "`reverie restore` on one thread in a process of its own. The network is that of the laptop preset, "
        "trained for 60 steps on the photo: time and memory do not depend on how well it is trained.",
        "laptop", "large_image", options={"threads": 1},
    ),
    Experiment(
        "deblur", "Blur on Set14, colour", f"{SET14} {FEWER}", "restoration:deblur", data="super_resolution.zip",
        parts=BSDS, options={"steps": 2_000, **RESTORED},
    ),
    Experiment(
        "jpeg", "JPEG of quality 20 on Set14, colour", f"{SET14} {FEWER}", "restoration:jpeg",
        data="super_resolution.zip", parts=BSDS, options={"steps": 2_000, **RESTORED},
    ),
    Experiment(
        "colorization", "Grey photos in colour, landscapes",
        "monet2photo.zip, its photos: 800 to train on, 100 of test in their own size, those without colour left out. "
        "Of the temperature, the paper's, and of the other options nothing was tuned on them: each was tried once for "
        "150 CPU seconds or less, on other photos.",
        "colorization:laptop", data="monet2photo.zip", parts={"train": "trainB/*", "test": "testB/*"},
        options={"threads": 1},
    ),
    Experiment(
        "blending", "Blending, composites of photos with known truth",
        "monet2photo.zip, its photos: 800 to train on, 64x64, 1,200 steps; composites of the first 40 of its 100 test "
        "photos, 256x256, blended in their own size. Trained beside much other work: about 4 CPU minutes, with the "
        "evaluation. "
        "OpenCV's seamlessClone is given the same pixels, its mask "
        "centred on itself. The generator starts from what gains along the seam suggest, which is not the paper's.",
        "gp_gan:laptop", data="monet2photo.zip", parts={"train": "trainB/*", "test": "testB/*"},
        options={"steps": 1_200, "threads": 1},
    ),
    *(
        Experiment(
            f"saliency{end}", f"Where people look: photos of scenes{title}",
            "saliency_scenes.zip: 398 photos to train on, 71 to test, about 12 viewers each; a frozen network that "
            f"ImageNet has trained and a readout, 600 steps of 16{steps}. Options stayed as they were first written, "
            "by a pilot of another network; trained beside much other work, in under 2 CPU minutes. "
            "The baseline is the smoothed fixations of the training photos.",
            "salgan:laptop", data="saliency_scenes.zip", options={"threads": 1, **options},
        )
        for end, title, steps, options in (
            ("", "", ", the last quarter with the adversarial loss", {}),
            ("-likelihood", ", without the adversarial loss", "", {"adv_weight": 0.0}),
            (
                "-bce", ", the paper's cross-entropy", ". The loss is the paper's binary cross-entropy, alone",
                {"loss": "bce", "adv_weight": 0.0},
            ),
            (
                "-bce-adversarial", ", the paper's cross-entropy and adversarial loss",
                ". The loss is the paper's binary cross-entropy, in the last quarter beside the adversarial loss in "
                "the paper's proportion (alpha 0.005)",
                {"loss": "bce", "adv_weight": 200.0},
            ),
        )
    ),
    Experiment(
        "saliency-finetuned", "Where people look: photos of scenes, the encoder fine-tuned",
        "saliency_scenes.zip, as in saliency-likelihood, but the encoder is trained on, with a learning rate of 1e-4 "
        "beside the readout's 1e-3: 240 steps of 8 in bf16, since a step takes 30 times as long as with features "
        "computed once. Options stayed as they were first written.",
        "salgan:finetuned", data="saliency_scenes.zip",
        options={"adv_weight": 0.0, "steps": 240, "precision": "bf16", "threads": 1},
    ),
    Experiment(
        "saliency-scratch", "Where people look: photos of scenes, the paper's network from random weights",
        "saliency_scenes.zip, as in saliency-bce, but with the paper's network, a quarter of its channels, from random "
        "weights: 240 steps of 8 in bf16. The paper begins with weights that ImageNet has trained, and has 10,000 "
        "photos. About the centre bias is expected, which the readout begins with.",
        "salgan:paper", data="saliency_scenes.zip",
        options={"base_channels": 16, "batch_size": 8, "adv_weight": 0.0, "steps": 240, "precision": "bf16",
                 "threads": 1},
    ),
]  # fmt: skip

SALIENCY_SCORES = ("auc-judd", "shuffled auc", "nss", "cc", "sim", "saliency kl", "information gain")
SALIENCY_TARGETS = {"shuffled auc": 0.66, "nss": 1.87, "cc": 0.68}

CLAIMS = [
    *(
        Claim(
            f"saliency{stage}",
            score,
            target=f">= {SALIENCY_TARGETS[score]}" if score in SALIENCY_TARGETS else "better than centre bias",
            at_least=SALIENCY_TARGETS.get(score),
            beats="baseline",
        )
        for stage in ("", "-likelihood")
        for score in SALIENCY_SCORES
    ),
    *(
        Claim(f"saliency-{stage}", score, target="better than centre bias", beats="baseline")
        for stage in ("bce", "bce-adversarial", "finetuned")
        for score in SALIENCY_SCORES
    ),
    *(Claim("saliency-scratch", score) for score in SALIENCY_SCORES),
    *(Claim("saliency", f"{score}, half of the viewers") for score in SALIENCY_SCORES),
    *(Claim("blending", f"psnr, {name}") for name in ("copied", "own colours", "seamlessclone")),
    Claim("blending", "psnr, poisson", target="above copying", beats="baseline"),
    Claim("blending", "psnr", target="above Poisson", beats="psnr, poisson"),
    Claim("blending", "psnr, gain over seamlessclone", target=">= 1.5 dB", at_least=1.5),
    *(
        Claim(f"facades-{order}", score, source="none with these features" if score in ("fid", "kid") else "")
        for order, *_ in ABLATION
        for score in ("fid", "kid", "paired feature distance", "sharpness", "psnr", "ssim")
    ),
    Claim("facades-features", "fid", source="none with these features", target="< 400", at_most=400.0),
    *(
        Claim("facades-features", score, source="none with these features" if score == "kid" else "")
        for score in ("kid", "paired feature distance", "sharpness", "psnr", "ssim")
    ),
    *(
        Claim(f"photos-{order}", score, target="above the most frequent class", beats="baseline")
        for order in ("both", "l1")
        for score in ("pixel accuracy", "miou")
    ),
    Claim(
        "photos-classes",
        "pixel accuracy",
        target="> 53 %, above the most frequent class",
        at_least=0.53,
        beats="baseline",
    ),
    Claim("photos-classes", "miou", target="above the most frequent class", beats="baseline"),
    *(
        Claim("monet-cut", f"fid, {way}", target="<= 400, below the untranslated", at_most=400.0, beats="baseline")
        for way in ("a to b", "b to a")
    ),
    *(
        Claim("monet-cut", f"kid, {way}", target="below the untranslated", beats="baseline")
        for way in ("a to b", "b to a")
    ),
    *(Claim("monet-cut", f"cycle-consistency l1, {way}") for way in ("a to b", "b to a")),
    Claim("photo-12mp", "seam", target="<= 1 level", at_most=1.0),
    *(Claim("photo-12mp", score) for score in ("seconds", "megapixels per second", "memory added")),
    Claim("denoise", "psnr", target=">= 30.0", at_least=30.0),
    *(
        Claim(name, "psnr", target=f"above {tool}", beats=f"psnr, {tool}")
        for name in ("denoise", "denoise-colour")
        for tool in ("non-local means", "bm3d")
    ),
    *(Claim(name, f"psnr, {tool}") for name in ("denoise", "denoise-colour") for tool in ("non-local means", "bm3d")),
    Claim("deblur", "psnr", target="above Wiener", beats="psnr, wiener"),
    Claim("deblur", "psnr, wiener"),
    *(
        Claim("jpeg", "psnr", target=f"above the {tool}", beats=f"psnr, {tool}")
        for tool in ("total variation", "bilateral filter")
    ),
    *(Claim("jpeg", f"psnr, {tool}") for tool in ("total variation", "bilateral filter")),
    *(Claim("colorization", score) for score in ("psnr", "ssim", "colourfulness")),
    *(Claim(name, "ssim") for name in ("denoise", "denoise-colour", "deblur", "jpeg")),
]
