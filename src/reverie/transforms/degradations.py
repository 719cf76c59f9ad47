"""Degradations of good images, which give a network its inputs: grey, edges, sketch, blurs, noise, JPEG, few pixels.

B batch, C channels, H, W pixels; images [B,C,H,W] in [-1,1]. What is random is drawn from torch's generator, which the
loop seeds every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.data.images.conversion import LUMA
from reverie.transforms.resampling import imresize_tensor
from reverie.utils.errors import UserError

NO_COLOUR = "the images are grey, so there is no colour to learn; give images in colour."
DegradationName = Literal["grey", "edges", "sketch", "blur", "motion", "focus", "noise", "jpeg", "small"]


class Degradation(NamedTuple):
    """A degradation of images and its default severity."""

    function: Callable[[Tensor, Any], Tensor]
    """(x [B,C,H,W], severity) -> degraded x"""
    severity: float
    """the default"""
    unit: str
    """of the severity"""
    grey: bool = False
    """whether degraded images have one channel"""


def check_severity(degradation: DegradationName, severity: float | None) -> None:
    """Raises UserError where a severity above 0 is outside the range of this degradation."""
    if degradation == "jpeg" and severity is not None and severity > 100:
        raise UserError(f"severity is {severity:g}; of jpeg it is a quality from 1 to 100.")


def apply_degradation(x: Tensor, degradation: DegradationName, severity: float | Tensor | None = None) -> Tensor:
    """Images x [B,C,H,W] degraded for training, with random numbers of torch's generator, in 256 levels of [-1,1].

    severity: in the unit that DEGRADATIONS names; None: the default; of noise also [B,1,1,1]

    The levels are those of a file. From values between them a network would learn to undo a blur exactly, and would
    then sharpen the rounding of real files; and noise beyond black and white would set it apart from an image without.
    """
    with torch.autocast(x.device.type, enabled=False):  # JPEG in bfloat16 would differ
        return ((_apply(x, degradation, severity).clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def apply_degradation_seeded(x: Tensor, degradation: DegradationName, severity: float | None, seed: int) -> Tensor:
    """Images x [B,C,H,W] degraded with random numbers of `seed` alone, clipped to [-1,1]; saving to a file rounds."""
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(seed)
        return _apply(x, degradation, severity).clamp(-1, 1)


def _apply(x: Tensor, degradation: DegradationName, severity: float | Tensor | None) -> Tensor:
    chosen = DEGRADATIONS[degradation]
    return chosen.function(x, chosen.severity if severity is None else severity)


def blur_kernel(degradation: DegradationName, severity: float, seed: int) -> Tensor | None:
    """The kernel of `apply_degradation_seeded` with that seed, float64 [K,K] of sum 1; None if it is no blur."""
    if degradation not in ("blur", "motion", "focus"):
        return None
    radius = math.ceil(3 * severity) + 1  # beyond that all of them are 0
    impulse = torch.zeros(1, 1, 2 * radius + 1, 2 * radius + 1, dtype=torch.float64)
    impulse[0, 0, radius, radius] = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        response = _apply(impulse, degradation, severity)[0, 0]
    support = int((response.nonzero() - radius).abs().max())
    inside = slice(radius - support, radius + support + 1)
    return response[inside, inside]


def downscale_as_cameras(y: Tensor, size: tuple[int, int], scale: int) -> Tensor:
    """Good photos y [B,C,H,W] as small photos of users are: [B,C,h,w], in 256 levels; drawn anew for each image.

    Blurred by a Gaussian of random shape and direction, downscaled (bicubic), with noise of a sigma up to 12 levels, in
    half of them equal in all channels, then JPEG of a quality from 40 to 95: the chain that BSRGAN begins with (Zhang
    2021, arXiv:2103.14006, section 3), in its usual order.
    """
    n, device = len(y), y.device
    with torch.autocast(y.device.type, enabled=False):
        radius = 2 * scale
        at = torch.arange(-radius, radius + 1, dtype=y.dtype, device=device)
        angle = torch.rand(n, 1, 1, device=device) * math.pi
        along = at[None, None] * angle.cos() + at[None, :, None] * angle.sin()
        across = at[None, :, None] * angle.cos() - at[None, None] * angle.sin()
        sigma = 0.2 + torch.rand(2, n, 1, 1, device=device) * (0.5 * scale - 0.2)
        x = _convolve_each(y, torch.exp(-((along / sigma[0]) ** 2 + (across / sigma[1]) ** 2) / 2), radius)
        x = imresize_tensor(x, size)
        draws = torch.randn(2, *x.shape, device=device)
        grey_noise = torch.rand(n, 1, 1, 1, device=device) < 0.5
        level = torch.rand(n, 1, 1, 1, device=device) * (12 / 127.5)
        x = x + torch.where(grey_noise, draws[0, :, :1].expand_as(x), draws[1]) * level
        x = x.clamp(-1, 1)
        quality = 40 + 55 * torch.rand(n)  # on the CPU, where the loop has seeded it too: no value is read back
        return torch.cat([jpeg(x[i : i + 1], float(quality[i])) for i in range(n)])


def degraded_channels(degradation: DegradationName, channels: int) -> int:
    """The channels of degraded images. Raises UserError if images of one channel are to lose their colour."""
    if degradation == "grey" and channels == 1:
        raise UserError(NO_COLOUR)
    return 1 if DEGRADATIONS[degradation].grey else channels


def grey(x: Tensor, _: float = 0.0) -> Tensor:
    """The luminance [B,1,H,W] of x [B,C,H,W]; the second argument is the severity, of which there is none."""
    return x if x.shape[1] == 1 else (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def transfer_colour(x: Tensor, y: Tensor) -> Tensor:
    """The luminance of x [B,1,H,W] with the colour of y [B,3,H,W], which is scaled down where it would leave [-1,1].

    So a colourised image keeps its luminance, as where a network predicts a and b of Lab for a given L (Zhang 2016,
    arXiv:1603.08511, section 2).
    """
    colour = y - grey(y)
    room = torch.where(colour > 0, 1 - x, 1 + x) / colour.abs().clamp_min(1e-6)
    return x + colour * room.amin(1, keepdim=True).clamp(0, 1)


def edges(x: Tensor, threshold: float) -> Tensor:
    """Thin black lines on white [B,1,H,W] where the gradient of the luminance is above `threshold` (Canny 1986, without
    hysteresis)."""
    smooth = blur(grey(x), 1.0)
    kernel = x.new_tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]) / 8
    gradient = F.conv2d(F.pad(smooth, (1, 1, 1, 1), "replicate"), torch.stack([kernel, kernel.T])[:, None])  # [B,2,H,W]
    magnitude = gradient.norm(dim=1, keepdim=True)
    around = F.pad(magnitude, (1, 1, 1, 1))
    h, w = x.shape[2:]
    # Non-maximum suppression across the line, in the nearest of four directions to the gradient.
    sector = (torch.atan2(gradient[:, 1:], gradient[:, :1]) / (math.pi / 4)).round().long() % 4
    steps = ((0, 1), (1, 1), (1, 0), (1, -1))
    ridge = torch.zeros_like(magnitude, dtype=torch.bool)
    for k, (dy, dx) in enumerate(steps):
        ahead = around[:, :, 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w]
        behind = around[:, :, 1 - dy : 1 - dy + h, 1 - dx : 1 - dx + w]
        ridge |= (sector == k) & (magnitude >= ahead) & (magnitude > behind)
    return torch.where(ridge & (magnitude > threshold), -1.0, 1.0)


def sketch(x: Tensor, sigma: float) -> Tensor:
    """A pencil drawing [B,1,H,W]: the luminance divided by its Gaussian blur of `sigma` pixels."""
    light = (grey(x) + 1) / 2
    return (light / blur(light, sigma).clamp_min(1 / 255)).clamp(0, 1) * 2 - 1


def blur(x: Tensor, sigma: float) -> Tensor:
    """x [B,C,H,W] blurred by a Gaussian of `sigma` pixels, truncated at 3 sigma; reflected at the borders."""
    radius = max(1, math.ceil(3 * sigma))
    at = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(x.shape[1], 1, 1, 1)  # [C,1,1,K]
    x = F.conv2d(_padded(x, radius, 0), kernel, groups=x.shape[1])
    return F.conv2d(_padded(x, 0, radius), kernel.transpose(2, 3), groups=x.shape[1])


def motion(x: Tensor, length: float) -> Tensor:
    """x [B,C,H,W] blurred along a line of `length` pixels, in a random direction for each image."""
    radius = math.ceil(length / 2)
    at = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    angle = torch.rand(len(x), 1, 1, device=x.device) * math.pi
    along = at[None, None] * angle.cos() + at[None, :, None] * angle.sin()
    across = at[None, :, None] * angle.cos() - at[None, None] * angle.sin()
    line = (1 - across.abs()).clamp(0, 1) * ((length + 1) / 2 - along.abs()).clamp(0, 1)
    return _convolve_each(x, line, radius)


def focus(x: Tensor, radius: float) -> Tensor:
    """x [B,C,H,W] out of focus: the mean over a disc of `radius` pixels."""
    reach = math.ceil(radius)
    at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    disc = (radius + 0.5 - (at[None] ** 2 + at[:, None] ** 2).sqrt()).clamp(0, 1)
    return _convolve_each(x, disc.expand(len(x), -1, -1), reach)


def noise(x: Tensor, sigma: float | Tensor) -> Tensor:
    """x [B,C,H,W] with Gaussian noise of `sigma` levels of 255 in each channel, not clipped; sigma: also [B,1,1,1]."""
    return x + torch.randn_like(x) * (sigma / 127.5)


def small(x: Tensor, factor: float) -> Tensor:
    """x [B,C,H,W] downscaled by `factor` and scaled back to its size (bicubic)."""
    return F.interpolate(downscale(x, factor), tuple(x.shape[2:]), mode="bicubic", align_corners=False)


def downscale(x: Tensor, factor: float) -> Tensor:
    """x [B,C,H,W] -> [B,C,H/factor,W/factor], sides rounded, at least 1 pixel (bicubic, antialiased)."""
    h, w = x.shape[2:]
    size = (max(1, round(h / factor)), max(1, round(w / factor)))
    return F.interpolate(x, size, mode="bicubic", antialias=True, align_corners=False)


def jpeg(x: Tensor, quality: float) -> Tensor:
    """x [B,C,H,W] after JPEG of a quality from 1 to 100, the chroma at half the resolution (ITU-T T.81, annex K; the
    scale of the tables is libjpeg's)."""
    h, w = x.shape[2:]
    levels = (x + 1) * 127.5
    pad = (0, -w % 16, 0, -h % 16)
    levels = F.pad(levels, pad, "replicate")
    if x.shape[1] == 1:
        return _quantised(levels, _table(x, quality, _LUMA))[:, :, :h, :w] / 127.5 - 1
    forward = x.new_tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    colour = torch.einsum("ij,bjhw->bihw", forward, levels)
    luma = _quantised(colour[:, :1], _table(x, quality, _LUMA))
    chroma = F.avg_pool2d(colour[:, 1:], 2) + 128
    chroma = _quantised(chroma, _table(x, quality, _CHROMA)) - 128
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    back = x.new_tensor([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]])
    levels = torch.einsum("ij,bjhw->bihw", back, torch.cat([luma, chroma], 1))[:, :, :h, :w]
    return levels.clamp(0, 255).round() / 127.5 - 1


def _quantised(x: Tensor, table: Tensor) -> Tensor:
    """x [B,C,H,W] in 0..255, H and W multiples of 8, with the DCT of each 8x8 block quantised by a table [8,8]."""
    b, c, h, w = x.shape
    k = torch.arange(8, dtype=x.dtype, device=x.device)
    dct = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    dct[0] /= math.sqrt(2)
    blocks = (x - 128).reshape(b, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    quantised = ((dct @ blocks @ dct.T) / table).round() * table
    back = (dct.T @ quantised @ dct).transpose(3, 4).reshape(b, c, h, w) + 128
    return back.clamp(0, 255).round()


def _table(x: Tensor, quality: float, base: tuple[int, ...]) -> Tensor:
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    return ((x.new_tensor(base).view(8, 8) * scale + 50) / 100).floor().clamp(1, 255)


def _padded(x: Tensor, across: int, down: int) -> Tensor:
    """x with `across` columns added on either side and `down` rows: reflected, or repeated where x is too small."""
    fits = across < x.shape[3] and down < x.shape[2]
    return F.pad(x, (across, across, down, down), "reflect" if fits else "replicate")


def _convolve_each(x: Tensor, kernels: Tensor, radius: int) -> Tensor:
    """Each image of x [B,C,H,W] convolved with its own kernel of [B,K,K], K = 2 * radius + 1, scaled to sum 1."""
    b, c, h, w = x.shape
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    padded = _padded(x, radius, radius).reshape(1, b * c, h + 2 * radius, w + 2 * radius)
    return F.conv2d(padded, kernels.repeat_interleave(c, 0)[:, None], groups=b * c).reshape(b, c, h, w)


# fmt: off
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66,
    *([99] * 38),
)
# fmt: on
DEGRADATIONS: dict[str, Degradation] = {
    "grey": Degradation(grey, 0.0, "none", grey=True),
    "edges": Degradation(edges, 0.06, "difference of luminance in a pixel, of 2", grey=True),
    "sketch": Degradation(sketch, 4.0, "pixels of the surroundings", grey=True),
    "blur": Degradation(blur, 1.6, "pixels, the sigma of a Gaussian"),
    "motion": Degradation(motion, 9.0, "pixels of a line"),
    "focus": Degradation(focus, 3.0, "pixels, the radius of a disc"),
    "noise": Degradation(noise, 25.0, "levels of 255, the sigma of a Gaussian"),
    "jpeg": Degradation(jpeg, 20.0, "quality, from 1 to 100"),
    "small": Degradation(small, 4.0, "times smaller"),
}
assert tuple(DEGRADATIONS) == get_args(DegradationName)
