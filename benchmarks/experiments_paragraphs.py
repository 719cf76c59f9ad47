"""Experiments of the ledger: paragraphs about images."""

from __future__ import annotations

from typing import Any

from benchmarks.experiment import Claim, Experiment

SCENES = (
    "The built-in set scenes, 10,000 drawn scenes to train on, 96x96, an encoder learnt with the model; 300 scenes of "
    "test, some of whose objects have a colour and a shape that never meet in training. Greedy, no trigram penalty: "
    "the sentences of this set repeat three words by nature. Facts are parsed by the exact inverse of the grammar that "
    "wrote the references; the baseline is the paragraph of the nearest training scene."
)
FLICKR = (
    "flickr8k_800.zip: 800 photos with five captions each, which are joined to a paragraph in their order; a tenth is "
    "held out by a hash of the texts. Greedy, trigram penalty 2. 1,500 steps, not the preset's 4,000, in bf16, which "
    "this CPU computes faster: 33 times through the 700 photos."
)
SMALL: dict[str, Any] = {
    "size": 96, "grid": 12, "encoder": "scratch", "hidden_dim": 128, "embed_dim": 128, "dropout": 0.0,
    "optimizer": "muon", "lr": 4e-3, "trigram_penalty": 0.0, "steps": 2_500, "threads": 1,
}  # fmt: skip

EXPERIMENTS = [
    *(
        Experiment(
            f"scenes-paragraphs-{name}", f"Paragraphs about drawn scenes, {title}", SCENES, f"rtt_gan:{name}",
            built_in="scenes:10000", options=SMALL, seeds=(0, 1, 2),
        )
        for name, title in (
            ("flat", "one RNN"), ("hierarchical", "without discriminators"), ("full", "with both discriminators")
        )
    ),
    Experiment(
        "flickr8k", "Paragraphs about photos: five captions joined", FLICKR, "rtt_gan:laptop", data="flickr8k_800.zip",
        options={"steps": 1_500, "threads": 1, "precision": "bf16"},
    ),
]  # fmt: skip

CLAIMS = [
    *(
        Claim(f"scenes-paragraphs-{name}", score, target=f">= {least}", at_least=least, beats="baseline")
        for name in ("hierarchical", "full")
        for score, least in (("fact precision", 0.95), ("fact recall", 0.9))
    ),
    *(
        Claim(
            f"scenes-paragraphs-{name}", score, target=f"above {below}" if below else "above the nearest scene's",
            over=f"scenes-paragraphs-{below}" if below else None, beats="baseline",
        )
        for name, below in (("flat", ""), ("hierarchical", "flat"), ("full", "hierarchical"))
        for score in ("cider-d", "once in order")
    ),
    *(Claim("scenes-paragraphs-flat", score) for score in ("fact precision", "fact recall")),
    *(
        Claim(f"scenes-paragraphs-{name}", score)
        for name in ("flat", "hierarchical", "full")
        for score in ("held-out recall", "length ratio")
    ),
    *(
        Claim("flickr8k", score)
        for score in ("cider-d", "length ratio", "bleu-4", "repetition", "cider-d, no image seen")
    ),
    Claim("flickr8k", "bleu-1", target="above the nearest photo's", beats="baseline"),
]  # fmt: skip
