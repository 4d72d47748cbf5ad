"""Every choice of CLIC as a field; the defaults are those of the authors' code, presets fit a CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from train.data.entropy import Levels


@dataclass(frozen=True)
class Config:
    """Defaults: ResNet-50, random crop and mix with the complexity-aware loss. Files named are the authors' (xauat-liushipeng/CLIC)."""

    seed: int = 0  # of weights, views and mosaics
    # the data
    further: tuple[str, ...] = ()  # folders or zips whose photographs join those of --data, without labels
    held_out: float = 0.05  # part of the photographs kept for validation and for the label-free score's quantiles
    rated: str = ""  # images with people's ratings, for the head and for measures; --data may have them itself
    rated_test: float = 0.3  # part of the rated images that is test, where they have no such part and a head is trained
    head_categories: tuple[str, ...] = ()  # that the head is trained on; the others are test; none: all, parted by image
    scenes: int = 400  # drawn images of known complexity, where no --data is given
    scene_size: int = 96  # their side
    # the network
    encoder: Literal["resnet18", "resnet34", "resnet50", "small"] = "resnet50"  # small: 16-32-64-128 channels, stride 2 each
    stem: Literal["7x7", "3x3"] = "7x7"  # of a ResNet; 3x3 for small images
    projection: Literal["linear", "mlp"] = "linear"  # builder.py has one layer where MoCo v2 has two
    dim: int = 128  # of the projection
    weights: str = ""  # a local weight file of torchvision's or MoCo's names, or a model.pt of this method, to start from
    # the views
    size: int = 224  # pixels a side, in pre-training
    positives: Literal["rcm", "scm", "aug"] = "rcm"  # rcm, scm: a mosaic of the photograph's local crops; aug: MoCo's views
    crops: int = 3  # c, large crops of an image; rcm.py
    crop_low: float = 0.2  # smallest part of the area that a view keeps; loader.py
    blur: float = 2.0  # largest standard deviation, pixels; loader.py
    # the contrast
    queue: int = 65_536  # K
    momentum: float = 0.999  # m
    temperature: float = 0.07  # T; MoCo v2's is 0.2
    # the complexity-aware loss
    complexity_weight: float = 0.25  # lambda; 0 leaves it out, as the paper without it (arXiv 2408.03230) does
    complexity_fit: Literal["distance", "correlation"] = (
        "distance"  # activation is entropy, as published, or rises with it (ours)
    )
    entropy: Levels = "grey"  # of 256 grey levels, as published, or of colours, 4 bits a channel (ours)
    entropy_of: Literal["photo", "view"] = "photo"  # raw pixels of the whole photograph, or of the crop before colours change
    regions: int = 0  # side in pixels of the view's places whose activations follow their own entropy too; 0: none, as published
    contrast_weight: float = 1.0  # 0 leaves the contrast out: the complexity-aware loss alone
    # pre-training
    epochs: float = 200.0  # 0 leaves it out
    batch: int = 32
    learning_rate: float = 0.03
    schedule: Literal["steps", "cosine"] = "steps"  # a tenth after 0.6 and again after 0.8 of the steps; train.py
    weight_decay: float = 1e-4
    # the score
    test_size: int = 512  # pixels a side of the whole image, for read-outs, the head and export; a multiple of 32
    label_free: Literal["activation", "component"] = (
        "activation"  # what a score without a head is of: fae, or the embedding's principal one
    )
    score_head: Literal["none", "linear", "icnet"] = "none"  # trained on ratings; linear: of the embedding
    head_width: int = 512  # channels of icnet; icnet.py
    head_labels: float = 1.0  # share of the rated training images whose ratings are used
    frozen: bool = True  # the encoder stays as pre-training left it; False trains it with the head
    head_epochs: float = 30.0  # fine_tuning.py
    head_batch: int = 64
    head_learning_rate: float = 0.05  # of icnet, by SGD; the linear head takes a tenth, by AdamW
    head_weight_decay: float = 1e-3


RESNET18 = Config(encoder="resnet18")

CPU = Config(
    encoder="small",
    held_out=0.1,
    projection="mlp",
    size=128,
    blur=1.0,
    queue=1024,
    momentum=0.99,
    temperature=0.2,
    entropy_of="view",
    epochs=60,
    learning_rate=0.05,
    schedule="cosine",
    test_size=256,
    head_width=64,
)

SMALL = replace(
    CPU,
    complexity_weight=1.0,  # this and what follows were chosen on one half of Savoias' images; see the benchmark
    complexity_fit="correlation",
    entropy="colour",
    regions=32,
    contrast_weight=0.2,
    label_free="component",
)

SCENES = replace(
    CPU,
    complexity_weight=16.0,  # chosen with what follows on drawn images; with 1 the activation is loosely at entropy's numbers
    size=64,
    epochs=200,
    test_size=128,
    head_width=32,
    score_head="linear",
)

SMOKE = replace(
    SCENES,
    scenes=40,
    scene_size=32,
    dim=16,
    size=32,
    queue=24,
    epochs=0.6,
    batch=8,
    test_size=32,
    score_head="icnet",
    head_width=8,
    head_epochs=0.6,
    head_batch=8,
)

PRESETS = {"paper": Config(), "resnet18": RESNET18, "small": SMALL, "scenes": SCENES}
