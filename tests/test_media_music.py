"""Music: to and from files that other programs open, audio, piano rolls, and records in every kind of file."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import mido
import numpy as np
import pytest
import symusic
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reverie.cli.verify import compare_music
from reverie.data.music import midi
from reverie.media import Music, image_grid, read_record, rolls
from reverie.media.music import medley
from reverie.media.piano_roll import COLOURS, GUTTER
from reverie.media.synth import RATE
from reverie.utils.errors import UserError

RECORD = {"method": "x", "verb": "generate", "arguments": {"n": 3}, "index": 2, "synthetic": True}


def melody(*events: int, bars: int = 1) -> np.ndarray:
    return np.pad(np.array(events), (0, 16 * bars - len(events)))


melodies = st.integers(1, 4).flatmap(
    lambda bars: st.lists(
        st.one_of(st.just(0), st.just(0), st.just(1), st.integers(2, 129)), min_size=16 * bars, max_size=16 * bars
    )
)
drums = st.integers(1, 4).flatmap(
    lambda bars: st.lists(
        st.one_of(st.just(0), st.just(0), st.integers(0, 511)), min_size=16 * bars, max_size=16 * bars
    )
)


@settings(max_examples=150, deadline=None)
@given(events=melodies, tempo=st.integers(20, 300))
@example(events=[62, *[0] * 15, 1, *[0] * 15], tempo=120)  # a bar of silence at the end
@example(events=[0] * 32, tempo=90)
def test_a_melody_survives_a_file(events: list[int], tempo: int) -> None:
    music = Music({"melody": np.array(events)}, float(tempo))
    again = Music.read(music.midi())
    assert again.part("melody").tolist() == music.part("melody").tolist()
    assert again.digest == music.digest
    assert again.tempo == pytest.approx(tempo, rel=1e-4)


@settings(max_examples=100, deadline=None)
@given(events=drums)
@example(events=[0] * 16)
def test_drums_survive_a_file(events: list[int]) -> None:
    music = Music({"drums": np.array(events)})
    assert Music.read(music.midi()).part("drums").tolist() == events


def test_both_parts_stand_in_one_file() -> None:
    music = Music({"melody": melody(62, 0, 64, 1, bars=2), "drums": melody(1, 0, 6, bars=2)})
    again = Music.read(music.midi())
    assert {part: events.tolist() for part, events in again.parts.items()} == {
        part: events.tolist() for part, events in music.parts.items()
    }


def trio(bars: int = 2) -> Music:
    return Music(
        {"melody": melody(74, 0, 76, 1, bars=bars), "bass": melody(40, 0, 0, 1, 45, bars=bars),
         "drums": melody(1, 0, 6, bars=bars)}, 96.0,
    )  # fmt: skip


def test_a_trio_is_three_tracks_that_others_open(tmp_path: Path) -> None:
    read = mido.MidiFile(trio().save(tmp_path / "a.mid"))
    assert [track.name for track in read.tracks[1:]] == ["melody", "bass", "drums"]
    played = [[(m.note, m.channel) for m in track if m.type == "note_on"] for track in read.tracks[1:]]
    assert played == [[(72, 0), (74, 0)], [(38, 1), (43, 1)], [(36, 9), (38, 9), (42, 9)]]
    programs = [[(m.program, m.channel) for m in track if m.type == "program_change"] for track in read.tracks[1:]]
    assert programs == [[(0, 0)], [(33, 1)], []]
    score = symusic.Score(tmp_path / "a.mid")
    assert [(t.program, t.is_drum) for t in score.tracks] == [(0, False), (33, False), (0, True)]
    again = Music.load(tmp_path / "a.mid")
    assert again.digest == trio().digest
    assert again.lines(["melody", "bass", "drums"]).shape == (3, 32)
    assert np.array_equal(Music.of(["drums", "bass"], again.lines(["drums", "bass"])).part("bass"), again.part("bass"))


def test_a_part_without_notes_is_still_a_part() -> None:
    """A trio whose melody or bass never sounds must not be read as music without one, nor its bass as its melody."""
    for silent in ("melody", "bass", "drums"):
        music = Music({**trio().parts, silent: np.zeros(32, int)})
        again = Music.read(music.midi())
        assert again.digest == music.digest
    alone = Music.read(Music({"bass": melody(40, 0, 0, 1, 45)}).midi())
    assert list(alone.parts) == ["bass"]
    with pytest.raises(UserError, match="the music holds no melody, only bass"):
        alone.part("melody")
    with pytest.raises(UserError, match="holds no bass, only melody and drums: a bass has a track of"):
        Music({"melody": melody(62), "drums": melody(1)}).lines(["melody", "bass", "drums"])


def test_a_silent_tune_is_verified_as_any_other(tmp_path: Path) -> None:
    music = Music({"melody": melody(bars=2), "drums": melody(bars=2)}, record=RECORD)
    again = Music.load(music.save(tmp_path / "a.mid"))
    assert (again.digest, again.record, again.tempo) == (music.digest, RECORD, 120.0)
    assert compare_music(music, tmp_path / "a.mid")["same"]


@pytest.mark.parametrize(("own", "begin", "steps"), [(16, 16, 32), (16, 40, 48), (9, 9, 16), (9, 20, 32)])
def test_notes_that_another_program_added_are_read(tmp_path: Path, own: int, begin: int, steps: int) -> None:
    music = Music({"melody": melody(62, 0, 64)[:own]})
    file = mido.MidiFile(music.save(tmp_path / "a.mid"))
    assert Music.load(tmp_path / "a.mid").digest == music.digest
    end = file.tracks[1].pop()
    now = sum(message.time for message in file.tracks[1])
    file.tracks[1].append(mido.Message("note_on", note=70, velocity=80, time=120 * begin - now))
    file.tracks[1].append(mido.Message("note_off", note=70, time=50))  # less than half a step
    file.tracks[1].append(end.copy(time=0))
    file.save(tmp_path / "b.mid")
    again = Music.load(tmp_path / "b.mid")
    assert (again.steps, midi.notes_of(again.part("melody"))[-1]) == (steps, (begin, begin + 1, 70))


def test_a_part_that_is_shorter_than_others_is_silent_behind_its_end() -> None:
    music = Music({"melody": melody(62), "bass": melody(40, bars=2), "drums": melody(1)})
    again = [midi.notes_of(line) for line in music.lines(["melody", "bass"])]
    assert again == [[(0, 16, 60)], [(0, 32, 38)]]
    assert np.flatnonzero(music.lines(["bass", "drums"])[1]).tolist() == [0]


def test_a_note_that_ends_in_silence_is_no_event() -> None:
    assert Music({"melody": melody(1, 0, 62, 1, 1, 0, 1)}).part("melody").tolist()[:7] == [0, 0, 62, 1, 0, 0, 0]


def test_other_programs_open_it(tmp_path: Path) -> None:
    music = Music(
        {"melody": melody(62, 0, 66, 0, 69, 0, 0, 0, 1, bars=2), "drums": melody(5, 0, 4, 0, 6, bars=2)}, 90.0
    )
    path = music.save(tmp_path / "a.mid")
    read = mido.MidiFile(path)
    assert read.type == 1
    assert [track.name for track in read.tracks[1:]] == ["melody", "drums"]
    assert read.length == pytest.approx(8 * 60 / 90, rel=1e-5)  # two bars, silence at the end included
    played = [(m.note, m.channel) for m in read.tracks[1] if m.type == "note_on"]
    assert played == [(60, 0), (64, 0), (67, 0)]
    score = symusic.Score(path)
    assert [(n.time, n.duration, n.pitch) for n in score.tracks[0].notes] == [
        (0, 240, 60),
        (240, 240, 64),
        (480, 480, 67),
    ]
    assert [t.is_drum for t in score.tracks] == [False, True]
    assert sorted(n.pitch for n in score.tracks[1].notes) == [36, 38, 42, 42, 42]
    assert (score.time_signatures[0].numerator, score.time_signatures[0].denominator) == (4, 4)


def test_the_record_goes_with_every_kind_of_file(tmp_path: Path) -> None:
    music = (
        Music({"melody": melody(62, 0, 64)})
        .made_from(Music({"melody": melody(70)}, name="b.mid"))
        .with_provenance(RECORD)
    )
    again = Music.load(music.save(tmp_path / "a.mid"))
    assert again.record == music.record
    assert again.record is not None
    assert again.record["inputs"][0]["name"] == "b.mid"
    assert again.name == "a.mid"
    assert read_record(music.save(tmp_path / "a.png")) == music.record
    assert read_record(tmp_path / "a.mid") == read_record(music.save(tmp_path / "a.wav")) == music.record
    with pytest.raises(UserError, match="carries no record"):
        read_record(Music({"melody": melody(62, 0, 64)}).save(tmp_path / "b.mid"))
    with pytest.raises(UserError, match=r"name it a\.mid"):
        music.save(tmp_path / "a.mp3")


def test_texts_of_others_are_not_taken_for_a_record() -> None:
    music = Music({"melody": melody(62, 0, 64)})
    for text in (
        b"reverie is a song",
        b'reverie {"record": 3, "steps": "x"}',
        b"reverie [1]",
        b'reverie {"steps": -4}',
    ):
        body = music.midi()
        at = body.index(midi.MARK)
        size = body[at - 1]
        forged = body[: at - 1] + bytes([len(text)]) + text + body[at + size :]
        length = int.from_bytes(body[18:22], "big") + len(text) - size
        forged = forged[:18] + length.to_bytes(4, "big") + forged[22:]
        again = Music.read(forged)
        assert again.record is None
        assert again.digest == music.digest


def test_the_longest_stretch_of_four_four_is_read(tmp_path: Path) -> None:
    file = mido.MidiFile(ticks_per_beat=96)
    file.tracks.append(track := mido.MidiTrack())
    track.append(mido.MetaMessage("time_signature", numerator=3, denominator=4, time=0))
    track.append(mido.MetaMessage("set_tempo", tempo=400_000))
    track.append(mido.Message("note_on", note=50, velocity=9, time=0))
    track.append(mido.Message("note_off", note=50, time=96))
    track.append(mido.MetaMessage("time_signature", numerator=4, denominator=4, time=192))  # after one bar of 3/4
    track.append(mido.MetaMessage("set_tempo", tempo=600_000))
    for pitch in (60, 62, 64, 65, 67):
        track.append(mido.Message("note_on", note=pitch, velocity=9, time=0))
        track.append(mido.Message("note_off", note=pitch, time=96))
        track.append(mido.MetaMessage("set_tempo", tempo=500_000 + 1000 * pitch))
    file.save(tmp_path / "a.mid")
    music = Music.load(tmp_path / "a.mid")
    assert music.tempo == 100.0  # as it begins, not as the file does
    assert [note[2] for note in midi.notes_of(music.part("melody"))] == [60, 62, 64, 65, 67]
    assert music.steps == 32


def test_bad_files_get_one_line(tmp_path: Path) -> None:
    good = Music({"melody": melody(62, 0, 64)}).midi()
    for name, data, why in (
        ("text", b"la la la", "no MIDI file"), ("empty", b"", "empty file"), ("short", good[:-9], "cut short"),
        ("head", good[:20], "cut short"),
        ("format2", good[:9] + b"\x02" + good[10:], "songs of their own"),
        ("smpte", good[:12] + b"\xe7\x28" + good[14:], "SMPTE frames"),
        ("silent", Music({"melody": melody()}).midi().replace(midi.MARK, b"another "), "no notes"),
    ):  # fmt: skip
        (tmp_path / f"{name}.mid").write_bytes(data)
        with pytest.raises(UserError, match=why) as caught:
            Music.load(tmp_path / f"{name}.mid")
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="cannot be read"):
        Music.load(tmp_path / "none.mid")
    with pytest.raises(UserError, match="holds no drums, only melody"):
        Music({"melody": melody(62)}).part("drums")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_refused_or_read_but_nothing_else(data: st.DataObject) -> None:
    body = bytearray(Music({"melody": melody(62, 0, 64, 1, 70, bars=2), "drums": melody(1, 2, 3, bars=2)}).midi())
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(4, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        music = Music.read(bytes(body[: data.draw(st.integers(14, len(body)))]))
    except midi.InvalidFile:
        return
    assert music.parts
    assert all(events.min() >= 0 and events.max() < midi.EVENTS[part] for part, events in music.parts.items())


def test_sound_is_the_same_every_time_and_as_long_as_the_music() -> None:
    music = Music({"melody": melody(71, 0, 0, 0, 1, bars=2), "drums": melody(1, 0, 2)}, 120.0)
    sound = music.sound()
    assert np.array_equal(sound, music.sound())
    assert len(sound) == 5 * RATE  # 4 seconds, and one to fade
    assert 0.05 < np.abs(sound).max() <= 1
    with wave.open(io.BytesIO(music.wav())) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        assert file.getnframes() == len(sound)
    # a tone of 440 Hz alone has its spectrum's peak there
    alone = Music({"melody": melody(71)}, 120.0).sound()[: 2 * RATE]
    assert np.abs(np.fft.rfft(alone)).argmax() / 2 == pytest.approx(440, abs=1)


def test_every_drum_sounds_and_unlike_the_others() -> None:
    sounds = [Music({"drums": melody(1 << k)}).sound() for k in range(9)]
    assert all(np.abs(sound).max() > 0.05 for sound in sounds)
    for a in range(9):
        assert not any(np.array_equal(sounds[a], sounds[b]) for b in range(a))


def test_a_roll_shows_the_notes_where_they_are() -> None:
    music = Music({"melody": melody(62, 0, 1, 0, 67)})
    pixels = music.image(59, 66).pixels
    assert pixels.shape == (8 * 4, GUTTER + 16 * 6, 3)
    assert (pixels[:, :GUTTER] < 200).any()  # the name of C4
    pixels = pixels[:, GUTTER:]
    blue = (pixels[:, :, 2] > pixels[:, :, 0].astype(int) + 30).reshape(8, 4, 16, 6).any((1, 3))
    assert {(66 - row, t) for row, t in np.argwhere(blue).tolist()} == {
        (60, 0),
        (60, 1),
        *((65, t) for t in range(4, 16)),
    }


def test_the_parts_of_a_trio_have_colours_of_their_own() -> None:
    pixels = trio().image(30, 80).pixels
    assert pixels.shape == (51 * 4 + 4 + 9 * 10, GUTTER + 32 * 6, 3)
    assert all((pixels[204 + 4 + 10 * k : 204 + 14 + 10 * k, :GUTTER] < 200).any() for k in range(9))  # their names
    pixels = pixels[:, GUTTER:]
    keys = pixels[: 51 * 4].reshape(51, 4, 32, 6, 3)[:, :, :, 1:]  # without the dark beginnings
    drums = pixels[51 * 4 + 4 :].reshape(9, 10, 32, 6, 3)[:, :, :, 1:]
    colours = {name: np.array(colour) for name, (colour, _) in COLOURS.items()}
    assert len({tuple(colour) for colour in colours.values()}) == 3
    found = {name: np.argwhere((part == colours[name]).all((1, 3, 4))).tolist()
             for name, part in (("melody", keys), ("bass", keys), ("drums", drums))}  # fmt: skip
    assert [(80 - row, t) for row, t in found["melody"]] == [(74, 2), (72, 0), (72, 1)]
    assert {(80 - row, t) for row, t in found["bass"]} == {(38, 0), (38, 1), (38, 2), *((43, t) for t in range(4, 32))}
    assert sorted((8 - row, t) for row, t in found["drums"]) == [(0, 0), (1, 2), (2, 2)]
    over = Music({"bass": melody(62), "melody": melody(62)}).image(50, 70).pixels  # the melody lies on top
    assert not (over == colours["bass"]).all(2).any()
    sound = [Music({name: events}).sound() for name, events in trio().parts.items()]
    assert all(np.abs(each).max() > 0.05 for each in sound)


def test_a_medley_has_all_after_another(tmp_path: Path) -> None:
    pieces = [Music({"melody": melody(62, 0, 64)}), Music({"drums": melody(1)}), Music({"melody": melody(70, bars=2)})]
    both = medley(pieces)
    assert midi.notes_of(both.part("melody")) == [(0, 2, 60), (2, 16, 62), (64, 96, 68)]
    assert np.flatnonzero(both.part("drums")).tolist() == [32]
    for ending in (".mid", ".midi", ".wav", ".png"):
        assert Music.COMBINED_WRITERS[ending](pieces, tmp_path / f"all{ending}").is_file()


def test_rolls_for_a_sheet_have_one_size() -> None:
    pieces = [Music({"melody": melody(40)}), Music({"melody": melody(90, bars=2)}), Music({"drums": melody(1)})]
    assert len({image.pixels.shape for image in rolls(pieces)}) == 1
    assert image_grid(rolls(pieces), 3).pixels.ndim == 3
