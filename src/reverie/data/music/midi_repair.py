"""The MIDI in a file that is wrapped, packed, or slightly wrong, as other programs write or leave it.

gzip and RIFF (.rmi) are unwrapped; bytes before the header (MacBinary) are passed over; of a file that is cut short, or
that announces more tracks than it has, the whole tracks are kept; notes that never end are ended (midi_endings.py).
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from typing import NamedTuple

from reverie.data.file_types import MAX_BYTES, InvalidFile
from reverie.data.music.midi_endings import end_notes
from reverie.utils.formatting import counted

_HEADER = b"MThd"
_SEARCHED = 512
"""first bytes of a file among which its header is looked for"""


class Whole(NamedTuple):
    """A MIDI file without what is wrong with it."""

    data: bytes
    note: str
    """what was passed over, a few words; "" for a sound file"""


def whole_part(data: bytes) -> Whole:
    """What of a file is whole MIDI; bytes that are none are returned as they are. Raises InvalidFile."""
    if data[:2] == b"\x1f\x8b":
        data = _gunzip(data)
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":
        data = _from_riff(data)
    note = ""
    if data[:4] != _HEADER and (start := data.find(_HEADER, 0, _SEARCHED)) > 0:
        data, note = data[start:], "bytes before the header passed over"
    if data[:4] != _HEADER or len(data) < 14:
        return Whole(data, note)
    size, tracks = struct.unpack(">I", data[4:8])[0], struct.unpack(">H", data[10:12])[0]
    at, whole, count, found = 8 + size, data[: 8 + size], 0, 0
    while at + 8 <= len(data) and found < tracks:
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
        if data[at : at + 4] == b"MTrk":
            found += 1
            if end <= len(data):
                whole += data[at:end]
                count += 1
        at = end
    notes = [note] if note else []
    if 0 < count < tracks and size >= 6:
        notes.append(f"cut short, {count} of {tracks} tracks are whole")
        data = whole[:10] + struct.pack(">H", count) + whole[12:]
    data, endless = end_notes(data)
    if endless:
        notes.append(f"{counted(endless, 'note')} without an end, taken to last to the next one of the channel")
    return Whole(data, ", ".join(notes))


def _gunzip(data: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise InvalidFile("damaged: its gzip is cut short or broken") from None
    if len(content) > MAX_BYTES:
        raise InvalidFile("larger than 512 MB")
    return content


def _from_riff(data: bytes) -> bytes:
    """The MIDI file in the "data" chunk of a RIFF file. Raises InvalidFile."""
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            return data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    raise InvalidFile("a RIFF file without MIDI in it")
