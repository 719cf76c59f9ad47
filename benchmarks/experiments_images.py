"""Experiments of the ledger: methods that generate images from noise or from latent codes, and the monitor."""

from __future__ import annotations

from benchmarks.experiment import MOBILENET, Claim, Experiment

BURDA = "Burda 2015, table 1"
MNIST = (
    "mnist.zip, 28x28, binarised anew at every step; the MLP of Burda 2015, section 5.1 (784-200-200-50, tanh). "
    "L_5000 in float64 over all 10,000 test images, binarised once."
)
BAO = "Bao 2017, on faces"
CIFAR = (
    "cifar10.zip, 32x32, batch 64. 5,000 generated images against the 10,000 test images by the pooled features of "
    "MobileNetV2 (the file and the resize are in each score's definition); beside it stands what 5,000 training images "
    "get. "
    "Figures of other feature networks, such as Inception, are on another scale."
)
GRID = (
    "The grid of PacGAN, section 4.1: 100,000 points, 2,500 samples, good within 3 sd of the nearest mean. MLPs of "
    "128 units, batch 128, 8,000 steps; the learning rate and, for the stable preset, r1_weight were tuned on seeds "
    "100-104."
)
STACKED = (
    "Stacked-MNIST as in PacGAN, section 4.3: 128,000 triples, 26,000 samples, read by a digit classifier trained "
    "here; digits are padded to 32x32."
)

BIGAN = (
    "mnist.zip, 28x28, as grey levels; the MLPs of Donahue 2016, section 4.2, z uniform in [-1,1]^50. 1-NN over the "
    "codes of all 60,000 training images, for all 10,000 test images."
)
ENCODERS = ("vae", "vae_gan", "cvae_gan", "bigan")
"""methods that encode images"""
CVAE = ("cifar", "cifar-small", "cifar-laptop")
COMPARED = {"cifar": ("dcgan", *ENCODERS), "facades": ("dcgan", "vae", "vae_gan", "bigan")}
"""the methods of each comparison, by data"""
COMPARED_SCORES = ("fid", "kid", "precision", "recall", "sharpness", "mse")
COMPARISON = (
    "A GAN, a VAE and {ways} ways to combine them, each by its preset laptop, about {minutes:g} minutes each, on one "
    "thread of a two-core machine that had other work: {size}x{size}. {n:,} generated images against the {reference} "
    "test images by the pooled features of MobileNetV2, which no method is trained with; 64 test images reconstructed, "
    "by DCGAN in 300 steps of gradient descent on z. Presets were chosen on training images of these and of other "
    "sets. All are timed in turns first, which turns the minutes into steps; the minutes that each took are in its row."
)
AUGMENTATION = (
    "{counts} real images of each class, 32x32; cvae_gan:laptop, 1,000 of its 10,000 steps, is trained on these "
    "alone and generates 1,000 of each class. One classifier, the same steps, is trained on the real ones, on both, "
    "half of each, and on the generated ones alone; accuracy on the test split."
)

EXPERIMENTS = [
    Experiment(
        "vae-mnist", "VAE on MNIST, in less than an hour",
        f"{MNIST} Ours: 300,000 steps of 100 (500 epochs), Adam's epsilon 1e-8, a learning rate of 2e-3 with "
        "cosine decay, and KL warm-up from 0 to 1 over the first 30,000 steps; chosen on training images.",
        "vae:mlp", data="mnist.zip", options={"threads": 1}, evaluation={"n": 10_000, "k": 5_000},
    ),
    Experiment(
        "vae-mnist-paper", "VAE on MNIST, the paper's schedule", f"{MNIST} 9,840,000 steps of 20 (3,280 epochs).",
        "vae:paper", data="mnist.zip", options={"threads": 1}, evaluation={"n": 10_000, "k": 5_000},
    ),
    Experiment(
        "iwae-mnist-paper", "IWAE (k = 50) on MNIST, the paper's schedule",
        f"{MNIST} 9,840,000 steps of 20 (3,280 epochs).",
        "vae:iwae", data="mnist.zip", options={"threads": 1}, evaluation={"n": 10_000, "k": 5_000},
    ),
    Experiment(
        "grid-stable", "25 Gaussians, stabilised", GRID, "dcgan:stable", "grid",
        options={"threads": 1}, seeds=tuple(range(10)),
    ),
    Experiment(
        "grid-plain", "25 Gaussians, plain loss", GRID, "dcgan:plain", "grid",
        options={"ema_decay": 0.0, "threads": 1}, seeds=tuple(range(10)),
    ),
    Experiment(
        "grid-ali", "25 Gaussians, ALI",
        f"{GRID} The encoder outputs mean and log variance of z; relativistic loss with R1+R2 of pairs; the learning "
        "rate falls in the second half; EMA of the weights.",
        "bigan:ali", "grid", seeds=tuple(range(10)),
        options={
            "loss": "relativistic", "norm": "none", "r1_weight": 0.01, "beta1": 0.0, "beta2": 0.99, "threads": 1,
            "lr_schedule": "late", "ema_decay": 0.9995,
        },
    ),
    Experiment(
        "cifar-plain-small", "DCGAN on CIFAR-10, the paper's recipe, half the channels, 2,500 steps", CIFAR,
        "dcgan:plain", data="cifar10.zip",
        options={"ema_decay": 0.0, "base_channels": 32, "steps": 2_500, "threads": 1}, evaluation={"n": 5_000},
        features=MOBILENET, seeds=tuple(range(5)),
    ),
    Experiment(
        "cifar-stable-small", "DCGAN on CIFAR-10, stabilised, half the channels, 2,500 steps",
        f"{CIFAR} r1_weight and the learning rate were chosen on images of the training split.", "dcgan:stable",
        data="cifar10.zip", options={"base_channels": 32, "steps": 2_500, "threads": 1}, evaluation={"n": 5_000},
        features=MOBILENET, seeds=tuple(range(5)),
    ),
    Experiment(
        "cifar-plain-5000", "DCGAN on CIFAR-10, the paper's recipe, 5,000 steps", CIFAR, "dcgan:plain",
        data="cifar10.zip", options={"ema_decay": 0.0, "steps": 5_000}, evaluation={"n": 5_000}, features=MOBILENET,
        seeds=tuple(range(5)),
    ),
    Experiment(
        "cifar-stable-5000", "DCGAN on CIFAR-10, stabilised, 5,000 steps", CIFAR, "dcgan:stable",
        data="cifar10.zip", options={"steps": 5_000}, evaluation={"n": 5_000}, features=MOBILENET,
        seeds=tuple(range(5)),
    ),
    Experiment(
        "cifar-plain-20000", "DCGAN on CIFAR-10, the paper's recipe, 20,000 steps", CIFAR, "dcgan:plain",
        data="cifar10.zip", options={"ema_decay": 0.0, "steps": 20_000}, evaluation={"n": 5_000}, features=MOBILENET,
    ),
    Experiment(
        "cifar-stable-20000", "DCGAN on CIFAR-10, stabilised, 20,000 steps", CIFAR, "dcgan:stable",
        data="cifar10.zip", options={"steps": 20_000}, evaluation={"n": 5_000}, features=MOBILENET,
    ),
    Experiment(
        "cifar-laptop", "DCGAN on CIFAR-10, a discriminator with a frozen network",
        f"{CIFAR} But batch 16; the discriminator sees pixels, thumbnails and maps of EfficientNet-Lite0. MobileNetV2, "
        "by which the images are compared, is in no training. In bf16, which this CPU computes faster, beside much "
        "other work: about half an hour of one core.", "dcgan:laptop",
        data="cifar10.zip", options={"threads": 1, "precision": "bf16"}, evaluation={"n": 5_000}, features=MOBILENET,
    ),
    *(
        Experiment(
            f"{row}-cifar-laptop", f"{name} on CIFAR-10, a discriminator with a frozen network",
            f"{CIFAR} But batch 16, {steps:,} steps; discriminator and reconstruction error see pixels and maps of "
            "EfficientNet-Lite0. MobileNetV2, by which the images are compared, is in no training; mse: of 64 test "
            "images.",
            f"{method}:laptop", data="cifar10.zip", options={"threads": 1}, evaluation={"n": 5_000},
            features=MOBILENET,
        )
        for row, method, name, steps in (("vae-gan", "vae_gan", "VAE/GAN", 10_000), ("bigan", "bigan", "BiGAN", 6_000))
    ),
    Experiment(
        "stacked-plain-small", "Stacked-MNIST, the paper's recipe, half the channels, 2,500 steps",
        f"{STACKED} 2,500 steps of 64.", "dcgan:plain", "stacked", "mnist.zip",
        options={"ema_decay": 0.0, "base_channels": 32, "steps": 2_500, "threads": 1},
    ),
    Experiment(
        "stacked-stable-small", "Stacked-MNIST, stabilised, half the channels, 2,500 steps",
        f"{STACKED} 2,500 steps of 64.", "dcgan:stable", "stacked", "mnist.zip",
        options={"base_channels": 32, "steps": 2_500, "threads": 1},
    ),
    Experiment(
        "stacked-plain", "Stacked-MNIST, the paper's recipe", f"{STACKED} 20,000 steps of 64.", "dcgan:plain",
        "stacked", "mnist.zip", options={"ema_decay": 0.0, "steps": 20_000},
    ),
    Experiment(
        "stacked-stable", "Stacked-MNIST, stabilised", f"{STACKED} 20,000 steps of 64.", "dcgan:stable",
        "stacked", "mnist.zip", options={"steps": 20_000},
    ),
    Experiment(
        "bigan-mnist", "BiGAN on MNIST, pixels in no order",
        f"{BIGAN} 187,500 steps of 128: 400 epochs.",
        "bigan:paper", data="mnist.zip", options={"threads": 1}, evaluation={"n": 10_000},
    ),
    Experiment(
        "bigan-mnist-small", "BiGAN on MNIST, pixels in no order, a twentieth of the steps",
        f"{BIGAN} 10,000 steps of 128: 21 epochs.",
        "bigan:paper", data="mnist.zip", options={"steps": 10_000, "threads": 1}, evaluation={"n": 10_000},
    ),
    Experiment(
        "autoencoder-mnist", "An autoencoder beside BiGAN",
        "vae:mlp without its KL, 50 latent dimensions, grey levels taken as probabilities; codes and 1-NN as of "
        "bigan-mnist.",
        "vae:mlp", data="mnist.zip", options={"beta": 0.0, "steps": 30_000, "threads": 1},
        evaluation={"n": 10_000, "k": 2},
    ),
    Experiment(
        "cvae-mnist", "CVAE-GAN on MNIST, half the channels",
        "mnist.zip, digits padded to 32x32, 6,000 steps of 64. 10,000 generated digits, the classes in turn, read "
        "by a classifier trained on real training images only; GAN-train: the same classifier is trained on 60,000 "
        "generated digits, and both are tested on the 10,000 test images.",
        "cvae_gan:plain", data="mnist.zip", options={"size": 32, "base_channels": 32, "threads": 1},
        evaluation={"n": 10_000, "gan_train": True},
    ),
    *(
        Experiment(
            f"cvae-cifar{end}", f"CVAE-GAN on CIFAR-10{title}",
            f"{CIFAR} Here 10,000 are generated; {steps:,} steps. Class scores as of cvae-mnist; GAN-train on 50,000 "
            "generated images. Loss weights were chosen on 5,000 training images that were held out.",
            "cvae_gan:stable", data="cifar10.zip", options={"steps": steps, **options},
            evaluation={"n": 10_000, "gan_train": True}, features=MOBILENET,
        )
        for end, title, steps, options in (
            ("", "", 20_000, {}),
            ("-small", ", half the channels, 10,000 steps", 10_000, {"base_channels": 32, "threads": 1}),
        )
    ),
    Experiment(
        "cvae-cifar-laptop", "CVAE-GAN on CIFAR-10, a discriminator with a frozen network",
        f"{CIFAR} But batch 16, 10,000 steps; here 10,000 are generated. Discriminator, classifier and reconstruction "
        "error see with EfficientNet-Lite0. MobileNetV2, by which the images are compared, is in no training. Class "
        "scores as of cvae-mnist; GAN-train on 50,000 generated images. In bf16, which this CPU computes faster.",
        "cvae_gan:laptop", data="cifar10.zip", options={"threads": 1, "precision": "bf16"},
        evaluation={"n": 10_000, "gan_train": True}, features=MOBILENET,
    ),
    Experiment(
        "vae-gan-comparison-cifar", "GAN, VAE and their combinations on CIFAR-10",
        COMPARISON.format(ways="three", minutes=8, size=32, n=1_000, reference="10,000"), "all", "vae_gan_comparison",
        "cifar10.zip", features=MOBILENET, options={"minutes": 8.0, "n": 1_000},
    ),
    Experiment(
        "vae-gan-comparison-facades", "GAN, VAE and their combinations on photos of facades",
        COMPARISON.format(ways="two", minutes=5, size=64, n=400, reference=106)
        + " The photos of facades.zip, 400 to train on, without labels, which cvae_gan needs, flipped at random; real "
        "data are these 400. So few images are a coarse measure.",
        "all", "vae_gan_comparison", "facades.zip", features=MOBILENET,
        options={"minutes": 5.0, "size": 64, "n": 400, "side": "a", "hflip": True},
    ),
    Experiment(
        "dcgan-recipes-facades", "DCGAN's recipes on photos of facades, equal CPU time",
        "The photos of facades.zip, 400 to train on, 64x64, each recipe for 100 CPU seconds on one thread of a machine "
        "that had other work: plain is dcgan:plain, both dcgan:laptop. 200 generated images against the 106 test "
        "images, by MobileNetV2, which no recipe is trained with, and by the packaged network, which both is trained "
        "with. Recipes were chosen on other images, by the figures of docs/methods.md.",
        "all", "dcgan_recipes", "facades.zip", features=MOBILENET,
        options={"cpu_seconds": 100.0, "n": 200, "side": "a", "hflip": True, "recipes": "plain,both"}, seeds=(0, 1, 2),
    ),
    *(
        Experiment(
            f"augmentation-{row}", f"Augmenting {name}", AUGMENTATION.format(counts=counts.replace(",", " and ")),
            "cvae_gan:laptop", "augmentation", f"{file}.zip", options={"counts": counts, "steps": 1_000}, seeds=seeds,
        )
        for row, name, file, counts, seeds in (
            ("mnist", "MNIST", "mnist", "20,100", (0, 1, 2)),
            ("cifar", "CIFAR-10", "cifar10", "20,100", (0, 1, 2)),
            ("cifar-500", "CIFAR-10, 500 of each class", "cifar10", "500", (0,)),
        )
    ),
    Experiment(
        "monitor", "The monitor",
        "Six runs made to fail, each in its own way, and 24 healthy ones: dcgan in three presets, vae in two, "
        "classifier, on built-in sets, three seeds each. The thresholds were chosen on other seeds.",
        "all", "monitor", seeds=(20,),
    ),
]  # fmt: skip

CLAIMS = [
    Claim("monitor", "failures detected", "", "", "all 6", at_least=6),
    Claim("monitor", "false alarms", "", "", "none", at_most=0),
    Claim("vae-mnist", "nll", "86.76", BURDA, "<= 88.0 nats", at_most=88.0),
    Claim("vae-mnist", "active units", "19 of 50", BURDA),
    Claim("vae-mnist-paper", "nll", "86.76", BURDA, "<= 86.76 nats", at_most=86.76),
    Claim("iwae-mnist-paper", "nll", "84.78", BURDA, "<= 84.78 nats", at_most=84.78),
    Claim("grid-stable", "modes", "", "PacGAN's table 1 has ALI 13.4 ± 5.8", "25 in every seed", at_least=25),
    Claim("grid-stable", "high-quality samples"),
    Claim("grid-stable", "reverse kl"),
    Claim(
        "grid-ali",
        "modes",
        "13.4 ± 5.8",
        "ALI in PacGAN's table 1, with other networks",
        "25 in every seed",
        at_least=25,
    ),
    Claim("grid-ali", "high-quality samples"),
    Claim("grid-ali", "reverse kl"),
    Claim("grid-plain", "modes", "10.4 ± 9.2", "GAN in PacGAN's table 1, with other networks"),
    Claim("grid-plain", "high-quality samples"),
    Claim("grid-plain", "reverse kl"),
    Claim("cifar-laptop", "fid", source="none with these features", target="<= 80", at_most=80.0),
    *(Claim("cifar-laptop", score, source="none with these features") for score in ("kid", "precision", "recall")),
    *(
        Claim(f"{row}-cifar-laptop", score, source="none with these features" if score != "mse" else "")
        for row in ("vae-gan", "bigan")
        for score in ("fid", "kid", "precision", "recall", "sharpness", "mse")
    ),
    *(
        Claim(f"cifar-{recipe}-{steps}", score, source="none with these features")
        for steps in ("small", 5_000, 20_000)
        for recipe in ("plain", "stable")
        for score in ("fid", "kid")
    ),
    *(
        Claim(f"stacked-{recipe}-small", score, source="none at this size")
        for recipe in ("plain", "stable")
        for score in ("modes", "reverse kl")
    ),
    Claim("bigan-mnist", "1-nn accuracy", "97.39 %", "Donahue 2016, table 1", ">= 97.3 %", at_least=0.973),
    Claim("bigan-mnist-small", "1-nn accuracy", "97.39 %", "Donahue 2016, table 1, in 400 epochs"),
    Claim("autoencoder-mnist", "1-nn accuracy", "97.6 %", "Donahue 2016, table 1, an autoencoder of theirs"),
    Claim("cvae-mnist", "gan-test accuracy", "97.78 %", BAO, ">= 97.8 %", at_least=0.978),
    Claim("cvae-mnist", "gan-train accuracy", target="within 2 points of real images", within=0.02),
    *(
        Claim(f"cvae-{data}", score)
        for data in ("mnist", *CVAE)
        for score in ("per-class coverage", "intra-class diversity")
    ),
    *(
        claim
        for data in CVAE
        for claim in (
            Claim(f"cvae-{data}", "gan-test accuracy", "97.78 %", BAO),
            Claim(f"cvae-{data}", "gan-train accuracy"),
            *(Claim(f"cvae-{data}", score, source="none with these features") for score in ("fid", "kid")),
        )
    ),
    *(
        Claim(f"vae-gan-comparison-{data}", f"{score}, {method}")
        for data, methods in COMPARED.items()
        for score in ("minutes", *COMPARED_SCORES)
        for method in methods
    ),
    *(
        Claim(f"vae-gan-comparison-{data}", f"{score}, vae_gan over {other}", target="< 1", at_most=1.0)
        for data in COMPARED
        for score, other in (("fid", "vae"), ("sharpness", "vae"), ("mse", "dcgan"))
    ),
    *(
        Claim("vae-gan-comparison-cifar", score)
        for score in (
            "gan-test accuracy, cvae_gan",
            "gan-train accuracy, cvae_gan",
            *(f"1-nn accuracy, {method}" for method in ENCODERS),
        )
    ),
    *(
        Claim(f"augmentation-{row}", f"{kind}, {count}")
        for row, count in (("mnist", 20), ("mnist", 100), ("cifar", 20), ("cifar", 100), ("cifar-500", 500))
        for kind in ("real", "real and generated", "generated")
    ),
    *(
        Claim("dcgan-recipes-facades", f"{score}, {recipe}")
        for score in (
            "fid",
            "fid (packaged network)",
            "precision",
            "recall",
            "near-duplicate rate",
            "chroma spread",
            "steps",
        )
        for recipe in ("plain", "both")
    ),
    Claim("stacked-plain", "modes", "78.9 ± 6.5", "DCGAN as run by PacGAN's authors"),
    Claim("stacked-plain", "reverse kl", "4.50", "DCGAN as run by PacGAN's authors"),
    Claim("stacked-stable", "modes", "1000", "R3GAN's loss, Huang 2024", "1,000", at_least=1000),
    Claim("stacked-stable", "reverse kl", "0.078", "R3GAN's loss, Huang 2024", "<= 0.078 nats", at_most=0.078),
]
