"""A pool of generated images of earlier steps, for a discriminator to learn from (Shrivastava 2016, section 2.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """A history of up to `size` images [size,C,H,W]; as buffers, they are saved and resumed with the networks.

    Of the images passed in, half are returned as they are. Each of the others takes the place of a random older one,
    which is returned instead. Size 0: all are returned as they are.
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, channels, height, width))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """images [B,C,H,W] -> as many images, some of them of earlier steps."""
        size = len(self.images)
        if not size:
            return images
        returned = []
        for image in images:
            # While the pool fills, an image is stored in the next free place and returned itself. The place is a
            # tensor of one dimension: indexing by a scalar would read the count back from the GPU.
            filling = self.count < size
            swap = torch.rand((), device=images.device) < 0.5
            place = torch.where(filling, self.count, torch.randint(size, (), device=images.device))[None]
            older = self.images[place]
            returned.append(torch.where(~filling & swap, older[0], image))
            self.images[place] = torch.where(filling | swap, image, older)
            self.count += filling.long()
        return torch.stack(returned)
