"""RTT-GAN: its networks against what they must equal, decoding, the verb describe, and resuming in each stage."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import reverie
from reverie import UserError
from reverie.cli import main as cli
from reverie.core import registry
from reverie.core.update import Update
from reverie.data.text.sentences import END, PAD, START, UNKNOWN
from reverie.media import Photo, read_record
from reverie.nn.paragraph_decoding import Decoding, numbers_needed, write
from reverie.nn.paragraph_discriminators import SentenceDiscriminator, TopicDiscriminator, existing
from reverie.nn.paragraph_rnn import ParagraphGenerator, Regions, flattened, mean_embeddings
from reverie.utils.distributed import Ranks
from test_contract import count_steps

DATA = "scenes:24"
VOCAB, HIDDEN = 12, 8
WORDS = torch.tensor([
    [[4, 5, 6, 2, 0], [7, 8, 2, 0, 0], [9, 4, 5, 10, 2]],
    [[11, 5, 2, 0, 0], [4, 4, 4, 4, 2], [0, 0, 0, 0, 0]],
])  # fmt: skip
HOW = Decoding(most_sentences=3, most_words=6)


def generator(hierarchical: bool = True, word_attention: bool = True) -> ParagraphGenerator:
    torch.manual_seed(0)
    made = ParagraphGenerator(VOCAB, HIDDEN, HIDDEN, 0.0, hierarchical, word_attention).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3)  # so that words differ
    return made


def regions(n: int = 2) -> torch.Tensor:
    return torch.randn(n, 20, HIDDEN, generator=torch.Generator().manual_seed(1))


# -- networks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word_attention", [True, False])
def test_word_by_word_equals_side_by_side(word_attention: bool) -> None:
    """The states of all sentences side by side, and those of one word after another, with the words so far kept."""
    made, seen = generator(word_attention=word_attention), regions()
    rnn, paragraph = made.sentence, made.paragraph
    assert paragraph is not None
    with torch.no_grad():
        spoken = made(WORDS, seen)
        state, said = paragraph.begin(seen), torch.zeros(2, HIDDEN)
        memory, known = torch.zeros(2, 0, 2 * HIDDEN), torch.zeros(2, 0, dtype=torch.bool)
        nll = torch.zeros(2, 3)
        for s in range(3):
            topic, _, state = paragraph(said, seen, paragraph.attention.key(seen), state)
            assert torch.allclose(topic, spoken.topics[:, s], atol=1e-5)
            at = rnn.begin(topic, memory, known)
            for t in range(5):
                before = WORDS[:, s, t - 1] if t else torch.where(WORDS[:, s, 0] != PAD, START, PAD)
                before = torch.where(WORDS[:, s, t] == PAD, PAD, before)  # nothing is said after an end
                logits, looked, at = rnn.step(before, topic, seen, rnn.regions.key(seen), at)
                there = WORDS[:, s, t] != PAD
                nll[there, s] -= logits.log_softmax(1)[there, WORDS[there, s, t]]
                assert torch.allclose(looked[there], spoken.attention[there, s, t], atol=1e-5)
            memory, known = at.memory, at.known
            said = mean_embeddings(rnn.embedding(WORDS[:, s]), WORDS[:, s])
    assert torch.allclose(nll, spoken.nll, atol=1e-4)
    assert spoken.nll[1, 2] == 0


def test_a_word_knows_nothing_of_later_words_and_other_pictures() -> None:
    made, seen = generator(), regions()
    with torch.no_grad():
        before = made(WORDS, seen)
        changed = WORDS.clone()
        changed[0, 2, 1] = 11
        after = made(changed, seen)
        alone = made(WORDS[:1], seen[:1])
    assert torch.equal(before.nll[0, :2], after.nll[0, :2])
    assert torch.equal(before.nll[1], after.nll[1])
    assert before.nll[0, 2] != after.nll[0, 2]
    assert torch.allclose(alone.nll[0], before.nll[0], atol=1e-5)


def test_the_chance_to_stop_is_a_probability_of_the_number_of_sentences() -> None:
    made, seen = generator(), regions()
    with torch.no_grad():
        three, two = made(WORDS, seen).stop_nll[0], made(WORDS[:, :2], seen).stop_nll[0]
    assert torch.allclose(three[0], two[0])
    assert torch.allclose((-three[1]).exp() + (-two[1]).exp(), torch.ones(()), atol=1e-5)  # goes on, or stops


def test_a_flat_generator_reads_one_row() -> None:
    rows = flattened(WORDS)
    assert rows.tolist() == [
        [4, 5, 6, 2, 7, 8, 2, 9, 4, 5, 10, 2, 2],
        [11, 5, 2, 4, 4, 4, 4, 2, 2, 0, 0, 0, 0],
    ]
    made = generator(hierarchical=False, word_attention=False)
    with torch.no_grad():
        spoken = made(WORDS, regions())
        logits, _, _ = made.sentence.step(
            torch.tensor([START, START]), made.flat_topic(regions()), regions(), made.sentence.regions.key(regions()),
            made.sentence.begin(made.flat_topic(regions()), torch.zeros(2, 0, 16), torch.zeros(2, 0).bool()),
        )  # fmt: skip
        states, _ = made.sentence(rows[:, None], made.flat_topic(regions())[:, None], regions())
    assert torch.allclose(made.sentence.logits(states[:, 0, 0]), logits, atol=1e-5)
    assert spoken.nll.shape == (2, 1)
    assert spoken.stop_nll.abs().sum() == 0


def test_regions_are_cells_and_four_of_them() -> None:
    torch.manual_seed(0)
    made = Regions(3, 4, HIDDEN, VOCAB, 0.0).eval()
    maps = torch.randn(1, 3, 4, 4)
    moved = maps.clone()
    moved[0, :, 1, 2] += 1
    with torch.no_grad():
        changed = (made(maps) != made(moved)).any(2)[0].nonzero().flatten().tolist()
    assert made(maps).shape == (1, 16 + 4, HIDDEN)
    assert changed == [1 * 4 + 2, 16 + 0 * 2 + 1]


def test_words_are_of_the_region_that_shows_them() -> None:
    """The loss by hand: of each word its likeliest region; marks are no words."""
    torch.manual_seed(0)
    made = Regions(3, 4, HIDDEN, VOCAB, 0.0).eval()
    seen = made(torch.randn(2, 3, 4, 4))
    logits = made.words(seen - made.places).amax(1).sigmoid()
    said = [{4, 5, 6, 7, 8, 9, 10}, {11, 5, 4}]
    by_hand = -sum(
        (p if word in there else 1 - p).log()
        for row, there in zip(logits, said, strict=True) for word, p in enumerate(row) if word > UNKNOWN
    )  # fmt: skip
    assert torch.allclose(made.loss_words(seen, WORDS), by_hand / 10, atol=1e-5)
    places = made.places.detach()
    near, far = places[0] - places[1], places[0] - places[15]
    assert near.norm() < far.norm()
    assert torch.allclose(places[:16].view(4, 4, -1)[:2, :2].mean((0, 1)), places[16], atol=0.7)


def test_discriminators_leave_out_what_is_not_there() -> None:
    torch.manual_seed(0)
    sentences, topics = SentenceDiscriminator(VOCAB, 4, 6), TopicDiscriminator(6, 5)
    logits, vectors = sentences(WORDS)
    alone, _ = sentences(WORDS[1:, :1, :3])
    assert torch.allclose(logits[1, 0], alone[0, 0], atol=1e-6)  # padding changes nothing
    assert logits[1, 2] == 0
    assert vectors[1, 2].abs().sum() == 0
    exists = existing(WORDS)
    assert exists.tolist() == [[True, True, True], [True, True, False]]
    t = topics(vectors, exists)
    shorter = topics(vectors[:, :2], exists[:, :2])
    assert torch.allclose(t[1, :2], shorter[1], atol=1e-6)
    assert not torch.allclose(t[0, 1], shorter[0, 1])  # the second sentence is the last one there


# -- decoding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hierarchical", [True, False])
@pytest.mark.parametrize("beam", [1, 3])
def test_what_is_written_is_well_formed(hierarchical: bool, beam: int) -> None:
    made, seen = generator(hierarchical, hierarchical), regions(5)
    for sentences in (None, 1, 5):
        written = write(made, seen, dataclasses.replace(HOW, beam=beam, sentences=sentences))
        assert written.words.max() < VOCAB
        assert not ((written.words == UNKNOWN) | (written.words == START)).any()
        for paragraph, looked in zip(written.words.tolist(), written.attention, strict=True):
            there = [sentence for sentence in paragraph if any(sentence)]
            assert len(there) == sentences or sentences is None or not hierarchical
            assert all(any(s) for s in paragraph[: len(there)])  # none is left out between others
            for sentence in there:
                end = sentence.index(END)
                assert end > 0
                assert all(word > UNKNOWN for word in sentence[:end])
                assert not any(sentence[end + 1 :])
            assert torch.allclose(looked.sum(1)[: len(there)], torch.ones(len(there)), atol=1e-4)
            assert looked[len(there) :].abs().sum() == 0


@pytest.mark.parametrize("hierarchical", [True, False])
def test_a_paragraph_does_not_depend_on_its_batch(hierarchical: bool) -> None:
    made, seen = generator(hierarchical, hierarchical), regions(5)
    u = torch.rand(5, numbers_needed(HOW), generator=torch.Generator().manual_seed(0))
    for how, numbers in (
        (HOW, None),
        (dataclasses.replace(HOW, beam=3), None),
        (dataclasses.replace(HOW, temperature=1.0), u),
    ):
        whole = write(made, seen, how, numbers).words
        for i in range(5):
            alone = write(made, seen[i : i + 1], how, None if numbers is None else numbers[i : i + 1]).words[0]
            assert [s for s in alone.tolist() if any(s)] == [s[: alone.shape[1]] for s in whole[i].tolist() if any(s)]


def test_greedy_takes_the_likeliest_words_and_beams_do_better() -> None:
    made, seen = generator(), regions(6)
    one = dataclasses.replace(HOW, sentences=1)
    greedy, beams = write(made, seen, one).words, write(made, seen, dataclasses.replace(one, beam=8)).words

    def mean_log_p(words: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return -made(words, seen).nll[:, 0] / (words != PAD).sum((1, 2))

    assert (mean_log_p(beams) >= mean_log_p(greedy) - 1e-5).float().mean() > 0.8  # a beam may be lost on the way
    assert mean_log_p(beams).mean() > mean_log_p(greedy).mean()


def test_words_are_drawn_as_often_as_they_are_likely() -> None:
    made, seen = generator(), regions(1).expand(4000, -1, -1)
    how = dataclasses.replace(HOW, sentences=1, temperature=1.0)
    u = torch.rand(4000, numbers_needed(how), generator=torch.Generator().manual_seed(3))
    first = write(made, seen, how, u).words[:, 0, 0]
    rnn, paragraph = made.sentence, made.paragraph
    assert paragraph is not None
    with torch.no_grad():
        one = seen[:1]
        topic, _, _ = paragraph(torch.zeros(1, HIDDEN), one, paragraph.attention.key(one), paragraph.begin(one))
        state = rnn.begin(topic, torch.zeros(1, 0, 2 * HIDDEN), torch.zeros(1, 0).bool())
        logits, _, _ = rnn.step(torch.tensor([START]), topic, one, rnn.regions.key(one), state)
    expected = logits[0].index_fill(0, torch.tensor([END, UNKNOWN]), -torch.inf).softmax(0)
    seen_shares = torch.bincount(first, minlength=VOCAB) / 4000
    assert (seen_shares - expected).abs().max() < 0.03


def test_the_trigram_penalty_ends_repetition() -> None:
    made, seen = generator(), regions(4)
    long = Decoding(most_sentences=6, most_words=12, sentences=6)

    def repeated(words: torch.Tensor) -> int:
        count = 0
        for paragraph in words.tolist():
            grams = [tuple(s[i : i + 3]) for s in paragraph for i in range(len(s) - 2) if s[i + 2] > UNKNOWN]
            count += len(grams) - len(set(grams))
        return count

    free, held = (write(made, seen, dataclasses.replace(long, trigram_penalty=p)).words for p in (0.0, 100.0))
    assert repeated(free) > 0
    assert repeated(held) == 0


@pytest.mark.parametrize("hierarchical", [True, False])
def test_first_words_come_first(hierarchical: bool) -> None:
    made, seen = generator(hierarchical, hierarchical), regions(3)
    words = write(made, seen, dataclasses.replace(HOW, first=((4, 5, END), (6, 7)), sentences=3)).words
    assert (words[:, 0, :3] == torch.tensor([4, 5, END])).all()
    assert (words[:, 1, :2] == torch.tensor([6, 7])).all()
    assert (words[:, 2, 0] > UNKNOWN).all()


# -- the method --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smoke run."""
    out = tmp_path_factory.mktemp("rtt") / "run"
    reverie.train("rtt_gan:smoke", data=DATA, out=str(out))
    return out


def log_of(folder: Path) -> list[tuple[Any, ...]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line["stage"], line["metrics"]) for line in lines if "metrics" in line]


def test_cut_and_resumed_in_the_adversarial_stage(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other stages are cut in test_contract."""
    stages = {stage for _, stage, _ in log_of(run)}
    assert stages == {"likelihood", "discriminators", "adversarial"}
    count_steps(monkeypatch, stop_at=18)
    with pytest.raises(BaseException, match="reverie resume"):
        reverie.train("rtt_gan:smoke", data=DATA, out=tmp_path / "cut")
    monkeypatch.undo()
    reverie.resume(tmp_path / "cut")
    assert (tmp_path / "cut" / "weights.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()
    assert log_of(tmp_path / "cut") == log_of(run)


def test_every_option_is_used() -> None:
    """An option that no line reads would change nothing, and nobody would notice."""
    cls = registry.method_class("rtt_gan")
    source = Path(inspect.getfile(cls)).read_text(encoding="utf-8")
    read = set(re.findall(r"(?:config|\bc)\.(\w+)", source))
    passed_on = {"min_count"}  # to the data
    assert set(cls.Config.__annotations__) - read == passed_on - read


@pytest.mark.parametrize("preset", ["flat", "hierarchical", "sentence"])
def test_presets_have_the_networks_that_they_train(preset: str) -> None:
    cls = registry.method_class("rtt_gan")
    given = {
        k: v for k, v in {**cls.presets["smoke"], **cls.presets[preset]}.items() if k in cls.Config.__annotations__
    }
    facts = dict(vocabulary=("a",) * 12, most_sentences=3, most_words=5, language="en")
    method: Any = cls(cls.Config(**{**given, **facts}))
    names = {name for name, _ in method.named_children()}
    assert ("sentence_discriminator" in names) == (preset == "sentence")
    assert "topic_discriminator" not in names
    assert (method.generator.paragraph is None) == (preset == "flat")


def test_frozen_features_are_computed_once(tmp_path: Path) -> None:
    cls = registry.method_class("rtt_gan")
    given = {k: v for k, v in cls.presets["smoke"].items() if k in cls.Config.__annotations__}
    facts = dict(vocabulary=("a",) * 12, most_sentences=3, most_words=5, language="en", encoder="frozen")
    method: Any = cls(cls.Config(**{**given, **facts})).eval()
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        first = method.regions_of(images, torch.tensor([0, 1]))
        again = method.regions_of(torch.zeros_like(images), torch.tensor([0, 1]))
        unknown = method.regions_of(images)
    assert torch.equal(first, again)
    assert torch.equal(first, unknown)
    assert not any("conv_stem" in name for name, _ in method.named_parameters())


def picture(path: Path, level: int = 90) -> Path:
    pixels = np.full((40, 60, 3), level, np.uint8)
    pixels[10:30, 20:40, 0] = 250
    PIL.Image.fromarray(pixels).save(path)
    return path


def test_describe_prints_and_writes(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = picture(tmp_path / "a.png"), picture(tmp_path / "b.png", 200)
    assert cli.main(["describe", str(run), str(a), str(b), "--sentences", "3"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert cli.main(["describe", str(run), str(a), "--sentences", "3", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    (details,) = said["details"]
    assert said["lines"] == printed[:1]
    assert (details["of"], len(details["sentences"])) == ("a.png", 3)
    assert np.allclose(np.array(details["attention"]).sum((1, 2)), 1, atol=1e-2)
    out = tmp_path / "out"
    assert cli.main(["describe", str(run), str(a), str(b), "--sentences", "3", "--attention", "--out", str(out)]) == 0
    assert (out / "a.txt").read_text(encoding="utf-8").splitlines() == printed[:1]
    assert PIL.Image.open(out / "a.attention.png").width > 300
    assert not (out / "a.png").exists()  # which may be the picture itself
    assert cli.main(["describe", str(run), str(a), str(b), "--attention", "--out", str(tmp_path / "all.txt")]) == 0
    assert len((tmp_path / "all.txt").read_text(encoding="utf-8").splitlines()) == 2
    assert (tmp_path / "all.attention.png").exists()
    assert read_record(out / "b.txt")["inputs"][0]["name"] == "b.png"


def test_describe_by_seed_and_first_words(run: Path, tmp_path: Path) -> None:
    method: Any = reverie.load(run)
    photos = [Photo.load(picture(tmp_path / "a.png")), Photo.load(picture(tmp_path / "b.png", 200))]
    drawn = [p.line for p in method.describe(photos, temperature=1.0, seed=1)]
    assert drawn == [p.line for p in method.describe(photos, temperature=1.0, seed=1)]
    assert drawn[1:] == [p.line for p in method.describe(photos[1:], temperature=1.0, seed=1)]
    assert drawn != [p.line for p in method.describe(photos, temperature=1.0, seed=2)]
    (begun,) = method.describe(photos[:1], first="There are three objects in this picture. Next, a", sentences=2)
    assert begun.line.startswith("There are three objects in this picture. Next, a")
    assert len(begun.sentences) == 2


@pytest.mark.parametrize(("options", "what"), [
    (dict(beam=2, temperature=1.0), "one of them"),
    (dict(first="A zzyzx"), "zzyzx"),
    (dict(sentences=0), "sentences is 0"),
    (dict(beam=0), "beam is 0"),
    (dict(temperature=-1), "temperature is -1"),
])  # fmt: skip
def test_wrong_options(run: Path, tmp_path: Path, options: dict[str, Any], what: str) -> None:
    photos = [Photo.load(picture(tmp_path / "a.png"))]
    with pytest.raises(UserError, match=what):
        list(reverie.load(run).describe(photos, **options))


def test_texts_without_a_picture_teach_the_discriminators() -> None:
    from reverie.methods.rtt_gan import trimmed, with_unpaired

    more = torch.zeros(2, 4, 7, dtype=torch.long)
    more[0, 0, :6] = torch.tensor([4, 5, 6, 7, 8, END])
    more[1, :2, :2] = torch.tensor([4, END])
    both = with_unpaired(WORDS, {"unpaired": more})
    assert both.shape == (4, 3, 6)
    assert torch.equal(trimmed(both[:2]), WORDS)
    assert torch.equal(with_unpaired(WORDS, {}), WORDS)
    cls = registry.method_class("rtt_gan")
    given = {k: v for k, v in cls.presets["smoke"].items() if k in cls.Config.__annotations__}
    facts = dict(vocabulary=("a",) * VOCAB, most_sentences=3, most_words=5, language="en")
    torch.manual_seed(0)
    method: Any = cls(cls.Config(**{**given, **facts}))
    topics = torch.randn(2, 3, 8)
    before = method.sentence_discriminator.embedding.weight[8].clone()  # a word that only the text alone has
    update = Update(method.optimizers(), Ranks("cpu"))
    method.update_discriminators(both, topics, WORDS, topics, update)
    assert not torch.equal(method.sentence_discriminator.embedding.weight[8], before)


def test_muon_has_the_matrices_and_leaves_tables_and_outputs_to_adam() -> None:
    cls = registry.method_class("rtt_gan")
    given = {k: v for k, v in cls.presets["smoke"].items() if k in cls.Config.__annotations__}
    facts = dict(vocabulary=("a",) * VOCAB, most_sentences=3, most_words=5, language="en")
    method: Any = cls(cls.Config(**{**given, **facts, "optimizer": "muon"}))
    optimizer = method.optimizers()["generator"]
    own = {id(p) for p in [*method.encoder.parameters(), *method.regions.parameters(), *method.generator.parameters()]}
    groups = {group["hidden"]: {id(p) for p in group["params"]} for group in optimizer.param_groups}
    assert groups[True] | groups[False] == own
    assert not groups[True] & groups[False]
    sentence = method.generator.sentence
    assert {id(sentence.looks.weight_hh_l0), id(method.regions.enter.weight)} <= groups[True]
    left = sentence.embedding.weight, method.regions.places, method.regions.words.weight
    assert {id(p) for p in (*left, method.generator.paragraph.stop.weight, sentence.bias)} <= groups[False]


def test_a_run_by_muon_is_resumed_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = dict(data=DATA, threads=1, optimizer="muon", adv_share=0.0, steps=5, checkpoint_every=2)
    reverie.train("rtt_gan:smoke", out=tmp_path / "straight", **options)
    count_steps(monkeypatch, stop_at=3)
    with pytest.raises(BaseException, match="reverie resume"):
        reverie.train("rtt_gan:smoke", out=tmp_path / "cut", **options)
    monkeypatch.undo()
    reverie.resume(tmp_path / "cut")
    straight, cut = ((tmp_path / run / "weights.safetensors").read_bytes() for run in ("straight", "cut"))
    assert straight == cut


def test_scores_of_drawn_scenes(run: Path) -> None:
    found = reverie.evaluate(run, DATA, n=8, split="val")
    real = {score.name: score.real for score in found}
    assert (real["fact precision"], real["fact recall"], real["once in order"]) == (1, 1, 1)
    assert found["fact recall"].baseline is not None
    assert 0 < found["fact recall"].baseline < 1
    assert found["cider-d"].value < found["cider-d"].baseline < found["cider-d"].real
    assert {"samples", "worst"} <= found.figures.keys()
    with pytest.raises(UserError, match="n is 3"):
        reverie.evaluate(run, DATA, n=3)
