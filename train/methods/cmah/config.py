"""Every choice of CMAH as a field. The paper's sizes could not be read: the defaults are its relatives', presets fit a device or a CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Config:
    """Defaults: Point-MAE's transformer and its point tokens, ViT-S/16 on 224 pixels; where another stands behind a value, its comment says so."""

    seed: int = 0  # of weights, batches, masks and augmentation
    # the data
    held_out: float = 0.05  # part of the training instances kept for validation, where the data says none
    up: str = ""  # axis that is up in the files of --data, y or z; empty: as its layout has it
    unseen: tuple[str, ...] = ()  # families that are held back from training; empty: some of the embedded ones, none of --data
    instances: int = 96  # of each embedded family to train on, where no --data is given
    val_instances: int = 8  # held out
    test_instances: int = 24
    views: int = 10  # rendered images of each instance (CLIP2Point); a step takes one of them
    image_size: int = 224
    points: int = 1024  # N, of a cloud
    test_views: int = 2  # images of each instance that are queries or stand in the database of an evaluation
    # the tokens
    patch: int = 16  # pixels a side of an image's token
    groups: int = 64  # G, tokens of a cloud: farthest points
    neighbours: int = 32  # M, points of each
    # the networks
    width: int = 384  # d
    depth: int = 12
    heads: int = 6
    point_width: int = 128  # of the tokenizer's first layer; the others have 2, 4 and 4 times as many channels
    bits: tuple[int, ...] = (16, 32, 64, 128)  # K, code lengths that are learned at once, each with a head of its own; ours
    hidden: int = 512  # of each head; ours
    embedding: int = 128  # of the float head beside them, which hashing is compared with; 0: none; ours
    # masked autoencoding
    mask_points: float = 0.6  # part of a cloud's tokens (Point-MAE)
    mask_image: float = 0.75  # part of an image's (MAE)
    fusion_depth: int = 1  # n_f, layers of self- and cross-attention; ours
    decoder_width: int = 384  # Point-MAE's
    decoder_depth: int = 4
    decoder_heads: int = 6
    # the losses; the paper's sum has unit weights
    temperature: float = 0.2  # tau; CrossPoint 0.1, UCMFH 0.5
    contrast_weight: float = 1.0  # of all pairs; 0: masked autoencoding only
    masked_weight: float = 0.5  # of each of the two full-masked pairs beside the full-full one; ours
    masked_masked_weight: float = 0.0  # of the pair of masked views; ours
    reconstruction_weight: float = 1.0  # lambda_r, of L_3D + L_2D; 0 with masked_weight=0: contrast only
    points_weight: float = (
        1.0  # of L_3D in it; ours: small where clouds lie in the unit sphere, so that small networks learn by more
    )
    pixels_weight: float = 1.0  # of L_2D in it
    reconstruction_warm_up: float = 0.0  # part of the steps over which lambda_r rises from 0; ours
    quantisation_weight: float = 0.0  # ours
    balance_weight: float = 0.0  # ours
    # the optimisation
    steps: int = 98_000  # 300 epochs of Point-MAE's 41,952 clouds
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: float = 10 / 300  # part of the steps
    clip: float = 10.0  # Point-MAE's largest gradient norm
    select_every: int = 0  # steps between two looks at held-out training instances, of which the best stays; 0: the last weights


EDGE = replace(
    Config(),
    image_size=64,
    patch=8,
    width=192,
    depth=4,
    heads=3,
    point_width=64,
    hidden=256,
    decoder_width=192,
    decoder_depth=2,
    decoder_heads=3,
)

SMALL = replace(
    EDGE,
    bits=(16, 32, 64),
    views=6,
    points=512,
    groups=32,
    neighbours=16,
    width=96,
    depth=3,
    point_width=32,
    hidden=192,
    embedding=64,
    points_weight=20.0,
    decoder_width=64,
    decoder_depth=1,
    decoder_heads=2,
    steps=3000,
    batch=64,
)

SMOKE = replace(
    SMALL,
    instances=3,
    val_instances=1,
    test_instances=2,
    views=2,
    test_views=1,
    image_size=32,
    points=64,
    groups=8,
    neighbours=4,
    width=16,
    depth=1,
    heads=2,
    point_width=4,
    bits=(8, 16),
    hidden=16,
    embedding=8,
    decoder_width=16,
    steps=4,
    batch=8,
)

PRESETS = {"paper": Config(), "edge": EDGE, "small": SMALL}
