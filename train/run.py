"""python -m train.run NAME [field=value ...]: train a method and write model.pt."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train import registry
from train.config import describe, override

EXAMPLES = """\
examples:
  python -m train.run                                    the methods
  python -m train.run comkd_clip --fields                its fields, their defaults and what they mean
  python -m train.run comkd_clip --preset scenes         a CPU-size run on the embedded scenes
  python -m train.run comkd_clip --data photos/ teacher=ViT-L-14.pt student=ViT-B-16.pt
  python -m train.run comkd_clip --preset scenes --resume        go on after a kill
  torchrun --nproc-per-node 2 -m train.run comkd_clip --preset scenes      two processes, the same weights

exit status: 0 done, 2 a mistake in what was given, 3 the loss diverged, 4 the disk refused a file
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, train, print where the result is; returns the exit status."""
    parser = _parser()
    given = parser.parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    if not given.name:
        print("methods:", *registry.names(), sep="\n  ")
        return 0
    try:
        from train import loop  # after the parser, so that --help is quick
    except ModuleNotFoundError as error:
        return _missing(error)
    try:
        config = _config(given)
        if given.fields:
            for name, default, meaning in describe(config):
                print(f"{name}={default}".ljust(48), meaning)
            return 0
        out = given.out or Path("runs") / given.name
        setting = loop.Setting(
            accelerator=given.accelerator,
            devices=given.devices,
            precision=given.precision,
            strategy=given.strategy,
            checkpoint_every=given.checkpoint_every,
            log_every=given.log_every,
            resume=given.resume,
        )
        path = loop.fit(given.name, config, given.data, out, setting)
    except loop.Diverged as error:
        return _fail(error, 3)
    except (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        return _fail(error, 2)
    except ModuleNotFoundError as error:
        return _missing(error)
    except OSError as error:
        return _fail(error, 4)
    _report(path, given.json)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.run", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", help="the method; without one, the methods are listed")
    parser.add_argument("overrides", nargs="*", metavar="field=value", help="change a field of the configuration")
    parser.add_argument("--data", type=Path, help="a data set's folder, zip or split file; without it, the embedded data")
    parser.add_argument("--out", type=Path, help="where the run is written (default runs/NAME)")
    parser.add_argument("--preset", help="start from a named configuration instead of the paper's")
    parser.add_argument("--smoke", action="store_true", help="start from the configuration of the tests: seconds, no use")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out; without one, start")
    parser.add_argument("--fields", action="store_true", help="print the configuration's fields and end")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--accelerator", default="auto", help="auto, cpu or gpu (default auto)")
    parser.add_argument("--devices", type=int, default=0, help="processes on this machine (default: torchrun's, else 1)")
    parser.add_argument("--precision", default="32-true", help="32-true, bf16-mixed, 16-mixed ... (default 32-true)")
    parser.add_argument("--strategy", default="auto", help="auto, ddp, fsdp ... (default auto)")
    parser.add_argument("--checkpoint-every", type=_positive, default=200, metavar="STEPS", help="default 200")
    parser.add_argument("--log-every", type=_positive, default=10, metavar="STEPS", help="default 10")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} was given; expected 1 or more")
    return value


def _config(given: argparse.Namespace) -> Any:
    entry = registry.entry(given.name)
    if given.smoke and given.preset:
        raise ValueError("--smoke and --preset were both given; give one")
    if given.preset and given.preset not in entry.presets:
        raise ValueError(f"{given.name} has no preset {given.preset!r}; it has: {', '.join(entry.presets) or 'none'}")
    start = entry.smoke if given.smoke else entry.presets[given.preset] if given.preset else entry.config()
    return override(start, given.overrides)


def _report(path: Path, as_json: bool) -> None:
    from train import checkpoint
    from train.blocks.gather import rank

    if rank():
        return
    done = checkpoint.load(path)
    if as_json:
        print(json.dumps({"model": str(path), "method": done.method, "metrics": done.metrics, "config": done.config}))
        return
    width = max((len(name) for name in done.metrics), default=0)
    for name, value in done.metrics.items():
        print(f"{name.ljust(width)}  {value:.4f}")
    print(f"written to {path}; next: python -m export.onnx {path}")


def _missing(error: ModuleNotFoundError) -> int:
    return _fail(f"the package {error.name!r} is missing: pip install 'contrastrt[train]'", 2)


def _fail(error: object, status: int) -> int:
    print(f"train.run: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
