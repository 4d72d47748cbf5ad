"""Every choice of CdCL as a field; the defaults are the paper's or its code's, presets fit a CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Config:
    """Defaults: CdCL-S for x4 on DIV2K and Flickr2K, setting 1. Sections are those of the authors' code (option.py, trainer.py)."""

    seed: int = 0  # of weights, crops and degradations
    # the data
    train_folder: str = ""  # below --data; empty: train/ if there is one, else all photographs that are no test
    test_folders: tuple[str, ...] = ()  # below --data; empty: test/ if there is one, else some that are held out
    held_out: float = 0.05  # part of the training photographs kept for validation
    scenes: int = 96  # drawn images, where no --data is given
    scene_size: int = 192  # their side
    scale: int = 4  # s: 2, 3 or 4
    setting: Literal["isotropic", "anisotropic", "mixed"] = "isotropic"  # settings 1, 2, 3
    sigma_low: float = 0.2  # of the blur, pixels of the high resolution; mixed: 0.1
    sigma_high: float = 4.0  # mixed: 3
    # the networks
    width: int = 64  # C
    groups: int = 6  # DAGs
    blocks: int = 6  # DaDAUs of each
    estimator_width: int = 64  # of its first layers; the code has 4 times as many channels
    standardise: bool = False  # images are brought to mean 0 and deviation 1 before the estimator; small ones learn blur only so
    code: Literal["map", "vector", "none"] = "map"  # vector: the code alone, everywhere; none: learned constants in its place
    upsampler: Literal["steps", "direct"] = "steps"  # direct: one convolution, for small networks
    skip: Literal["none", "nearest"] = "none"  # nearest: the image's own pixels are added, which small networks learn sooner from
    layer_scale: float = 1e-6  # gamma's first value
    # the contrast
    sampling: Literal["cyclic", "same_image"] = "cyclic"  # positives: other contents (CdCL), or crops of one photograph (DASR)
    views: int = 4  # D, crops that share a degradation
    shifts: int = 15  # cyclic shifts are drawn from 1 to this
    tiles: int = 2  # a crop is cut into tiles x tiles; the codes of every pair are averaged; 1: whole crops
    objective: Literal["infonce", "byol"] = "infonce"  # the code's loss; the paper's word is "negative-free", which byol is
    temperature: float = 1.0  # T
    momentum: float = 0.99  # m of the auxiliary branch
    # stage 1, the contrast alone
    contrast_steps: int = 97_000
    contrast_batch: int = 64
    contrast_patch: int = 64  # pixels of the low resolution
    contrast_learning_rate: float = 1e-3
    contrast_decay: float = 0.2  # factor on the rate after 0.6 of the steps
    # stage 2, both networks
    steps: int = 582_000
    batch: int = 64
    patch: int = 64
    learning_rate: float = 2e-4
    last_learning_rate: float = 1e-6
    warm_up: float = 5 / 600  # part of the steps
    estimator_rate: float = (
        1.0  # factor on the rate of the estimator and its heads: small networks bear higher rates than its code does
    )
    contrast_weight: float = 1.0  # beside the L1 of 255 SR
    weight_decay: float = 0.01


SMALL = Config(
    scale=2,
    width=32,
    groups=2,
    blocks=3,
    estimator_width=16,
    upsampler="direct",
    skip="nearest",
    layer_scale=0.1,
    temperature=0.3,
    standardise=True,
    contrast_steps=800,
    contrast_batch=32,
    contrast_patch=32,
    steps=5000,
    batch=8,
    patch=32,
    learning_rate=2e-3,
    warm_up=0.02,
    estimator_rate=0.1,
)

SMOKE = replace(
    SMALL,
    scenes=12,
    scene_size=64,
    width=8,
    groups=1,
    blocks=1,
    estimator_width=8,
    views=2,
    shifts=3,
    contrast_steps=4,
    contrast_batch=4,
    contrast_patch=16,
    steps=4,
    batch=4,
    patch=16,
)

PRESETS = {
    "paper": Config(),
    "mixed": Config(setting="mixed", sigma_low=0.1, sigma_high=3.0),
    "small": SMALL,
    "scenes": replace(SMALL, contrast_steps=300, steps=1500),
}
