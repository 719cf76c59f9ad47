"""What is particular to SeqGAN: rollouts and rewards, the three stages, and the lines that it generates."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reverie.core.options import build
from reverie.core.update import Update
from reverie.data.text.dataset import Texts
from reverie.data.text.tokenizer import END, SPECIAL, UNKNOWN
from reverie.methods.seqgan import SeqGAN
from reverie.nn.text_cnn import CHUNK, TextCNN
from reverie.utils.distributed import Ranks
from reverie.utils.errors import UserError

VOCAB = (*SPECIAL, "a", "b", "c", ".")
SMALL: dict[str, Any] = dict(
    tokenizer="word", vocab=VOCAB, length=5, embed_dim=4, hidden_dim=6, kernel_sizes=(1, 2, 3), num_filters=(4, 4, 4),
    d_embed_dim=4, rollouts=3, rollout_stride=1, d_steps=1, d_updates=1,
)  # fmt: skip


def model(**options: Any) -> SeqGAN:
    torch.manual_seed(0)
    method = SeqGAN(SeqGAN.Config(**{**SMALL, **options}))
    with torch.no_grad():
        for network in (method.generator, method.discriminator):
            for parameter in network.parameters():
                parameter.normal_(std=0.7)
        for name, buffer in method.rollout.named_buffers():
            buffer.copy_(dict(method.generator.named_parameters())[name] + 0.3 * torch.randn_like(buffer))
    return method


def numbers(**options: Any) -> SeqGAN:
    """As for an oracle: words are numbers, and lines have no end."""
    return model(vocab=(), vocab_size=7, tokenizer="auto", **options)


def sampled(method: SeqGAN, n: int, seed: int) -> torch.Tensor:
    """The tokens [n,T] of lines of `generate`."""
    return method.sample_lines(n, method.noise(seed, range(n)))


def naive_next(method: SeqGAN, prefix: list[int]) -> torch.Tensor:
    """The rollout policy's p(next word) [V], from the LSTM's equations, the whole line read again."""
    w = dict(method.rollout.named_buffers())
    h = c = torch.zeros(method.config.hidden_dim)
    for word in [0, *prefix]:
        gates = w["cell.weight_ih"] @ w["embedding.weight"][word] + w["cell.bias_ih"]
        i, f, g, o = (gates + w["cell.weight_hh"] @ h + w["cell.bias_hh"]).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    logits = w["output.weight"] @ h + w["output.bias"]
    if method.has_end:
        logits[UNKNOWN] = -torch.inf
    return logits.softmax(0)


class RecordedRand:
    """torch.rand, recording what it returns: a row of numbers for each position."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[torch.Tensor] = []
        real = torch.rand

        def rand(*shape: Any, **options: Any) -> torch.Tensor:
            self.rows.append(real(*shape, **options))
            return self.rows[-1]

        monkeypatch.setattr(torch, "rand", rand)


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", ["lines", "numbers"])
def test_rewards_are_those_of_a_loop_over_positions_and_rollouts(
    kind: str, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly, with the same draws: every line is completed from every position, its prefix read again each time."""
    method = (model if kind == "lines" else numbers)(rollout_stride=stride)
    B, T, N = 6, 5, method.config.rollouts
    tokens = method.sample_lines(B)
    if kind == "lines":
        tokens[0, 1:] = END  # a line that ends early
    recorded = RecordedRand(monkeypatch)
    found = method.rewards(tokens)
    assert len(recorded.rows) == T - stride

    expected = torch.zeros(B, T)
    for b in range(B):
        for t in range(T):
            rewards_of = []
            p = t // stride
            read = min((p + 1) * stride, T)  # tokens up to the next position
            for n in range(N if read < T else 1):
                line = tokens[b, :read].tolist()
                for s in range(read, T):
                    if method.has_end and END in line:
                        line.append(END)
                        continue
                    u = recorded.rows[s - stride].view(s // stride, N, B)[p, n, b]
                    running = naive_next(method, line).cumsum(0)
                    line.append(int((running <= u * running[-1]).sum()))
                rewards_of.append(method.discriminator(torch.tensor([line])).sigmoid())
            expected[b, t] = torch.cat(rewards_of).mean()
    assert torch.allclose(found, expected, atol=1e-5)


def test_rollouts_begin_at_twenty_positions_at_most() -> None:
    for length, stride in ((5, 1), (20, 1), (21, 2), (64, 4)):
        assert model(length=length, rollout_stride=None).stride == stride
    assert model(length=64, rollout_stride=3).stride == 3


def test_rollouts_are_scored_as_by_forward() -> None:
    """By tables of what each word adds to a window, with every kernel, over one part and more."""
    torch.manual_seed(0)
    discriminator = TextCNN(40, 6, 9, (1, 2, 4, 9), (5, 3, 4, 2))
    whole = torch.randint(3, 40, (5, 9))  # words 0 to 2 don't occur
    for lines in (20, CHUNK + 3):
        origin, shared = torch.randint(5, (lines,)), torch.randint(1, 9, (lines,)).sort().values
        own = torch.randint(3, 40, (lines, 9))
        tokens = torch.where(torch.arange(9) < shared[:, None], whole[origin], own)
        with torch.no_grad():
            assert torch.allclose(
                discriminator.score_rollouts(tokens, whole, origin, shared), discriminator(tokens), atol=1e-5
            )
    with torch.no_grad():  # windows within the shared beginning are not computed again
        assert not torch.allclose(
            discriminator.score_rollouts(own, whole, origin, shared), discriminator(own), atol=1e-5
        )


def test_rewards_are_expectations_under_the_rollout_policy() -> None:
    """With many rollouts, Q(Y_1:t) is the sum over all ways to go on, each with its probability (eq. 4)."""
    method = numbers(length=3, kernel_sizes=(1, 2), num_filters=(4, 4), rollouts=4000)
    tokens = method.sample_lines(2)
    found = method.rewards(tokens)
    for b in range(2):
        head = tokens[b, :2].tolist()
        ways = torch.tensor([[*head, w] for w in range(7)])
        exact = (naive_next(method, head) * method.discriminator(ways).sigmoid()).sum().detach()
        assert float(found[b, 1]) == pytest.approx(float(exact), abs=0.02)
        exact = torch.zeros(())
        for w in range(7):
            two = [head[0], w]
            ways = torch.tensor([[*two, v] for v in range(7)])
            inner = (naive_next(method, two) * method.discriminator(ways).sigmoid()).sum().detach()
            exact = exact + naive_next(method, head[:1])[w] * inner
        assert float(found[b, 0]) == pytest.approx(float(exact), abs=0.02)
    assert torch.allclose(found[:, 2], method.discriminator(tokens).sigmoid())


def test_a_line_that_has_ended_keeps_its_own_score() -> None:
    method = model()
    tokens = torch.tensor([[2, END, END, END, END], [2, 3, 4, 5, 2]])
    found, whole = method.rewards(tokens), method.discriminator(tokens).sigmoid()
    assert torch.allclose(found[0, 1:], whole[0].expand(4))
    assert torch.isclose(found[1, 4], whole[1])


def test_the_generator_follows_the_policy_gradient() -> None:
    """The step's gradient is that of -sum_t Q_t log p(y_t), token by token; nothing after an end counts."""
    method = model(clip=1e9)
    recorded: dict[str, Any] = {}

    class RecordingUpdate(Update):
        def __call__(self, which: Any, loss: Any = None, clip: Any = None) -> torch.Tensor:
            if which == "generator":
                recorded.update(loss=loss.detach(), clip=clip)
            return super().__call__(which, loss, clip)

    real = torch.tensor([[2, 3, 5, 0, 0]] * 4)
    torch.manual_seed(3)
    fake = method.sample_lines(4)
    rewards = method.rewards(fake)
    expected = torch.zeros(())
    states = method.generator.hidden_states(fake)[0]
    for b in range(4):
        for t in range(5):
            if t and END in fake[b, :t].tolist():
                break
            expected = expected - rewards[b, t] * method.generator.output(states[t, b]).log_softmax(0)[fake[b, t]]
    torch.manual_seed(3)
    method.adversarial_step({"tokens": real}, RecordingUpdate(method.optimizers(), Ranks("cpu")))
    assert float(recorded["loss"]) == pytest.approx(float(expected.detach()), rel=1e-4)
    assert recorded["clip"] == 1e9  # of the sum, as the authors' code has it


def test_more_reward_makes_a_word_likelier(monkeypatch: pytest.MonkeyPatch) -> None:
    method = numbers(lr=0.05, baseline=True, rollouts=2, d_steps=1)
    monkeypatch.setattr(type(method.discriminator), "forward", lambda self, x, dropout=0.0: 8 * (x == 3).float().mean(1)
                        + 0 * self.output(torch.zeros(len(x), self.output.in_features)).sum())  # fmt: skip
    update = Update(method.optimizers(), Ranks("cpu"))
    before = float((sampled(method, 300, 0) == 3).float().mean())
    for step in range(40):
        torch.manual_seed(step)
        method.adversarial_step({"tokens": sampled(method, 16, step)}, update)
    assert float((sampled(method, 300, 0) == 3).float().mean()) > before + 0.3


def test_the_rollout_policy_is_a_moving_average() -> None:
    method = model(rollout_ema=0.75)
    before = {k: v.clone() for k, v in method.rollout.named_buffers()}
    method.adversarial_step({"tokens": method.sample_lines(8)}, Update(method.optimizers(), Ranks("cpu")))
    for name, now in method.generator.named_parameters():
        buffer = dict(method.rollout.named_buffers())[name]
        assert torch.allclose(buffer, 0.75 * before[name] + 0.25 * now, atol=1e-6), name
    method.pretrain_step({"tokens": method.sample_lines(8)}, Update(method.optimizers(), Ranks("cpu")))
    for name, now in method.generator.named_parameters():  # in pretraining both are equal
        assert torch.equal(dict(method.rollout.named_buffers())[name], now)


def test_the_nll_is_of_the_line_and_its_end() -> None:
    method = model()
    tokens = torch.tensor([[2, 3, END, END, END], [2, 3, 4, 5, 2]])
    nll = method.nll(tokens)
    assert nll[0, 3:].tolist() == [0, 0]
    assert (nll[0, :3] > 0).all()
    assert torch.equal(method.mask(tokens).sum(1), torch.tensor([3.0, 5.0]))
    logits = method.generator.output(method.generator.hidden_states(tokens)[0][2, 0])
    assert float(nll[0, 2].detach()) == pytest.approx(float(F.cross_entropy(logits, torch.tensor(END)).detach()))
    one = numbers()
    assert one.mask(torch.zeros(2, 5, dtype=torch.long)).sum() == 10  # an oracle's 0 is a word


def test_sampled_lines_have_the_probabilities_of_nll() -> None:
    """Sequences of two words, chi-square against exp(-nll), 48 degrees of freedom."""
    method, n = numbers(length=2, kernel_sizes=(1,), num_filters=(4,)), 30_000
    torch.manual_seed(0)
    lines = method.sample_lines(n)
    pairs = torch.cartesian_prod(torch.arange(7), torch.arange(7))
    expected = n * torch.exp(-method.nll(pairs).sum(1)).detach().double()
    assert float(expected.sum()) == pytest.approx(n, rel=1e-4)
    counts = torch.bincount(lines[:, 0] * 7 + lines[:, 1], minlength=49)
    assert float(((counts - expected) ** 2 / expected.clamp_min(1)).sum()) < 90  # 1 in 5000


def test_the_discriminator_separates_and_the_stages_add_up() -> None:
    method = model(pretrain_steps=3, d_pretrain_steps=2, steps=9, d_lr=1e-2)
    assert [(s.name, s.steps) for s in method.stages()] == [("pretrain", 3), ("d_pretrain", 2), ("adversarial", 4)]
    short = SeqGAN(dataclasses.replace(method.config, steps=4))
    assert [s.steps for s in short.stages()] == [3, 1, 0]
    update = Update(method.optimizers(), Ranks("cpu"))
    real = torch.tensor([[2, 3, 4, 5, END]] * 32)
    for step in range(60):
        torch.manual_seed(step)
        metrics = method.discriminator_step({"tokens": real}, update)
    assert float(metrics["d_auc"]) > 0.95
    assert set(metrics) == {"loss_d", "d_auc", "nn_distance_ratio"}


def test_a_stage_ends_early_and_a_checkpoint_remembers_it() -> None:
    method = model(patience=5, lr=1e-9)
    update = Update(method.optimizers(), Ranks("cpu"))
    real = {"tokens": torch.tensor([[2, 3, 5, 0, 0]] * 4)}
    skipped = ["skipped" in method.pretrain_step(real, update) for _ in range(12)]
    assert skipped == [False] * 6 + [True] * 6
    again = model(patience=5, lr=1e-9)
    again.load_state_dict(method.state_dict())
    assert "skipped" in again.pretrain_step(real, Update(again.optimizers(), Ranks("cpu")))
    assert "skipped" not in again.discriminator_step(real, Update(again.optimizers(), Ranks("cpu")))  # another stage
    never = model(lr=1e-9)
    update = Update(never.optimizers(), Ranks("cpu"))
    assert not any("skipped" in never.pretrain_step(real, update) for _ in range(12))


def test_lines_begin_with_start_and_hold_no_unknown_word() -> None:
    method = model()
    for text in method.generate(40, start="a b"):
        assert text.line.startswith("a b")
        assert "<" not in text.line
    assert [t.line for t in method.generate(3, seed=1)] == [t.line for t in method.generate(20, seed=1)][:3]
    assert method.generate(1, temperature=0.01)[0].line == method.generate(1, temperature=0.01, seed=5)[0].line
    one = numbers()
    assert [t.line for t in one.generate(20)] == [" ".join(map(str, row)) for row in sampled(one, 20, 0).tolist()]
    assert one.generate(2, start="3 4")[1].line.startswith("3 4 ")


def test_start_is_normalised_as_the_lines_of_data_are() -> None:
    """Some systems write an accent as a character of its own; lines are read in NFC (data/text/dataset.py)."""
    method = model(vocab=(*VOCAB[:-1], "caf\u00e9"))
    assert (
        method.encode_start(" a  cafe\u0301")
        == method.encode_start("a caf\u00e9")
        == [VOCAB.index("a"), len(VOCAB) - 1]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(temperature=-1.0), "temperature is -1.*0 or more"),
        (dict(start="a zebra"), "'zebra' of start is none of the 4 words"),
        (dict(start="a a a a a"), "start has 5 tokens"), (dict(n=0), "n is 0"), (dict(seed=-1), "seed is -1"),
    ],
)  # fmt: skip
def test_wrong_arguments_of_generate_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        model().generate(**arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(kernel_sizes=(1, 2), num_filters=(4,)), "as many of both"), (dict(length=1), "length is 1"),
        (dict(length=4, kernel_sizes=(5, 6), num_filters=(1, 1)), "no kernel fits"),
        (dict(rollouts=0), "rollouts is 0"),
        (dict(kernel_sizes=(1, 0), num_filters=(4, 4)), "kernel_sizes is .* 1 or more"),
        (dict(rollout_stride=0), "rollout_stride is 0"), (dict(rollout_ema=1.0), "rollout_ema is 1"),
        (dict(lr=0.0), "lr is 0"), (dict(patience=-1), "patience is -1"), (dict(vocab_size=1), "vocab_size is 1"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(SeqGAN.Config, options)


def test_the_vocabulary_is_read_off_prepared_data_and_survives_json() -> None:
    import json

    data = Texts.open("couplets:60")
    config = SeqGAN.resolve_config(SeqGAN.Config(), data.facts)
    assert config.vocab is None
    config = SeqGAN.resolve_config(config, data.prepare(**SeqGAN.data_args(config)).facts)
    assert (config.tokenizer, config.length) == ("character", 12)
    assert config.vocab[:2] == SPECIAL
    again = build(SeqGAN.Config, json.loads(json.dumps(dataclasses.asdict(config))))
    assert again == config
    test = Texts.open("couplets:60", "test").prepare(**SeqGAN.data_args(again))
    assert test.facts["vocab"] == config.vocab
    with pytest.raises(UserError, match="needs vocab and length"):
        SeqGAN(SeqGAN.Config())


def test_it_learns_a_small_grammar() -> None:
    """Maximum likelihood on couplets: the lines have their form, which those of an untrained model do not."""
    data = Texts.open("couplets:2000").prepare()
    config = SeqGAN.resolve_config(
        SeqGAN.Config(embed_dim=16, hidden_dim=64, kernel_sizes=(1, 2), num_filters=(8, 8)), data.facts
    )
    torch.manual_seed(0)
    method = SeqGAN(config)
    update = Update(method.optimizers(), Ranks("cpu"))

    def batches() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        while True:
            yield rng.integers(0, len(data), 64)

    for _, rows in zip(range(150), batches(), strict=False):
        method.pretrain_step(data.batch(rows), update)
    lines = [text.line for text in method.generate(50)]
    complete = [line for line in lines if len(line) == 12 and line[5] == "，" and line[11] == "。"]
    assert len(complete) >= 40, lines[:5]


def test_dropout_is_only_in_training() -> None:
    method = model(g_dropout=0.5)
    tokens = sampled(method, 8, 0)
    torch.manual_seed(1)
    assert torch.equal(method.nll(tokens), method.nll(tokens))
    assert not torch.equal(method.nll(tokens, 0.5), method.nll(tokens, 0.5))
    update = Update(method.optimizers(), Ranks("cpu"))
    assert float(method.pretrain_step({"tokens": tokens}, update)["nll"]) > 0
