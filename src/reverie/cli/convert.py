"""The commands that convert weights: export, import."""

from __future__ import annotations

import json
from pathlib import Path

from reverie.cli.parser import Parser
from reverie.core import registry
from reverie.core.options import Option
from reverie.utils.errors import UserError, near_miss


def do_export(words: list[str]) -> int:
    """Writes the weights of a run, with their config, as one file."""
    parser = Parser("export", "Writes the weights of a run, with their config in the header, as one file.")
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--format", default="safetensors", metavar="{safetensors}", help="the format [safetensors]")
    parser.add_argument("--out", metavar="FILE", help="the file to write; `reverie VERB FILE` uses it like a run")
    args = parser.parse(words)
    if args.format != "safetensors":
        raise UserError(
            f"there is no export format '{args.format}'.{near_miss(args.format, ['safetensors'])} Give safetensors."
        )
    if not args.out:
        raise UserError(f"export needs --out: reverie export {args.run} --out model.safetensors.")
    from reverie.convert.export import export

    print(export(args.run, Path(args.out)))
    return 0


def do_import(words: list[str]) -> int:
    """Converts generators that another program has trained to one weights file."""
    parser = Parser(
        "import",
        "Converts generators that the PyTorch code of pix2pix and CycleGAN, or of BasicSR, ESRGAN and Real-ESRGAN, has "
        "trained.",
    )
    parser.epilog = "Files of torch.save and safetensors are read as tensors only: no code in them is ever run."
    files_help = (
        "latest_net_G.pth; or latest_net_G_A.pth latest_net_G_B.pth (a to b, b to a); or the folder they are in; or a "
        "network that enlarges, such as RealESRGAN_x4plus.pth"
    )
    dropout_help = "whether a U-Net was trained with dropout, which its file cannot tell [with batch norm]"
    parser.add_argument("files", metavar="FILE", nargs="+", help=files_help)
    parser.add_argument(
        "--out", metavar="FILE", help="the file to write; `reverie translate FILE` or `upscale FILE` uses it like a run"
    )
    parser.add_options([Option("dropout", bool, None, dropout_help)], "how they were trained")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with what was recognised")
    args = parser.parse(words)
    if not args.out:
        raise UserError(f"import needs --out: reverie import {args.files[0]} --out model.safetensors.")
    from reverie.convert.import_checkpoint import import_checkpoint

    imported = import_checkpoint(args.files, args.out, dropout=getattr(args, "dropout", None))
    if args.json:
        print(json.dumps(imported))
        return 0
    print(f"{imported['file']}: {imported['method']}")
    for network in imported["networks"]:
        print(f"  {network['name']}: {network['description']}")
    verb = registry.find(imported["method"]).verbs[0]
    print(f"next: reverie {verb} {imported['file']} photo.jpg --out out.png")
    return 0
