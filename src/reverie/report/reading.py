"""How scores are read: what they are called, which values are good, what they measure in a few words."""

from __future__ import annotations

import re

READING = {
    "lower": "lower is better",
    "higher": "higher is better",
    "match": "best near the value of real data",
    "neither": "neither high nor low is better",
}
SPELLINGS = {"dice": "Dice", "miou": "mIoU", "cider": "CIDEr"} | {
    acronym: acronym.upper()
    for acronym in (
        "auc", "bleu", "cc", "d", "elbo", "fid", "gan", "kid", "kl", "l1", "lpips", "mse", "nll", "nn", "nss", "psnr",
        "sim", "ssim", "y",
    )
}  # fmt: skip
"""words of the names of scores that are not written in lower case"""
MEANING = {
    # generated images beside real ones
    "fid": "distance of the generated images as a whole from the real ones, in the features of a network",
    "kid": "the same by another distance, which few images do not bias",
    "precision": "share of generated images that lie among the real ones",
    "recall": "share of the real images that lie among the generated ones",
    "density": "how many real images lie around a generated one; 1 for real ones",
    "coverage": "share of the real images that have a generated one near",
    "sharpness": "contrast of neighbouring pixels, divided by that of real images: less is blurred, more is noisy",
    "nn distance ratio": "distance to the nearest training image, of unseen real ones 1; well below: memorised",
    "data-copying auc": "how often a generated image is farther from the training images than an unseen real one; 0.5 "
    "for real ones, well below: memorised, well above: unlike them",
    "near-duplicate rate": "share of generated images that are hardly more than a copy of a training image; "
    "0.01 by chance",
    # of classes
    "gan-test accuracy": "share of generated images that a classifier assigns to the class asked for",
    "gan-train accuracy": "accuracy on real images of a classifier that was trained on generated ones only",
    "intra-class diversity": "distance between images of a class, of real ones 1; well below: they look alike",
    "per-class coverage": "share of the real images of a class that have a generated one near",
    "1-nn accuracy": "how often the image with the nearest code is of the same class",
    "accuracy": "share of images whose likeliest class is their own",
    "worst class accuracy": "the accuracy on the class where it is lowest",
    "log loss": "how unlikely the true class is to the classifier; sure and wrong costs most",
    # reconstructions and translations
    "mse": "mean squared error of the pixels, in [0,1]",
    "normalised mse": "MSE of reconstructions, divided by that between two different images",
    "psnr": "MSE on a logarithmic scale; 1 dB more is a fifth less error",
    "ssim": "likeness of local contrast and structure, 1 for the same image",
    "lpips": "distance in the features of a network that was fitted to what people see",
    "paired feature distance": "distance of a translation from its target, in the features of a network",
    "pixel accuracy": "share of pixels of the correct class",
    "miou": "pixels in both label maps divided by those in either, mean over classes",
    "cycle-consistency l1": "mean absolute difference of an image from its translation back; 0 if nothing changes",
    # likelihoods
    "nll": "how unlikely a real item is to this model, on average",
    "bits/dim": "the NLL for each value of an image",
    "elbo": "the bound that is trained: no more than minus the NLL",
    "active units": "latent dimensions that depend on the data; the decoder ignores the others. 0: posterior collapse",
    "kl": "how much a code says about its item. Near 0: posterior collapse; with more, reconstructions get "
    "better, and new codes resemble those of the data less",
    # text and music
    "bleu": "share of runs of tokens that real lines have too; above the value of real lines: copied or too plain",
    "self-bleu": "how much generated lines repeat one another; above the value of real lines: too alike",
    "distinct": "different runs of tokens, divided by all; below the value of real lines: repetitive",
    "regular metre": "share of lines whose stretches between punctuation marks are of one length",
    "nn dice similarity": "likeness to the most similar training line; well above the value of real lines: memorised",
    "nll-gen": "how unlikely a real token is to the generator",
    "nll-gen per line": "how unlikely a real line is to the generator",
    "nll-oracle": "how unlikely a generated token is to the oracle that wrote the data; below its own: too plain",
    "exact-match rate": "share of generated items that equal a training item",
    "nn distance": "share of steps that differ from the most similar training window; far below real ones: memorised",
    "onset accuracy": "share of the steps where a note begins that are predicted correctly; rests do not count",
    "scale consistency": "share of notes in the major scale that fits best",
    "joint scale consistency": "the same of melody and bass together",
    "bar self-similarity": "how much of a bar repeats an earlier one",
    "note density distance": "how far the number of notes a bar is from that of real music",
    "note length distance": "how far the lengths of notes are from those of real music",
    "pitch-class histogram distance": "how far the use of the steps of the scale is from that of real music",
    "drum-class histogram distance": "how far the use of the drums is from that of real music",
}
"""what scores measure, in a few words; their definitions say it exactly"""
PREFIXES = ("teacher-forced ", "melody ", "bass ", "drums ")
"""of the names of scores that tell one instrument, or one way of measuring, from another"""


def base_name(name: str) -> str:
    """The name without what follows a comma and without an instrument: that of "fid, a to b" is "fid"."""
    name = name.partition(", ")[0]
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def score_title(name: str) -> str:
    """What a score is called on a page: "self-bleu-2" -> "Self-BLEU-2"; what follows a comma stays as it is."""
    head, comma, rest = name.partition(", ")
    title = re.sub("[a-z]+[0-9]*", lambda word: SPELLINGS.get(word[0], word[0]), head.replace("_", " "))
    if not re.match(rf"({'|'.join(SPELLINGS.values())})\b", title):
        title = title[:1].upper() + title[1:]
    return title + comma + rest


def meaning(name: str) -> list[str]:
    """What a score measures in a few words, if there are any.

    Those of "mse, METHOD" are those of "mse", of "bleu-3" those of "bleu", of "bass onset accuracy" those without bass.
    """
    head = base_name(name)
    known = MEANING.get(head) or MEANING.get(re.sub(r"-\d+$", "", head))
    return [known] if known else []
