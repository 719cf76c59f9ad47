"""The files of a text corpus, by split."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from reverie.data.archives import Dropped, FileTree, FolderTree, ZipTree
from reverie.data.file_types import InvalidFile
from reverie.data.media_types import ASIDE_SUFFIXES, TABLE_SUFFIXES, TEXT_SUFFIXES, UNREAD_DOCUMENTS, how_to_convert
from reverie.data.python_data import PythonData
from reverie.data.splits import NAMES, SPLITS, arrange, standard_split
from reverie.data.tables import suffix_of
from reverie.data.text.files import read_items
from reverie.data.text.held_out import held_out, line_key
from reverie.utils.errors import UserError
from reverie.utils.formatting import counted

_ENDING = re.compile(rf"(?:^|(?<=[_\-. ]))({'|'.join(NAMES)})$", re.IGNORECASE)

BLOCKS = 3
"""blocks of lines between blank ones from which on it is said that each could be a sequence"""


class Line(NamedTuple):
    """A sequence of text and where it stands: "poems.txt:17"."""

    place: str
    text: str


class Part(NamedTuple):
    """One split: its lines, the files that cannot be used, and notes for the user."""

    lines: list[Line]
    dropped: list[Dropped]
    notes: list[str]
    held_out: bool = False
    """whether its lines were chosen by a hash, since no name says which they are"""
    announced: tuple[str, ...] = ()
    """those of the notes that training prints"""


def read_parts(
    path: Path, item: str = "line", column: str | None = None, share: float = 0.0, splits: str = "auto"
) -> dict[str, Part]:
    """The splits of the text at an existing path. Raises UserError if there is none.

    item, column: as in files.read_items
    share: of the lines, held out as test where no name says what is
    splits: "auto", "folders" or "none", as in reverie.data.data_spec
    """
    tree = _open_tree(path, splits)
    alone = path.is_file() and not isinstance(tree, ZipTree)  # a file given by its path is read whatever its suffix
    if alone and (advice := how_to_convert(path.name)):
        raise UserError(f"{path} is {advice}.")
    names, said = (sorted(tree.stamps), list[str]()) if alone else _text_files(tree, column)
    if not names:
        unread = next((f": {name} is {advice}" for name in tree.stamps if (advice := how_to_convert(name))), "")
        raise UserError(
            f"there is no .txt file in {path}, and no .csv, .tsv, .jsonl or .json ({len(tree.stamps)} others){unread}; "
            "give one, or a folder of them."
        )
    parts, blocks = {split: Part([], [], []) for split in SPLITS}, 0
    # a file stands for its lines, so that its name is taken as the name of a folder is
    arrangement = arrange([f"{_stem(name)}/" for name in names], "folders" if splits == "files" else splits)
    for name in names:
        split, _ = arrangement.locate(f"{_stem(name)}/")
        if alone and name != path.name:
            said.append(f"{split} is {name}, beside {path.name} (--splits none: not)")
        if split is None:
            parts["train"].dropped.append(Dropped(name, "outside the files of the splits"))
            continue
        try:
            found = read_items(name, tree.read(name), item, column)
        except InvalidFile as invalid:
            if alone and name == path.name:
                raise UserError(f"{path} is {invalid}") from None
            parts[split].dropped.append(Dropped(name, str(invalid)))
            continue
        part = parts[split]
        part.lines.extend(Line(f"{name}:{number}", text) for number, text in found.texts)
        part.dropped.extend(found.dropped)
        part.notes.extend([found.note] if found.note else [])
        blocks += found.blocks if found.blocks > 1 else 0
        if found.blank:
            skipped = "was" if found.blank == 1 else "were"
            part.notes.append(f"{counted(found.blank, 'blank line')} in {name} {skipped} skipped")
    tree.close()
    if blocks >= BLOCKS:
        said.append(
            f"each line is one sequence; {blocks:,} blocks of several lines stand between blank lines, such as poems: "
            "--item blank-line makes each of them one"
        )
    unusable = [drop for part in parts.values() for drop in part.dropped if drop.name in names]
    if unusable:
        first = f"{unusable[0].name} is {unusable[0].reason}"
        said.append(f"files that are not used: {len(unusable)} of {len(names):,}; {first}")
    if not parts["train"].lines:
        lost = [drop for part in parts.values() for drop in part.dropped]
        raise UserError(f"no text in {path} can be used: {lost[0].name} is {lost[0].reason}")
    parts["train"].notes.extend(said)
    parts["train"] = parts["train"]._replace(announced=tuple(said))
    parts = {split: part for split, part in parts.items() if part.lines}
    return _hold_out(parts["train"], share) if len(parts) == 1 else parts


def parts_in_memory(data: PythonData, share: float) -> dict[str, Part]:
    """The splits of lines, or of text files, in memory; of one split alone a share is held out as test.

    Raises UserError for what is no text.
    """
    parts = {}
    for split, rows in data.rows.items():
        part = parts[split] = Part([], [], [])
        for i, item in enumerate(rows.items):
            if data.has_lines:
                text = " ".join(str(getattr(item, "line", item)).split())
                part.lines.extend([Line(f"{split}/{i}", text)] if text else [])
            elif isinstance(item, str | Path):
                try:
                    found = read_items(str(item), Path(item).expanduser().read_bytes(), "line", None)
                    part.lines.extend(Line(f"{item}:{number}", text) for number, text in found.texts)
                except (InvalidFile, OSError) as error:
                    part.dropped.append(Dropped(str(item), str(getattr(error, "strerror", error))))
            else:
                raise UserError(f"{data} are no text; give a list of lines, or of paths of text files.")
    if not any(part.lines for part in parts.values()):
        raise UserError(f"{data} hold no text; give lines that are not empty.")
    return _hold_out(parts["train"], share) if list(parts) == ["train"] else parts


def _hold_out(part: Part, share: float) -> dict[str, Part]:
    """The lines that are learnt from, and those that are held out as test."""
    flags = held_out([line.text for line in part.lines], share)
    train, test = ([line for line, out in zip(part.lines, flags, strict=True) if out is side] for side in (False, True))
    if not test:
        lines = counted(len({line_key(line.text) for line in train}), "different line")
        few = f"{lines}: too few to hold some out, so that scores can only compare with those learnt from"
        return {"train": _noting(part, few) if share else part}
    note = (
        f"no file is named test: {len(test)} of {len(flags)} lines, chosen by a hash of each, are held out as test and "
        "not learnt from"
    )
    return {"train": _noting(part._replace(lines=train), note), "test": Part(test, [], [note], True)}


def _noting(part: Part, note: str) -> Part:
    """The part with one more note that training prints."""
    return part._replace(notes=[*part.notes, note], announced=(*part.announced, note))


def _open_tree(path: Path, splits: str = "auto") -> FileTree:
    if path.is_dir():
        return FolderTree(path)
    if path.suffix.lower() == ".zip":
        return ZipTree(path)
    try:
        return FolderTree(path.parent, [path.name, *(_companions(path) if splits != "none" else ())])
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a text file.") from None


def _text_files(tree: FileTree, column: str | None) -> tuple[list[str], list[str]]:
    """(the files that are read of a folder or zip, a note on what else may be text)

    They are plain text, or where there is none tables; where a column is given, tables, or where there are none plain
    text. Where there are neither, JSON or Markdown and logs, whichever are more.
    """
    groups = {
        group: sorted(name for name in tree.stamps if suffix_of(name) in suffixes)
        for group, suffixes in _GROUPS.items()
    }
    aside = sorted(("JSON", "Markdown and logs"), key=lambda group: -len(groups[group]))
    order = ["text", "tables", *aside] if column is None else ["tables", "JSON", "text", "Markdown and logs"]
    chosen = next((group for group in order if groups[group]), "text")
    left_out = []
    for group, names in groups.items():
        if names and group != chosen:
            is_table = group in ("tables", "JSON")
            how = " (--column NAME reads tables instead)" if is_table and column is None else ""
            left_out.append(f"{_listed(names)}{how}")
    if unread := sorted(name for name in tree.stamps if suffix_of(name) in UNREAD_DOCUMENTS):
        left_out.append(f"{_listed(unread)}, {how_to_convert(unread[0])}")
    if not groups[chosen] or not left_out:
        return groups[chosen], []
    note = f"what is read: {_listed(groups[chosen])}; left out, unless given by its own path: {'; '.join(left_out)}"
    return groups[chosen], [note]


_GROUPS = {
    "text": TEXT_SUFFIXES, "tables": TABLE_SUFFIXES, "JSON": frozenset({".json"}),
    "Markdown and logs": ASIDE_SUFFIXES - {".json"},
}  # fmt: skip
"""kinds of text files, of which a folder is read as one"""


def _listed(names: list[str]) -> str:
    """ "a.csv", "3 files such as a.csv"."""
    return names[0] if len(names) == 1 else f"{len(names):,} files such as {names[0]}"


def _companions(path: Path) -> list[str]:
    """Files beside one that is named for training, of the other splits: coco_test.txt beside coco_train.txt."""
    stem = _stem(path.name)
    suffix, ending = path.name[len(stem) :], _ENDING.search(stem)
    if not ending or standard_split(ending[1]) != "train":
        return []
    names = (f"{stem[: ending.start(1)]}{word}{suffix}" for word in NAMES if standard_split(word) != "train")
    return [name for name in names if (path.parent / name).is_file()]


def _stem(name: str) -> str:
    """A name without its suffix, and without that of its compression."""
    short = name[:-3] if name.lower().endswith(".gz") else name
    return short[: len(short) - len(suffix_of(short))]
