"""Images and where people looked at them: what saliency is learnt from."""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import torch

from reverie.data import cache
from reverie.data.archives import ZIP_ERRORS, Dropped, FileTree, FolderTree, ZipTree, is_zip
from reverie.data.file_types import SUFFIXES, InvalidFile
from reverie.data.images import conversion, decode, synthetic
from reverie.data.images.fixation_files import (
    check_axes,
    fault_of_map,
    has_shape_of,
    inside,
    match_files,
    read_csv,
    read_json,
    read_mat,
    split_names,
)
from reverie.data.images.inspect import split_usage, usage_summary
from reverie.data.images.records import nothing_usable
from reverie.data.splits import standard_split
from reverie.utils.errors import UserError, near_miss
from reverie.utils.paths import exists

CELL = 8
"""pixels a side, of a prepared image, of the cells that fixations are counted in"""
BIAS_CELLS, BIAS_SIGMA = 32, 0.03
"""cells a side of the centre bias, and its smoothing in sides"""
BUILT_IN, TRAIN, TEST = "gazes", 400, 100
"""a set that is drawn: shapes, and viewers who look at them; images of each split"""
MAP_FOLDERS = ("maps", "fixation_maps", "fixationmaps", "fixations", "density")
IMAGE_FOLDERS = ("images", "stimuli", "pictures", "photos")
"""beside which a folder maps or density holds maps of where people looked"""


class FixatedImage(NamedTuple):
    """One image and its fixations."""

    name: str
    height: int
    width: int
    points: np.ndarray
    """float64 [N,3]: x, y, viewer (-1: unknown), inside the image; [0,3] where there is a map"""
    map: str
    """file of a map of densities; "" for none"""


class Fixations:
    """Images with fixations, decoded whole to squares. Attributes as of Images; `items` are FixatedImages.

    A folder or zip holds images and one of: fixations.json, fixations.csv, a .mat of the name of each image, or a
    folder maps/ with a grey image for each. train.txt, test.txt and val.txt name the images of the splits.
    """

    kind = "fixations"
    classes: Sequence[str] = ()

    def __init__(self, spec: str, name: str, split: str, source: Source) -> None:
        self.spec, self.name, self.split, self._source = spec, name, split, source
        self.splits = list(source.parts)
        if split not in self.splits:
            raise UserError(
                f"no split '{split}' in {spec}: it has {', '.join(self.splits)}.{near_miss(split, self.splits)}"
            )
        self.items = list(source.parts[split])
        self.dropped, self.notes, self.warnings = list(source.dropped), list(source.notes), list(source.warnings)
        if not self.items:
            raise UserError(nothing_usable(spec, self.dropped))
        digest = hashlib.sha256(split.encode())
        for item in self.items:
            digest.update(f"{item.name} {item.map}".encode() + item.points.tobytes() + source.stamp(item).encode())
        self.fingerprint = digest.hexdigest()[:16]
        self.facts: dict[str, Any] = {
            "channels": 3, "classes": 0,
            "native": int(np.median([min(item.height, item.width) for item in self.items])),
            "centre_bias": centre_bias(self.items),
        }  # fmt: skip
        self._rows: cache.CachedArray | None = None
        self._counts: dict[int, np.ndarray] = {}

    @classmethod
    def open(cls, spec: str | Path, split: str = "train") -> Fixations:
        """Open a folder, a zip or the built-in set `gazes`. Raises UserError."""
        text, wanted = str(spec), standard_split(split)
        path = Path(text).expanduser()
        if exists(path):
            tree: FileTree = (
                ZipTree(path) if path.is_file() and is_zip(path) else FolderTree(path) if path.is_dir() else _no(text)
            )
            return cls(text, path.resolve().stem, wanted, FileSource(tree, text))
        if cls.recognises(text):
            return cls(text, text, wanted, DrawnSource(text))
        raise UserError(f"no such path, and no data set of that name: {text}. The built-in set is {BUILT_IN}")

    @classmethod
    def recognises(cls, spec: str | Path) -> bool:
        """Whether a path holds files of fixations, or the name is that of the built-in set."""
        text = str(spec)
        path = Path(text).expanduser()
        if not exists(path):
            return text.partition(":")[0] == BUILT_IN
        if path.is_dir():
            entries = list(path.iterdir())
            near = [f"{p.name}/_" if p.is_dir() else p.name for p in entries]
            near += [p.relative_to(path).as_posix() for p in path.glob("*/*.mat")]
            if any(name.endswith(".mat") for name in near):
                near += [p.relative_to(path).as_posix() for p in (*path.glob("*.*"), *path.glob("*/*.*"))]
            return _name_fixations(near)
        if path.is_file() and is_zip(path):
            with contextlib.suppress(*ZIP_ERRORS), zipfile.ZipFile(path) as archive:
                return _name_fixations(archive.namelist())
        return False

    @classmethod
    def inspect(cls, spec: str | Path) -> dict[str, Any]:
        """The report on the images and fixations at a place, a dict that json can write. Raises UserError."""
        first = cls.open(spec)
        parts = {split: cls.open(spec, split) for split in first.splits}
        points = [item.points for item in first.items]
        viewers = [len(np.unique(p[:, 2])) for p in points if len(p) and p[0, 2] >= 0]
        few = sum(len(np.unique(p[:, 2])) == 1 for p in points if len(p) and p[0, 2] >= 0)
        alone = f"{few} of {len(points)} images with one viewer only: nothing tells what others would look at"
        warnings = [*first.warnings, *([alone] if few else [])]
        if any(item.map for item in first.items):
            warnings.append("these are maps, without points: scores need points, and there is no centre bias of them")
        return {
            "spec": str(spec), "name": first.name, "kind": cls.kind, "classes": [],
            "facts": {name: value for name, value in first.facts.items() if name != "centre_bias"},
            "splits": {split: split_usage(data) for split, data in parts.items()},
            "fixations": sum(map(len, points)), "viewers": int(np.median(viewers)) if viewers else 0,
            "warnings": warnings,
        }  # fmt: skip

    @staticmethod
    def describe(report: dict[str, Any]) -> str:
        """The report of `inspect` as text for the terminal."""
        about = "one viewer" if report["viewers"] == 1 else f"about {report['viewers']} viewers"
        viewers = f", by {about} each" if report["viewers"] else ""
        heading = f"images with {report['fixations']} fixations to train on{viewers}"
        return usage_summary(report, heading, "image")

    def prepare(self, size: int, channels: int | None = None) -> Fixations:
        """Decode to squares of `size` pixels, the whole image in each, and return self. Raises UserError."""
        if size % CELL or size < 4 * CELL:
            raise UserError(f"the image size must be a multiple of {CELL} from {4 * CELL}, not {size}")
        items = self.items
        key = f"{self.fingerprint}-fixations{size}-v{decode.VERSION}"
        self._rows = cache.load_or_build(
            key, [item.name for item in items], (size, size, 3), lambda i: self._square(items[i], size)
        )
        self.dropped += [Dropped(items[i].name, why) for i, why in self._rows.faults.items()]
        self.items = [items[i] for i in self._rows.kept]
        self._counts.clear()
        if not self.items:
            raise UserError(nothing_usable(self.spec, self.dropped))
        return self

    def _square(self, item: FixatedImage, size: int) -> np.ndarray:
        image = PIL.Image.fromarray(self.image(item))
        return np.asarray(image.resize((size, size), PIL.Image.Resampling.LANCZOS))

    def image(self, item: FixatedImage) -> np.ndarray:
        """An image in its own size: uint8 [H,W,3]. Raises InvalidFile."""
        return self._source.image(item)

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """ "image" float32 [B,3,size,size] in [-1,1]; "counts" [B,1,size/8,size/8], which sum to 1: the share of each
        cell in the fixations; "row" int64 [B], the number of each in the set."""
        rows = np.asarray(index, np.int64)
        image = torch.from_numpy(self._ready().pixels[rows]).to(device).permute(0, 3, 1, 2).contiguous()
        counts = torch.from_numpy(np.stack([self._share(int(i)) for i in rows]))[:, None].to(device)
        return {"image": torch.sub(image, 127.5).div_(127.5), "counts": counts, "row": torch.from_numpy(rows)}

    def pixels(self, i: int) -> np.ndarray:
        """Image i as uint8 [size,size,3], a copy."""
        return np.array(self._ready().pixels[i])

    def density_map(self, item: FixatedImage) -> np.ndarray:
        """The map of an image that has one, float64 [h,w] in 0..1. Raises InvalidFile."""
        return self._source.map(item)

    def _share(self, i: int) -> np.ndarray:
        if i not in self._counts:
            item, cells = self.items[i], self._ready().pixels.shape[1] // CELL
            if item.map:
                levels = PIL.Image.fromarray(self.density_map(item).astype(np.float32), "F")
                counts = np.asarray(levels.resize((cells, cells), PIL.Image.Resampling.BOX)).clip(0)
            else:
                counts = count_in_cells([item], cells)
            self._counts[i] = (counts / max(counts.sum(), 1e-12)).astype(np.float32)
        return self._counts[i]

    def _ready(self) -> cache.CachedArray:
        if self._rows is None:
            raise RuntimeError("call prepare(size) before asking for images")
        return self._rows


def _name_fixations(names: Sequence[str]) -> bool:
    """Whether a set of these files tells where people looked: a table, a .mat of an image's name, or maps."""
    paths = [PurePosixPath(name) for name in names]
    if any(path.name in ("fixations.json", "fixations.csv") for path in paths):
        return True
    folders = {folder.lower() for path in paths for folder in path.parts[:-1]}
    if folders & set(MAP_FOLDERS) and folders & set(IMAGE_FOLDERS):
        return True
    images = {path.stem for path in paths if path.suffix.lower() in SUFFIXES}
    return any(path.suffix.lower() == ".mat" and path.stem in images for path in paths)


def _no(text: str) -> FileTree:
    raise UserError(f"{text} is neither a folder nor a zip; give a folder with images and fixations.json.")


def count_in_cells(items: Sequence[FixatedImage], cells: int) -> np.ndarray:
    """How many fixations lie in each of cells x cells equal parts of the images: float64 [cells,cells]."""
    counts = np.zeros((cells, cells))
    for item in items:
        rows, columns = (
            (item.points[:, 1] / item.height * cells).astype(int),
            (item.points[:, 0] / item.width * cells).astype(int),
        )
        np.add.at(counts, (rows.clip(0, cells - 1), columns.clip(0, cells - 1)), 1)
    return counts


def centre_bias(items: Sequence[FixatedImage]) -> tuple[float, ...] | None:
    """Where the viewers of all images looked, BIAS_CELLS x BIAS_CELLS shares smoothed, row by row; None without
    points."""
    counts = count_in_cells(items, 2 * BIAS_CELLS)
    if not counts.sum():
        return None
    place = np.arange(2 * BIAS_CELLS) / (2 * BIAS_CELLS)
    blur = np.exp(-0.5 * ((place[:, None] - place) / BIAS_SIGMA) ** 2)
    smooth = blur @ counts @ blur + 1e-6 * counts.sum()
    shares = smooth.reshape(BIAS_CELLS, 2, BIAS_CELLS, 2).sum((1, 3))
    return tuple(round(float(share), 7) for share in (shares / shares.sum()).ravel())


class Source:
    """Where images come from."""

    parts: dict[str, list[FixatedImage]]
    dropped: list[Dropped]
    notes: list[str]
    warnings: list[str]

    def stamp(self, item: FixatedImage) -> str:
        """What changes with the image."""
        raise NotImplementedError

    def image(self, item: FixatedImage) -> np.ndarray:
        """uint8 [H,W,3]"""
        raise NotImplementedError

    def map(self, item: FixatedImage) -> np.ndarray:
        """float64 [h,w] in 0..1"""
        raise NotImplementedError


class FileSource(Source):
    """A folder or a zip. Raises UserError where it holds no fixations."""

    def __init__(self, tree: FileTree, place: str) -> None:
        self.tree, self.dropped, self.notes, self.warnings = tree, list(tree.skipped), [], []
        files, maps = self._images()
        sizes = self._sizes(files)
        points = self._points(sizes, maps, place)
        if points and (note := check_axes(points, sizes, place)):
            self.notes.append(note)
        kept, faults = dict[str, FixatedImage](), self._faulty_maps(maps, sizes)
        for file, (height, width) in sizes.items():
            places = inside(points.get(file, np.zeros((0, 3))), height, width)
            usable = file in maps and file not in faults
            if len(places) or usable:
                kept[file] = FixatedImage(file, height, width, places, maps[file] if usable else "")
            else:
                self.dropped.append(Dropped(file, faults.get(file, "no fixations")))
        if without := sorted(faults.keys() & kept.keys()):
            self.warnings.append(f"{len(without)} images have points and no map, since {faults[without[0]]}")
        if not kept and self.dropped:
            raise UserError(nothing_usable(place, self.dropped))
        lists = {s: f for f in tree.stamps for s in ("train", "test", "val") if PurePosixPath(f).name == f"{s}.txt"}
        by_name = {PurePosixPath(file).name: file for file in kept} | {file: file for file in kept}
        named = split_names({split: tree.read(file) for split, file in lists.items()}, by_name, place)
        self.parts = {split: [kept[by_name[name]] for name in names] for split, names in named.items()} or {
            "train": list(kept.values())
        }

    def _images(self) -> tuple[list[str], dict[str, str]]:
        """(images, image -> its map)."""
        images = [file for file in sorted(self.tree.stamps) if PurePosixPath(file).suffix.lower() in SUFFIXES]
        maps = [f for f in images if {p.lower() for p in PurePosixPath(f).parts[:-1]} & set(MAP_FOLDERS)]
        if len(maps) == len(images):  # the set itself lies in a folder of such a name
            maps = [f for f in images if PurePosixPath(f).parent.name.lower() in MAP_FOLDERS]
        looked_at = sorted(set(images) - set(maps), key=lambda file: (PurePosixPath(file).stem, file))
        return looked_at, {owner: file for file, owner in match_files(maps, looked_at).items()}

    def _sizes(self, files: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Height and width of each image that can be read, upright."""
        sizes = {}
        for file in files:
            header = decode.read_header(self.tree.read(file))
            if header.fault:
                self.dropped.append(Dropped(file, header.fault))
            else:
                sizes[file] = header.shape
        return sizes

    def _faulty_maps(self, maps: dict[str, str], sizes: dict[str, tuple[int, int]]) -> dict[str, str]:
        """Image -> why its map cannot be used; warns of maps of another shape than their images."""
        faults, others = {}, []
        for file in maps.keys() & sizes.keys():
            data = self.tree.read(maps[file])
            header = decode.read_header(data)
            if fault := fault_of_map(header, data, sizes[file]):
                faults[file] = fault
            elif not has_shape_of(header.shape, sizes[file]):
                others.append(f"{maps[file]}, {header.width}x{header.height} of {sizes[file][1]}x{sizes[file][0]}")
        if others:
            self.warnings.append(
                f"{len(others)} maps have another shape than their images and are stretched to it, such as "
                f"{min(others)}; where they show a part only, cut the images to it"
            )
        return faults

    def _points(self, sizes: dict[str, tuple[int, int]], maps: dict[str, str], place: str) -> dict[str, np.ndarray]:
        """Image -> points, of the one kind of file that there is. Raises UserError."""
        tables = [f for f in self.tree.stamps if PurePosixPath(f).suffix.lower() in (".json", ".csv")]
        tables = [f for f in tables if "fix" in f.lower()] or tables
        if len(tables) > 1:
            raise UserError(f"{place} has several tables of fixations, {', '.join(sorted(tables)[:3])}; keep one.")
        if tables:
            file = tables[0]
            read = read_json if file.lower().endswith(".json") else read_csv
            found = read(self.tree.read(file), file)
            owners = match_files(found, sizes)
            if sizes and not owners:
                such = f", such as {min(found)}," if found else ""
                raise UserError(
                    f"none of the {len(found)} names in {file}{such} is of an image, such as {min(sizes)}; give these."
                )
            if lost := sorted(found.keys() - owners.keys()):
                self.notes.append(f"{len(lost)} names of {file} are of no image, such as {lost[0]}")
            return {owner: found[name] for name, owner in owners.items()}
        owners = match_files(sorted(f for f in self.tree.stamps if f.lower().endswith(".mat")), sizes)
        if owners:
            return {owner: read_mat(self.tree.read(f), f, sizes[owner]) for f, owner in owners.items()}
        if not maps:
            raise UserError(
                f"{place} says nowhere where people looked; add fixations.json, {{image: [[x, y, viewer], ...]}}, "
                "fixations.csv, or a folder maps/ with a grey image for each."
            )
        return {}

    def stamp(self, item: FixatedImage) -> str:
        return hashlib.sha256(self.tree.read(item.name)).hexdigest()

    def image(self, item: FixatedImage) -> np.ndarray:
        return conversion.convert_channels(decode.read_full(self.tree.read(item.name)), 3)

    def map(self, item: FixatedImage) -> np.ndarray:
        levels = conversion.convert_channels(decode.read_full(self.tree.read(item.map)), 1)
        return levels[:, :, 0].astype(np.float64) / 255


class DrawnSource(Source):
    """`gazes`: shapes on a background, and five viewers who look at them."""

    def __init__(self, spec: str) -> None:
        _, _, number = spec.partition(":")
        if number and not (number.isascii() and number.isdecimal() and int(number) > 0):
            raise UserError(f"'{number}' in {spec} is not a number of images; use, for example, {BUILT_IN}:100")
        counts = {"train": int(number or TRAIN), "test": TEST}
        self.dropped, self.notes, self.warnings = [], [], []
        self.parts = {split: [self._drawn(split, i) for i in range(count)] for split, count in counts.items()}

    def _drawn(self, split: str, i: int) -> FixatedImage:
        pixels = self._pixels(split, i).astype(np.float64)
        side = len(pixels)
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        weight = np.abs(pixels - np.median(border, 0)).sum(2) ** 2
        stream = np.random.Generator(np.random.Philox(key=[len(split), i]))
        chosen = stream.choice(weight.size, 20, p=(weight / weight.sum()).ravel())
        places = np.stack([chosen % side, chosen // side], 1) + 0.5 + stream.normal(0, 1, (20, 2))
        points = np.concatenate([places.clip(0, side - 1e-3), np.arange(20)[:, None] % 5.0], 1)
        return FixatedImage(f"{split}/{i}", side, side, points, "")

    def _pixels(self, split: str, i: int) -> np.ndarray:
        return np.asarray(synthetic.shape(split, i, synthetic.NATIVE).convert("RGB"))

    def stamp(self, item: FixatedImage) -> str:
        return f"{synthetic.VERSION}"

    def image(self, item: FixatedImage) -> np.ndarray:
        split, _, i = item.name.partition("/")
        return self._pixels(split, int(i))

    def map(self, item: FixatedImage) -> np.ndarray:
        raise InvalidFile("no map")
