"""Holes of images that a network takes as squares of its own size.   C channels, S pixels a side."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.media import Image, Photo
from reverie.utils.errors import UserError

COVER = 128
"""level that hides what is in a hole before an image is resized, which would spread it"""


class SquareHole(NamedTuple):
    """An image with a hole, as a network takes it."""

    image: Image
    mask: Photo | None
    covered: Image
    """the image, mid-grey in its hole"""
    beside: Tensor
    """[1,C+1,S,S]: the centre square of the image in [-1,1], and 1 where its hole is"""


def square_holes(image: Image, mask: Photo | None, hole: np.ndarray, size: int, channels: int) -> SquareHole:
    """An image and its hole bool [H,W], resized to S = size; a pixel with any of the hole in it is in the hole.

    Raises UserError if the hole is outside of the centre square, or all of it.
    """
    side = min(hole.shape)
    top, left = ((whole - side) // 2 for whole in hole.shape)
    square = torch.from_numpy(hole[top : top + side, left : left + side])[None, None]
    marks = F.adaptive_max_pool2d(square.float(), size) > 0
    for without, what in ((not marks.any(), "nothing"), (bool(marks.all()), "all")):
        if without:
            raise UserError(
                f"the hole is {what} of the centre square of {image.name or 'an image'}, which is what the run takes; "
                "mark a part of it, or crop the image."
            )
    covered = replace(image, pixels=np.where(hole[:, :, None], COVER, image.pixels).astype(np.uint8))
    beside = torch.cat([Image.to_tensor([image], size, channels), marks.float()], 1)
    return SquareHole(image, mask, covered, beside)
