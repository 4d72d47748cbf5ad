"""python -m benchmarks.cdcl: CdCL against the same network without a degradation code and with DASR's, several seeds, on photographs."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import runs
from benchmarks.machine import describe
from benchmarks.options import comparison, fail, refusal, tell

if TYPE_CHECKING:
    from train.checkpoint import Checkpoint

EXAMPLES = """\
examples:
  python -m benchmarks.cdcl --data sr.zip                            every arm and seed; a second call goes on
  python -m benchmarks.cdcl --data sr.zip --report --write cdcl.md   only tell of the runs that have ended

protocol: preset small, setting 1 (Gaussian blur, sigma 0.2 to 4 pixels, then bicubic reduction); trained on the photographs of
--train without those held out, tested once on --tests at sigma 1.2, 2.4 and 3.6. PSNR and SSIM of luma, `scale` pixels shaved, 8 bits.
Every arm sees as many crops in stage 2. "no code" has learned constants where the code would be, and more blocks, so that it has the
parameters that CdCL spends on its estimator. "DASR-style code": two crops of one photograph as positives, a code without a map.
"""
SAME = ("code=none", "contrast_steps=0")
ARMS = {
    "CdCL": (),
    "no code": (*SAME, "blocks=8"),
    "DASR-style code": ("code=vector", "sampling=same_image", "views=2", "tiles=1", "temperature=0.07"),
    "no code, same generator": SAME,
}
SECOND = ("no code, same generator",)  # after the three that the question is about
NETWORKS = ("generator.", "contrast.encoder.estimator.")  # what is deployed
PLOTTED = (0.2, 1.2, 1.8, 2.6, 3.2)  # sigmas, those of the paper's figure 5
COLOURS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (230, 190, 30))  # RGB


@dataclass(frozen=True)
class Plan:
    """What is run on which data."""

    out: Path
    data: Path
    train: str
    tests: tuple[str, ...]
    seeds: int
    jobs: int
    arms: tuple[str, ...]
    overrides: tuple[str, ...]

    @property
    def where(self) -> tuple[str, ...]:
        """Fields that name the photographs."""
        return (f"train_folder={self.train}", f"test_folders={','.join(self.tests)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is not there yet, then print and write table and plot; returns the exit status."""
    given = _parser().parse_args(arguments)
    if wrong := refusal(given, ARMS):
        return fail(wrong)
    tests = tuple(name for name in given.tests.split(",") if name)
    arms = tuple(given.arm or ARMS)
    plan = Plan(given.out, given.data, given.train, tests, given.seeds, given.jobs, arms, tuple(given.overrides))
    if not given.report:
        threads = runs.threads(plan.jobs)

        def run(arm: str, seed: int) -> None:
            fields = (*plan.where, f"seed={seed}", *ARMS[arm], *plan.overrides)
            runs.train("cdcl", runs.folder(plan.out, arm, seed), plan.data, threads, ["--preset", "small", *fields])

        runs.together(run, runs.in_order(plan.arms, plan.seeds, SECOND), plan.jobs)
    found = runs.collect(plan.out, plan.arms, plan.seeds, _deployed)
    if not found["seeds"]:
        return fail(f"there is no finished run in {plan.out}")
    tell(_text(found), found, plan.out, given.write)
    if "CdCL" in found["seeds"] and given.plot:
        plot(plan, runs.folder(plan.out, "CdCL", found["seeds"]["CdCL"][0]) / "model.pt", given.plot)
        print(f"\nThe codes' first two principal components are drawn in {given.plot}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    drawn = "the codes of the test photographs by their blur"
    parser = comparison("cdcl", __doc__, EXAMPLES, data="photographs, a folder or a zip", drawn=drawn)
    parser.add_argument("--train", default="bsds500_train", help="its folder of training photographs (default bsds500_train)")
    parser.add_argument("--tests", default="set5_hr,set14_hr", help="its folders of test photographs (default set5_hr,set14_hr)")
    return parser


def _deployed(saved: Checkpoint) -> int:
    """Parameters of the networks that are deployed; without a code there is no estimator."""
    return runs.parameters(saved.model, *(NETWORKS if saved.config["code"] != "none" else NETWORKS[:1]))


def _text(found: dict[str, Any]) -> str:
    """The table, differences paired by seed, and what was measured how."""
    measures = found["measures"]
    config = next(iter(found["config"].values()))
    first = next(iter(measures.values()))
    columns = [name.removesuffix("/psnr") for name in first if name.endswith("/psnr")]
    sets = list(dict.fromkeys(column.split("/")[0] for column in columns))
    title = (
        f"x{config['scale']}, setting {config['setting']}, {', '.join(sets)}: PSNR in dB / SSIM of luma, mean ± standard deviation over "
        "seeds; R²: share of the blur's variance that a linear read-out of the code tells on these photographs."
    )
    lines = [
        title,
        "",
        *(f"    {line}" for line in str(describe()).splitlines()),
        "",
        "| | " + " | ".join(column.replace("/", " ") for column in columns) + " | R² | seeds | parameters | CPU s a run |",
        "|---" * (len(columns) + 5) + "|",
        "| bicubic | "
        + " | ".join(f"{first[f'{c}/bicubic_psnr'][0]:.2f} / {first[f'{c}/bicubic_ssim'][0]:.4f}" for c in columns)
        + " | | | | |",
    ]
    for arm, values in measures.items():
        cells = [f"{runs.spread(values[f'{c}/psnr'], 2)} / {statistics.mean(values[f'{c}/ssim']):.4f}" for c in columns]
        read = [runs.spread(values[f"{name}/blur_r2"], 3) for name in sets if f"{name}/blur_r2" in values]
        spent = found["cpu_seconds"].get(arm)
        cells += [", ".join(read), str(len(found["seeds"][arm])), f"{found['parameters'][arm]:,}"]
        lines.append(f"| {arm} | " + " | ".join(cells) + f" | {f'{statistics.median(spent):.0f}' if spent else ''} |")
    return "\n".join([*lines, "", *_differences(found, columns)])


def _differences(found: dict[str, Any], columns: Sequence[str]) -> list[str]:
    """CdCL's PSNR minus each other arm's, over the seeds that both have."""
    lines = []
    ours = found["seeds"].get("CdCL", [])
    for arm, seeds in found["seeds"].items():
        shared = [seed for seed in ours if seed in seeds]
        if arm == "CdCL" or not shared:
            continue
        parts = []
        for column in columns:
            mine, other = (found["measures"][name][f"{column}/psnr"] for name in ("CdCL", arm))
            gaps = [mine[ours.index(seed)] - other[seeds.index(seed)] for seed in shared]
            parts.append(f"{column.replace('/', ' ')} {runs.spread(gaps, 2)}")
        lines.append(f"- PSNR of CdCL minus that of {arm}, paired by seed: {'; '.join(parts)}")
    return lines


def plot(plan: Plan, model: Path, path: Path) -> None:
    """Draw the degradation codes of the test photographs at five blurs, by their first two principal components, as PNG."""
    import torch

    from runtime.pictures import write
    from train import checkpoint
    from train.data.degradations import degrade, fixed
    from train.data.photos import open_photos
    from train.methods.cdcl.readout import SIDE, middle

    method: Any = checkpoint.restore(model)
    photos = open_photos(plan.data, train=plan.train, tests=plan.tests, held_out=method.config.held_out)
    codes = []
    for members in photos.test.values():
        for number in range(len(members)):
            high = middle(members.read(number), SIDE, method.config.scale)
            for sigma in PLOTTED:
                with torch.no_grad():
                    codes.append(method.encode(degrade(high, fixed((sigma, sigma)), method.config.scale))[0].numpy())
    code = np.array(codes)  # (n, d)
    _, values, axes = np.linalg.svd(code - code.mean(0), full_matrices=False)
    places = (code - code.mean(0)) @ axes[:2].T  # (n, 2)
    share = values[:2] ** 2 / (values**2).sum()
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, _scatter(places, np.tile(np.arange(len(PLOTTED)), len(code) // len(PLOTTED)), share))


def _scatter(places: np.ndarray, kinds: np.ndarray, share: np.ndarray, side: int = 640) -> np.ndarray:
    """uint8 (side, side, 3) RGB."""
    import cv2

    image = np.full((side, side, 3), 255, np.uint8)
    low, high = places.min(0), places.max(0)
    scaled = 60 + (places - low) / np.maximum(high - low, 1e-9) * (side - 120)
    for place, kind in zip(scaled, kinds, strict=True):
        cv2.circle(image, (round(place[0]), side - round(place[1])), 5, COLOURS[kind], -1, cv2.LINE_AA)
    for at, sigma in enumerate(PLOTTED):
        cv2.circle(image, (20 + 120 * at, 20), 5, COLOURS[at], -1, cv2.LINE_AA)
        cv2.putText(image, f"sigma {sigma:g}", (32 + 120 * at, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    caption = f"principal components 1 ({share[0]:.0%}) and 2 ({share[1]:.0%}) of the degradation codes"
    cv2.putText(image, caption, (20, side - 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return image


if __name__ == "__main__":
    sys.exit(main())
