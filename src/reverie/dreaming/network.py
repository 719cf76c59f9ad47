"""Networks to look into: their layers by name with sizes, and the maps of some of them, before the ReLU.

The installed ImageNet network, torchvision's files, runs of this project, and any module from Python.
B batch, C channels, H, W pixels; images x [B,3,H,W] in [-1,1].
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reverie.api import load
from reverie.data.download import fetch_file
from reverie.data.images.conversion import LUMA
from reverie.evaluation.feature_extractors import INCEPTION_FILE, read_weights_file
from reverie.metrics.networks import inception, mobilenet, squeezenet
from reverie.nn import imagenet
from reverie.nn.fused_inference import fuse_for_inference
from reverie.nn.imagenet import EfficientNetLite, class_names, read_weights
from reverie.utils.errors import UserError, near_miss

IMAGENET, INCEPTION = "imagenet", "inception"
NAMED = (IMAGENET, INCEPTION)
"""networks that are named in place of a file"""
KNOWN = "EfficientNet-Lite, torchvision's mobilenet_v2, squeezenet1_1 and inception_v3, and runs of reverie"
"""what weights files may hold"""
LINEAR = (nn.Conv2d, nn.Linear, nn.modules.batchnorm._BatchNorm)
"""modules whose outputs a ReLU usually follows"""
PARTS = ("discriminator", "discriminator_b", "encoder")
"""networks of images that a run which is no classifier may have, the first of which is taken"""
MOST_PREVIEWED = 256
"""pixels a side at most at which a network of a run is tried"""


class Layer(NamedTuple):
    """A layer, by the name that users call it."""

    name: str
    path: str
    """of its module within the network"""
    channels: int
    height: int
    """of its map, for an image of the network's own size; 1 for logits"""
    width: int
    rectified: bool
    """whether a ReLU follows, so that only values above 0 count"""


@dataclass
class DreamNetwork:
    """A network whose layers can be climbed."""

    name: str
    module: nn.Module
    call: Callable[[Tensor], Any]
    """[B,3,H,W] in [-1,1] -> the output of the module, called in this order"""
    size: int
    """pixels a side that it was trained at"""
    fingerprint: str = ""
    """16 hex digits of its weights; "" for a module from Python"""
    class_names: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    """names of layers -> paths of modules; empty: all modules that have maps, by their paths"""
    linear: frozenset[str] = frozenset()
    """names of layers that no ReLU follows"""
    layers: dict[str, Layer] = field(init=False)
    """in the order in which they are computed"""

    def __post_init__(self) -> None:
        self.module = self.module.eval().requires_grad_(False)
        self.layers = self._list_layers()

    def maps(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Images [B,3,H,W] -> the map [B,C,h,w] (of logits: [B,K]) of each layer, as it is before the ReLU.

        What lies behind the last of these layers is not computed. Raises UserError for an unknown layer.
        """
        paths = {self.layer(name).path: name for name in names}
        found = self._hooked(x, list(paths), stop=True)
        return {name: found[path] for path, name in paths.items()}

    def logits(self, x: Tensor) -> Tensor:
        """Images [B,3,H,W] -> [B,K]. Raises UserError if the network has no classes."""
        self.check_classes()
        return self.call(x)

    def check_classes(self) -> None:
        """Raises UserError if the network has no classes."""
        if not self.class_names:
            raise UserError(f"{self.name} has no classes; give a channel, LAYER:CHANNEL, such as --list-layers lists.")

    def layer(self, name: str) -> Layer:
        """The layer of this name. Raises UserError, with the closest name, if there is none."""
        if name not in self.layers:
            hint = near_miss(name, list(self.layers)) or f" It has {', '.join(list(self.layers)[:8])} ..."
            raise UserError(f"{self.name} has no layer '{name}'.{hint} `reverie dream --list-layers` lists them.")
        return self.layers[name]

    def find_class(self, wanted: str | int) -> int:
        """The class of an index or a name, or of one of its synonyms. Raises UserError, with the closest name."""
        self.check_classes()
        count, text = len(self.class_names), str(wanted).strip().lower()
        if re.fullmatch(r"[+-]?\d+", text):
            if not 0 <= int(text) < count:
                raise UserError(f"{self.name} has the classes 0 to {count - 1}, not {text}.")
            return int(text)
        known: dict[str, list[int]] = {}
        for index, name in enumerate(self.class_names):
            for synonym in {name.lower(), *(part.strip().lower() for part in name.split(","))}:
                known.setdefault(synonym, []).append(index)
        if text not in known:
            inside = [name for name in known if re.search(rf"\b{re.escape(text)}\b", name)] if text else []
            hint = f" Such as: {', '.join(sorted(inside, key=len)[:4])}." if inside else near_miss(text, list(known))
            hint = hint or f" It has {count} classes, by index or name."
            raise UserError(f"{self.name} has no class '{wanted}'.{hint}")
        if len(known[text]) > 1:
            raise UserError(f"'{wanted}' is the name of classes {', '.join(map(str, known[text]))}; give the number.")
        return known[text][0]

    def tree(self) -> str:
        """The layers with their sizes, for --list-layers."""
        wide = max(len(name) for name in self.layers) + 2
        lines = [f"{self.name}, {self.size} x {self.size} pixels", f"{'layer':{wide}} channels   map"]
        for layer in self.layers.values():
            nested = "  " * layer.name.count(".")
            lines.append(f"{nested + layer.name:{wide}} {layer.channels:8}   {layer.height} x {layer.width}")
        return "\n".join(lines)

    @torch.no_grad()
    def _list_layers(self) -> dict[str, Layer]:
        paths = {path: name for name, path in self.named.items()}
        modules = dict(self.module.named_modules())
        if not paths:
            paths = {path: path for path in modules if path}
        found = self._hooked(torch.zeros(1, 3, self.size, self.size), list(paths), stop=False)
        layers = {}
        for path, map_ in found.items():  # in the order of computation
            name = paths[path]
            height, width = map_.shape[2:] if map_.ndim == 4 else (1, 1)
            rectified = name not in self.linear if self.named else isinstance(modules[path], LINEAR)
            layers[name] = Layer(name, path, map_.shape[1], height, width, rectified)
        return layers

    def _hooked(self, x: Tensor, paths: list[str], stop: bool) -> dict[str, Tensor]:
        """The outputs of modules in the order in which they come, copied, since a ReLU may be computed in place."""
        found: dict[str, Tensor] = {}

        def keep(path: str) -> Callable[..., None]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                if isinstance(output, Tensor) and output.ndim in (2, 4) and path not in found:
                    found[path] = output.clone()
                if stop and len(found) == len(paths):
                    raise _AllFound

            return hook

        handles = [self.module.get_submodule(path).register_forward_hook(keep(path)) for path in paths]
        try:
            self.call(x)
        except _AllFound:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return found


class _AllFound(Exception):
    """Ends a forward pass of which nothing more is needed."""


def open_network(weights: str | Path | nn.Module | None = None, size: int = 224) -> DreamNetwork:
    """The network of a name, of a weights file, of a run, or a module.

    weights: None or "imagenet": EfficientNet-Lite0, which is installed; "inception": pytorch-fid's, downloaded once; a
        file of weights of EfficientNet-Lite, of torchvision's mobilenet_v2, squeezenet1_1 or inception_v3; a run
        folder: its classifier, discriminator or encoder; a module that takes [B,3,H,W] in [-1,1]
    size: pixels a side that a module takes

    Raises UserError for anything else.
    """
    if isinstance(weights, nn.Module):
        return _from_module(weights, size)
    if weights is None or str(weights) == IMAGENET:
        return _from_efficientnet(read_weights(), "EfficientNet-Lite0", imagenet.SHA256[:16])
    if str(weights) == INCEPTION:
        by_hand = "download it elsewhere and give the file with --weights, or leave --weights away"
        path = fetch_file(INCEPTION_FILE, "pytorch-fid's Inception", by_hand)
    else:
        path = Path(weights).expanduser()
    if path.is_dir():
        return _from_run(path)
    if not path.exists():
        raise UserError(
            f"there is no {path}; give a weights file, a run folder, or one of {', '.join(NAMED)}."
            f"{near_miss(str(weights), NAMED)}"
        )
    values, metadata, fingerprint = read_weights_file(path, KNOWN)
    if "reverie" in metadata:
        return _from_run(path)
    return _from_file(path, values, metadata, fingerprint)


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
    first = next(iter(values), "nothing")
    raise UserError(f"{path} holds weights of an unknown network (the first is {first}); known: {KNOWN}.")


def _from_efficientnet(values: dict[str, Tensor], name: str, fingerprint: str) -> DreamNetwork:
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
    return DreamNetwork(name, net, net, imagenet.SIZE, fingerprint, classes, named, frozenset(linear))


def _from_mobilenet(path: Path, values: dict[str, Tensor], metadata: dict[str, str], fingerprint: str) -> DreamNetwork:
    prepare = mobilenet.Preprocessing.read(metadata, path)
    classes = len(values.get("classifier.1.weight", ()))
    net = _filled(mobilenet.MobileNetV2(classes or 1000, prepare.same), values, path, "mobilenet_v2")
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
    kept = {name: value for name, value in values.items() if not name.startswith("classifier.")}
    net = _filled(squeezenet.SqueezeNet(), kept, path, "squeezenet1_1")
    fires = {f"fire{i + 2}": f"features.{place}.joined" for i, place in enumerate(squeezenet.FIRES)}

    def call(x: Tensor) -> Tensor:
        return net(prepare.apply((x + 1) * 127.5))

    return DreamNetwork("SqueezeNet 1.1", net, call, 224, fingerprint, (), {"conv1": "features.0", **fires})


def _from_inception(path: Path, values: dict[str, Tensor], fingerprint: str) -> DreamNetwork:
    classes = len(values.get("fc.weight", ()))
    if classes not in inception.CLASSES:
        raise UserError(f"{path} is an Inception with {classes} outputs; known are pytorch-fid's and torchvision's.")
    kept = {name: value for name, value in values.items() if not name.startswith("AuxLogits.")}
    net = _filled(inception.Inception(inception.CLASSES[classes]), kept, path, "inception_v3")
    blocks = [name for name, _ in net.named_children() if name != "fc"]
    named = {**{name: name for name in blocks}, "logits": "fc"}
    net = fuse_for_inference(net)
    return DreamNetwork("Inception v3", net, net, inception.SIZE, fingerprint, _imagenet_classes(classes), named)


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


def _filled(net: nn.Module, values: dict[str, Tensor], path: Path, name: str) -> Any:
    """The network with these weights, for evaluation. Raises UserError if they do not fit."""
    own = net.state_dict()
    given = {**{key: value for key, value in own.items() if key.endswith("num_batches_tracked")}, **values}
    problems = [f"{key} is missing" for key in own if key not in given]
    problems += [f"{key} is unexpected" for key in given if key not in own]
    problems += [f"{key} has another shape" for key, v in own.items() if key in given and given[key].shape != v.shape]
    if problems:
        raise UserError(f"{path} looks like {name}, but {problems[0]} ({len(problems)} such); get the file again.")
    net.load_state_dict(given)
    return net.float().eval().requires_grad_(False)


def _imagenet_classes(count: int) -> tuple[str, ...]:
    """The names of so many outputs."""
    return class_names() if count == 1000 else tuple(f"class {i}" for i in range(count))


def _grey(x: Tensor) -> Tensor:
    return (x * torch.tensor(LUMA, device=x.device).view(3, 1, 1)).sum(1, keepdim=True)
