"""`python -m benchmarks [COMMAND]`; without a command, speed."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks import (
    augmentation,
    class_images,
    dcgan_recipes,
    grid,
    inpainting,
    large_image,
    ledger,
    memory_format,
    monitor,
    profile_step,
    seqgan_ablation,
    speed,
    stacked,
    super_resolution,
    vae_gan_comparison,
    verb_speed,
)
from reverie.utils.errors import UserError, near_miss

COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "speed": speed.main,
    "profile_step": profile_step.main,
    "memory_format": memory_format.main,
    "grid": grid.main,
    "stacked": stacked.main,
    "seqgan_ablation": seqgan_ablation.main,
    "augmentation": augmentation.main,
    "vae_gan_comparison": vae_gan_comparison.main,
    "dcgan_recipes": dcgan_recipes.main,
    "monitor": monitor.main,
    "class_images": class_images.main,
    "super_resolution": super_resolution.main,
    "inpainting": inpainting.main,
    "large_image": large_image.main,
    "verb_speed": verb_speed.main,
    "experiment": ledger.main,
    "ledger": ledger.render,
}
OVERVIEW = """python -m benchmarks                             steps/s, beside a reference loop and a ceiling
python -m benchmarks profile_step dcgan64        where the time of a training step goes
python -m benchmarks memory_format               memory formats and Adam implementations, side by side
python -m benchmarks grid METHOD[:PRESET]        the 2-D grid of 25 Gaussians: modes found
python -m benchmarks stacked METHOD[:PRESET] --data MNIST    Stacked-MNIST: 1,000 modes
python -m benchmarks seqgan_ablation METHOD[:PRESET] --data oracle    MLE only, and with the adversarial stage
python -m benchmarks augmentation --data MNIST   does a classifier improve with generated images beside few real ones?
python -m benchmarks vae_gan_comparison --data CIFAR     GAN, VAE and their combinations, equal training time
python -m benchmarks dcgan_recipes --data PHOTOS         DCGAN's recipes, equal CPU time
python -m benchmarks monitor                     failures that the monitor detects, and its false alarms
python -m benchmarks large_image [RUN]           restoring a photo of 12 megapixels: time, memory, seams
python -m benchmarks class_images --other FILE    images of classes from noise, seen by another network
python -m benchmarks super_resolution --data ZIP         Set5 and Set14 after one training, beside bicubic
python -m benchmarks inpainting --data FOLDER            holes of photos after one training, beside the Laplace fill
python -m benchmarks verb_speed                  blend, inpaint, saliency, describe, dream: how fast they are
python -m benchmarks experiment NAME             run an experiment of the ledger; --check: compare with the ledger
python -m benchmarks ledger                      render LEDGER.md from ledger/*.json; --check: verify them

Each shows its options with --help.
"""


def main(words: list[str]) -> int:
    """Runs one command. Exit status: 0 done, 2 wrong input, 130 interrupted."""
    if words and words[0] in ("-h", "--help"):
        print(OVERVIEW, end="")
        return 0
    command, rest = ("speed", words) if not words or words[0].startswith("-") else (words[0], words[1:])
    try:
        if command not in COMMANDS:
            raise UserError(f"there is no benchmark '{command}'.{near_miss(command, list(COMMANDS))} See --help.")
        COMMANDS[command](rest)
    except UserError as error:
        print(f"benchmarks: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benchmarks: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
