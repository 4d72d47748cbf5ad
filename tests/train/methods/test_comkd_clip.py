"""EduAttention against the attention written out; the student's sizes against the spec's counts; bad configurations by their sentences."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from train.blocks.clip import ImageTower, VisionSpec
from train.methods.comkd_clip.config import SMOKE, Config
from train.methods.comkd_clip.preparation import prepare
from train.methods.comkd_clip.student import EduAttention, Projector


@pytest.fixture
def attention() -> EduAttention:
    torch.manual_seed(0)
    made = EduAttention(16, "learned", 0.0)
    with torch.no_grad():
        made.alpha.fill_(0.7)
    return made


def _unit(rows: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(rows, 16, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_the_folded_form_is_the_attention_written_out(attention: EduAttention) -> None:
    image, bank = _unit(5, 1), _unit(7, 2)
    weights = (attention.query(image) @ attention.key(bank).T / math.sqrt(16)).softmax(1)
    torch.testing.assert_close(attention(image, bank), image + 0.7 * weights @ attention.value(bank))


def test_a_closed_gate_leaves_features_bit_for_bit(attention: EduAttention) -> None:
    with torch.no_grad():
        attention.alpha.zero_()
    image = _unit(5, 1)
    assert torch.equal(attention(image, _unit(7, 2)), image)


def test_the_order_of_classes_does_not_matter(attention: EduAttention) -> None:
    image, bank = _unit(5, 1), _unit(7, 2)
    torch.testing.assert_close(attention(image, bank), attention(image, bank.flip(0)))


def test_one_class_adds_its_value(attention: EduAttention) -> None:
    image, bank = _unit(3, 1), _unit(1, 2)
    torch.testing.assert_close(attention(image, bank) - image, (0.7 * attention.value(bank)).expand(3, -1))


def test_the_gate_learns_at_the_first_step_and_the_layers_do_not() -> None:
    made = EduAttention(16, "learned", 0.0)
    (made(_unit(4, 1), _unit(6, 2)) * _unit(4, 3)).sum().backward()
    assert made.alpha.grad is not None and made.alpha.grad.abs() > 0
    assert made.value.weight.grad is not None and not made.value.weight.grad.any()


def test_paper_sizes() -> None:
    with torch.device("meta"):
        attention, projector = EduAttention(768, "learned", 0.0), Projector(512, 768)
        tower = ImageTower(VisionSpec("vit", 224, 768, 12, 12, 512, 16), 4, 9)
    assert sum(parameter.numel() for parameter in attention.parameters()) == 1_771_777
    assert sum(parameter.numel() for parameter in projector.parameters()) == 986_112
    assert tower.prompts is not None and tower.prompts.numel() == 27_648


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (Config(), "there is no teacher"),
        (replace(SMOKE, student_trains="prompts"), "needs a ready image tower"),
        (replace(SMOKE, kl_weight=0.0, align_weight=0.0), "every loss has weight 0"),
        (replace(SMOKE, kl_weight=-1.0), "negative weight"),
        (replace(SMOKE, batch=1), "at least 2 images"),
        (replace(SMOKE, templates=("a photo",)), "no {} for the class name"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(config: Config, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        prepare(config, None)
