"""What a file is, image, music or text: by its suffix where that says so, else by its first bytes."""

from __future__ import annotations

import contextlib

from reverie.data.archives import FileTree
from reverie.data.file_types import SUFFIXES as IMAGE_SUFFIXES
from reverie.data.file_types import UNREAD, InvalidFile
from reverie.data.tables import suffix_of

MUSIC_SUFFIXES = frozenset((".mid", ".midi", ".kar", ".rmi", ".smf"))
TEXT_SUFFIXES = frozenset((".txt", ".text"))
TABLE_SUFFIXES = frozenset((".csv", ".tsv", ".jsonl", ".ndjson"))
ASIDE_SUFFIXES = frozenset((".json", ".md", ".markdown", ".log"))
"""text that often stands beside data to describe it: it is the data only where there are no images and no music"""
_DOCUMENT = "a document, which is not read; save it as plain text, such as with `pandoc -t plain FILE -o FILE.txt`"
_MARKUP = "a text in markup, which is not read; save the text alone, such as with `pandoc -t plain FILE -o FILE.txt`"
_PDF = "a PDF, which is not read; save its text as .txt, such as with `pdftotext FILE`, or its pages as PNG"
_TABLE = "a table of a kind that is not read; save it as CSV, such as with `pandas.read_parquet(FILE).to_csv(FILE.csv)`"
_SCORE = "a score of a kind that is not read; export it as MIDI, such as with MuseScore"
_SOUND = "a recording, which is not read; music is learnt from MIDI"
UNREAD_DOCUMENTS = {
    **dict.fromkeys((".docx", ".doc", ".odt", ".rtf", ".epub", ".mobi", ".azw3", ".ppt", ".pptx"), _DOCUMENT),
    **dict.fromkeys((".html", ".htm", ".xhtml", ".xml"), _MARKUP),
    ".pdf": _PDF,
    **dict.fromkeys((".parquet", ".arrow", ".feather", ".xls", ".xlsx", ".ods", ".sqlite", ".db"), _TABLE),
    **dict.fromkeys((".musicxml", ".mxl", ".mscz", ".mscx", ".gp3", ".gp4", ".gp5", ".gpx"), _SCORE),
    **dict.fromkeys((".wav", ".mp3", ".flac", ".ogg", ".m4a"), _SOUND),
}
"""suffixes of text and music of kinds that are not read -> what they are, and how to convert them"""
CODE_SUFFIXES = frozenset(
    (".bak", ".bib", ".c", ".cfg", ".conf", ".css", ".ini", ".js", ".lst", ".py", ".rst", ".sh", ".tex", ".toml",
     ".yaml", ".yml")
)  # fmt: skip
"""text that is data only where a file is given by its own path"""
_OTHER_SUFFIXES = CODE_SUFFIXES | frozenset(
    (
        ".7z", ".h5", ".hdf5", ".ipynb", ".mat", ".npy", ".npz", ".onnx", ".pkl", ".pt", ".pth", ".rar",
        ".safetensors", ".tar", ".tfrecord", ".tgz", ".url", ".xz", ".zip", ".gz", ".bz2", ".zst",
    )
)  # fmt: skip
"""suffixes that say that a file is none of the three; files of other suffixes, or of none, are looked into"""
HEAD = 64
"""bytes that are looked at"""
_IMAGE_MAGIC = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"qoif", b"\0\0\0\x0cjP  ",
)  # fmt: skip


def medium_of(name: str) -> str:
    """ "image", "music", "text", "table", "aside" or "other", by the suffix of a file's name; "" if that does not say.

    aside: of ASIDE_SUFFIXES

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
    if suffix in ASIDE_SUFFIXES:
        return "aside"
    known = suffix in _OTHER_SUFFIXES or suffix in UNREAD_DOCUMENTS or suffix in UNREAD
    return "other" if packed or known else ""


def how_to_convert(name: str) -> str:
    """What a file of a kind that is not read is by its suffix, and how to convert it; "" for other files."""
    suffix = suffix_of(name)
    return UNREAD_DOCUMENTS.get(suffix) or UNREAD.get(suffix, "")


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


def names_of(tree: FileTree, medium: str) -> set[str]:
    """The names of the files of a tree that are "image" or "music"; odd suffixes are looked into."""
    found = set()
    for name in tree.stamps:
        if (known := medium_of(name)) == medium:
            found.add(name)
        elif not known:
            with contextlib.suppress(InvalidFile):
                if medium_of_bytes(tree.head(name)) == medium:
                    found.add(name)
    return found
