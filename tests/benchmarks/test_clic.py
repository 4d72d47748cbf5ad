"""The comparison of complexity arms on models that were saved untrained: what is read, predicted, paired and told."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import clic, complexity_readings, plot, runs
from benchmarks.complexity_measures import MEASURES, measured
from benchmarks.complexity_readings import agreement, drawn_labels, ridge, set_aside
from train import checkpoint
from train.checkpoint import Checkpoint
from train.data.complexity import Rated, rated
from train.data.complexity_scenes import complexity_scenes
from train.methods.clic.config import SMOKE
from train.methods.clic.method import CLIC

CONFIG = dataclasses.replace(SMOKE, score_head="none")


@pytest.fixture(scope="module")
def savoias(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn images of known complexity in Savoias' layout: the kinds are the categories."""
    folder = tmp_path_factory.mktemp("data") / "drawn"
    scenes = complexity_scenes(120, size=32, seed=5)
    for kind in ("shapes", "octaves"):
        (folder / kind).mkdir(parents=True)
        rows = scenes.rows(kind)
        for row in rows:
            assert cv2.imwrite(str(folder / kind / f"{row}.png"), scenes.image(row)[:, :, ::-1])
        lines = [f"{row}.png,{scenes.scores[row]}" for row in rows]
        (folder / f"{kind}.csv").write_text("\n".join(["image,complexity", *lines, ""]))
    return folder


@pytest.fixture(scope="module")
def images(savoias: Path) -> Rated:
    return rated(savoias)["all"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Encoders that were not trained, two seeds of CLIC, and heads with figures that say where they come from."""
    facts = CLIC.prepare(CONFIG, None)
    for arm, seed in (("CLIC", 0), ("CLIC", 1), ("random encoder", 0)):
        torch.manual_seed(seed)
        config = dataclasses.asdict(dataclasses.replace(CONFIG, seed=seed))
        place = runs.folder(tmp_path, arm, seed)
        place.mkdir(parents=True)
        checkpoint.save(Checkpoint("clic", config, facts, CLIC(CONFIG, facts).state_dict()), place / "model.pt")
        (place / "seconds.json").write_text(json.dumps({"wall": 5.0, "cpu": 60.0 + seed}))
    headed = dataclasses.replace(CONFIG, score_head="linear")
    for kind in ("octaves", "shapes"):
        place = runs.folder(tmp_path, f"{clic.SCRATCH} {kind}", 0)
        place.mkdir(parents=True)
        method = CLIC(headed, facts)
        torch.nn.init.normal_(method.head.linear.weight, std=1e-3)  # type: ignore[union-attr]
        checkpoint.save(Checkpoint("clic", dataclasses.asdict(headed), facts, method.state_dict()), place / "model.pt")
    return tmp_path


def test_the_report_tells_every_arm_and_pairs_them(
    savoias: Path, images: Rated, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["--data", str(savoias), "--rated", str(savoias), "--out", str(out), "--seeds", "2", "--report"]
    written = out / "told.md"
    assert clic.main([*command, "--write", str(written), "--plot", str(out / "clic.png")]) == 0
    text = capsys.readouterr().out
    assert written.read_text() == text and "drawn, 120 images in 2 categories, of which 60 are tested; trained on" in text
    for name in ("CLIC", "CLIC, principal component", "random encoder", "CLIC + hand-made", *MEASURES, clic.BY_HAND):
        assert f"| {name} | " in text
    assert "| MoCo v2 |" not in text
    aside = set_aside(images, 0.5)
    assert len(aside) == 60 and {images.categories[row] for row in aside} == {"shapes", "octaves"}
    told = next(line for line in text.splitlines() if line.startswith("| supervised from scratch |")).split("|")[2:4]
    for kind, cell in zip(("octaves", "shapes"), told, strict=True):
        method = checkpoint.restore(runs.folder(out, f"{clic.SCRATCH} {kind}", 0) / "model.pt")
        assert isinstance(method, CLIC)
        score, rows = method.readings(images.image, len(images)).score, np.setdiff1d(images.rows(kind), aside)
        assert score is not None
        assert cell.split(" / ")[0].strip() == f"{np.corrcoef(score[rows], images.scores[rows])[0, 1]:.3f}"
    assert "- PCC within of CLIC minus random encoder, paired by split (means over seeds): 5 % " in text
    assert "CLIC's activation minus grey entropy, by seed " in text
    row = next(line for line in text.splitlines() if line.startswith("| CLIC |"))
    assert row.endswith("| 2 | 60 |")
    assert cv2.imread(str(out / "clic.png")).shape == (plot.HEIGHT, plot.WIDTH, 3)
    found = json.loads((out / "results.json").read_text())
    assert np.shape([seed["0.1"] for seed in found["few"]["CLIC"]]) == (2, clic.SPLITS)
    gaps = np.subtract(*(np.mean([[s["within/pcc"] for s in seed["0.3"]] for seed in found["few"][way]], axis=0)
                         for way in ("CLIC", "random encoder")))  # fmt: skip
    assert f"30 % {gaps.mean():+.3f} ± {1.96 * gaps.std(ddof=1) / 10**0.5:.3f}, above in {(gaps > 0).sum()} of 10" in text

    monkeypatch.setattr(complexity_readings, "_asked", lambda *given: pytest.fail(f"read again: {given}"))
    monkeypatch.setattr(complexity_readings, "measured", lambda *given: pytest.fail(f"measured again: {given}"))
    assert clic.main(command) == 0


def test_ridge_is_the_closed_form_at_one_of_its_penalties(images: Rated) -> None:
    generator = np.random.default_rng(0)
    block, targets, labelled = generator.normal(size=(60, 4)), generator.uniform(20, 80, 60), np.arange(0, 60, 2)
    found = ridge([block], targets, labelled)
    scaled = (block - block[labelled].mean(0)) / block[labelled].std(0) / 2  # the root of 4 columns
    own, mean = scaled[labelled], targets[labelled].mean()
    largest = np.linalg.eigvalsh(own.T @ own)[-1]
    errors, answers = [], []
    for penalty in complexity_readings.PENALTIES * largest:
        left_out = []
        for row in range(len(labelled)):  # leave-one-out with the mean and scale of all, a second way
            rest = np.delete(np.arange(len(labelled)), row)
            rows = np.concatenate([own, np.ones((len(own), 1))], 1)
            weights = np.linalg.solve(
                rows[rest].T @ rows[rest] + np.diag([penalty] * 4 + [0]), rows[rest].T @ targets[labelled][rest]
            )
            left_out.append(targets[labelled][row] - rows[row] @ weights)
        errors.append(np.mean(np.square(left_out)))
        answers.append(scaled @ np.linalg.solve(own.T @ own + penalty * np.eye(4), own.T @ (targets[labelled] - mean)) + mean)
    np.testing.assert_allclose(found, answers[int(np.argmin(errors))].clip(0, 100), atol=1e-6)


def test_ridge_never_reads_the_ratings_of_the_others() -> None:
    generator = np.random.default_rng(1)
    block, targets, labelled = generator.normal(size=(40, 50)), generator.uniform(0, 100, 40), np.arange(12)
    hidden = np.where(np.isin(np.arange(40), labelled), targets, np.nan)
    np.testing.assert_array_equal(ridge([block, block[:, :3]], hidden, labelled), ridge([block, block[:, :3]], targets, labelled))
    constant = np.concatenate([block, np.ones((40, 1))], axis=1)
    assert np.isfinite(ridge([constant], targets, labelled)).all()


def test_a_split_labels_a_share_of_each_category(images: Rated) -> None:
    first, second = drawn_labels(images, 0.1, 0), drawn_labels(images, 0.1, 1)
    assert len(first) == len(second) == 12 and set(first) != set(second)
    assert [int(np.isin(first, images.rows(kind)).sum()) for kind in ("shapes", "octaves")] == [6, 6]


def test_agreement_within_is_the_mean_over_categories(images: Rated) -> None:
    rows = np.arange(len(images))
    values = images.scores.copy()
    values[images.rows("shapes")] *= -1
    found = agreement(images, values, rows, scaled=True)
    assert found["octaves/pcc"] == pytest.approx(1) and found["shapes/srcc"] == pytest.approx(-1)
    assert found["within/pcc"] == pytest.approx(0) and found["octaves/rmse"] == 0
    assert "rmse" not in agreement(images, values, rows, scaled=False)


def test_measures_rise_from_plain_to_noise() -> None:
    generator = np.random.default_rng(0)
    plain = np.full((40, 48, 3), 90, np.uint8)
    noise = generator.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    low, high = measured(plain), measured(noise)
    assert np.isfinite(low).all() and (high > low).all()
    assert np.isfinite(measured(plain[:1, :1])).all()
    assert len(measured(generator.integers(0, 256, (30, 700, 3), dtype=np.uint8))) == len(MEASURES)


def test_the_fields_of_each_run(tmp_path: Path) -> None:
    plan = clic.Plan(tmp_path, tmp_path, tmp_path / "r.zip", "small", 1, 1, tuple(clic.ARMS), ("epochs=9",), 0.5)
    assert plan.fields("random encoder", 2)[-2:] == ["learning_rate=0", "epochs=1"]
    head = plan.fields(clic.HEADED, 1, "art", ("art", "objects", "scenes"))
    assert {"epochs=0", "head_categories=objects,scenes", f"weights={tmp_path / 'CLIC-1' / 'model.pt'}"} <= set(head)
    assert "frozen=false" in plan.fields(clic.SCRATCH, 1, "art", ("art", "objects"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("--data", "absent", "--rated", "{rated}"), "there is no absent"),
        (("--data", "{rated}", "--rated", "absent"), "There is no folder or zip at absent"),
        (("--data", "{rated}", "--rated", "{rated}/shapes"), "no ratings of complexity"),
        (("--data", "{rated}", "--rated", "{rated}", "--arm", "mine"), "there is no arm 'mine'; there are CLIC"),
        (("--data", "{rated}", "--rated", "{rated}", "--arm", "CLIC, trained head"), "starts from CLIC"),
        (("--data", "{rated}", "--rated", "{rated}", "--seeds", "0"), "0 seeds"),
        (
            ("--data", "{rated}", "--rated", "{rated}", "--set-aside", "1"),
            "--set-aside 1 was given; expected a share of 0 or more",
        ),
        (("--data", "{rated}", "--rated", "{rated}", "--out", "{rated}", "--report"), "no finished run"),
    ],
)
def test_mistakes_end_with_status_2(
    given: tuple[str, ...], expected: str, savoias: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert clic.main([part.format(rated=savoias) for part in given]) == 2
    assert expected in capsys.readouterr().err
