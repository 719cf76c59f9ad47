"""What is particular to the VAE: its likelihoods are what they say."""

from __future__ import annotations

import math

import pytest
import torch

from reverie.core.lr_schedules import burda, cosine
from reverie.core.options import build
from reverie.core.update import Update
from reverie.media import Image
from reverie.methods.vae import VAE
from reverie.metrics.likelihood import likelihood_scores
from reverie.metrics.score import Reference
from reverie.nn.losses import kl_to_standard_normal, log_normal
from reverie.utils.distributed import Ranks
from reverie.utils.errors import UserError


def model(**options: object) -> VAE:
    torch.manual_seed(0)
    config = dict(size=8, channels=1, network="mlp", likelihood="bernoulli", latent_dim=1, hidden_dim=16)
    return VAE(build(VAE.Config, {**config, **options})).eval()


@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic"])
def test_l_k_converges_to_the_integral(likelihood: str) -> None:
    """With one latent, log p(x) can be had by quadrature; L_5000 must agree and L_1 lie below."""
    vae = model(likelihood=likelihood).double()
    with torch.no_grad():
        for parameter in vae.decoder.parameters():
            parameter.mul_(1.5)  # so that z matters
        torch.manual_seed(1)
        grey = torch.rand(6, 1, 8, 8).double() * 2 - 1
        x = vae.observe((grey * 127.5).round() / 127.5)
        grid = torch.linspace(-8, 8, 4001).double()
        log_px = torch.stack([vae.log_likelihood_of(row.expand(4001, 1, 8, 8), grid[:, None]) for row in x])
        exact = (log_px + log_normal(grid)).logsumexp(1) + math.log(16 / 4000)
    bound = vae.log_likelihood(x, k=20_000)
    assert bound.dtype == torch.float64
    assert torch.allclose(bound, exact, atol=0.1)
    assert float(vae.log_likelihood(x, k=1).mean()) < float(exact.mean())


def test_l_k_grows_with_k_and_does_not_depend_on_how_it_is_cut() -> None:
    vae = model(latent_dim=4)
    torch.manual_seed(0)
    x = torch.bernoulli(torch.rand(50, 1, 8, 8))
    one, ten, many = (float(vae.log_likelihood(x, k=k).mean()) for k in (1, 10, 1000))
    assert one < ten < many
    again = vae.log_likelihood(x, k=1000, at_once=300)
    assert float(again.mean()) == pytest.approx(many, abs=0.3)


def test_the_elbo_is_what_the_step_minimises() -> None:
    """-E log w is distortion + KL: the sampled bound agrees with the closed-form one."""
    vae = model(latent_dim=4)
    torch.manual_seed(0)
    x = torch.bernoulli(torch.rand(20, 1, 8, 8))
    with torch.no_grad():
        mean, log_variance = vae.posterior(x)
        draws = torch.randn(4000, *mean.shape)
        z = mean + (log_variance / 2).exp() * draws
        log_px = torch.stack([vae.log_likelihood_of(x, row) for row in z]).mean(0)
        closed = log_px - kl_to_standard_normal(mean, log_variance).sum(1)
        sampled = vae.log_weights(x, mean, log_variance, draws).mean(0)
    assert torch.allclose(closed, sampled, atol=0.15)


def test_bits_per_dim_of_the_uniform_distribution_is_eight() -> None:
    images = Reference("images", "test", "0123456789abcdef", 2, 8, 1)
    nats = torch.full((2,), -64 * math.log(256), dtype=torch.float64)
    scores = {s.name: s for s in likelihood_scores(nats, nats, -nats, 1, 64, "images of 256 levels", images, 0)}
    assert scores["bits/dim"].value == pytest.approx(8)
    assert scores["bits/dim"].baseline == pytest.approx(8)


def test_dynamic_binarisation_draws_black_and_white_from_grey() -> None:
    vae = model()
    torch.manual_seed(0)
    x = vae.observe(torch.full((2000, 1, 8, 8), 0.5))  # grey level 3/4
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert float(x.mean()) == pytest.approx(0.75, abs=0.01)


def test_active_units_counts_latents_that_depend_on_x() -> None:
    vae = model(latent_dim=6)
    x = torch.bernoulli(torch.rand(200, 1, 8, 8))
    last = vae.encoder[-1]
    with torch.no_grad():
        last.weight.mul_(20)
        last.weight[:4] = 0  # the means of the first four are constant now
    assert vae.num_active_units(x) == 2


def test_free_nats_leave_small_kls_alone() -> None:
    def gradient(free_nats: float) -> float:
        vae = model(latent_dim=4, free_nats=free_nats, beta=1e6)
        update = Update({"vae": torch.optim.SGD(vae.parameters(), 1.0)}, Ranks("cpu"))
        before = vae.encoder[-1].weight.detach().clone()
        torch.manual_seed(0)
        vae.step({"image": torch.rand(8, 1, 8, 8) * 2 - 1}, update)
        return float((vae.encoder[-1].weight.detach() - before).abs().max())

    assert gradient(0.0) > 100 * gradient(5.0)


def test_cosine_schedule() -> None:
    assert cosine(0) == 1
    assert cosine(0.5) == pytest.approx(0.5)
    assert cosine(1 - 1e-9) == pytest.approx(0, abs=1e-6)


def test_the_weight_of_the_kl_rises_linearly() -> None:
    """With a warm-up the first step ignores the KL; after it, as without."""
    losses = {}
    for warmup in (0, 4):
        vae = model(latent_dim=4, kl_warmup_steps=warmup)
        update = Update(vae.optimizers(), Ranks("cpu"))
        for step in (0, 2, 4):
            update.step = step
            update.set_lr_factor(0.0)  # so that all steps see the same weights
            torch.manual_seed(1)
            metrics = vae.step({"image": torch.rand(6, 1, 8, 8) * 2 - 1}, update)
            assert list(metrics) == ["loss", "distortion", "kl", "active_units"]
            loss, distortion, kl = (float(metrics[name].detach()) for name in ("loss", "distortion", "kl"))
            losses[warmup, step] = (loss - distortion) / kl
    assert [losses[0, step] for step in (0, 2, 4)] == pytest.approx([1, 1, 1], abs=1e-4)
    assert [losses[4, step] for step in (0, 2, 4)] == pytest.approx([0, 0.5, 1], abs=1e-4)


def test_burda_schedule() -> None:
    """3^i of 3280 shares at 10^(-i/7), i = 0..7."""
    begins = [(3**i - 1) / 2 / 3280 for i in range(8)]
    for i, begin in enumerate(begins):
        assert burda(begin + 1e-6) == pytest.approx(10 ** (-i / 7))
    assert burda(0) == 1
    assert burda(1 - 1e-9) == pytest.approx(10**-1)


def test_odd_sizes_and_colour_are_modelled_whole() -> None:
    for size in (8, 11, 28, 30):
        vae = model(network="conv", base_channels=4, size=size, channels=3, likelihood="logistic", latent_dim=5)
        x = torch.rand(2, 3, size, size) * 2 - 1
        assert vae.mean_image(vae.code(x)).shape == x.shape
        assert vae.log_likelihood_of(x, vae.code(x)).shape == (2,)


def test_the_paper_s_network() -> None:
    vae = VAE(VAE.Config(size=28, channels=1, network="mlp", likelihood="bernoulli", latent_dim=50))
    layers = [tuple(p.shape) for p in vae.parameters() if p.ndim == 2]
    assert layers == [(200, 784), (200, 200), (100, 200), (200, 50), (200, 200), (784, 200)]


def test_interpolation_goes_between_reconstructions() -> None:
    vae = model(latent_dim=4)
    torch.manual_seed(0)
    images = list(Image.from_tensor(torch.rand(3, 1, 8, 8) * 2 - 1))
    rows, ends = vae.interpolate(images, frames=5), vae.reconstruct(images)
    assert len(rows) == 10
    for frame, end in ((0, 0), (4, 1), (5, 1), (9, 2)):
        assert abs(rows[frame].pixels.astype(int) - ends[end].pixels.astype(int)).max() <= 1
    with pytest.raises(UserError, match="two or more"):
        vae.interpolate(images[:1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(size=7), "size is 7; .* 8 or more"),
        (dict(iwae_samples=5, beta=2.0), "iwae_samples above 1 .* beta at 1"),
        (dict(iwae_samples=5, free_nats=1.0), "free_nats and kl_warmup_steps at 0"),
        (dict(beta=-1.0), "beta is -1.0; .* 0 or more"),
        (dict(eps=0.0), "eps is 0.0; .* above 0"),
        (dict(kl_warmup_steps=-1), "kl_warmup_steps is -1; .* 0 or more"),
        (dict(ema_decay=1.0), "ema_decay is 1.0; .* below 1"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        model(**options)
