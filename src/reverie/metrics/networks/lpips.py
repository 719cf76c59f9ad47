"""LPIPS v0.1 (Zhang, Isola, Efros, Shechtman, Wang 2018, arXiv:1801.03924): perceptual distance of two images.

B batch, H, W pixels. AlexNet is torchvision's (Krizhevsky 2014, arXiv:1404.5997), under the names of its weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""of red, green and blue in [-1,1], as published: ImageNet's mean and deviation of [0,1]"""
LAYERS = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1))
"""convolutions: channels in and out, pixels of the kernel, stride, padding"""
PLACES = (0, 3, 6, 8, 10)
"""their indices among torchvision's `features`"""
POOLED = (1, 2)
"""convolutions before which the maximum of 3x3 is taken, stride 2"""
LEAST = 31
"""pixels a side from which on every map has a pixel"""


class LPIPS(nn.Module):
    """The distance of section 3, "lin": features after each convolution's ReLU, normalised over channels, their
    squared difference weighted by coefficients fitted to human ratings, mean over positions, sum over layers."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict({str(at): nn.Conv2d(*layer) for at, layer in zip(PLACES, LAYERS, strict=True)})
        self.lin = nn.ParameterList(torch.empty(1, layer[1], 1, 1) for layer in LAYERS)
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)

    @classmethod
    def names(cls) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the weights, as torchvision and the authors name theirs."""
        found: dict[str, tuple[int, ...]] = {}
        for at, (inputs, outputs, k, _, _) in zip(PLACES, LAYERS, strict=True):
            found[f"features.{at}.weight"], found[f"features.{at}.bias"] = (outputs, inputs, k, k), (outputs,)
        return {**found, **{f"lin{i}.model.1.weight": (1, layer[1], 1, 1) for i, layer in enumerate(LAYERS)}}

    def load_weights(self, weights: dict[str, Tensor]) -> LPIPS:
        """With weights under those names, in float32, for evaluation."""
        own = {name: weights[name] for name in self.names() if name.startswith("features.")}
        own |= {f"lin.{i}": weights[f"lin{i}.model.1.weight"] for i in range(len(LAYERS))}
        self.load_state_dict({name: value.float() for name, value in own.items()})
        return self.eval().requires_grad_(False)

    def maps(self, x: Tensor) -> list[Tensor]:
        """[B,3,H,W] in [-1,1] -> the output of each convolution's ReLU, of length 1 over channels."""
        found, x = [], (x - self.shift) / self.scale
        for i, layer in enumerate(self.features.values()):
            x = F.relu(layer(F.max_pool2d(x, 3, 2) if i in POOLED else x))
            found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Images [B,3,H,W] in [-1,1] -> distances [B]."""
        layers = zip(self.lin, self.maps(a), self.maps(b), strict=True)
        return torch.stack([((y - z).square() * w).sum(1).mean((1, 2)) for w, y, z in layers]).sum(0)
