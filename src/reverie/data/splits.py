"""Which files of a tree are for training, testing and validation, by the names of folders or files: one rule for all.

* Names: train, training, trainval (and tr, trn); test, testing (ts, te, tst); val, valid, validation, validate, dev,
  develop, development; eval and evaluation are test, or beside a test split val. Any case, and as
  one word of a longer name: seg_train, DIV2K_train_HR, train2017, test_images, PublicTest, imagesTr, trainset.
* Folders that enclose all files are stripped first, whatever they are called, and again inside each split, so that
  archive/train/train/cat/1.png is image cat/1.png of train.
* The folders that are left are splits if their names say so of train and of another split, and what else is in these
  names agrees: DIV2K_train_HR and DIV2K_valid_HR do, bullet_train and test_tube do not. The splits may also lie inside
  each folder: cat/train, cat/test, dog/train, dog/test.
* A split's name beside names that are none is no split: train, bus and boat are three classes. Only where train and
  another split hold more than half of the files, or have class folders in common, the others are left out instead.
* Where no folder is a split, file names may say it: if nine tenths of them begin or end with a split's name
  (train_001.png, cat_3_test.png), train and another one among them. The other files are left out.
* Beside a folder that is called test alone, a longer name such as "images to test" is no split and left out.
* Several folders of one split are distinguished by the rest of their names: trainA and trainB are A and B of train;
  train2014 and train2017, which differ by digits only, are one.

Where two readings are possible there is a warning, and `splits` (data/data_spec.py) states which is meant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

SPLITS = ("train", "test", "val")
NAMES = {
    **dict.fromkeys(("train", "training", "trainval", "trainset"), "train"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "validating", "valset"), "val"),
    **dict.fromkeys(("dev", "devset", "develop", "development"), "val"),
    **dict.fromkeys(("eval", "evaluation"), "eval"),
}
"""words that name a split -> train, test, val; or eval, which is test unless there is a test split too"""
SPLIT_COLUMNS = ("split", "subset", "set", "partition")
"""columns of tables that say which split a row is of"""
_SHORT = {"tr": "train", "trn": "train", "ts": "test", "te": "test", "tst": "test"}
"""names that count only as a whole name or as the end of one in camel case (imagesTr)"""
_UNUSED = {"pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "unsup", "extra", "submission"}
"""names of parts that are published beside splits and belong to none"""
_GENERIC = {
    "", "set", "data", "dataset", "images", "image", "imgs", "img", "pictures", "photos", "files", "split", "public",
    "private", "jpg", "png", "full", "new", "final",
}  # fmt: skip
"""what may stand beside a split's name without saying anything"""
FILES_NAMED = 0.9
"""share of the files that have to be named as of a split, so that file names are taken to say it"""
FILES_TRIED = 200
"""files whose names are looked at first; where fewer than half of them name a split the others are not looked at"""
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|[A-Z]|\d+")


class Arrangement(NamedTuple):
    """Where the files of a tree belong."""

    wrapper: str
    """the path of the folders that enclose all files, with a slash at the end; "" if none"""
    folders: dict[str, tuple[str, str]]
    """path of a folder below the wrapper, with a slash -> its split, and what to put in its place inside the split (""
    or a path with a slash); empty where there are no splits"""
    lone: str
    """the split that the only folder is named after; "" if there are several, or its name is none"""
    warnings: list[str]
    """where the names can be read in another way too"""
    files: dict[str, str] = {}
    """path of a file below the wrapper -> its split, where file names say it"""

    @property
    def outside(self) -> str:
        """Why a file that belongs to no split is not used."""
        return "named as of no split" if self.files else "outside the folders of the splits"

    def locate(self, name: str) -> tuple[str | None, str]:
        """The split of a file, None if it lies outside all, and its path inside the split."""
        inner = name.removeprefix(self.wrapper)
        if self.files:
            return self.files.get(inner), inner
        if not self.folders:
            return self.lone or "train", inner
        end = inner.find("/") + 1
        while end:
            if found := self.folders.get(inner[:end]):
                return found[0], found[1] + inner[end:]
            end = inner.find("/", end) + 1
        return None, inner


class _Name(NamedTuple):
    """A folder's name as that of a split."""

    split: str
    """train, test, val, eval, or unused"""
    rest: str
    """what else is in the name, in lower case, without digits"""
    label: str
    """the same as it is written"""


def split_named(name: str) -> str | None:
    """ "train", "test" or "val" if a folder's or file's name says so, else None.

    >>> split_named("DIV2K_valid_HR"), split_named("Testing"), split_named("cat")
    ('val', 'test', None)
    """
    found = _parse(name)
    return {"eval": "test", "unused": None}.get(found.split, found.split) if found else None


def standard_split(split: str) -> str:
    """The split that a user asks for by any of its names: "val" for "Validation"; other words in lower case."""
    found = NAMES.get(split.lower(), split.lower())
    return "test" if found == "eval" else found


def arrange(names: Iterable[str], splits: str = "auto") -> Arrangement:
    """Where the files with these paths belong. `splits`: auto, folders, files or none, as in data/data_spec.py."""
    names = list(names)
    folders = Counter(name.rpartition("/")[0] for name in names)
    paths = {tuple(folder.split("/")) if folder else (): count for folder, count in folders.items()}
    wrapper = _common(paths)
    paths = {path[len(wrapper) :]: count for path, count in paths.items()}
    prefix = "".join(f"{part}/" for part in wrapper)
    if splits == "none" or not paths:
        return Arrangement(prefix, {}, "", [])
    if splits == "files":
        return Arrangement(prefix, {}, "", *_by_file([name.removeprefix(prefix) for name in names], stated=True))
    named = [split for part in reversed(wrapper) if (split := split_named(part))]
    chosen, warnings = _choose(paths, splits)
    if not (chosen or named or splits == "folders"):
        more, files = _by_file([name.removeprefix(prefix) for name in names])
        if files or more:
            return Arrangement(prefix, {}, "", more + warnings, files)
    if chosen:
        return Arrangement(prefix, _inner_wrappers(paths, chosen), "", warnings)
    lone = named[0] if named and (named[0] == "train" or splits == "folders") else ""
    if named and not lone:
        warnings.append(f"the only folder is named {named[0]}: its files are trained on; --splits folders to keep them")
    return Arrangement(prefix, {}, lone, warnings)


def _common(paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The folders that all paths begin with."""
    ordered = sorted(paths)
    common: list[str] = []
    for one, other in zip(ordered[0], ordered[-1], strict=False) if ordered else ():
        if one != other:
            break
        common.append(one)
    return tuple(common)


def _parse(name: str) -> _Name | None:
    """A name as that of a split; None if it is none, or of two."""
    tokens = _TOKEN.findall(name)
    lower = [token.lower() for token in tokens]
    splits = [NAMES.get(token) for token in lower]
    if len(tokens) == 1 or (len(tokens) > 1 and tokens[-1][:1].isupper() and tokens[-2][-1:].islower()):
        splits[-1] = splits[-1] or _SHORT.get(lower[-1])
    found = {split for split in splits if split}
    if found == {"train", "val"}:
        found = {"train"}
    if not found and set(lower) & _UNUSED:
        return _Name("unused", "", "")
    if len(found) != 1:
        return None
    words = [token for token, split in zip(lower, splits, strict=True) if not split and not token.isdecimal()]
    label = re.sub("|".join(token for token, split in zip(tokens, splits, strict=True) if split), "", name)
    return _Name(found.pop(), " ".join(words), re.sub(r"[\W_]{2,}", "_", label).strip(" ._-"))


def _choose(paths: dict[tuple[str, ...], int], splits: str) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """The folders that are splits, as in Arrangement, and warnings."""
    tops = Counter[str]()
    for path, count in paths.items():
        tops[path[0] if path else ""] += count
    loose = tops.pop("", 0)
    parsed = {top: _parse(top) for top in tops}
    named = {top: name for top, name in parsed.items() if name}
    if splits != "folders":
        named = _without_longer_names(named)
    if _are_splits(named, splits):
        chosen = _standard(named)
        others = sorted(top for top in tops if top not in named)
        if splits == "folders" or not others:
            return chosen, []
        if _outweigh(paths, tops, named):
            return chosen, [
                f"{_listed(others)} beside {_listed(sorted(named))}: taken for no split and left out; if all are "
                "classes: --splits none"
            ]
    if nested := _nested(paths, splits):
        return nested, []
    if len(named) == len(tops) > 1 and not loose and splits == "auto" and len(_common_classes(paths, set(tops))) > 1:
        warning = f"{_listed(sorted(tops))} and no train: all are trained on, by the folders inside"
        return {f"{top}/": ("train", "") for top in tops}, [f"{warning}; --splits folders to keep them apart"]
    return {}, _name_warnings(named, loose)


def _without_longer_names(named: dict[str, _Name]) -> dict[str, _Name]:
    """Without folders that say more than another one of their split, which is called test alone: "images to test". Such
    words may be of train too, as in train, train_masks, test and test_masks."""
    of_train = {name.rest for name in named.values() if name.split == "train"}
    plain = {name.split for name in named.values() if not name.rest}
    return {
        top: name for top, name in named.items() if not name.rest or name.rest in of_train or name.split not in plain
    }


def _are_splits(named: dict[str, _Name], splits: str) -> bool:
    """Whether names are those of train and of another split, and agree in the rest."""
    rests: dict[str, set[str]] = {}
    for name in named.values():
        rests.setdefault(name.split, set()).add(name.rest)
    rests.pop("unused", None)
    if splits == "folders":
        return bool(rests)
    of_train = rests.pop("train", set())
    return bool(of_train and rests) and all(
        of_train & others or of_train <= _GENERIC or others <= _GENERIC for others in rests.values()
    )


def _standard(named: dict[str, _Name]) -> dict[str, tuple[str, str]]:
    """Folder with a slash -> split and what takes its place: the rest of its name where that tells folders apart."""
    present = {name.split for name in named.values()}
    of_train = {name.rest for name in named.values() if name.split == "train"}
    as_eval = "test" if "test" not in present else "val"
    chosen = {}
    for top, name in named.items():
        if name.split != "unused":
            apart = len(of_train) > 1 and name.rest in of_train
            label = next(other.label for other in named.values() if other.rest == name.rest)
            split = as_eval if name.split == "eval" else name.split
            chosen[f"{top}/"] = (split, f"{label}/" if apart and label else "")
    return chosen


def _outweigh(paths: dict[tuple[str, ...], int], tops: Counter[str], named: dict[str, _Name]) -> bool:
    """Whether folders named as splits hold more than half of the files, or have two class folders in common."""
    if 2 * sum(tops[top] for top in named) > sum(tops.values()):
        return True
    return len(_common_classes(paths, set(named))) > 1


def _common_classes(paths: dict[tuple[str, ...], int], tops: set[str]) -> set[str]:
    """The names of folders that are in all of these."""
    inside = [{path[1] for path in paths if path[:1] == (top,) and len(path) > 1} for top in tops]
    return set.intersection(*inside) if inside else set()


def _nested(paths: dict[tuple[str, ...], int], splits: str) -> dict[str, tuple[str, str]]:
    """The splits inside each of several folders (cat/train, cat/test); {} if there are none."""
    if not paths or any(len(path) < 2 for path in paths):
        return {}
    parsed = {path[1]: _parse(path[1]) for path in paths}
    named = {folder: name for folder, name in parsed.items() if name}
    if len(named) < len(parsed) or not _are_splits(named, splits):
        return {}
    standard = _standard(named)
    pairs = {(path[0], path[1]) for path in paths}
    return {
        f"{top}/{folder}/": (standard[f"{folder}/"][0], f"{top}/{standard[f'{folder}/'][1]}")
        for top, folder in pairs
        if f"{folder}/" in standard
    }


def _inner_wrappers(
    paths: dict[tuple[str, ...], int], chosen: dict[str, tuple[str, str]]
) -> dict[str, tuple[str, str]]:
    """`chosen` with the folders stripped that enclose all files inside a folder of a split: train/train/cat.

    Of train all such folders; of the others those outside the folders that train has.
    """
    result, known = dict[str, tuple[str, str]](), set[str]()
    for folder, (split, label) in sorted(chosen.items(), key=lambda item: item[1][0] != "train"):
        parts = tuple(folder.split("/")[:-1])
        inner = [path[len(parts) :] for path in paths if path[: len(parts)] == parts]
        wrapper = () if label else _common(inner)
        depths = range(len(wrapper) + 1)
        depth = len(wrapper)
        if split != "train" and known:
            depth = next((d for d in depths if known & {path[d] for path in inner if len(path) > d}), 0)
        known |= {path[depth] for path in inner if split == "train" and len(path) > depth}
        result[folder + "".join(f"{part}/" for part in wrapper[:depth])] = (split, label)
    return result


def _by_file(names: list[str], stated: bool = False) -> tuple[list[str], dict[str, str]]:
    """Warnings, and the split of each file by its name; {} if names do not say it.

    stated: whether it was stated that they do, so that a part of them is enough
    """
    tried = names[:: -(-len(names) // FILES_TRIED)]
    if not stated and 2 * sum(_parse_file(name) is not None for name in tried) < len(tried):
        return [], {}
    named = {name: found for name in names if (found := _parse_file(name)) and found.split != "unused"}
    if not _are_splits(named, "folders" if stated else "auto"):
        return (["no file is named as of a split, train_001.png: all are trained on"] if stated else []), {}
    if len(named) < FILES_NAMED * len(names) and not stated:
        example = min(name for name in names if name not in named)
        text = (
            f"{len(named)} of {len(names)} file names say train, test or val ({example} does not): all are trained on"
        )
        return [f"{text}; --splits files takes them as splits"], {}
    as_eval = "test" if all(name.split != "test" for name in named.values()) else "val"
    return [], {name: as_eval if found.split == "eval" else found.split for name, found in named.items()}


def _parse_file(name: str) -> _Name | None:
    """The name of a file as one of a split, which its first or last word says; None if it is none."""
    stem = _stem(name)
    words = [token.lower() for token in _TOKEN.findall(stem) if not token.isdecimal()]
    return _parse(stem) if words and (words[0] in NAMES or words[-1] in NAMES) else None


def name_without_split(name: str) -> str:
    """The name of a file without its folder, suffix, and the words that say of which split it is.

    >>> name_without_split("all/train_cat_001.png"), name_without_split("cat.7.jpg")
    ('cat_001', 'cat.7')
    """
    found = _parse_file(name)
    return found.label if found else _stem(name)


def _stem(name: str) -> str:
    """The name of a file without its folder and suffix."""
    name = name[name.rfind("/") + 1 :]
    return name.rpartition(".")[0] or name


def _name_warnings(named: dict[str, _Name], loose: int) -> list[str]:
    """On folders that are taken for no splits although their names could be."""
    first = [top for top in sorted(named) if named[top].split != "unused"]
    several = len({named[top].split for top in first}) > 1
    like = [top for top in first if several or top.lower().startswith(tuple(NAMES)) or named[top].rest in _GENERIC]
    if not like:
        return []
    if loose:
        return [f"folder {_listed(like)} beside {loose} files: all are taken together; a split: --splits folders"]
    words = f"classes named {_listed(like)}: if these are splits or domains"
    if any(named[top].split == "train" for top in first):
        words += ", --splits folders takes them so, or"
    else:
        words += ","
    return [f"{words} give one folder at a time; if they are classes, --splits none says so"]


def _listed(names: list[str], shown: int = 5) -> str:
    """Names with commas, the first few."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
