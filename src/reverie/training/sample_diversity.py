"""How diverse a method's samples are, measured by the loop where no metric of the step says it."""

from __future__ import annotations

from reverie.core.diagnostics import mean_nn_distance, nn_distance_ratio
from reverie.core.method import Method
from reverie.core.options import media_output
from reverie.core.stage import Batch
from reverie.media import Image


def needs_sample_diversity(method: Method, batch: Batch) -> bool:
    """Whether the method generates images like those of the batch, and declares no metric of the role "diversity"."""
    if "diversity" in method.monitored.values() or "generate" not in method.verbs():
        return False
    return media_output(method.verb("generate")) is Image and len(batch.get("image", ())) > 1


def sample_diversity(method: Method, batch: Batch) -> dict[str, float]:
    """{"nn_distance_ratio": r} of as many samples as there are images [B,C,H,W] in [-1,1] in the batch, B > 1.

    r: mean distance of a sample from its nearest neighbour among the samples, over that of the real images among
    themselves. The samples are always those of seed 0, and no generator of random numbers moves.
    """
    real = batch["image"]
    images = method.verb("generate")(n=len(real), seed=0)
    fake = Image.to_tensor(images, real.shape[-1], real.shape[1]).to(real)
    return {name: float(value) for name, value in nn_distance_ratio(real, fake, mean_nn_distance).items()}
