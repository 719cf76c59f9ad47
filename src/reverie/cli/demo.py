"""The main job on a built-in set: from examples to a generator, with a report to open."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from reverie.api import train
from reverie.cli.files import write
from reverie.cli.parser import Parser
from reverie.cli.provenance import verify
from reverie.evaluation.evaluate import evaluate


def demo(out: Path) -> None:
    """Trains a VAE and a DCGAN on letters, scores both, makes pictures, and checks one's record. About two minutes."""
    began, folder = time.monotonic(), out
    number = 1
    while folder.exists():  # an earlier demo is left alone
        number += 1
        folder = out.with_name(f"{out.name}-{number}")
    data = "letters:4000"
    print("1/4  a VAE learns 4,000 letters drawn from fonts: codes from images and images from codes")
    cadence: dict[str, Any] = {"checkpoint_every": 250, "sample_every": 100, "log_every": 25}
    vae = train("vae", data=data, out=folder / "vae", base_channels=24, steps=700, **cadence)
    write(vae.verb("interpolate").stream(vae, n=8, steps=10), folder / "vae" / "walk.png", False)
    print("2/4  a DCGAN learns them too: sharper, with no codes")
    gan = train("dcgan", data=data, out=folder / "dcgan", base_channels=24, ema_decay=0.995, steps=1300, **cadence)
    print("3/4  a small classifier learns which letter is which; by its eyes both are scored")
    train("classifier", data=data, out=folder / "judge", base_channels=16, steps=200, **cadence)
    for name in ("vae", "dcgan"):
        found = evaluate(folder / name, data, features=folder / "judge", n=400)
        fid = next(score for score in found if score.name == "fid")
        print(f"     {name}: FID {fid.value:.3g}; real letters among themselves {fid.floor:.3g}")
    print("4/4  new letters, each with a record of how it was made")
    files = write(gan.verb("generate").stream(gan, n=64, seed=0), folder / "dcgan" / "letters", False)
    verdict = verify(files[5], folder / "dcgan", [])
    print(f"     {files[5]}: {verdict['why']}")
    print(f"done in {time.monotonic() - began:.0f} s; open these in a browser:")
    for name in ("dcgan", "vae"):
        print(f"  {folder / name / 'report.html'}")


def do_demo(words: list[str]) -> int:
    """The main job on a built-in set."""
    parser = Parser("demo", "Learns letters drawn from fonts, in about two minutes, and ends with reports to open.")
    parser.add_argument("--out", metavar="FOLDER", default="runs/demo", help="where it goes [runs/demo]")
    asked = parser.read(words)
    from reverie.cli.demo import demo

    demo(Path(asked.out))
    return 0
