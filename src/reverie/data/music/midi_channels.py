"""The channels of a MIDI file: its messages are walked, and two channels change places.

Readers take channel 10 for drums; a file that has its percussion elsewhere is read right after this.
"""

from __future__ import annotations

DATA_BYTES = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}
"""first half of the status byte of a channel's message -> how many bytes of data follow"""


def swap_channels(data: bytes, one: int, other: int) -> bytes:
    """The bytes of a MIDI file in which two channels, 0 to 15, have changed places; what is damaged stays as it is."""
    out, at = bytearray(data), 8 + int.from_bytes(data[4:8], "big")
    partner = {one: other, other: one}
    while at + 8 <= len(data):
        end = min(len(data), at + 8 + int.from_bytes(data[at + 4 : at + 8], "big"))
        if data[at : at + 4] == b"MTrk":
            for place in _statuses(data, at + 8, end):
                status = data[place]
                out[place] = status & 0xF0 | partner.get(status & 15, status & 15)
        at = end
    return bytes(out)


def _statuses(data: bytes, at: int, end: int) -> list[int]:
    """The places of the status bytes of the messages of channels in a track's bytes from `at` to `end`."""
    found, status = list[int](), 0
    while at < end:
        _, at = variable(data, at, end)  # the time that passes
        if at >= end:
            break
        if data[at] & 0x80:
            status, at = data[at], at + 1
            if status < 0xF0:
                found.append(at - 1)
        if status < 0x80:
            break  # damaged: data without a message
        if status < 0xF0:  # under running status its data follows at once
            at += DATA_BYTES[status >> 4]
        else:
            size, at = variable(data, at + (status == 0xFF), end)  # 0xFF: a meta event, after its kind
            at += size
    return found


def variable(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number of variable length at a place, and the place after it."""
    number = 0
    while at < end:
        byte = data[at]
        number, at = number << 7 | byte & 127, at + 1
        if byte < 128:
            break
    return number, at
