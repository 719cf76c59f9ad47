"""What makes an input of a good picture: grey, edges, a sketch, blur, noise, JPEG, few pixels.

B batch, C channels, H, W pixels; images [B,C,H,W] in [-1,1]. What is random is drawn from torch's generator, which the
loop seeds every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.data.images.decode import LUMA
from reverie.utils.errors import UserError

DegradationName = Literal["grey", "edges", "sketch", "blur", "motion", "focus", "noise", "jpeg", "small"]


class Degradation(NamedTuple):
    """A way to spoil a picture."""

    act: Callable[[Tensor, float], Tensor]
    """(x [B,C,H,W], severity) -> spoilt x"""
    severity: float
    """the usual one"""
    unit: str
    grey: bool = False
    """whether what comes out has one channel"""


def check_severity(degradation: DegradationName, severity: float | None) -> None:
    """Raises UserError where pictures cannot be spoilt so strongly."""
    if severity is not None and not severity > 0:
        raise UserError(f"severity is {severity:g}; it must be above 0 ({DEGRADATIONS[degradation].unit}).")
    if degradation == "jpeg" and severity is not None and severity > 100:
        raise UserError(f"severity is {severity:g}; of jpeg it is a quality from 1 to 100.")


def degrade(x: Tensor, degradation: DegradationName, severity: float | None = None) -> Tensor:
    """x spoilt in a named way; severity: None for the usual one, in the unit that DEGRADATIONS names.

    In whole levels from 0 to 255, as files hold it: what lies between them would tell a network how to undo a blur, and
    of a file it would then sharpen the rounding; and noise that goes beyond black and white is told apart from none.
    """
    with torch.autocast(x.device.type, enabled=False):  # in bfloat16 JPEG would be another one
        return ((_apply(x, degradation, severity).clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def degrade_seeded(x: Tensor, degradation: DegradationName, severity: float | None, seed: int) -> Tensor:
    """As degrade, with random numbers of the seed alone, clipped to [-1,1], and not rounded: a file will do that."""
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(seed)
        return _apply(x, degradation, severity).clamp(-1, 1)


def _apply(x: Tensor, degradation: DegradationName, severity: float | None) -> Tensor:
    way = DEGRADATIONS[degradation]
    return way.act(x, way.severity if severity is None else severity)


def kernel(degradation: DegradationName, severity: float, seed: int) -> Tensor | None:
    """What a point of light becomes, float64 [K,K] with sum 1, where `spoilt` with that seed is a blur; else None."""
    if degradation not in ("blur", "motion", "focus"):
        return None
    reach = math.ceil(3 * severity) + 1  # farther than any of them goes
    point = torch.zeros(1, 1, 2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    point[0, 0, reach, reach] = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = _apply(point, degradation, severity)[0, 0]
    far = int((found.nonzero() - reach).abs().max())
    return found[reach - far : reach + far + 1, reach - far : reach + far + 1]


def channels_of(degradation: DegradationName, channels: int) -> int:
    """The channels of what comes out. Raises UserError if nothing would be lost."""
    if degradation == "grey" and channels == 1:
        raise UserError("the pictures are grey, so there is no colour to learn; give pictures in colour.")
    return 1 if DEGRADATIONS[degradation].grey else channels


def grey(x: Tensor, _: float = 0.0) -> Tensor:
    """The luminance [B,1,H,W]."""
    return x if x.shape[1] == 1 else (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def keep_luminance(x: Tensor, y: Tensor, degradation: str) -> Tensor:
    """y, that was made of a spoilt x, but with what `make` had left as it was: of a grey picture its light."""
    return coloured(x, y) if degradation == "grey" else y


def coloured(x: Tensor, y: Tensor) -> Tensor:
    """x [B,1,H,W] in the colours of y [B,3,H,W]: as far from grey as y is, or as there is room for, and the light of x.

    So a picture that is given its colours keeps its light, as where a network makes the a and b of Lab for a given L
    (Zhang 2016, arXiv:1603.08511, section 2).
    """
    colour = y - grey(y)
    room = torch.where(colour > 0, 1 - x, 1 + x) / colour.abs().clamp_min(1e-6)
    return x + colour * room.amin(1, keepdim=True).clamp(0, 1)


def edges(x: Tensor, threshold: float) -> Tensor:
    """Thin black lines on white where the luminance changes (Canny 1986, without hysteresis): [B,1,H,W]."""
    smooth = blur(grey(x), 1.0)
    kernel = x.new_tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]) / 8
    slope = F.conv2d(F.pad(smooth, (1, 1, 1, 1), "replicate"), torch.stack([kernel, kernel.T])[:, None])  # [B,2,H,W]
    magnitude = slope.norm(dim=1, keepdim=True)
    around = F.pad(magnitude, (1, 1, 1, 1))
    h, w = x.shape[2:]
    # A line stands where no neighbour across it is stronger: of four directions the one nearest to the slope.
    sector = (torch.atan2(slope[:, 1:], slope[:, :1]) / (math.pi / 4)).round().long() % 4
    steps = ((0, 1), (1, 1), (1, 0), (1, -1))
    ridge = torch.zeros_like(magnitude, dtype=torch.bool)
    for k, (dy, dx) in enumerate(steps):
        ahead = around[:, :, 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w]
        behind = around[:, :, 1 - dy : 1 - dy + h, 1 - dx : 1 - dx + w]
        ridge |= (sector == k) & (magnitude >= ahead) & (magnitude > behind)
    return torch.where(ridge & (magnitude > threshold), -1.0, 1.0)


def sketch(x: Tensor, sigma: float) -> Tensor:
    """A pencil drawing: the luminance, divided by what is around it [B,1,H,W]."""
    light = (grey(x) + 1) / 2
    return (light / blur(light, sigma).clamp_min(1 / 255)).clamp(0, 1) * 2 - 1


def blur(x: Tensor, sigma: float) -> Tensor:
    """Blurred by a Gaussian of `sigma` pixels, cut at 3 sigma; mirrored at the borders."""
    reach = max(1, math.ceil(3 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(x.shape[1], 1, 1, 1)  # [C,1,1,K]
    x = F.conv2d(_framed(x, reach, 0), kernel, groups=x.shape[1])
    return F.conv2d(_framed(x, 0, reach), kernel.transpose(2, 3), groups=x.shape[1])


def motion(x: Tensor, length: float) -> Tensor:
    """Blurred along a line of `length` pixels, in another direction for each image."""
    reach = math.ceil(length / 2)
    at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    angle = torch.rand(len(x), 1, 1, device=x.device) * math.pi
    along = at[None, None] * angle.cos() + at[None, :, None] * angle.sin()
    across = at[None, :, None] * angle.cos() - at[None, None] * angle.sin()
    line = (1 - across.abs()).clamp(0, 1) * ((length + 1) / 2 - along.abs()).clamp(0, 1)
    return _each(x, line, reach)


def focus(x: Tensor, radius: float) -> Tensor:
    """Out of focus: the mean over a disc of `radius` pixels."""
    reach = math.ceil(radius)
    at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    disc = (radius + 0.5 - (at[None] ** 2 + at[:, None] ** 2).sqrt()).clamp(0, 1)
    return _each(x, disc.expand(len(x), -1, -1), reach)


def noise(x: Tensor, sigma: float) -> Tensor:
    """With Gaussian noise of `sigma` levels of 255 in each channel, not clipped."""
    return x + torch.randn_like(x) * (sigma / 127.5)


def small(x: Tensor, factor: float) -> Tensor:
    """Made `factor` times smaller, and as large as before again (bicubic)."""
    return F.interpolate(smaller(x, factor), tuple(x.shape[2:]), mode="bicubic", align_corners=False)


def smaller(x: Tensor, factor: float) -> Tensor:
    """Made `factor` times smaller (bicubic, antialiased)."""
    h, w = x.shape[2:]
    size = (max(1, round(h / factor)), max(1, round(w / factor)))
    return F.interpolate(x, size, mode="bicubic", antialias=True, align_corners=False)


def jpeg(x: Tensor, quality: float) -> Tensor:
    """As after JPEG of a quality from 1 to 100, the chroma at half the resolution (ITU-T T.81, annex K; the scale is
    libjpeg's)."""
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
    """[B,C,H,W] in 0..255, H and W multiples of 8, with the cosine transform of each 8x8 block rounded to a table."""
    b, c, h, w = x.shape
    k = torch.arange(8, dtype=x.dtype, device=x.device)
    dct = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    dct[0] /= math.sqrt(2)
    blocks = (x - 128).reshape(b, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    found = ((dct @ blocks @ dct.T) / table).round() * table
    back = (dct.T @ found @ dct).transpose(3, 4).reshape(b, c, h, w) + 128
    return back.clamp(0, 255).round()


def _table(x: Tensor, quality: float, base: tuple[int, ...]) -> Tensor:
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    return ((x.new_tensor(base).view(8, 8) * scale + 50) / 100).floor().clamp(1, 255)


def _framed(x: Tensor, across: int, down: int) -> Tensor:
    """With borders on the left and right, above and below: mirrored, or where there is too little, repeated."""
    fits = across < x.shape[3] and down < x.shape[2]
    return F.pad(x, (across, across, down, down), "reflect" if fits else "replicate")


def _each(x: Tensor, kernels: Tensor, reach: int) -> Tensor:
    """Each image of [B,C,H,W] with a kernel of its own, of [B,K,K]."""
    b, c, h, w = x.shape
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    framed = _framed(x, reach, reach).reshape(1, b * c, h + 2 * reach, w + 2 * reach)
    return F.conv2d(framed, kernels.repeat_interleave(c, 0)[:, None], groups=b * c).reshape(b, c, h, w)


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
