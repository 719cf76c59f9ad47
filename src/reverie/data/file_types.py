"""File suffixes and size limits of data sets, and the exceptions for a file that is not used."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

SUFFIXES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif",
        ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".avifs", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc", ".qoi",
    )
)  # fmt: skip
"""of image files, in lower case"""
_HEIC = "HEIC, which is not read; convert it to JPEG or PNG, such as with `magick mogrify -format jpg *.heic`"
_RAW = "camera RAW, which is not read; develop it to TIFF or JPEG, such as with darktable or RawTherapee"
_LAYERS = "a layered drawing, which is not read; export it as PNG"
_VECTOR = "a vector drawing or a document, which is not read; export its pages as PNG"
_JXL = "JPEG XL, which is not read; convert it to PNG, such as with `djxl in.jxl out.png`"
_EXR = "high dynamic range, which is not read; convert it to 16-bit PNG or float TIFF"
_MEDICAL = "a medical scan, which is not read; convert it to 16-bit PNG or TIFF, such as with dcm2niix or dcmj2pnm"
_VIDEO = "a video, which is not read; extract frames, such as with `ffmpeg -i in.mp4 %06d.png`"
_OTHER = "an image of a kind that is not read; convert it to PNG, such as with `magick mogrify -format png FILE`"
_TGA = b"TRUEVISION-XFILE.\0"  # how files of it end
UNREAD = {
    **dict.fromkeys((".heic", ".heif", ".hif", ".heics", ".heifs"), _HEIC),
    **dict.fromkeys(
        (
            ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".dng", ".orf", ".rw2", ".raf", ".pef",
            ".srw", ".3fr", ".iiq", ".x3f", ".rwl", ".erf", ".kdc", ".mrw", ".raw",
        ),
        _RAW,
    ),
    **dict.fromkeys((".psd", ".psb", ".xcf", ".kra", ".ora", ".clip", ".procreate", ".afphoto"), _LAYERS),
    **dict.fromkeys((".svg", ".svgz", ".eps", ".ai", ".pdf", ".emf", ".wmf"), _VECTOR),
    ".jxl": _JXL,
    **dict.fromkeys((".exr", ".hdr", ".pfm"), _EXR),
    **dict.fromkeys((".dcm", ".dicom", ".nii", ".nrrd", ".mha", ".mhd"), _MEDICAL),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"), _VIDEO),
    **dict.fromkeys(
        (
            ".tga", ".ico", ".icns", ".cur", ".dds", ".pcx", ".sgi", ".rgb", ".xbm", ".xpm", ".jxr", ".wdp", ".fits",
            ".fit", ".ras", ".bpg", ".flif", ".pict", ".djvu",
        ),
        _OTHER,
    ),
}  # fmt: skip
"""suffixes, in lower case, of images that are not read -> what they are, and how to convert them"""
NOT_AN_IMAGE = "not an image, despite its suffix"
MAX_BYTES = 512 * 1024 * 1024
"""size of the largest file that is read"""


def unread_kind(name: str) -> str:
    """What a file is by its suffix, and how to convert it, if it is an image of a kind that is not read; else ""."""
    return UNREAD.get(name[name.rfind(".") :].lower(), "")


def kind_by_bytes(data: bytes) -> str:
    """As `unread_kind`, by the first bytes of a file, which has the suffix of another kind."""
    head = data[:512]
    if head[4:8] == b"ftyp":
        if head[8:12] in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"):
            return _HEIC
        return _RAW if head[8:12] == b"crx " else _VIDEO
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return _JXL
    if head.startswith((b"8BPS", b"gimp xcf")):
        return _LAYERS
    if head.startswith((b"%PDF", b"%!PS", b"\xc5\xd0\xd3\xc6")) or b"<svg" in head:
        return _VECTOR
    if head[128:132] == b"DICM":
        return _MEDICAL
    if head.startswith((b"\x76\x2f\x31\x01", b"#?RADIANCE")):
        return _EXR
    if head.startswith((b"FUJIFILMCCD-RAW", b"IIRO", b"IIU\0")):
        return _RAW
    return _OTHER if head.startswith((b"DDS ", b"icns", b"\0\0\1\0", b"II\xbc\x01")) or data.endswith(_TGA) else ""


def reason_of(fault: str, name: str) -> str:
    """Why a file cannot be used, where its bytes say nothing by its suffix.   fault: as its bytes have it"""
    if fault != NOT_AN_IMAGE:
        return fault
    suffix = name[name.rfind(".") :].lower()
    return unread_kind(name) or (fault if suffix in SUFFIXES else "not an image of a kind that is read")


class InvalidFile(Exception):
    """A file cannot be used. The message is the reason: words that many files share, perhaps a colon and detail."""


class UnreadableFile(InvalidFile):
    """A file cannot be read now, for a reason outside its bytes (permission, memory, a lost disk); a retry may work."""


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings and log lines off stderr.

    Enter it once around a pool of threads, not inside them: the filters of `warnings` are shared by all threads.
    """
    handler, log = logging.NullHandler(), logging.getLogger("PIL")
    log.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.removeHandler(handler)
