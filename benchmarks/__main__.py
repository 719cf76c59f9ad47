"""`python -m benchmarks [COMMAND]`; without a command, speed."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks import account, enlarge, grid, large, layout, lecture, ledger, monitor, speed, stacked, stages
from reverie.utils.errors import UserError, near_miss

COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "speed": speed.main,
    "profile": account.main,
    "layout": layout.main,
    "grid": grid.main,
    "stacked": stacked.main,
    "stages": stages.main,
    "enlarge": enlarge.main,
    "lecture": lecture.main,
    "monitor": monitor.main,
    "large": large.main,
    "claim": ledger.main,
    "ledger": ledger.render,
}
OVERVIEW = """python -m benchmarks                             steps/s, beside a plain loop and the machine's ceiling
python -m benchmarks profile dcgan64             where the time of a step goes
python -m benchmarks layout                      layouts in memory and kinds of Adam, side by side
python -m benchmarks grid METHOD[:PRESET]        the 2-D grid of 25 Gaussians: modes found
python -m benchmarks stacked METHOD[:PRESET] --data MNIST    Stacked-MNIST: 1,000 modes
python -m benchmarks stages METHOD[:PRESET] --data oracle    likelihood alone, and with the adversarial stage
python -m benchmarks enlarge --data MNIST        do generated images help a classifier, beside few real ones?
python -m benchmarks lecture --data CIFAR        does joining a GAN and a VAE pay? five methods, equal time
python -m benchmarks monitor                     does the monitor speak when it should, and only then?
python -m benchmarks large [RUN]                 a photograph of 12 megapixels: time, memory, seams
python -m benchmarks claim NAME                  an experiment of the ledger; --check: does it come out again?
python -m benchmarks ledger                      LEDGER.md, from ledger/*.json

Each says more with --help.
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
