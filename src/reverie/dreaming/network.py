"""A network to look into: its layers by name with sizes, and the maps of some of them, before the ReLU.

B batch, C channels, H, W pixels; images x [B,3,H,W] in [-1,1].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reverie.utils.errors import UserError, near_miss

LINEAR = (nn.Conv2d, nn.Linear, nn.modules.batchnorm._BatchNorm)
"""modules whose outputs a ReLU usually follows"""


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
