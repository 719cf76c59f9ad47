"""CVAE-GAN.   B batch, Z latent dimensions, K classes, F features, C channels, H = W pixels.

Images are [B,C,H,W] in [-1,1], logits [B] or [B,K]; classes y are weights [B,K] that sum to 1: one-hot for one class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.constraints import Boxes, Count, Decay, NonNegative, Positive, PowerOfTwo, Range, Share
from reverie.core.diagnostics import active_units, diagnostics
from reverie.core.generation import Items, codes_of, encode_images, generate_images, map_images, select_items
from reverie.core.interpolation import edit_images, interpolate_images
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.dataset import Images
from reverie.media import Code, Image, Photo, image_grid, inputs_of, reconstruction_grid
from reverie.media.mask import Marking, made_of, map_holes
from reverie.nn import losses
from reverie.nn.class_conditional import (
    ConditionalEncoder,
    FeatureDiscriminator,
    MapClassifier,
    class_feature_matching,
    class_weights,
    conditional_generator,
)
from reverie.nn.dcgan_blocks import NORMS, default_base_channels, default_size, trunk_discriminator
from reverie.nn.feature_discriminator import (
    FrozenFeatures,
    ProjectedDiscriminator,
    ThumbnailHead,
    check_penalty,
    discriminator_loss,
    generator_loss,
    logits_and_features,
    normalised_maps,
    per_image,
    pixel_penalty,
    resolve_discriminator,
)
from reverie.nn.latent_directions import ClassMeans, direction_vector
from reverie.transforms.augment import geometric_diff_augment, paired_diff_augment, random_flip_and_shift
from reverie.transforms.square_holes import square_holes
from reverie.utils.errors import UserError
from reverie.utils.seeding import noise


class CVAEGAN(Method):
    """Class-conditional VAE/GAN: new images of a class, variations of an image, inpainting.

    Bao, Chen, Wen, Li, Hua 2017, arXiv:1703.10155
    laptop is not the paper's: resize-convolutions, an adversarial loss in place of feature matching; in colour D, which
    sees the class, C and the reconstruction error see with a frozen ImageNet network (Projected GAN, Sauer 2021).
    """

    data_type = Images
    needs_labels = True
    monitored = {"d_auc": "discriminator_auc", "nn_distance_ratio": "diversity", "active_units": "active_units"}

    @dataclass(frozen=True)
    class Config:
        size: Annotated[int, PowerOfTwo(16)] | None = None
        """height and width in pixels, a power of two from 16; none: the one that fits the data, at most 64"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        class_names: tuple[str, ...] | None = None
        """names of the classes, in the order of their labels; none: as the data"""
        latent_dim: Count | None = None
        """dimensions of the latent code z. None: 16 for grey, 64 for colour (the paper: 256)"""
        base_channels: Count | None = None
        """channels of the largest feature maps; each halving of the side doubles them, up to 8 times. None: 64 at 32
        pixels, 32 at 64 pixels and so on, so that a step takes about the same time"""
        lambda_kl: NonNegative = 3.0
        """lambda 1, weight of the KL (section 4: 3)"""
        lambda_rec: NonNegative = 1.0
        """lambda 2, weight of the error of reconstructions in pixels and features of D and C (eq. 8; section 4: 1)"""
        lambda_fm_d: NonNegative = 1e-3
        """lambda 3, weight of mean feature matching in the discriminator (eq. 4; section 4: 0.001)"""
        lambda_fm_c: NonNegative = 1e-3
        """lambda 4, weight of mean feature matching by class in the classifier (eq. 6; section 4: 0.001)"""
        adv_weight: NonNegative = 0.0
        """weight of the generator's adversarial loss; the paper has feature matching in its place"""
        class_conditioning: Literal["none", "classifier", "projection", "auto"] = "none"
        """what makes generated images be of their class, beside lambda_fm_c. none: as in the paper; classifier: its
        cross-entropy of them, for the generator (AC-GAN, Odena 2016, arXiv:1610.09585); projection: the discriminator's
        heads of maps see the class, and it scales and shifts the generator's maps (conditional batch norm: Miyato &
        Koyama 2018, arXiv:1802.05637). auto: projection with maps, else classifier"""
        upsampling: Literal["transposed", "resize"] = "transposed"
        """of the generator: transposed convolutions; or nearest-neighbour upsampling, which leaves no checkerboard"""
        discriminator: Literal["pixels", "features", "both", "auto"] = "pixels"
        """what the discriminator sees: pixels, as in the paper; maps of a frozen ImageNet network (Projected GAN, Sauer
        2021); or both, and 8 x 8 thumbnails. With maps the classifier is linear in them, and they are the features of
        eqs. 4 and 8. auto: both for colour, pixels for grey"""
        feature_network: str | None = None
        """the first 16 hex digits of the SHA-256 of the frozen network's weights; none: the installed one's"""
        loss: Literal["nonsaturating", "hinge", "relativistic"] = "nonsaturating"
        """adversarial loss; the paper's is nonsaturating"""
        norm: Literal["batch", "none"] = "batch"
        """normalisation in the discriminator. With r1_weight: none"""
        r1_weight: NonNegative = 0.0
        """weight of the zero-centred gradient penalty of the discriminator of pixels, R1, or R1 + R2 for the loss
        relativistic (Mescheder 2018); the paper has none"""
        d_reg_interval: Count = 1
        """steps from one gradient penalty to the next, weighted by as many (Karras 2019, arXiv:1912.04958, 3.1)"""
        lr: Positive = 2e-4
        """learning rate of Adam"""
        beta1: Decay = 0.5
        """Adam's beta1"""
        beta2: Decay = 0.999
        """Adam's beta2"""
        ema_decay: Decay = 0.0
        """decay per step of the moving average (EMA) of encoder and generator weights; 0: none, as in the paper"""
        diff_augment: bool = False
        """DiffAugment (Zhao 2020), translation and cutout; an image and its reconstruction are moved and cut alike"""
        hflip: bool = False
        """random horizontal flips of training images"""
        shift: Annotated[float, Range(0, 0.5)] = 0.0
        """random shifts of training images, as a share of the side; with hflip, against overfitting of small data"""
        steps: Count = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            check_penalty(self)
            if self.class_conditioning == "projection" and self.discriminator == "pixels":
                raise UserError("projection needs --discriminator both or features; or give --class-conditioning auto.")

    presets = {
        "smoke": dict(size=16, latent_dim=8, base_channels=8, batch_size=16),
        "laptop": dict(
            upsampling="resize", discriminator="auto", loss="hinge", norm="none", r1_weight=0.5, d_reg_interval=16,
            lambda_rec=3e-3, lambda_kl=0.06, lambda_fm_d=0.0, lambda_fm_c=0.0, adv_weight=1.0, lr=1e-3, beta1=0.0,
            beta2=0.99, ema_decay=0.998, class_conditioning="auto", diff_augment=True, batch_size=16, steps=10_000,
        ),
        "plain": dict(lambda_kl=50.0, lambda_fm_d=1.0, lambda_fm_c=0.1, ema_decay=0.999, steps=6_000),
        "stable": dict(
            lambda_rec=0.02, lambda_kl=0.01, lambda_fm_d=0.0, lambda_fm_c=0.01, adv_weight=1.0, loss="relativistic",
            norm="none", r1_weight=0.01, d_reg_interval=4, lr=1e-3, beta1=0.0, beta2=0.99, ema_decay=0.999, steps=6_000,
        ),
        "paper": dict(size=128, latent_dim=256, base_channels=64, steps=100_000),
    }  # fmt: skip

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        size = config.size or default_size(facts["native"])
        latent_dim = 16 if (config.channels or facts["channels"]) == 1 else 64
        facts = {**facts, "size": size, "base_channels": default_base_channels(size), "latent_dim": latent_dim}
        config, facts = resolve_discriminator(config, facts)
        if config.class_conditioning == "auto":
            grey = config.discriminator == "pixels"
            config = replace(config, class_conditioning="classifier" if grey else "projection")
        return super().resolve_config(config, facts)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config
        if len(c.class_names) < 2:
            raise UserError(f"there is one class, {c.class_names[0]}; cvae_gan needs 2 or more, a folder for each.")
        self.encoder = ConditionalEncoder(c.size, c.channels, c.base_channels, c.latent_dim, len(c.class_names))
        self.generator = conditional_generator(
            c.upsampling, c.size, c.channels, c.base_channels, c.latent_dim, len(c.class_names), c.class_conditioning
        )
        self.discriminator: nn.Module = FeatureDiscriminator(c.size, c.channels, c.base_channels, 1, c.norm)
        self.features: FrozenFeatures | None = None
        if c.discriminator != "pixels":
            self.features = FrozenFeatures(c.feature_network)
            trunk = trunk_discriminator(c.size, c.channels, max(1, c.base_channels // 2), NORMS[c.norm])
            pixels, thumbnails = (trunk, ThumbnailHead(c.channels)) if c.discriminator == "both" else (None, None)
            num_classes = len(c.class_names) if c.class_conditioning == "projection" else 0
            self.discriminator = ProjectedDiscriminator(c.size, pixels, thumbnails, num_classes)
            self.classifier: MapClassifier | FeatureDiscriminator = MapClassifier(len(c.class_names))
        else:
            self.classifier = FeatureDiscriminator(c.size, c.channels, c.base_channels, len(c.class_names))
        self.real_means = ClassMeans(len(c.class_names), self.classifier.num_features)
        self.fake_means = ClassMeans(len(c.class_names), self.classifier.num_features)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c, networks = self.config, ("encoder", "generator", "discriminator", "classifier")
        adam = partial(torch.optim.Adam, lr=c.lr, betas=(c.beta1, c.beta2), fused=True)
        return {name: adam(self.get_submodule(name).parameters()) for name in networks}

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step)]

    def ema_decays(self) -> dict[str, float]:
        return {"encoder": self.config.ema_decay, "generator": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        """One step of algorithm 1. batch: "image" [B,C,H,W] in [-1,1] and "label" [B]."""
        c, adversarial = self.config, losses.ADVERSARIAL_LOSSES[self.config.loss]
        x, label = random_flip_and_shift(batch["image"], c.hflip, c.shift), batch["label"]  # [B,C,H,W] in [-1,1], [B]
        y = self.one_hot(label)  # [B,K]
        mean, log_variance = self.posterior(x, y)  # [B,Z]
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        # In one pass, so that batch norm has the same statistics for reconstructions and for images from the prior.
        rec, fake = self.decode_classes(torch.cat([z, torch.randn_like(mean)]), torch.cat([y, y])).chunk(2)  # x_f, x_p

        reg_step = c.r1_weight > 0 and update.step % c.d_reg_interval == 0
        seen = (*paired_diff_augment(x, rec), geometric_diff_augment(fake)) if c.diff_augment else (x, rec, fake)
        seen = (seen[0].detach().requires_grad_() if reg_step else seen[0], *seen[1:])  # by the discriminator
        D = partial(logits_and_features, self.discriminator, self.features, y=y)
        (d_x, fd_x), (d_rec, fd_rec), (d_fake, fd_fake) = (D(images) for images in seen)  # features f_D
        fd_x = [f.detach() for f in fd_x]
        of_classifier = (x, rec, fake) if self.features is None else (fd_x, fd_rec, fd_fake)
        (c_x, fc_x), (c_rec, fc_rec), (c_fake, fc_fake) = map(self.classifier, of_classifier)  # f_C [B,F]
        if self.features is not None:
            fd_x, fd_rec, fd_fake = normalised_maps(fd_x, fd_rec, fd_fake)

        # Discriminator, eq. 3, on both kinds of generated images
        loss_d = discriminator_loss(adversarial, d_x, d_rec, d_fake)
        if reg_step:  # of pixels alone
            penalty = pixel_penalty(adversarial, *zip((d_x, d_rec, d_fake), seen, strict=True))
            loss_d = loss_d + c.d_reg_interval * c.r1_weight * penalty
        loss_cls = F.cross_entropy(c_x, label)  # classifier, eq. 5
        kl = losses.kl_to_standard_normal(mean, log_variance).sum(1).mean()  # encoder, eq. 7

        # Reconstruction, eq. 8
        loss_rec = half_square([x], [rec]) + half_square(fd_x, fd_rec)
        loss_rec = loss_rec + half_square([fc_x.detach()], [fc_rec])
        # Mean feature matching, eqs. 4 and 6
        fm_d = half_square([f.mean(0, True) for f in fd_x], [f.mean(0, True) for f in fd_fake])
        fm_c = class_feature_matching(self.real_means, self.fake_means, fc_x.detach(), fc_fake, label)
        loss_g = generator_loss(adversarial, d_x, d_rec, d_fake)
        generator = c.lambda_rec * loss_rec + c.lambda_fm_d * fm_d + c.lambda_fm_c * fm_c + c.adv_weight * loss_g
        if c.class_conditioning == "classifier":
            generator = generator + F.cross_entropy(torch.cat([c_rec, c_fake]), label.repeat(2))
        encoder = c.lambda_kl * kl + c.lambda_rec * loss_rec
        update({"classifier": loss_cls, "discriminator": loss_d, "encoder": encoder, "generator": generator})

        metrics = dict(loss_d=loss_d, loss_g=loss_g, loss_rec=loss_rec, kl=kl, fm_d=fm_d, fm_c=fm_c, loss_cls=loss_cls)
        metrics = {name: value.detach() for name, value in metrics.items()}
        metrics |= diagnostics(per_image(d_x), per_image(d_fake), x, fake)
        metrics |= {"accuracy": (c_x.argmax(1) == label).float().mean(), **active_units(mean)}
        if not c.adv_weight:
            del metrics["d_auc"]  # without an adversarial loss a discriminator that is never wrong does no harm
        return metrics

    # -- the model -------------------------------------------------------------------------------------------------

    def one_hot(self, label: Tensor) -> Tensor:
        """Labels [B] as one-hot vectors [B,K]."""
        return F.one_hot(label, len(self.config.class_names)).float()

    def posterior(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B,Z] of q(z|x,y) for images x [B,C,H,W] of classes y [B,K]."""
        mean, log_variance = self.encoder(x, y).chunk(2, 1)
        return mean, log_variance.clamp(-20, 10)

    def decode_classes(self, z: Tensor, y: Tensor) -> Tensor:
        """Images [B,C,H,W] from codes [B,Z] and classes [B,K]."""
        return self.generator(torch.cat([z, y], 1))

    def class_weights(self, label: str) -> Tensor:
        """The classes y [K] that a label names: one class, or "cat+dog" for half of each."""
        return class_weights(label, self.config.class_names).to(self.device)

    def predict_class(self, x: Tensor) -> Tensor:
        """The class that the classifier predicts for each image [B,C,H,W], one-hot [B,K]."""
        seen = x if self.features is None else self.features(x)
        return self.one_hot(self.classifier(seen)[0].argmax(1))

    def code(self, x: Tensor, label: str = "") -> Tensor:
        """The mean of q(z|x,y), and y: [B,Z+K]. y is the class that the label names, or the predicted one."""
        y = self.class_weights(label).expand(len(x), -1) if label else self.predict_class(x)
        return torch.cat([self.posterior(x, y)[0], y], 1)

    def codes(self, images: Sequence[Image] | None, label: str) -> Tensor | None:
        """The codes [N,Z+K] of given images; None for none."""
        c, encode = self.config, partial(self.code, label=label)
        return codes_of(encode, images, c.size, c.channels, self.device)

    def latents(self, seed: int, label: str = "") -> Callable[[Sequence[int]], Tensor]:
        """A function from item numbers to z and y [len(items),Z+K]; without a label item i is of class i mod K."""
        y = self.class_weights(label) if label else None

        def of(items: Sequence[int]) -> Tensor:
            z = noise(seed, items, self.config.latent_dim, device=self.device)
            if y is not None:
                return torch.cat([z, y.expand(len(z), -1)], 1)
            labels = torch.tensor([i % len(self.config.class_names) for i in items], device=self.device)
            return torch.cat([z, self.one_hot(labels)], 1)

        return of

    # -- verbs -------------------------------------------------------------------------------------------------------

    @verb
    def generate(self, n: Count = 64, label: str = "", seed: int = 0, items: Items = None) -> Iterator[Image]:
        """New images of a class, or of all classes in turn.

        n: number of images
        label: a class, or several joined by + for a mixture of them; none: all classes in turn
        seed: image i depends on (seed, i) and the label alone
        """
        num_classes = len(self.config.class_names)
        columns = 0 if label or num_classes > 20 else num_classes
        for image in generate_images(self.generator, self.latents(seed, label), select_items(items, n)):
            yield image.in_rows_of(columns)

    @verb
    def reconstruct(self, images: list[Image], label: str = "") -> Iterator[Image]:
        """Each image encoded and decoded.

        images: images to reconstruct
        label: their class; none: the one that the classifier predicts for each
        """
        c = self.config
        yield from map_images(lambda x: self.generator(self.code(x, label)), images, c.size, c.channels, self.device)

    @verb
    def encode(self, images: list[Image], label: str = "") -> Iterator[Code]:
        """The latent code of each image, the mean of q(z|x,y), and the weights of its classes y, as a table.

        images: images to encode
        label: their class; none: the one that the classifier predicts for each
        """
        c = self.config
        yield from encode_images(lambda x: self.code(x, label), images, c.size, c.channels, self.device)

    @verb
    def variations(
        self, images: list[Image], n: Count = 8, variation: Share = 0.7, label: str = "", seed: int = 0,
        items: Items = None,
    ) -> Iterator[Image]:  # fmt: skip
        """Images of the same class that vary each given image, one row per image.

        images: images to vary
        n: variations per image
        variation: share of noise in z: 0 gives the reconstruction, 1 any image of the class
        label: the class; none: the one that the classifier predicts for each
        seed: of the noise
        """
        codes, Z = self.codes(images, label), self.config.latent_dim
        assert codes is not None

        def latents(items: Sequence[int]) -> Tensor:
            """Codes with noise in z, scaled so that the variance of a standard normal z is kept."""
            code = codes[[min(i // n, len(codes) - 1) for i in items]]
            epsilon = noise(seed, items, Z, device=self.device)
            z = (1 - variation**2) ** 0.5 * code[:, :Z] + variation * epsilon
            return torch.cat([z, code[:, Z:]], 1)

        inputs = inputs_of(images)
        for image in generate_images(self.generator, latents, select_items(items, len(images), n)):
            yield replace(image, inputs=inputs).in_row_about(images, n)

    @verb
    def inpaint(
        self, images: list[Image], mask: list[Photo] | None = None, mask_colour: str = "", mask_alpha: bool = False,
        box: Boxes | None = None, invert: bool = False, grow: Annotated[int, Range(0, 1000)] = 0,
        iterations: Count = 10, label: str = "",
    ) -> Iterator[Image]:  # fmt: skip
        """Inpainting: each image with the content of its hole replaced, the rest unchanged (section 5.3).

        images: images to inpaint; what they show inside the hole is ignored
        mask: one for all images or one for each, of their sizes, white (above 127 of 255) where the hole is
        mask_colour: the hole is what has this colour, such as ff00ff, in the mask, or without one in the image
        mask_alpha: the hole is what is transparent in the mask, or without one in the image
        box: the hole is left,top,right,bottom as shares of the width and of the height; several times for several
        invert: what is marked stays, and the rest is the hole
        grow: pixels of the image that the hole is widened by
        iterations: times that the filled image is encoded and decoded
        label: the class; none: the one that the classifier predicts for each

        Raises UserError if there is no hole, nothing but a hole, or a mask of another size.
        """
        c, marking = self.config, Marking(mask_colour, mask_alpha, box, invert, grow)
        given = list(map_holes(images, mask, marking, partial(square_holes, size=c.size, channels=c.channels)))

        def fill(x: Tensor, beside: Tensor) -> Tensor:
            """[B,C,H,W] -> [B,C,H,W] with the holes filled; beside: the images as they were, and 1 in their holes."""
            hole = beside[:, -1:] > 0
            filled = x * ~hole  # at first with mid-grey, 0
            for _ in range(iterations):
                filled = torch.where(hole, self.generator(self.code(filled, label)), x)
            return torch.where(hole, filled, beside[:, :-1])

        beside = torch.cat([one.beside for one in given])
        made = map_images(fill, [one.covered for one in given], c.size, c.channels, self.device, beside)
        for image, one in zip(made, given, strict=True):
            yield made_of(image, one.image, one.mask)

    @verb
    def interpolate(
        self, images: list[Image] | None = None, n: Count = 8, frames: Count = 10, label: str = "", seed: int = 0,
        items: Items = None,
    ) -> Iterator[Image]:  # fmt: skip
        """Rows of images between two: linear interpolation of their latent codes and classes.

        images: row r goes from image r to image r + 1; none: between new images
        n: number of rows without images; row r goes from image 2r to image 2r + 1 of `generate`
        frames: images per row, both ends included
        label: the class of all; none: the one predicted for each image, or all classes in turn
        seed: as in generate
        """
        codes, latents = self.codes(images, label), self.latents(seed, label)
        yield from interpolate_images(self.generator, latents, codes, n, frames, items, sources=images)

    @verb
    def edit(
        self, images: list[Image] | None = None, direction: str = "z1", amount: float = 3.0, n: Count = 8,
        frames: Count = 7, seed: int = 0, items: Items = None,
    ) -> Iterator[Image]:  # fmt: skip
        """Rows of images that change into another class or along a latent direction, one row per image.

        images: images to edit; none: new images
        direction: a class, the one at the end of a row; or a principal direction: z1, z2, ..., strongest first
        amount: of a principal direction, the change at either end of a row in standard deviations of z
        n: number of rows without images; row r is about image r of `generate`
        frames: images per row; of a principal direction from -amount to amount; 1: the last of them
        seed: as in generate
        """
        Z, class_names = self.config.latent_dim, self.config.class_names
        change = torch.zeros(Z + len(class_names), device=self.device)
        if direction not in class_names:
            weight = self.generator.first_layer_weight()[:Z]
            change[:Z] = amount * direction_vector(direction, class_names, None, weight)

        def endpoints(code: Tensor) -> tuple[Tensor, Tensor]:
            """The first and the last code [B,Z+K] of the row about each code."""
            if direction in class_names:  # the same z, and the class that is asked for
                y = self.class_weights(direction).expand(len(code), -1)
                return code, torch.cat([code[:, :Z], y], 1)
            return code - change, code + change

        codes, latents = self.codes(images, ""), self.latents(seed)
        yield from edit_images(self.generator, latents, codes, endpoints, n, frames, items, sources=images)

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Samples, a column for each class, and training images above their reconstructions."""
        num_classes = len(self.config.class_names)
        samples = self.verb("generate")(n=min(8 * num_classes, 200), seed=0)
        return {
            "": replace(image_grid(samples, min(20, num_classes)), column_labels=self.config.class_names[:20]),
            "reconstruction": reconstruction_grid(batch["image"], self.reconstruct),
        }


def half_square(x: Sequence[Tensor], y: Sequence[Tensor]) -> Tensor:
    """Half the squared distance of each item of some tensors [B,...] from that of others, averaged over the batch."""
    return torch.stack([0.5 * (a - b).square().flatten(1).sum(1).mean() for a, b in zip(x, y, strict=True)]).sum()
