"""Feature extractors: networks whose features images are compared by. EfficientNet-Lite0, which is installed, unless
another one is named: Inception, MobileNetV2, or a reverie classifier.

N images, B batch, C channels, D features per image.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.convert.tensor_files import read_tensors
from reverie.data.download import PublicFile, fetch_file
from reverie.data.images.conversion import LUMA
from reverie.data.images.dataset import Images
from reverie.data.images.in_memory import InMemoryImages
from reverie.evaluation.feature_classifier import read_classifier, train_feature_classifier
from reverie.metrics.networks import inception, mobilenet
from reverie.metrics.networks.fill import filled
from reverie.nn.fused_inference import fuse_for_inference
from reverie.nn.imagenet import SHA256, EfficientNetLite, read_weights
from reverie.nn.imagenet import SIZE as IMAGENET_SIZE
from reverie.runs.run_folder import WEIGHTS
from reverie.utils.atomic_files import sha256
from reverie.utils.distributed import Ranks
from reverie.utils.errors import UserError, near_miss
from reverie.utils.progress_bar import bar

KNOWN = (
    "torchvision's mobilenet_v2, torchvision's inception_v3, the Inception of pytorch-fid, EfficientNet-Lite, and "
    "classifiers of reverie"
)
IMAGENET, CLASSIFIER, INCEPTION = "imagenet", "classifier", "inception"
NAMED = (IMAGENET, CLASSIFIER, INCEPTION)
"""networks that are named in place of a file"""
INCEPTION_FILE = PublicFile(
    (
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    ),
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    95628359,
)
"""the weights of the FID as pytorch-fid distributes them"""
SMALL, SMALL_SIDE = 64, 128
"""pixels a side: images up to SMALL are enlarged to SMALL_SIDE for the ImageNet network, in a third of the time"""


@dataclass(frozen=True)
class FeatureExtractor:
    """A network that turns images into features, and says which network it is."""

    name: str
    fingerprint: str
    """16 hex digits of the SHA-256 of its weights file"""
    definition: str
    """network, fingerprint, resizing, range, layer, width: every choice that changes a feature"""
    width: int
    """D"""
    embed: Callable[[Tensor], Tensor]
    """[B,C,H,W] in 0..255 -> [B,D], on the device"""
    device: torch.device
    batch_size: int
    """smaller batches are padded to it, so that rounding is the same for an image alone and among others"""

    def features(self, images: np.ndarray, label: str = "features") -> Tensor:
        """uint8 [N,H,W,C], C 1 or 3 -> float32 [N,D] on the CPU; a terminal shows a progress bar called `label`.

        Raises ValueError for arrays of another type or shape.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
            raise ValueError(f"images are uint8 [N,H,W,C] with 1 or 3 channels, not {images.dtype} {images.shape}")
        features = torch.empty(len(images), self.width)
        padded = np.zeros((self.batch_size, *images.shape[1:]), np.uint8)
        shown = bar(None, len(images), label)
        with shown, torch.inference_mode(), _exact(self.device):
            for start in range(0, len(images), self.batch_size):
                part = images[start : start + self.batch_size]
                padded[: len(part)] = part
                x = torch.from_numpy(padded).to(self.device).permute(0, 3, 1, 2).float()  # [B,C,H,W], channels_last
                features[start : start + len(part)] = self.embed(x)[: len(part)].cpu()
                shown.update(len(part))
        return features


def _exact(device: torch.device) -> AbstractContextManager[Any]:
    """On a GPU: full float32 in convolutions, and the same algorithm every time."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def open_features(spec: str | Path | None, data: Any, device: str = "auto") -> FeatureExtractor:
    """The network of a name, of a weights file, or of a classifier's run folder.

    None or "imagenet": EfficientNet-Lite0, which is installed with reverie. "classifier": one of the labels of `data`;
    if the cache has none, it is TRAINED here, which takes minutes and is said on stderr (see feature_classifier.py).
    "inception": the network of pytorch-fid, downloaded once. Files: MobileNetV2, Inception or EfficientNet-Lite
    weights, as .safetensors, or as .pth without code; which network it is follows from the names of the weights. Raises
    UserError for other files and names, and if a classifier would have to be trained on data without labels.
    """
    resolved = Ranks(device).device
    if spec is None or str(spec) == IMAGENET:
        return _from_efficientnet(read_weights(), SHA256[:16], resolved)
    if str(spec) == CLASSIFIER:
        if not isinstance(data, (Images, InMemoryImages)):
            raise UserError("a feature classifier is trained on labelled images, not on pairs; name another network.")
        return _from_classifier(train_feature_classifier(data, device), resolved)
    if str(spec) == INCEPTION:
        by_hand = "download it elsewhere and name the file with --features, or leave --features away"
        path = fetch_file(INCEPTION_FILE, "pytorch-fid's Inception", by_hand)
    else:
        path = Path(spec).expanduser()
    if path.is_dir():
        return _from_classifier(read_classifier(path), resolved)
    weights, metadata, fingerprint = read_weights_file(path)
    if "reverie" in metadata:
        return _from_classifier(read_classifier(path), resolved)
    if "features.18.0.weight" in weights:
        return _from_mobilenet(weights, mobilenet.Preprocessing.read(metadata, path), fingerprint, resolved, path)
    if "Mixed_7c.branch1x1.conv.weight" in weights:
        return _from_inception(weights, fingerprint, resolved, path)
    if "_conv_stem.weight" in weights:
        try:
            return _from_efficientnet(weights, fingerprint, resolved)
        except ValueError as error:
            raise UserError(f"{path}: {error}; get the file again.") from None
    first = next(iter(weights), "nothing")
    raise UserError(f"{path} holds weights of an unknown network (the first is {first}); known: {KNOWN}.")


# -- the networks ------------------------------------------------------------------------------------------------------


def _from_efficientnet(weights: dict[str, Tensor], fingerprint: str, device: torch.device) -> FeatureExtractor:
    net = fuse_for_inference(EfficientNetLite.from_weights(weights)).to(device)
    width = len(weights["_conv_head.weight"])

    def embed(x: Tensor) -> Tensor:
        side = SMALL_SIDE if max(x.shape[2:]) <= SMALL else IMAGENET_SIZE
        return net.pooled(resized(_rgb(x) / 127.5 - 1, side))

    name = "EfficientNet-Lite0" if fingerprint == SHA256[:16] else "EfficientNet-Lite"
    definition = (
        f"{name} {fingerprint} of ImageNet, RGB, (x-127)/128, antialiased bilinear resize to {IMAGENET_SIZE} "
        f"({SMALL_SIDE} for images of up to {SMALL} pixels) in float32, TensorFlow SAME padding, average-pooled last "
        f"convolution, {width} dimensions"
    )
    return FeatureExtractor("efficientnet_lite", fingerprint, definition, width, embed, device, 16)


def _from_mobilenet(
    weights: dict[str, Tensor],
    preprocessing: mobilenet.Preprocessing,
    fingerprint: str,
    device: torch.device,
    path: Path,
) -> FeatureExtractor:
    with torch.device("meta"):  # its initial weights are not needed
        net = mobilenet.MobileNetV2(same=preprocessing.same)
    net = fuse_for_inference(filled(net, weights, "mobilenet_v2", path)).to(device)

    def embed(x: Tensor) -> Tensor:
        return net.pooled(resized(preprocessing.apply(_rgb(x)), mobilenet.SIZE))

    definition = (
        f"MobileNetV2 {fingerprint}, RGB, {preprocessing}, antialiased bilinear resize to {mobilenet.SIZE} in float32, "
        f"average-pooled last convolution, {mobilenet.WIDTH} dimensions"
    )
    return FeatureExtractor("mobilenet_v2", fingerprint, definition, mobilenet.WIDTH, embed, device, 8)


def _from_inception(weights: dict[str, Tensor], fingerprint: str, device: torch.device, path: Path) -> FeatureExtractor:
    classes = len(weights["fc.weight"]) if "fc.weight" in weights else 0
    if classes not in inception.CLASSES:
        raise UserError(
            f"{path} is an Inception with {classes} outputs, whose preprocessing is not known; known are the network "
            "of pytorch-fid (1008) and torchvision's (1000)."
        )
    fid = inception.CLASSES[classes]
    with torch.device("meta"):
        net = inception.Inception(fid)
    kept = {k: v for k, v in weights.items() if not k.startswith("AuxLogits.")}  # which only training uses
    net = fuse_for_inference(filled(net, kept, "inception_v3", path)).to(device)

    def embed(x: Tensor) -> Tensor:
        # torchvision's transform_input undoes ImageNet's mean and deviation, so that both networks take [-1,1]
        return net.pooled(resized(_rgb(x) / 127.5 - 1, inception.SIZE, antialias=not fid))

    network = "pytorch-fid's network (1008 outputs), bilinear resize without antialiasing"
    if not fid:
        network = "torchvision's network (1000 outputs), antialiased bilinear resize"
    definition = (
        f"Inception v3 {fingerprint}, {network} to {inception.SIZE} in float32, RGB, x/127.5-1, "
        f"average-pooled last feature map, {inception.WIDTH} dimensions"
    )
    return FeatureExtractor(
        "inception_fid" if fid else "inception_v3", fingerprint, definition, inception.WIDTH, embed, device, 8
    )


def _from_classifier(method: Any, device: torch.device) -> FeatureExtractor:
    method.to(device)
    size, channels, fingerprint = method.config.size, method.config.channels, method.origin["run"]

    def embed(x: Tensor) -> Tensor:
        x = _rgb(x) if channels == 3 else _grey(x)
        return method.features((resized(x, size) / 127.5 - 1).contiguous())

    blank = torch.zeros(1, channels, size, size, device=device)
    with torch.inference_mode():
        width = method.features(blank).shape[1]
    name, colour = method.origin["method"], "RGB" if channels == 3 else "grey (BT.601)"
    definition = (
        f"{name} {fingerprint} of {len(method.config.class_names)} classes, {colour}, "
        f"antialiased bilinear resize to {size} in float32, x/127.5-1, input of its last layer, {width} dimensions"
    )
    return FeatureExtractor(name, fingerprint, definition, width, embed, device, 64)


def resized(x: Tensor, side: int, antialias: bool = True) -> Tensor:
    """[B,C,H,W] -> [B,C,side,side], bilinear, align_corners=False; antialiased where it shrinks."""
    if x.shape[2:] == (side, side):
        return x
    shrinks = max(x.shape[2:]) > side  # otherwise it changes nothing, and takes four times as long
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False, antialias=antialias and shrinks)


def _rgb(x: Tensor) -> Tensor:
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x


def _grey(x: Tensor) -> Tensor:
    return x if x.shape[1] == 1 else (x * torch.tensor(LUMA, device=x.device).view(3, 1, 1)).sum(1, keepdim=True)


# -- weights files --------------------------------------------------------------------------------------------------


def read_weights_file(path: Path, known: str = KNOWN) -> tuple[dict[str, Tensor], dict[str, str], str]:
    """(weights, metadata, first 16 hex digits of the SHA-256) of a .safetensors or .pth file. Raises UserError.

    known: what such a file may hold, for the error message.
    """
    try:
        digest = sha256(path)[:16]
    except OSError as error:
        raise UserError(_no_file(path, error)) from None
    return *read_tensors(path, f"give the state dict, as .safetensors or .pth, of {known}"), digest


def fingerprint_of(spec: str | Path | None) -> str:
    """16 hex digits of the SHA-256 of a file, or of a run's weights; "classifier" as it is, since the data decides.

    Raises UserError if there is neither.
    """
    if spec is None or str(spec) == IMAGENET:
        return SHA256[:16]
    if str(spec) == CLASSIFIER:
        return CLASSIFIER
    if str(spec) == INCEPTION:
        return INCEPTION_FILE.sha256[:16]
    path = Path(spec).expanduser()
    try:
        return sha256(path / WEIGHTS if path.is_dir() else path)[:16]
    except OSError as error:
        raise UserError(_no_file(path, error)) from None


def _no_file(path: Path, error: OSError) -> str:
    return (
        f"{path} cannot be read ({error.strerror}); give a weights file, a run folder, or one of "
        f"{', '.join(NAMED)}.{near_miss(str(path), [*NAMED])}"
    )
