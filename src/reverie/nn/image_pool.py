"""A pool of generated images of earlier steps, for a discriminator to judge (Shrivastava 2016, section 2.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Keeps up to `size` images [size,C,H,W]. Being a buffer, it is saved and resumed with the networks.

    Half of the images handed in are given back as they are; for the others an older one is, and they take its place.
    """

    held: Tensor
    count: Tensor

    def __init__(self, size: int, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("held", torch.zeros(size, channels, height, width))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """images [B,C,H,W] -> as many, some of them older."""
        size, found = len(self.held), []
        if not size:
            return images
        for image in images:
            # Without reading the count back, as a place of no dimension would be: while the pool fills, an image goes
            # to the next free place and is given back itself.
            free, swap = self.count < size, torch.rand((), device=images.device) < 0.5
            place = torch.where(free, self.count, torch.randint(size, (), device=images.device))[None]
            older = self.held[place]
            found.append(torch.where(~free & swap, older[0], image))
            self.held[place] = torch.where(free | swap, image, older)
            self.count += free.long()
        return torch.stack(found)
