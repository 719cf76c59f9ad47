"""PatchNCE: a patch of a translated image is more like the patch in its place of the input than like others of it.

CUT (Park, Efros, Zhang, Zhu 2020, arXiv:2007.15651, section 3).   B batch, D channels, h, w places of a map, L maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, TEMPERATURE = 256, 0.07
"""dimensions in which patches are compared, and the temperature tau of eq. 1 (section 3)"""


class PatchNCE(nn.Module):
    """Maps of a translated image and of its input -> the loss of eq. 3, a mean over maps and places.

    Each map has a network H of two layers, trained with the generator. Patches of other images are no negatives.
    """

    def __init__(self, channels: Sequence[int], patches: int = 256) -> None:
        """channels: D of each map; patches: places of a map that are compared, at most."""
        super().__init__()
        self.patches = patches
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(d, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)) for d in channels
        )
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0, 0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, translated: Sequence[Tensor], source: Sequence[Tensor]) -> Tensor:
        """Maps [B,D,h,w] of each layer; places are drawn from torch's global generator."""
        losses = []
        for head, query, key in zip(self.heads, translated, source, strict=True):
            query, key = query.flatten(2), key.flatten(2)  # [B,D,h*w]
            places = torch.randperm(query.shape[2], device=query.device)[: self.patches]
            query, key = (F.normalize(head(x[:, :, places].transpose(1, 2)), dim=2) for x in (query, key))
            similarity = query @ key.detach().transpose(1, 2) / TEMPERATURE  # [B,P,P]
            target = torch.arange(len(places), device=query.device).expand(len(query), -1)
            losses.append(F.cross_entropy(similarity.flatten(0, 1), target.flatten()))
        return torch.stack(losses).mean()
