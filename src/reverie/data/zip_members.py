"""Members of zips, unpacked no further than is asked for, whatever they claim: one that lies takes no memory.

zipfile itself keeps to that for stored and deflated members only: of bzip2 and LZMA it unpacks all of what it has read,
and 4 KB of these may be 80 MB.
"""

from __future__ import annotations

import bz2
import copy
import lzma
import struct
import zipfile
import zlib
from typing import IO, Protocol

PIECE = 1 << 12
"""packed bytes that are read at once"""
MOST_DICTIONARY = 1 << 26
"""bytes of the dictionary of LZMA that are set aside: 64 MB, that of `xz -9`"""


class _Decompressor(Protocol):
    @property
    def needs_input(self) -> bool: ...

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Member:
    """A packed member as a file to read, which unpacks no more than is asked for."""

    def __init__(self, packed: IO[bytes], member: zipfile.ZipInfo) -> None:
        self._packed, self._crc, self._expected = packed, 0, member.CRC
        self._unpacker: _Decompressor = bz2.BZ2Decompressor()
        if member.compress_type == zipfile.ZIP_LZMA:
            self._unpacker = _lzma(packed)

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer at the end. Raises BadZipFile if the checksum is another, and as unpackers do."""
        content = bytearray()
        while len(content) < size and not self._unpacker.eof:
            packed = self._packed.read(PIECE) if self._unpacker.needs_input else b""
            if self._unpacker.needs_input and not packed:
                break  # a stream of LZMA need not mark its end
            content += self._unpacker.decompress(packed, size - len(content))
        self._crc = zlib.crc32(content, self._crc)
        if len(content) < size and self._crc != self._expected:
            raise zipfile.BadZipFile("bad CRC-32")
        return bytes(content)

    def __enter__(self) -> _Member:
        return self

    def __exit__(self, *_: object) -> None:
        self._packed.close()


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes] | _Member:
    """A member to read. Raises what zipfile, bz2 and lzma raise for those that are damaged."""
    if member.compress_type not in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        return archive.open(member)
    stored = copy.copy(member)  # the packed bytes as they are
    stored.compress_type, stored.file_size = zipfile.ZIP_STORED, member.compress_size
    del stored.CRC  # which is that of the unpacked ones: zipfile shall not compare it
    return _Member(archive.open(stored), member)


def _lzma(packed: IO[bytes]) -> _Decompressor:
    """An unpacker of LZMA, for what follows the header (APPNOTE.TXT, 5.8.8): version, size and properties."""
    header = packed.read(4)
    size = int.from_bytes(header[2:], "little")
    properties = packed.read(size)
    if len(header) < 4 or size != 5 or len(properties) < 5:
        raise zipfile.BadZipFile("an LZMA header of another form")
    first, dictionary = struct.unpack("<BI", properties)
    bits = {"lc": first % 9, "lp": first // 9 % 5, "pb": first // 45}
    if dictionary > MOST_DICTIONARY:
        raise zipfile.BadZipFile(f"an LZMA dictionary of {dictionary >> 20} MB")
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, **bits}])
