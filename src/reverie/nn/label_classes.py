"""Label maps as classes: targets for cross-entropy, and images of what is predicted.

B batch, K classes, C channels (1 or 3), H, W pixels; label maps [B,C,H,W] in [-1,1], each pixel of a class's colour.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from reverie.utils.errors import UserError

PLACES = (65536, 256, 1)
"""of red, green and blue in one number for a colour"""


class LabelClasses(nn.Module):
    """The colours of K classes. It has no weights, and nothing of it is in checkpoints."""

    colours: Tensor
    numbers: Tensor
    order: Tensor

    def __init__(self, colours: Sequence[int], channels: int) -> None:
        """colours: R, G, B of each class, uint8; channels: of the label maps, C; with 1 all colours are grey."""
        super().__init__()
        with torch.device("cpu"):  # on the meta device there would be no values
            levels = torch.tensor(colours).view(-1, 3)[:, :channels]
            numbers = (levels * torch.tensor(PLACES)[:channels]).sum(1)
            order = numbers.argsort()
        self.register_buffer("colours", levels.float() / 127.5 - 1, persistent=False)
        self.register_buffer("numbers", numbers[order].contiguous(), persistent=False)
        self.register_buffer("order", order, persistent=False)

    def indices(self, labels: Tensor) -> Tensor:
        """The class of each pixel of label maps [B,C,H,W]: int64 [B,H,W]."""
        levels = ((labels.movedim(1, -1) + 1) * 127.5).round().long()
        numbers = (levels * torch.tensor(PLACES, device=labels.device)[: labels.shape[1]]).sum(-1)
        return self.order[torch.searchsorted(self.numbers, numbers).clamp_max(len(self.order) - 1)]

    def most_likely(self, logits: Tensor) -> Tensor:
        """Logits [B,K,H,W] -> the label map [B,C,H,W] of the likeliest class of each pixel."""
        return self.colours[logits.argmax(1)].movedim(-1, 1)

    def expected(self, logits: Tensor) -> Tensor:
        """Logits [B,K,H,W] -> the mean colour [B,C,H,W] of each pixel, through which gradients reach the logits."""
        return torch.einsum("bkhw,kc->bchw", logits.softmax(1), self.colours)


def resolve_pixel_loss(config: Any, labels: dict[str, Any] | None) -> Any:
    """A method's config with what "auto" means for its targets, and with their classes where these are learnt.

    labels: LabelCodes.to_json of the targets (data/images/label_codes.py), or None where they are no label maps.
    Raises UserError for cross-entropy without them, or with fewer channels than they need.
    """
    chosen: dict[str, Any] = {}
    if config.discriminator == "auto" and labels is not None:
        chosen["discriminator"] = "pixels"
    pixel_loss = config.pixel_loss
    if pixel_loss == "auto":
        chosen["pixel_loss"] = pixel_loss = "l1" if labels is None else "cross_entropy"
    if config.encoder == "auto":
        frozen = pixel_loss == "cross_entropy" and config.network == "unet"
        chosen["encoder"] = "frozen" if frozen else "scratch"
    if pixel_loss == "cross_entropy":
        if labels is None:
            raise UserError(
                "pixel_loss is cross_entropy, for targets that are label maps, and these are not; give --pixel-loss l1."
            )
        if config.out_channels == 1 and any(len(set(code)) > 1 for code in labels["codes"]):
            raise UserError(
                "out_channels is 1, but the classes of these label maps differ in their colours; leave it away."
            )
        chosen["label_colours"] = tuple(level for code in labels["codes"] for level in code)
    if config.label_colours not in (None, chosen.get("label_colours")):
        raise UserError("label_colours are read off label maps, for pixel_loss cross_entropy; leave the option away.")
    return dataclasses.replace(config, **chosen)
