"""What is particular to CVAE-GAN: labels, variations, inpainting, mean feature matching."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import reverie
from reverie.core.options import build
from reverie.core.update import Update
from reverie.media import Image
from reverie.methods.cvae_gan import CVAEGAN, half_square
from reverie.nn import losses
from reverie.nn.class_conditional import ConditionalGenerator, MapClassifier, class_feature_matching
from reverie.nn.feature_discriminator import (
    FINGERPRINT,
    ClassConditionalHead,
    ProjectedDiscriminator,
    discriminator_loss,
)
from reverie.utils.distributed import Ranks
from reverie.utils.errors import UserError

NAMES = ("cat", "dog", "owl")


def model(**options: Any) -> CVAEGAN:
    torch.manual_seed(0)
    config = dict(size=16, channels=3, base_channels=8, latent_dim=5, class_names=NAMES)
    return CVAEGAN(build(CVAEGAN.Config, {**config, **options}))


def batch(n: int = 9) -> dict[str, torch.Tensor]:
    return {"image": torch.rand(n, 3, 16, 16) * 2 - 1, "label": torch.arange(n) % 3}


@pytest.fixture(scope="module")
def trained() -> CVAEGAN:
    gan = model()
    update = Update(gan.optimizers(), Ranks("cpu"))
    for update.step in range(10):
        torch.manual_seed(update.step)
        gan.step(batch(), update)
    return gan.eval()


class Recorded(Update):
    """An update that keeps the gradient of the discriminator's loss."""

    own: list[torch.nn.Parameter]
    gradient: torch.Tensor

    def __call__(self, which: Any, loss: Any = None, clip: Any = None) -> torch.Tensor:
        found = torch.autograd.grad(which["discriminator"], self.own, retain_graph=True)
        self.gradient = torch.cat([part.flatten() for part in found])
        return super().__call__(which, loss, clip)


def images(n: int = 2) -> list[Image]:
    draws = np.random.default_rng(0)
    return [Image(draws.integers(0, 256, (16, 16, 3), np.uint8), f"{i}.png") for i in range(n)]


# -- labels ------------------------------------------------------------------------------------------------------------


def test_classes_take_turns_and_labels_are_obeyed(trained: CVAEGAN) -> None:
    z = trained.latents(0)(range(7))
    assert z[:, 5:].argmax(1).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert trained.latents(0, "owl")(range(4))[:, 5:].tolist() == [[0, 0, 1]] * 4
    assert trained.latents(0, "cat+owl")([3])[0, 5:].tolist() == [0.5, 0, 0.5]
    same = trained.generate(n=3, label="dog")
    assert np.array_equal(same[1].pixels, trained.generate(n=2)[1].pixels)  # item 1 is a dog
    assert not np.array_equal(same[0].pixels, trained.generate(n=1)[0].pixels)


def test_a_plus_may_be_part_of_a_name() -> None:
    gan = model(class_names=("cat", "cat+dog", "c++", "dog"))
    for k, name in enumerate(gan.config.class_names):
        assert gan.class_weights(name).tolist() == F.one_hot(torch.tensor(k), 4).tolist()
    assert gan.class_weights("cat+dog+dog").tolist() == pytest.approx([1 / 3, 0, 0, 2 / 3])


@pytest.mark.parametrize("label", ["bird", "cat+", "dgo", "cat,dog"])
def test_a_class_that_does_not_exist_is_one_line(trained: CVAEGAN, label: str) -> None:
    with pytest.raises(UserError, match="there is no class"):
        trained.generate(n=1, label=label)
    with pytest.raises(UserError, match="there is no class"):
        trained.reconstruct(images(), label=label)


def test_one_class_and_no_labels_are_refused(tmp_path: Any) -> None:
    with pytest.raises(UserError, match="there is one class, cat"):
        model(class_names=("cat",))
    for i, image in enumerate(images(4)):
        image.save(tmp_path / "flat" / f"{i}.png")
        image.save(tmp_path / "one" / "cat" / f"{i}.png")
    with pytest.raises(UserError, match="has no labels"):
        reverie.train("cvae_gan:smoke", data=tmp_path / "flat", out=tmp_path / "run")
    with pytest.raises(UserError, match="put each class into a folder"):
        reverie.train("cvae_gan:smoke", data=tmp_path / "one", out=tmp_path / "run")
    with pytest.raises(UserError, match="leave the option away"):
        reverie.train("cvae_gan:smoke", data="letters:96", out=tmp_path / "run", class_names="x,y")
    assert not (tmp_path / "run").exists()


def test_without_a_label_images_are_of_the_class_that_the_classifier_predicts(trained: CVAEGAN) -> None:
    x = Image.to_tensor(images(), 16, 3)
    predicted = trained.classifier(x)[0].argmax(1)
    for i, name in enumerate(NAMES):
        named = trained.code(x, name)
        assert (named[:, 5:].argmax(1) == i).all()
    assert torch.equal(trained.code(x)[:, 5:].argmax(1), predicted)


# -- verbs -------------------------------------------------------------------------------------------------------------


def test_variations_go_from_the_reconstruction_to_anything_of_the_class(trained: CVAEGAN) -> None:
    given = images()
    unchanged = trained.variations(given, n=3, variation=0.0, label="dog")
    rebuilt = trained.reconstruct(given, label="dog")
    assert len(unchanged) == 6
    assert all(np.array_equal(image.pixels, rebuilt[i // 3].pixels) for i, image in enumerate(unchanged))
    free = trained.variations(given, n=3, variation=1.0, label="dog", seed=4)
    new = trained.generate(n=6, label="dog", seed=4)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(free, new, strict=True))
    some = trained.variations(given, n=3)
    assert len({image.digest for image in some}) == 6
    assert some[0].columns == 3
    with pytest.raises(UserError, match="variation is 2"):
        trained.variations(given, variation=2.0)


def test_outside_the_box_an_image_stays_as_it_is(trained: CVAEGAN) -> None:
    for given, made in zip(images(), trained.inpaint(images(), box=(0.25, 0.5, 0.75, 1.0)), strict=True):
        inside = np.zeros((16, 16), bool)
        inside[8:16, 4:12] = True
        assert np.array_equal(made.pixels[~inside], given.pixels[~inside])
        assert not np.array_equal(made.pixels[inside], given.pixels[inside])
        assert made.record is not None
        assert made.record["arguments"]["box"] == (0.25, 0.5, 0.75, 1.0)
    other = [Image(np.where(inside[:, :, None], 0, p.pixels).astype(np.uint8)) for p in images()]
    for a, b in zip(trained.inpaint(images(), box=(0.25, 0.5, 0.75, 1.0)),
                    trained.inpaint(other, box=(0.25, 0.5, 0.75, 1.0)), strict=True):  # fmt: skip
        assert np.array_equal(a.pixels, b.pixels)  # what the box showed is ignored


@pytest.mark.parametrize("box", [(0.5, 0.5, 0.5, 1.0), (0.0, 0.0, 1.5, 1.0), (0.1, 0.2, 0.3), (0.5, 0.5, 0.2, 0.9)])
def test_an_impossible_box_is_one_line(trained: CVAEGAN, box: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="left,top,right,bottom"):
        trained.inpaint(images(), box=box)


def test_an_edit_into_a_class_ends_in_it(trained: CVAEGAN) -> None:
    row = trained.edit(images(1), direction="owl", frames=4)
    code = trained.code(Image.to_tensor(images(1), 16, 3))
    assert np.array_equal(row[0].pixels, trained.reconstruct(images(1))[0].pixels)
    code[:, 5:] = torch.tensor([0.0, 0.0, 1.0])
    with torch.no_grad():
        end = next(Image.from_tensor(trained.generator(code)))
    assert np.abs(row[3].pixels.astype(int) - end.pixels.astype(int)).max() <= 1
    assert len(trained.edit(direction="z2", n=2, frames=3)) == 6


# -- the step ----------------------------------------------------------------------------------------------------------


def test_means_of_classes_are_matched_by_moving_averages() -> None:
    """Eq. 6: the value is that of the averages, the gradient that of the batch's part."""
    gan, label = model(), torch.tensor([0, 0, 1, 1])
    features = gan.classifier.num_features
    for seed in range(300):
        torch.manual_seed(seed)
        real = torch.randn(4, features) + label.unsqueeze(1)
        fake = (torch.randn(4, features) + 2 * label.unsqueeze(1)).requires_grad_()
        loss = class_feature_matching(gan.real_means, gan.fake_means, real, fake, label)
    (gradient,) = torch.autograd.grad(loss, fake)
    off = gan.fake_means.means() - gan.real_means.means()
    assert float(loss.detach()) == pytest.approx(0.5 * float(off[:2].square().sum()), rel=1e-4)
    assert torch.allclose(gradient, off[label] / 2, atol=1e-5)
    # Class 1 is off by one in each feature; of four images alone the noise would be as large as that.
    assert float(loss.detach()) / features == pytest.approx(0.5, abs=0.1)


def test_half_square_is_summed_over_an_image_and_averaged_over_the_batch() -> None:
    assert float(half_square([torch.full((4, 3, 2, 2), 3.0)], [torch.ones(4, 3, 2, 2)])) == 24


def test_the_discriminator_is_trained_on_reconstructions_and_images_from_the_prior() -> None:
    """Algorithm 1; a real image weighs as much as the two kinds together."""
    gan, x = model(), batch()

    class Loss(Update):
        def __call__(self, which: Any, loss: Any = None, clip: Any = None) -> torch.Tensor:
            self.loss = float(which["discriminator"].detach())
            return torch.zeros(())

    update = Loss(gan.optimizers(), Ranks("cpu"))
    torch.manual_seed(1)
    gan.step(dict(x), update)
    torch.manual_seed(1)
    y = gan.one_hot(x["label"])
    mean, log_variance = gan.posterior(x["image"], y)
    z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
    both = gan.decode_classes(torch.cat([z, torch.randn_like(mean)]), torch.cat([y, y]))
    real, rec, fake = (gan.discriminator(i)[0] for i in (x["image"], *both.chunk(2)))
    expected = F.softplus(-real).mean() + F.softplus(rec).mean() / 2 + F.softplus(fake).mean() / 2
    assert update.loss == pytest.approx(float(expected.detach()), rel=1e-4)


def test_metrics_and_what_the_monitor_reads() -> None:
    names = ["loss_d", "loss_g", "loss_rec", "kl", "fm_d", "fm_c", "loss_cls"]
    for adv_weight in (1.0, 0.0):
        gan = model(adv_weight=adv_weight)
        metrics = gan.step(batch(), Update(gan.optimizers(), Ranks("cpu")))
        auc = ["d_auc"] if adv_weight else []  # without an adversarial loss no alert about the discriminator
        assert list(metrics) == [*names, *auc, "nn_distance_ratio", "accuracy", "active_units"]
        assert set(gan.monitored) - {"d_auc"} <= set(metrics)


def test_lazy_regularisation() -> None:
    """Every d_reg_interval steps the gradient is that of a penalty of as many times the weight, else of none."""
    found, x = {}, batch()
    for name, more in {
        "lazy": dict(r1_weight=0.1, d_reg_interval=4), "heavy": dict(r1_weight=0.4), "none": dict(r1_weight=0.0)
    }.items():  # fmt: skip
        for step in (4, 5):
            gan = model(loss="relativistic", norm="none", adv_weight=1.0, **more)
            update = Recorded(gan.optimizers(), Ranks("cpu"))
            update.step, update.own = step, list(gan.discriminator.parameters())
            torch.manual_seed(1)
            gan.step(x, update)
            found[name, step] = update.gradient
    assert torch.allclose(found["lazy", 4], found["heavy", 4], rtol=1e-3, atol=1e-6)
    assert torch.allclose(found["lazy", 5], found["none", 5], rtol=1e-3, atol=1e-6)
    assert not torch.allclose(found["lazy", 4], found["none", 4], rtol=1e-1)


def test_a_penalty_that_batch_norm_would_mix_is_refused() -> None:
    with pytest.raises(UserError, match="norm none"):
        model(r1_weight=0.1)


@pytest.mark.parametrize(
    "options",
    [
        dict(lr=0.0), dict(lambda_kl=-1.0), dict(ema_decay=1.0), dict(latent_dim=0), dict(size=17),
        dict(d_reg_interval=0), dict(r1_weight=-1.0, norm="none"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        model(**options)


# -- not the paper's: what the preset laptop has -----------------------------------------------------------------------

LAPTOP: dict[str, Any] = dict(
    upsampling="resize",
    loss="hinge",
    norm="none",
    adv_weight=1.0,
    class_conditioning="classifier",
    feature_network=FINGERPRINT,
)


class Losses(Update):
    """An update that keeps the losses and changes nothing."""

    def __call__(self, which: Any, loss: Any = None, clip: Any = None) -> torch.Tensor:
        self.losses = which
        return torch.zeros(())


def losses_of(gan: CVAEGAN, seen: dict[str, torch.Tensor]) -> dict[str, float]:
    """The losses of a step that changes nothing."""
    update = Losses(gan.optimizers(), Ranks("cpu"))
    torch.manual_seed(1)
    gan.step(dict(seen), update)
    return {name: float(loss.detach()) for name, loss in update.losses.items()}


@pytest.mark.parametrize("discriminator", ["pixels", "both"])
def test_the_classifier_s_loss_on_generated_images_is_the_generator_s_alone(discriminator: str) -> None:
    gan, x = model(**LAPTOP, discriminator=discriminator), batch()
    none = deepcopy(gan)
    none.config = replace(gan.config, class_conditioning="none")
    without, found = losses_of(none, x), losses_of(gan, x)
    added = found.pop("generator") - without.pop("generator")
    assert added > math.log(3) / 2  # of a classifier that has learnt nothing
    assert found == without


def test_by_projection_the_discriminator_tells_an_image_of_its_class_from_one_of_another() -> None:
    """Black and white images, real where the label is right."""
    torch.manual_seed(0)
    gan = model(**{**LAPTOP, "class_conditioning": "projection"}, discriminator="features")
    assert gan.features is not None
    dark, light = -torch.ones(8, 3, 16, 16), torch.ones(8, 3, 16, 16)
    maps, label = gan.features(torch.cat([dark, light])), torch.tensor([0] * 8 + [1] * 8)
    adam = torch.optim.Adam(gan.discriminator.parameters(), 1e-2)
    real, wrong = gan.one_hot(label), gan.one_hot(1 - label)
    for _ in range(30):
        logits = gan.discriminator(maps, dark, real), gan.discriminator(maps, dark, wrong)
        loss = discriminator_loss(losses.hinge(), *logits)
        adam.zero_grad()
        loss.backward()
        adam.step()
    auc = [(r > w).float().mean() for r, w in zip(
        gan.discriminator(maps, dark, real), gan.discriminator(maps, dark, wrong), strict=True)]  # fmt: skip
    assert min(auc) > 0.8


def test_the_classes_of_a_batch_reach_the_heads_of_maps() -> None:
    gan, x = model(**{**LAPTOP, "class_conditioning": "projection"}, discriminator="both"), batch()
    before = losses_of(gan, x)["discriminator"]
    assert isinstance(gan.discriminator, ProjectedDiscriminator)
    for head in gan.discriminator.heads:
        assert isinstance(head, ClassConditionalHead)
        for weight in head.embedding.parameters():
            weight.data.neg_()  # of y the opposite is added
    assert losses_of(gan, x)["discriminator"] != pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_class_and_z_reach_the_generator_with_equal_weight_where_the_class_is_learnt_by_a_loss(upsampling: str) -> None:
    def spread(gan: CVAEGAN) -> float:
        """How far images of one z and all classes are apart, over that of images of one class and many z."""
        z, y = torch.randn(30, 16), torch.eye(3)
        with torch.no_grad():
            of_z = gan.generator.eval().layers[:2](torch.cat([z, y[:1].expand(30, -1)], 1))
            of_y = gan.generator.layers[:2](torch.cat([z[:1].expand(3, -1), y], 1))
        return float(of_y.var(0).mean() / of_z.var(0).mean())

    plain, laptop = (
        model(latent_dim=16, **{**LAPTOP, "upsampling": upsampling, "class_conditioning": how})
        for how in ("none", "classifier")
    )
    assert spread(plain) < 0.15
    assert spread(laptop) > 0.5


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_by_projection_the_class_scales_and_shifts_the_maps_too(upsampling: str) -> None:
    """Of every batch norm, by gains and shifts that mix as the classes do."""
    gan = model(**{**LAPTOP, "upsampling": upsampling, "class_conditioning": "projection"}, discriminator="both").eval()
    generator = gan.generator
    assert isinstance(generator, ConditionalGenerator)
    assert generator.first_layer_weight().shape[0] == gan.config.latent_dim + len(NAMES)
    norms = [layer for layer in generator.generator.layers if isinstance(layer, torch.nn.BatchNorm2d)]
    assert len(norms) == len(generator.gains) == len(generator.shifts) == 2

    z, (cat, dog, _) = torch.randn(1, 5), torch.eye(3)[:, None]
    first = next(generator.generator.parameters()).data
    (first if upsampling == "transposed" else first.T)[gan.config.latent_dim :] = 0
    with torch.no_grad():
        images = [gan.decode_classes(z, y) for y in (cat, dog, (cat + dog) / 2)]
        assert not torch.allclose(images[0], images[1], atol=1e-4)
        for layer in (*generator.gains, *generator.shifts):  # of owls as of half a cat and half a dog
            layer.weight[:, 2] = (layer.weight[:, 0] + layer.weight[:, 1]) / 2
        assert torch.allclose(gan.decode_classes(z, torch.eye(3)[2:]), images[2], atol=1e-6)
        for layer in (*generator.gains, *generator.shifts):
            layer.weight.zero_()
        assert torch.equal(gan.decode_classes(z, cat), gan.decode_classes(z, dog))


def test_of_colour_the_classifier_sees_maps_and_learns_the_classes_from_them() -> None:
    gan = model(**LAPTOP, discriminator="both", lr=1e-3)
    update = Update(gan.optimizers(), Ranks("cpu"))
    colours = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    x = colours[torch.arange(9) % 3, :, None, None] + 0.1 * torch.randn(9, 3, 16, 16)
    for update.step in range(30):
        torch.manual_seed(update.step)
        metrics = gan.step({"image": x.clamp(-1, 1), "label": torch.arange(9) % 3}, update)
    assert metrics["accuracy"] == 1
    gan.eval()
    assert gan.predict_class(x.clamp(-1, 1)).argmax(1).tolist() == [0, 1, 2] * 3
    assert isinstance(gan.classifier, MapClassifier)
    assert gan.classifier.norm.running_mean is not None
    before = gan.classifier.norm.running_mean.clone()
    gan.train()
    assert gan.features is not None
    gan.classifier([m.requires_grad_() for m in gan.features(-x)])  # as of generated images
    assert torch.equal(gan.classifier.norm.running_mean, before)


@pytest.mark.parametrize(("channels", "seen", "how"), [(1, "pixels", "classifier"), (3, "both", "projection")])
def test_laptop_learns_from_an_imagenet_network_in_colour(channels: int, seen: str, how: str) -> None:
    options = {k: v for k, v in CVAEGAN.preset("laptop").items() if k not in ("batch_size",)}
    facts = {"native": 32, "channels": channels, "class_names": NAMES}
    config = CVAEGAN.resolve_config(build(CVAEGAN.Config, options), facts)
    assert (config.discriminator, config.upsampling, config.class_conditioning) == (seen, "resize", how)


def test_projection_without_maps_is_refused() -> None:
    with pytest.raises(UserError, match="needs --discriminator both or features; or give --class-conditioning auto"):
        model(class_conditioning="projection")
    facts = {"native": 32, "channels": 1, "class_names": NAMES}
    grey = build(CVAEGAN.Config, {"class_conditioning": "projection", "discriminator": "auto"})
    with pytest.raises(UserError, match="projection needs --discriminator"):
        CVAEGAN.resolve_config(grey, facts)
