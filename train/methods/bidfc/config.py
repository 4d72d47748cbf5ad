"""Every choice of BIDFC as a field; presets name what they fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Config:
    """Defaults: those of the published BIDFC.py, and for training with labels those of the group's Cr-GAN code, on honest crops."""

    seed: int = 0  # of weights, batches, augmentation and of which chips have labels
    # the data
    size: int = 64  # pixels a side of what the network sees
    window: int = 80  # pixels at native resolution around a chip's middle, which training's views are cut from
    crop: Literal["centre", "resize"] = "centre"  # resize: whole chips, as published; it leaks the class, see the docstring
    held_out: tuple[str, ...] = ()  # classes that no training sees: what should be refused
    val: float = 0.1  # part of each class's training chips that is kept for calibration and the threshold
    labels: float = 0.03125  # labelled training chips: a part below 1, or a number from 1 on; as many of each class
    scenes: int = 60  # drawn chips of each class, where no --data is given
    # the network
    backbone: Literal["resnet18", "small"] = "resnet18"
    stem: Literal["7x7", "3x3"] = "7x7"  # resnet18's; torchvision's
    widths: tuple[int, ...] = (16, 32, 64, 128)  # small's
    standardise: bool = False  # windows are brought to mean 0 and deviation 1 in the graph, since chips differ in gain
    start: str = ""  # a model.pt of evaluation=linear, whose encoder takes the place of pretraining
    # stage 1, without labels
    pretraining: Literal["bidfc", "simclr", "moco", "none"] = "bidfc"  # the others are baselines, with as many steps
    epochs: int = 300
    batch: int = 256  # B, the number of instance classes
    repeats: int = 5  # K, steps on a batch, each with views of its own
    temperature: float = 2.0  # T; larger is a weaker contrast
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 0.15  # 0.3 B / 512
    classifier_learning_rate: float = 0.15  # of the classifier that is drawn for each batch: about 0.1, whatever the encoder's
    variance_weight: float = 1.0  # af
    variance_from: float = 0.1  # T1 as a part of the epochs; 30 of 300
    variance_full: float = 0.5  # T2; 150 of 300
    ema: float = 0.0  # m of an average of the encoder's weights; published 0.999, which its code never applies
    contrast_temperature: float = 0.1  # simclr's and moco's
    projection: int = 128  # channels of their head
    queue: int = 1024  # moco's keys
    momentum: float = 0.99  # of moco's key encoder
    # its views
    scale: float = 0.85  # least area, in parts of size x size; anywhere in the window
    flip: float = 0.5  # part of the views that are mirrored
    rotation: float = 30.0  # degrees to either side
    rotation_share: float = 0.2  # part of the views that are turned
    jitter: float = 0.4  # of brightness and contrast
    jitter_share: float = 0.4
    noise: float = 0.3  # deviation, in parts of a view's mean; the published code's is not known
    noise_share: float = 0.2
    looks: float = 8.0  # of speckle, which is ours
    speckle_share: float = 0.2
    # stage 2, with labels
    evaluation: Literal["finetune", "linear"] = "finetune"  # linear: a frozen encoder
    label_epochs: int = 100  # over the labelled chips; the last one counts
    label_batch: int = 12
    label_optimizer: Literal["adam", "sgd"] = "sgd"  # with momentum 0.9; small networks learn sooner by adam
    label_learning_rate: float = 3e-3
    linear_learning_rate: float = 3e-3  # in its place for evaluation=linear
    label_weight_decay: float = 1e-4
    label_schedule: Literal["constant", "cosine"] = "constant"
    label_rotation: float = 10.0  # degrees to either side
    label_rotation_share: float = 0.4
    # refusal
    novelty: Literal["neighbours", "mahalanobis", "energy"] = "mahalanobis"  # see novelty.py
    neighbours: int = 5  # k, of novelty=neighbours
    known: int = 1000  # training chips that it compares with
    refused: float = 0.05  # part of known chips that may be called unknown


SMALL = Config(
    backbone="small",
    standardise=True,
    epochs=60,
    batch=128,
    temperature=0.5,  # published 2; chosen on training chips whose labels no run was given
    learning_rate=3e-3,
    classifier_learning_rate=0.1,
    scale=1.0,  # whole pixels, but for views that are turned
    label_batch=32,
    label_optimizer="adam",
    label_learning_rate=4e-3,
    linear_learning_rate=0.1,
    label_schedule="cosine",
)

SMOKE = Config(
    size=32,
    window=40,
    scenes=6,
    held_out=("crane",),
    val=0.3,
    labels=14,
    backbone="small",
    widths=(4, 8, 8, 16),
    standardise=True,
    epochs=2,
    batch=14,
    repeats=2,
    learning_rate=1e-3,
    classifier_learning_rate=0.1,
    variance_from=0.0,
    ema=0.5,
    label_epochs=3,
    label_batch=7,
    label_learning_rate=0.01,
    label_schedule="cosine",
    neighbours=2,
    known=16,
)

PRESETS = {
    "paper": Config(crop="resize"),  # the published protocol, which leaks the class through the chips' sizes
    "small": SMALL,
    "scenes": replace(SMALL, epochs=20, batch=64),
}


def check(config: Config) -> None:
    """Refuse values that no run can be made of."""
    if not 8 <= config.size <= config.window or (config.window - config.size) % 2:
        raise ValueError(
            f"size={config.size} and window={config.window} were given; expected a size of 8 or more in a window that is as large, or "
            "larger by an even number of pixels, so that both have the same middle"
        )
    if min(config.repeats, config.epochs, config.label_epochs) < 1:
        raise ValueError(
            f"repeats={config.repeats}, epochs={config.epochs} and label_epochs={config.label_epochs} were given; expected 1 or more"
        )
    if min(config.batch, config.label_batch) < 2:
        raise ValueError(f"batch={config.batch} and label_batch={config.label_batch} were given; expected 2 or more")
    if not 0 < config.val < 1 or not 0 <= config.refused < 1 or not 0 <= config.ema < 1:
        raise ValueError(
            f"val={config.val:g}, refused={config.refused:g} and ema={config.ema:g} were given; expected parts of 1, val above 0"
        )
    if not 0 <= config.variance_from <= config.variance_full <= 1:
        raise ValueError(
            f"variance_from={config.variance_from:g} and variance_full={config.variance_full:g} were given; expected parts of the "
            "epochs, the first no later than the second"
        )
    if min(config.temperature, config.contrast_temperature) <= 0:
        raise ValueError(
            f"temperature={config.temperature:g} and contrast_temperature={config.contrast_temperature:g} were given; expected "
            "more than 0"
        )
