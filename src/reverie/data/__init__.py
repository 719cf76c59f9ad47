"""Images from folders, zips, idx files, built-in and public sets. Importing this loads neither torch nor Pillow."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.data.images import Images

__all__ = ["Images", "open_data"]


def open_data(spec: str | Path, split: str = "train") -> "Images":
    """Open images by path or name: a folder, a zip, idx or CIFAR files, a built-in set such as `letters:5000`, a public
    one such as `mnist`. Reads headers only; call `prepare` to decode. Raises UserError."""
    from reverie.data.images import Images

    return Images.open(spec, split)


def __getattr__(name: str) -> Any:
    if name == "Images":
        from reverie.data.images import Images

        return Images
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
