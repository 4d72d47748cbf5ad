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
    ema: float = 0.0  # of the encoder's weights; published 0.999, which its code never applies
    contrast_temperature: float = 0.1  # simclr's and moco's
    projection: int = 128  # channels of their head
    queue: int = 1024  # moco's keys
    momentum: float = 0.99  # of moco's key encoder
    # views
    scale: float = 0.85  # least part of the area that a view keeps
    # stage 2, with labels
    evaluation: Literal["finetune", "linear"] = "finetune"  # linear: a frozen encoder
    label_epochs: int = 100  # over the labelled chips; the last one counts
    label_batch: int = 12
    label_learning_rate: float = 3e-3  # SGD's with momentum 0.9
    label_weight_decay: float = 1e-4
    label_rotation: float = 10.0  # degrees either way, with probability 0.4
    # refusal
    novelty: Literal["neighbours", "mahalanobis", "energy"] = "neighbours"  # see novelty.py
    neighbours: int = 5  # k
    known: int = 1000  # training chips that are compared with
    refused: float = 0.05  # part of known chips that may be called unknown
