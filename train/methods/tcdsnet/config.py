"""Every choice of TCDSNet as a field; presets name the data that they fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Config:
    """Defaults: Conv-4 at 84 pixels, end to end by episodes, as DN4 and ATL-Net train; the paper's own schedule was not found."""

    seed: int = 0  # of weights, episodes and augmentation
    # the data
    test_data: str = ""  # a second data set: all of its classes are test; --data gives train and val
    turned: bool = False  # training classes turned by 90, 180 and 270 degrees are further classes
    size: int = 84  # pixels a side
    augment: Literal["none", "flip", "shift", "crop"] = "crop"  # of training images; crop: shift and flip
    scenes: int = 40  # images of each class, where no --data is given
    scene_classes: int = 72  # of them a third is test
    # the backbone
    backbone: Literal["conv4", "resnet12"] = "conv4"
    width: int = 64  # channels of the first block; resnet12's others have 2.5, 5 and 10 times as many
    pools: tuple[int, ...] = (1, 2)  # blocks that a 2x2 maximum follows; DN4's: 441 descriptors at 84 pixels
    drop_block: float = 0.1  # share that DropBlock takes from resnet12's last two blocks
    start: str = ""  # a model.pt of this method, whose backbone training starts from
    # the answer
    classifier: Literal["tcds", "dn4", "protonet"] = "tcds"  # dn4 keeps all descriptors, protonet compares means
    # all_support: of queries only, by all of the support; random, grid: baselines, grid of every second place of each image
    selection: Literal["contrast", "all_support", "random", "grid", "none"] = "contrast"
    fraction: float = 0.5  # of each class's descriptors that is kept
    threshold: str = "none"  # instead of a fraction: "mean" of the class's scores, or a number
    score: Literal["difference", "ratio"] = "difference"  # of the two means
    other_images: bool = False  # the first mean leaves out the descriptor's own image
    one_image: Literal["contrast", "grid"] = "contrast"  # how a class of one image is selected from; grid is ours
    center: Literal["none", "task"] = "none"  # task: the support's mean is subtracted first
    query: Literal["none", "quantile", "adaptive"] = (
        "quantile"  # which query descriptors count; adaptive: a learned threshold for each
    )
    query_fraction: float = 0.5  # of an image's descriptors, for quantile
    sharpness: float = 50.0  # tau of the soft mask in training; ATL-Net's
    adaptive_from: float = 0.0  # the learned threshold's lowest value
    adaptive_interval: float = 0.2  # and what is between lowest and highest
    neighbours: int = 3  # k of the image-to-class score; DN4's
    class_offset: Literal["none", "support"] = "none"  # support: a class's score less that of its own support against itself
    logit_scale: float = 0.0  # factor on the score's mean cosine in the loss, ours; 0: the bare sum, as DN4 trains
    # stage 1: a cosine classifier at every place
    pretrain_epochs: float = 0.0
    pretrain_batch: int = 128
    pretrain_learning_rate: float = 2e-3
    pretrain_scale: float = 10.0  # of its cosines
    # stage 2: episodes
    episodes: int = 250_000  # steps; ATL-Net's on miniImageNet; 0 leaves the stage out
    episodes_per_step: int = 1  # a multiple of the number of processes
    ways: int = 5
    shots: tuple[int, ...] = (5,)  # of one step after the other, in turn
    queries: int = 15  # of each class
    learning_rate: float = 1e-3  # Adam's; ATL-Net's
    weight_decay: float = 5e-4
    select_every: int = 0  # steps between two looks at val; the best weights stay; 0: the last ones do
    # measures
    test_ways: int = 5
    test_shots: tuple[int, ...] = (1, 5)
    test_queries: int = 15
    test_episodes: int = 600
    val_episodes: int = 300


CIFAR_FS = Config(
    size=32,
    pretrain_epochs=8,
    episodes=1500,
    fraction=0.75,  # on validation classes 0.5 of both cost more than it gave
    query_fraction=0.75,
    one_image="grid",  # on validation classes
    logit_scale=20.0,
    learning_rate=5e-4,
    test_episodes=2000,
)

SMOKE = Config(
    size=16,
    width=8,
    scenes=8,
    scene_classes=18,
    pretrain_epochs=1,
    pretrain_batch=32,
    episodes=3,
    ways=3,
    shots=(2, 1),
    queries=2,
    other_images=True,
    class_offset="support",
    test_ways=3,
    test_shots=(1, 2),
    test_queries=3,
    test_episodes=6,
    val_episodes=4,
)

PRESETS = {
    "conv4": Config(),
    "resnet12": Config(
        backbone="resnet12",
        pools=(1, 2, 3, 4),
        pretrain_epochs=100,
        pretrain_batch=64,
        logit_scale=20.0,
        episodes=20_000,
        learning_rate=1e-4,
    ),
    "cifar_fs": CIFAR_FS,
    "omniglot": replace(CIFAR_FS, size=28, turned=True, augment="shift", pretrain_epochs=5, episodes=1000),
    "scenes": replace(CIFAR_FS, size=48, pretrain_epochs=6, episodes=300, test_episodes=300),
}
