"""python -m train.evaluate model.pt --data PATH: a trained method's measures on a data set, its own or another."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = """\
examples:
  python -m train.evaluate model.pt --data photos/               the test images of the data set that it was trained on
  python -m train.evaluate model.pt --data flowers/              another data set: a classifier answers among that one's classes
  python -m train.evaluate model.pt --data photos/ --split val --json

exit status: 0 done, 2 a mistake in what was given
"""
SPLITS = ("train", "val", "test")


def main(arguments: Sequence[str] | None = None) -> int:
    """Restore, evaluate, print; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        metrics = evaluate(given.model, given.data, given.split, given.accelerator)
    except (ValueError, OSError) as error:
        print(f"train.evaluate: {error}", file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps({"model": str(given.model), "data": str(given.data or ""), "split": given.split, "metrics": metrics}))
        return 0
    width = max(map(len, metrics))
    for name, value in metrics.items():
        print(f"{name.ljust(width)}  {value:.4f}")
    return 0


def evaluate(model: Path, data: Path | None, split: str, accelerator: str = "auto") -> dict[str, float]:
    """The measures of a model on one split, as its method defines them.

    Args:
        data: as for training; None is the embedded data.
        accelerator: "auto", "cpu" or "gpu".

    Raises:
        ValueError: the split has no images, or no labels; or the file is no model.
    """
    from train import checkpoint, loop

    method = checkpoint.restore(model)
    method.to(loop.fabric(loop.Setting(accelerator=accelerator)).device)
    metrics = method.evaluate(data, split)
    if not metrics:
        raise ValueError(
            f"{data or 'the embedded data'} has no labelled images in its {split} part; give another --split or --data"
        )
    return metrics


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.evaluate",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="model.pt that `python -m train.run` wrote")
    parser.add_argument("--data", type=Path, help="a data set's folder, zip or split file; without it, the embedded data")
    parser.add_argument("--split", choices=SPLITS, default="test", help="default test")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--accelerator", default="auto", help="auto, cpu or gpu (default auto)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
