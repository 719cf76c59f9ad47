"""What a file is, image, music or text: by its suffix where that says so, else by its first bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from reverie.data.archives import FileTree
from reverie.data.file_types import SUFFIXES as IMAGE_SUFFIXES
from reverie.data.file_types import UNREAD, InvalidFile

MUSIC_SUFFIXES = frozenset((".mid", ".midi", ".kar", ".rmi", ".smf"))
TEXT_SUFFIXES = frozenset((".txt", ".text"))
TABLE_SUFFIXES = frozenset((".csv", ".tsv", ".jsonl", ".ndjson"))
_OTHER_SUFFIXES = frozenset(
    (
        ".7z", ".avi", ".bak", ".bib", ".c", ".cfg", ".conf", ".css", ".db", ".doc", ".docx", ".flac", ".h5",
        ".hdf5", ".htm", ".html", ".ini", ".ipynb", ".js", ".json", ".log", ".lst", ".m4a", ".mat", ".md", ".mp3",
        ".npy", ".npz", ".ogg", ".onnx", ".parquet", ".pkl", ".ppt", ".pptx", ".pt", ".pth", ".py", ".rar", ".rst",
        ".rtf", ".safetensors", ".sh", ".sqlite", ".tar", ".tex", ".tfrecord", ".tgz", ".toml", ".url", ".wav",
        ".xls", ".xlsx", ".xml", ".xz", ".yaml", ".yml", ".zip", ".gz", ".bz2", ".zst",
    )
)  # fmt: skip
"""suffixes that say that a file is none of the three; files of other suffixes, or of none, are looked into"""
HEAD = 64
"""bytes that are looked at"""
_IMAGE_MAGIC = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"qoif", b"\0\0\0\x0cjP  ",
)  # fmt: skip


def medium_of(name: str) -> str:
    """ "image", "music", "text", "table" or "other", by the suffix of a file's name; "" if that does not say.

    >>> medium_of("song.KAR"), medium_of("song.mid.gz"), medium_of("IMG_0001")
    ('music', 'music', '')
    """
    lower = name.lower().removesuffix(".gz")
    suffix = lower[max(lower.rfind("."), lower.rfind("/") + 1) :]  # without Path, which takes a second for 100,000
    packed = len(lower) < len(name)
    if suffix in IMAGE_SUFFIXES:
        return "other" if packed else "image"
    if suffix in MUSIC_SUFFIXES:
        return "music"
    if suffix in TEXT_SUFFIXES:
        return "text"
    if suffix in TABLE_SUFFIXES:
        return "table"
    return "other" if packed or suffix in _OTHER_SUFFIXES or suffix in UNREAD else ""


def medium_of_bytes(head: bytes) -> str:
    """ "image" or "music" by the first bytes of a file; "" if they are of neither."""
    if head.startswith(_IMAGE_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "image"
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and len(head) > 26:
        return "image"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return "image"
    return "music" if head[:4] == b"MThd" or (head[:4] == b"RIFF" and head[8:12] == b"RMID") else ""


def is_text(head: bytes) -> bool:
    """Whether the first bytes of a file are text: UTF-8, perhaps cut within a character, without control characters."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True  # UTF-16, which is refused where it is read, with what to do
    with contextlib.suppress(UnicodeDecodeError):
        text = head[: len(head) - 3].decode() if len(head) >= HEAD else head.decode()
        return bool(text) and all(c.isprintable() or c in "\t\r\n\f\ufeff" for c in text)
    if len(head) >= HEAD:
        text = head.decode(errors="replace")
        return text.count("\ufffd") <= 3 and "\0" not in text
    return False


def names_of(tree: FileTree, medium: str, names: Iterable[str] | None = None) -> set[str]:
    """The names of the files of a tree (or those given) that are "image" or "music"; odd suffixes are looked into."""
    found = set()
    for name in tree.stamps if names is None else names:
        if (known := medium_of(name)) == medium:
            found.add(name)
        elif not known:
            with contextlib.suppress(InvalidFile):
                if medium_of_bytes(tree.head(name)) == medium:
                    found.add(name)
    return found
