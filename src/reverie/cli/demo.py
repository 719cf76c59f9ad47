"""The command that shows everything on a built-in set: from examples to a generator, with a report to open."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from reverie.cli.parser import Parser

DATA = "letters:4000"
SCORES = {"sharpness": "sharpness", "fid": "FID"}
CADENCE: dict[str, Any] = dict(checkpoint_every=250, sample_every=100, log_every=25)


def do_demo(words: list[str]) -> int:
    """Trains, evaluates and generates on a built-in set."""
    parser = Parser("demo", "Trains on letters drawn from fonts, in about two minutes, and ends with reports to open.")
    parser.add_argument("--out", metavar="FOLDER", default="runs/demo", help="the folder to write [runs/demo]")
    args = parser.parse(words)
    run_demo(Path(args.out))
    return 0


def run_demo(out: Path) -> None:
    """Trains a VAE and a DCGAN on letters, evaluates both, generates images, and verifies the provenance of one.

    Takes about two minutes on two CPU cores. An earlier demo is kept: the folder is then called `out`-2, -3 ...
    """
    from reverie.api import train
    from reverie.cli.files import write
    from reverie.cli.verify import verify
    from reverie.evaluation.evaluate import evaluate

    began, folder = time.monotonic(), _unused(out)
    print("1/4  a VAE learns 4,000 letters drawn from fonts: latent codes from images, and images from latent codes")
    vae = train("vae", data=DATA, out=folder / "vae", base_channels=24, steps=500, **CADENCE)
    interpolations = vae.verb("interpolate").stream(vae, n=8, frames=10)
    write(interpolations, folder / "vae" / "interpolations.png", overwrite=False)
    print("2/4  a DCGAN learns them too: sharper images, but no encoder")
    gan = train("dcgan", data=DATA, out=folder / "dcgan", base_channels=40, diff_augment=False, steps=2000, **CADENCE)
    print("3/4  both are evaluated: new letters against real ones. FID is by a network that knows photos, not letters:")
    print("     look at sharpness, and at the letters")
    # A DCGAN's reconstructions, which search for codes, take longer than all other scores together.
    for name, metrics in (("vae", None), ("dcgan", "distribution,copying,sharpness")):
        evaluation = evaluate(folder / name, DATA, n=400, metrics=metrics)
        values = (
            f"{title} {evaluation[key].value:.3g} (real letters {evaluation[key].real:.3g})"
            for key, title in SCORES.items()
        )
        print(f"     {name}: {', '.join(values)}")
    print("4/4  new letters, each with a record of its provenance")
    files = write(gan.verb("generate").stream(gan, n=64, seed=0), folder / "dcgan" / "letters", overwrite=False)
    verdict = verify(files[5], folder / "dcgan", [])
    print(f"     {files[5]}: {verdict['why']}")
    print(f"done in {time.monotonic() - began:.0f} s; open these in a browser:")
    for name in ("dcgan", "vae"):
        print(f"  {folder / name / 'report.html'}")


def _unused(out: Path) -> Path:
    """The folder, or the first of `out`-2, `out`-3 ... that does not exist yet."""
    folder, number = out, 1
    while folder.exists():
        number += 1
        folder = out.with_name(f"{out.name}-{number}")
    return folder
