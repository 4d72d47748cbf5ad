"""CMAH's stage: what is computed, moved and told by what, and what the configuration turns off."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from train.blocks.masking import split
from train.contract import Batch
from train.data.shapes3d import ShapeSets
from train.methods.cmah.config import PRESETS, SMOKE
from train.methods.cmah.method import CMAH

CONTRAST = {"reconstruction_weight": 0.0, "masked_weight": 0.0}
AUTOENCODING = {"contrast_weight": 0.0}
DIRECTIONS = ("image_to_shape", "shape_to_image")


@functools.cache
def facts() -> dict[str, object]:
    return CMAH.prepare(SMOKE, None)


@functools.cache
def opened() -> tuple[None, ShapeSets]:
    return None, CMAH(SMOKE, facts())._sets(None)


def made(**fields: object) -> CMAH:
    torch.manual_seed(0)
    method = CMAH(dataclasses.replace(SMOKE, **fields), facts())  # type: ignore[arg-type]
    method._opened = opened()
    return method


@functools.cache
def batch() -> Batch:
    return next(next(iter(made().stages(None))).batches(0))


def one_step(method: CMAH) -> tuple[dict[str, bool], dict[str, Tensor]]:
    """Which parameters a step moves, by the first two parts of their names, and the parts of its loss."""
    stage = next(iter(method.stages(None)))
    before = {key: value.clone() for key, value in method.named_parameters()}
    method.train()
    loss, parts = stage.loss(batch())
    loss.backward()
    stage.optimizer.step()
    moved: dict[str, bool] = {}
    for key, value in method.named_parameters():
        part = ".".join(key.split(".")[:2])
        moved[part] = moved.get(part, False) or not torch.equal(before[key], value)
    return moved, parts


def test_every_part_is_moved() -> None:
    moved, parts = one_step(made())
    assert all(moved.values()) and set(parts) == {"points", "pixels", "contrast", "masked"}


def test_contrast_only_makes_no_masked_view(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_scores: Tensor, _masked: float) -> tuple[Tensor, Tensor]:
        raise AssertionError("a masked view was made")

    monkeypatch.setattr("train.methods.cmah.method.split", refuse)
    method = made(**CONTRAST)
    moved, parts = one_step(method)
    assert all(moved.values()) and set(parts) == {"contrast"}
    assert not any(name.startswith("autoencoder") for name, _ in method.named_parameters())


def test_masked_autoencoding_only_leaves_the_heads() -> None:
    method = made(**AUTOENCODING)
    moved, parts = one_step(method)
    assert set(parts) == {"points", "pixels"}
    assert not any(moved[part] for part in moved if part.split(".")[0] in ("point_heads", "image_heads"))
    assert all(moved[part] for part in moved if part.split(".")[0] in ("points", "image", "autoencoder"))
    with pytest.raises(ValueError, match="no hash codes to export"):
        method.exportable()


def test_the_loss_is_the_sum_of_its_parts() -> None:
    fields = {"masked_masked_weight": 0.3, "quantisation_weight": 0.2, "balance_weight": 0.1, "contrast_weight": 2.0}
    loss, parts = made(**fields, reconstruction_weight=0.5, points_weight=3.0, pixels_weight=0.7).train().loss(batch())
    inner = parts["contrast"] + 0.5 * parts["masked"] + 0.3 * parts["masked_masked"]
    inner += 0.2 * parts["quantisation"] + 0.1 * parts["balance"]
    assert float(loss.detach()) == pytest.approx(float(2 * inner + 0.5 * (3 * parts["points"] + 0.7 * parts["pixels"])), rel=1e-5)


def test_the_contrast_is_the_formula() -> None:
    method = made(**CONTRAST).train()
    _, parts = method.loss(batch())
    again = made(**CONTRAST).train()
    whole = again._codes(
        again.points.encoder(again.points.embed(batch()["centres"], batch()["neighbourhoods"])),
        again.image.encoder(again.image.embed(batch()["image"].float() / 127.5 - 1)),
        tracked=True,
    )
    total = 0.0
    for name in whole[0]:
        points, image = ((side[name] / side[name].norm(dim=1, keepdim=True)).detach() for side in whole)
        cosine = (points @ image.T / SMOKE.temperature).exp()
        n = len(cosine)
        both = ((cosine[i, i] / cosine[i].sum(), cosine[i, i] / cosine[:, i].sum()) for i in range(n))
        total -= sum(math.log(one) + math.log(other) for one, other in both) / (2 * n)
    assert set(whole[0]) == {"8", "16", "float"}
    assert float(parts["contrast"]) == pytest.approx(total / 3, rel=1e-4)


def test_reconstruction_warms_up() -> None:
    method = made(reconstruction_warm_up=0.5)
    assert [float(method._reconstruction(torch.tensor([part]))) for part in (0.0, 0.25, 0.5, 0.9)] == [0, 0.5, 1, 1]


def test_what_is_masked_is_not_seen() -> None:
    """The masked places' neighbourhoods and pixels move neither the codes of masked views nor what is told of them."""
    method = made().eval()
    given = batch()
    _, hidden = split(given["group_scores"], SMOKE.mask_points)
    changed = dict(given)
    changed["neighbourhoods"] = given["neighbourhoods"].clone()
    for row in range(len(hidden)):
        changed["neighbourhoods"][row, hidden[row]] += 1
    seen = []
    for views in (given, changed):
        points = method.points.embed(views["centres"], views["neighbourhoods"])
        kept, _ = split(views["group_scores"], SMOKE.mask_points)
        seen.append(torch.stack([points[row, kept[row]] for row in range(len(points))]))
    assert torch.allclose(*seen)


def test_masked_views_leave_the_statistics_of_what_is_deployed() -> None:
    head = made().train().point_heads.codes["8"]
    before = head.norm.running_mean.clone()
    pooled = torch.randn(8, 2 * SMOKE.width)
    head(pooled, tracked=False)
    assert torch.equal(before, head.norm.running_mean)
    head(pooled)
    assert not torch.equal(before, head.norm.running_mean)


def test_an_evaluation_tells_of_every_way_and_direction() -> None:
    method = made()
    found = method.evaluate(None, "test")
    for direction in DIRECTIONS:
        for way in ("8", "16", "float", "lsh_8", "lsh_16"):
            assert {f"{direction}/{way}/{measure}" for measure in ("map", "map50", "r1", "r10")} <= set(found)
            assert f"unseen/{direction}/{way}/map" in found
    for direction in ("image_to_image", "shape_to_shape"):
        assert {f"{direction}/{way}/map" for way in ("8", "16", "float")} <= set(found) and f"{direction}/lsh_8/map" not in found
    assert "conditions/image_to_shape/16/map" in found and "conditions/shape_to_image/16/map" not in found
    assert all(0 <= value <= 1 for value in found.values())
    assert method.evaluate(None, "test") == found
    assert {"image_to_shape/16/map"} <= set(method.evaluate(None, "train"))
    assert {"image_to_shape/float/map", "shape_to_image/lsh_16/map"} <= set(made(**AUTOENCODING).evaluate(None, "val"))


def test_batches_pair_a_cloud_with_a_picture_of_the_same_instance() -> None:
    assert batch()["image"].dtype == torch.uint8 and batch()["image"].shape == (8, 3, 32, 32)
    assert batch()["centres"].shape == (8, 8, 3) and batch()["neighbourhoods"].shape == (8, 8, 4, 3)
    assert len(np.unique(batch()["instance"].numpy())) == 8


def test_wrong_values_are_refused_by_name() -> None:
    for fields, word in (
        ({"patch": 5}, "patch=5"),
        ({"bits": (16, 12)}, "bits="),
        ({"bits": ()}, "bits="),
        ({"mask_points": 1.0}, "mask_points"),
        ({"contrast_weight": 0.0, "reconstruction_weight": 0.0}, "nothing to learn by"),
        ({"width": 18}, "multiples of 4"),
        ({"test_views": 9}, "test_views=9"),
        ({"points": 2}, "points=2"),
    ):
        with pytest.raises(ValueError, match=word):
            CMAH.prepare(dataclasses.replace(SMOKE, **fields), None)  # type: ignore[arg-type]


def test_presets_have_the_sizes_they_are_named_for() -> None:
    paper, edge = PRESETS["paper"], PRESETS["edge"]
    assert (paper.width, paper.depth, paper.heads, paper.image_size, paper.patch) == (384, 12, 6, 224, 16)
    assert (edge.width, edge.depth, edge.heads, edge.image_size, edge.patch) == (192, 4, 3, 64, 8)


def test_without_families_the_very_instance_is_looked_for() -> None:
    method = made()
    sets = method._sets(None)
    val, train = (dataclasses.replace(part, labels=np.full(len(part), -1)) for part in (sets.val, sets.train))
    found = method._measured(method._encoded(val), method._encoded(train), "")
    assert "image_to_shape/16/r10" in found and not any(name.endswith("/map") for name in found)
    assert method._score(train, val) == np.mean([found[f"{way}/{bits}/r10"] for way in DIRECTIONS for bits in (8, 16)])
