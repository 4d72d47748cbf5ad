"""CdCL's stages: what is sampled, what is trained by what, and what the configuration turns off."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from train.data.photos import Photos
from train.methods.cdcl import METHOD
from train.methods.cdcl.config import SMOKE, Config
from train.methods.cdcl.contrast import Contrast
from train.methods.cdcl.feed import batches
from train.methods.cdcl.method import CdCL
from train.methods.cdcl.readout import fit, r_squared


def numbered(count: int = 8) -> Photos:
    """Photograph i is grey level i throughout."""
    return Photos(tuple(map(str, range(count))), lambda number: np.full((12, 12, 3), number, np.uint8))


def made(**fields: object) -> CdCL:
    config = dataclasses.replace(SMOKE, **fields)  # type: ignore[arg-type]
    torch.manual_seed(0)
    return CdCL(config, CdCL.prepare(config, None))


def one_step(method: CdCL, name: str) -> dict[str, bool]:
    """Which parameters a step of a stage moves, by the first two parts of their names."""
    stage = next(stage for stage in method.stages(None) if stage.name == name)
    before = {key: value.clone() for key, value in method.named_parameters()}
    method.train()
    for group in stage.optimizer.param_groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    loss, _ = stage.loss(next(stage.batches(0)))
    loss.backward()
    stage.optimizer.step()
    if stage.after_step:
        stage.after_step(0)
    moved: dict[str, bool] = {}
    for key, value in method.named_parameters():
        part = ".".join(key.split(".")[:2])
        moved[part] = moved.get(part, False) or not torch.equal(before[key], value)
    return moved


def test_cyclic_rows_share_no_content_and_every_content_comes_once_in_a_view() -> None:
    cyclic = batches(numbered(), batch=8, size=4, views=4, sampling="cyclic", shifts=15, seed=0, start=0)
    for batch in itertools.islice(cyclic, 5):
        content = batch["high"][:, :, 0, 0, 0].numpy()  # (rows, views)
        assert batch["high"].shape == (8, 4, 3, 4, 4) and batch["how"].shape[0] == 8
        assert all(len(set(row)) == 4 for row in content.tolist())
        assert all(sorted(view) == list(range(8)) for view in content.T.tolist())


def test_the_first_view_is_unshifted_and_shifts_are_those_of_the_whole_batch() -> None:
    content = next(batches(numbered(), batch=8, size=4, views=3, sampling="cyclic", shifts=3, seed=1, start=4))["high"][
        :, :, 0, 0, 0
    ]
    first = content[:, 0].tolist()
    for view in content[:, 1:].T.tolist():
        shift = first.index(view[0])
        assert 1 <= shift <= 3 and view == first[shift:] + first[:shift]


def test_same_image_rows_are_crops_of_one_photograph() -> None:
    batch = next(batches(numbered(), batch=4, size=4, views=2, sampling="same_image", shifts=15, seed=0, start=0))
    content = batch["high"][:, :, 0, 0, 0]
    assert torch.equal(content[:, 0], content[:, 1]) and len(set(content[:, 0].tolist())) == 4


def test_the_auxiliary_branch_has_no_gradient_and_the_encoder_has() -> None:
    contrast = Contrast(4, objective="infonce", temperature=0.1, momentum=0.5, tiles=2)
    contrast(torch.rand(4, 2, 3, 16, 16)).backward()
    assert all(parameter.grad is None for parameter in contrast.auxiliary.parameters())
    assert all(parameter.grad is not None for parameter in contrast.encoder.parameters())


@pytest.mark.parametrize("tiles", [1, 2])
def test_codes_are_means_of_pairs_of_tiles(tiles: int) -> None:
    contrast = Contrast(4, objective="infonce", temperature=0.1, momentum=0.5, tiles=tiles).eval()
    low = torch.rand(2, 3, 3, 16, 16)
    codes = contrast._codes(low)
    size = 16 // tiles
    cut = [low[1, 2, :, y : y + size, x : x + size] for y in range(0, 16, size) for x in range(0, 16, size)]
    each = [contrast.encoder.estimator(piece[None]).mean((2, 3))[0] for piece in cut]
    pairs = [(one + other) / 2 for one, other in itertools.combinations(each, 2)] or each
    assert codes.shape[2] == len(pairs)
    assert torch.allclose(codes[1, 2], torch.stack(pairs), atol=1e-5)


def test_stage_1_moves_the_estimator_and_its_slow_copy_only() -> None:
    moved = one_step(made(), "contrast")
    assert moved["contrast.encoder"] and moved["contrast.predictor"] and moved["contrast.auxiliary"]
    assert not any(value for key, value in moved.items() if key.startswith("generator"))


def test_stage_2_moves_everything() -> None:
    moved = one_step(made(), "joint")
    assert all(moved[part] for part in ("contrast.encoder", "generator.regulator", "generator.head", "generator.tail"))


def test_without_a_code_there_is_one_stage_and_no_estimator_in_it() -> None:
    method = made(code="none")
    assert [stage.name for stage in method.stages(None)] == ["joint"]
    moved = one_step(method, "joint")
    assert moved["generator.regulator"] and not moved["contrast.encoder"]
    with pytest.raises(ValueError, match="no estimator to export"):
        method.exportable()


def test_a_vector_code_is_the_same_everywhere() -> None:
    graph = made(code="vector").exportable().modules["estimator"]
    _, degradation, _ = graph(torch.rand(1, 3, 12, 12))
    assert torch.allclose(degradation[:, :, :4, :4], degradation[:, :, 4:8, 8:12])


@pytest.mark.parametrize("objective", ["infonce", "byol"])
@pytest.mark.parametrize("setting", ["isotropic", "anisotropic", "mixed"])
def test_every_objective_and_setting_gives_a_finite_loss(objective: str, setting: str) -> None:
    method = made(objective=objective, setting=setting)
    stage = next(iter(method.stages(None)))
    assert bool(torch.isfinite(stage.loss(next(stage.batches(0)))[0]))


def test_wrong_values_are_refused_by_name() -> None:
    for fields, word in (
        ({"scale": 5}, "scale=5"),
        ({"sigma_low": 3.0, "sigma_high": 1.0}, "sigma_low"),
        ({"views": 1}, "views=1"),
        ({"views": 4, "shifts": 2}, "distinct shifts"),
        ({"width": 10}, "multiples of 4"),
    ):
        with pytest.raises(ValueError, match=word):
            CdCL.prepare(dataclasses.replace(SMOKE, **fields), None)  # type: ignore[arg-type]


def test_the_read_out_finds_a_linear_code() -> None:
    torch.manual_seed(0)
    code = torch.randn(200, 6, dtype=torch.float64)
    blur = code @ torch.arange(6.0, dtype=torch.float64) + 2
    weight, offset = fit(code[:150], blur[:150])
    assert r_squared(code[150:] @ weight + offset, blur[150:]) > 0.999
    assert r_squared(torch.full((50,), float(blur[150:].mean()), dtype=torch.float64), blur[150:]) == pytest.approx(0)


def test_the_defaults_are_the_papers() -> None:
    config = METHOD.config()
    assert isinstance(config, Config)
    wanted = {
        "scale": 4,
        "width": 64,
        "groups": 6,
        "blocks": 6,
        "temperature": 1.0,
        "momentum": 0.99,
        "batch": 64,
        "patch": 64,
        "views": 4,
    }
    assert {name: getattr(config, name) for name in wanted} == wanted
