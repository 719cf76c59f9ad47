"""Opens networks to look into: the installed one, torchvision's files, public weights by name, runs of this
project, and any module from Python.   B batch, C channels, H, W pixels; images x [B,3,H,W] in [-1,1].
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reverie.api import load
from reverie.data.cache import cache_folder
from reverie.data.download import WEIGHTS, PublicFile, fetch_file
from reverie.data.images.conversion import LUMA
from reverie.dreaming.network import DreamNetwork
from reverie.evaluation.feature_extractors import INCEPTION_FILE, read_weights_file
from reverie.metrics.networks import googlenet, inception, mobilenet, resnet, squeezenet, vgg
from reverie.metrics.networks.fill import filled
from reverie.nn import imagenet
from reverie.nn.fused_inference import fuse_for_inference
from reverie.nn.imagenet import EfficientNetLite, class_names, read_weights
from reverie.utils.errors import UserError, near_miss
from reverie.utils.global_state import kept_global_state

IMAGENET, IMAGENET_LARGER, INCEPTION = "imagenet", "efficientnet_lite2", "inception"
INSTALLED = {IMAGENET: ("EfficientNet-Lite0", imagenet.LITE0), IMAGENET_LARGER: ("EfficientNet-Lite2", imagenet.LITE2)}
"""networks whose weights are installed with the program, by the name that stands for them"""
KNOWN = (
    "EfficientNet-Lite, torchvision's mobilenet_v2, squeezenet1_1, resnet, vgg, googlenet and inception_v3, and runs "
    "of reverie"
)
"""what weights files may hold"""
TORCHVISION = "https://download.pytorch.org/models/"
PUBLIC = {
    INCEPTION: INCEPTION_FILE,
    "resnet18": PublicFile(
        (TORCHVISION + "resnet18-f37072fd.pth",),
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
        46830571,
    ),
    "resnet34": PublicFile(
        (TORCHVISION + "resnet34-b627a593.pth",),
        "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
        87319819,
    ),
    "resnet50": PublicFile(
        (TORCHVISION + "resnet50-0676ba61.pth",),
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
        102530333,
    ),
    "vgg16": PublicFile(
        (TORCHVISION + "vgg16-397923af.pth",),
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553433881,
    ),
    "vgg19": PublicFile(
        (TORCHVISION + "vgg19-dcbb9e9d.pth",),
        "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        574673361,
    ),
}
"""weights that are downloaded once, by the name that stands for them"""
LOGITS = frozenset({"logits"})
NAMED = (*INSTALLED, *PUBLIC)
"""networks that are named in place of a file"""
PARTS = ("discriminator", "discriminator_b", "encoder")
"""networks of images that a run which is no classifier may have, the first of which is taken"""
MOST_PREVIEWED = 256
"""pixels a side at most at which a network of a run is tried"""


@kept_global_state()
def open_network(weights: str | Path | nn.Module | None = None, size: int = 224) -> DreamNetwork:
    """The network of a name, of a weights file, of a run, or a module.

    weights: None or "imagenet": EfficientNet-Lite0; "efficientnet_lite2"; both are installed; a name of PUBLIC:
        "inception" (pytorch-fid's), "resnet18", "resnet34", "resnet50", "vgg16", "vgg19" (torchvision's), downloaded
        once; a file of weights of EfficientNet-Lite, of torchvision's mobilenet_v2, squeezenet1_1, resnet, vgg,
        googlenet or inception_v3; a run folder: its classifier, discriminator or encoder; a module that takes
        [B,3,H,W] in [-1,1]
    size: pixels a side that a module takes

    Raises UserError for anything else.
    """
    if isinstance(weights, nn.Module):
        return _from_module(weights, size)
    named = IMAGENET if weights is None else str(weights)
    if named in INSTALLED:
        name, package = INSTALLED[named]
        return _from_efficientnet(read_weights(package), name, package.sha256[:16], package.size)
    path = _fetched(named) if named in PUBLIC else Path(named).expanduser()
    if path.is_dir():
        return _from_run(path)
    if not path.exists():
        raise UserError(
            f"there is no {path}; give a weights file, a run folder, or one of {', '.join(NAMED)}."
            f"{near_miss(named, NAMED)}"
        )
    values, metadata, fingerprint = read_weights_file(path, KNOWN)
    if "reverie" in metadata:
        return _from_run(path)
    return _from_file(path, values, metadata, fingerprint)


def _fetched(name: str) -> Path:
    """The file of public weights, from the cache or the network. Raises UserError where it cannot be had."""
    file = PUBLIC[name]
    by_hand = (
        f"put {file.name} (from {file.urls[0]}) into {cache_folder() / WEIGHTS}, or give its path with --weights; "
        "without --weights the installed network is taken"
    )
    return fetch_file(file, f"weights of {name}", by_hand)


def _from_file(path: Path, values: dict[str, Tensor], metadata: dict[str, str], fingerprint: str) -> DreamNetwork:
    """The network that the names of the weights are of."""
    if "_conv_stem.weight" in values:
        try:
            return _from_efficientnet(values, "EfficientNet-Lite", fingerprint)
        except ValueError as error:
            raise UserError(f"{path}: {error}; get the file again.") from None
    if "features.18.0.weight" in values:
        return _from_mobilenet(path, values, metadata, fingerprint)
    if "features.3.squeeze.weight" in values:
        return _from_squeezenet(path, values, metadata, fingerprint)
    if "Mixed_7c.branch1x1.conv.weight" in values:
        return _from_inception(path, values, fingerprint)
    if "inception3a.branch1.conv.weight" in values:
        return _from_googlenet(path, values, fingerprint)
    if "layer1.0.conv1.weight" in values:
        return _from_resnet(path, values, fingerprint)
    if "features.0.weight" in values and tuple(values["features.0.weight"].shape) == (64, 3, 3, 3):
        return _from_vgg(path, values, fingerprint)
    first = next(iter(values), "nothing")
    raise UserError(f"{path} holds weights of an unknown network (the first is {first}); known: {KNOWN}.")


def _from_efficientnet(
    values: dict[str, Tensor], name: str, fingerprint: str, size: int = imagenet.SIZE
) -> DreamNetwork:
    net = EfficientNetLite.from_weights(values)
    named, linear = {"stem": "_bn0"}, {"logits"}
    for i, block in enumerate(net._blocks):
        if isinstance(block, imagenet.Block) and block.expands:
            named[f"block{i + 1}.expand"] = f"_blocks.{i}._bn0"
        named[f"block{i + 1}.depthwise"], named[f"block{i + 1}"] = f"_blocks.{i}._bn1", f"_blocks.{i}"
        linear.add(f"block{i + 1}")
    named |= {"head": "_bn1", "logits": "_fc"}
    classes = _imagenet_classes(len(values["_fc.weight"]))
    net = fuse_for_inference(net)
    return DreamNetwork(name, net, net, size, fingerprint, classes, named, frozenset(linear))


def _from_mobilenet(path: Path, values: dict[str, Tensor], metadata: dict[str, str], fingerprint: str) -> DreamNetwork:
    prepare = mobilenet.Preprocessing.read(metadata, path)
    classes = len(values.get("classifier.1.weight", ()))
    net = filled(mobilenet.MobileNetV2(classes or 1000, prepare.same), values, "mobilenet_v2", path)
    named, linear = {"stem": "features.0.1"}, {"logits"}
    for i in range(1, 18):
        expands = i > 1
        if expands:
            named[f"block{i}.expand"] = f"features.{i}.conv.0.1"
        named[f"block{i}.depthwise"], named[f"block{i}"] = f"features.{i}.conv.{int(expands)}.1", f"features.{i}"
        linear.add(f"block{i}")
    named |= {"head": "features.18.1", "logits": "classifier.1"}
    net = fuse_for_inference(net)

    def call(x: Tensor) -> Tensor:
        return net(prepare.apply((x + 1) * 127.5))

    names = _imagenet_classes(classes)
    return DreamNetwork("MobileNetV2", net, call, mobilenet.SIZE, fingerprint, names, named, frozenset(linear))


def _from_squeezenet(path: Path, values: dict[str, Tensor], metadata: dict[str, str], fingerprint: str) -> DreamNetwork:
    prepare = squeezenet.Preprocessing.read(metadata)
    classes = len(values.get("classifier.1.weight", ()))
    net = filled(squeezenet.SqueezeNet(classes), values, "squeezenet1_1", path)
    named = {"conv1": "features.0"}
    named |= {f"fire{i + 2}": f"features.{place}.joined" for i, place in enumerate(squeezenet.FIRES)}
    named |= {"conv10": "classifier.1"} if classes else {}

    def call(x: Tensor) -> Tensor:
        return net(prepare.apply((x + 1) * 127.5))

    name = "SqueezeNet 1.1" if classes else "SqueezeNet 1.1 without its classifier"
    names = _imagenet_classes(classes) if classes else ()
    return DreamNetwork(name, net, call, squeezenet.SIZE, fingerprint, names, named)


def _from_inception(path: Path, values: dict[str, Tensor], fingerprint: str) -> DreamNetwork:
    classes = len(values.get("fc.weight", ()))
    if classes not in inception.CLASSES:
        raise UserError(f"{path} is an Inception with {classes} outputs; known are pytorch-fid's and torchvision's.")
    kept = {name: value for name, value in values.items() if not name.startswith("AuxLogits.")}
    net = filled(inception.Inception(inception.CLASSES[classes]), kept, "inception_v3", path)
    named = net.named_layers()
    net = fuse_for_inference(net)
    names = _imagenet_classes(classes)
    return DreamNetwork("Inception v3", net, net, inception.SIZE, fingerprint, names, named, LOGITS)


def _from_googlenet(path: Path, values: dict[str, Tensor], fingerprint: str) -> DreamNetwork:
    kept = {name: value for name, value in values.items() if not name.startswith(("aux1.", "aux2."))}
    classes = _classes_of(path, values, "fc.weight", "googlenet")
    net = filled(googlenet.GoogLeNet(classes), kept, "googlenet", path)
    named = net.named_layers()
    net = fuse_for_inference(net)
    names = _imagenet_classes(classes)
    return DreamNetwork("GoogLeNet", net, net, googlenet.SIZE, fingerprint, names, named, LOGITS)


@contextlib.contextmanager
def _complete(path: Path, name: str) -> Iterator[None]:
    """Says in one line which weight of a network a file lacks. Raises UserError."""
    try:
        yield
    except KeyError as error:
        raise UserError(f"{path} looks like {name}, but {error} is missing; get the file again.") from None


def _from_resnet(path: Path, values: dict[str, Tensor], fingerprint: str) -> DreamNetwork:
    classes = _classes_of(path, values, "fc.weight", "resnet")
    with _complete(path, "resnet"):
        structure = resnet.Structure.of(values)
    net = filled(resnet.ResNet(structure), values, "resnet", path)
    named, layers = net.named_layers(), sum(structure.depths) * (3 if structure.bottleneck else 2) + 2
    net = fuse_for_inference(net)

    def call(x: Tensor) -> Tensor:
        return net(_normalised(x))

    names = _imagenet_classes(classes)
    return DreamNetwork(f"ResNet-{layers}", net, call, resnet.SIZE, fingerprint, names, named, LOGITS)


def _from_vgg(path: Path, values: dict[str, Tensor], fingerprint: str) -> DreamNetwork:
    classes = _classes_of(path, values, "classifier.6.weight", "vgg")
    with _complete(path, "vgg"):
        structure = vgg.Structure.of(values)
    net = filled(vgg.VGG(structure), values, "vgg", path)
    named = net.named_layers()
    net = fuse_for_inference(net)

    def call(x: Tensor) -> Tensor:
        return net(_normalised(x))

    names = _imagenet_classes(classes)
    return DreamNetwork(f"VGG-{structure.layers}", net, call, vgg.SIZE, fingerprint, names, named, LOGITS)


def _classes_of(path: Path, values: dict[str, Tensor], last: str, name: str) -> int:
    """The number of outputs of the last layer. Raises UserError if that is missing."""
    if last not in values:
        raise UserError(f"{path} looks like {name}, but {last} is missing; get the file of the whole network.")
    return len(values[last])


def _normalised(x: Tensor) -> Tensor:
    """Images in [-1,1] in the range of torchvision's weights."""
    mean, deviation = (torch.tensor(v, device=x.device).view(3, 1, 1) for v in (mobilenet.MEAN, mobilenet.DEVIATION))
    return ((x + 1) / 2 - mean) / deviation


def _from_run(path: Path) -> DreamNetwork:
    """The classifier of a run, or else its discriminator or encoder."""
    method = load(path)
    name, size = method.origin["method"], getattr(method.config, "size", None)
    part = "logits" if method.is_classifier else next((part for part in PARTS if hasattr(method, part)), "")
    channels = getattr(method.config, "channels", None)
    if not part or channels not in (1, 3):
        raise UserError(f"{path} holds a {name}, which has no network of images to look into; give a classifier's run.")
    network: Any = getattr(method, part)
    module = method if method.is_classifier else network
    classes = tuple(method.config.class_names) if method.is_classifier else ()

    def call(x: Tensor) -> Any:
        return network(_grey(x) if channels == 1 else x)

    called = f"{name} {path.name}" if method.is_classifier else f"the {part} of {name} {path.name}"
    try:
        return DreamNetwork(called, module, call, size or MOST_PREVIEWED, method.origin["run"], classes)
    except (TypeError, RuntimeError):
        raise UserError(f"{path}: {called} does not take images alone; give a classifier's run.") from None


def _from_module(module: nn.Module, size: int) -> DreamNetwork:
    """A copy of a module that takes [B,3,H,W] in [-1,1], in evaluation mode; the module itself is not changed."""
    module = copy.deepcopy(module)
    try:
        net = DreamNetwork(type(module).__name__, module, module, size)
        with torch.no_grad():
            output = module(torch.zeros(1, 3, size, size))
    except (TypeError, RuntimeError) as error:
        raise UserError(f"the module does not take images [B,3,{size},{size}] ({str(error)[:100]}).") from None
    if isinstance(output, Tensor) and output.ndim == 2:
        net.class_names = _imagenet_classes(output.shape[1])
    return net


def _imagenet_classes(count: int) -> tuple[str, ...]:
    """The names of so many outputs."""
    return class_names() if count == 1000 else tuple(f"class {i}" for i in range(count))


def _grey(x: Tensor) -> Tensor:
    return (x * torch.tensor(LUMA, device=x.device).view(3, 1, 1)).sum(1, keepdim=True)
