"""EduAttention is compared with its formula written out and with its absence, sizes with those counted by hand."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from train.blocks.clip import VisionSpec
from train.methods.comkd_clip.student import EduAttention, Projector, Student

Kind = Literal["learned", "plain"]
TOWER = VisionSpec("vit", 16, 32, 2, 1, 24, 8)
DIM, CLASSES = 12, 5


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def student(attention: Literal["learned", "plain", "none"] = "learned", scale: float = 0.0) -> Student:
    made = Student(
        TOWER, DIM, CLASSES, prompt_length=2, prompt_depth=2, attention=attention, attention_scale=scale,
        mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2),
    )  # fmt: skip
    return made.eval()


def rows(n: int, dim: int = DIM) -> Tensor:
    return F.normalize(torch.randn(n, dim), dim=1)


def images(n: int = 3) -> Tensor:
    return torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8)


def opened(kind: Kind = "learned", scale: float = 0.0) -> EduAttention:
    """With its gate open and biases away from zero."""
    attention = EduAttention(DIM, kind, scale)
    for parameter in attention.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    attention.alpha.data.fill_(0.75)
    return attention


@pytest.mark.parametrize("kind", ["learned", "plain"])
def test_from_the_identity_attention_is_the_mean_class_vector_under_the_students_own_prediction(kind: Kind) -> None:
    """Where C is the square of the temperature, so that the relation is the prediction."""
    attention = EduAttention(DIM, kind, 0.05**2, "identity")
    image, vectors = rows(4), rows(CLASSES)
    assert torch.equal(attention(image, vectors), image)  # the gate is shut at first
    attention.alpha.data.fill_(0.5)
    prediction = (image @ vectors.T / 0.05).softmax(1)
    torch.testing.assert_close(attention(image, vectors), image + 0.5 * prediction @ vectors)


@pytest.mark.parametrize(("kind", "scale"), [("learned", 0.0), ("learned", 0.1), ("plain", 0.0), ("plain", 1e-2)])
def test_attention_equals_its_formula_written_out(kind: Kind, scale: float) -> None:
    """softmax(Q K^T / sqrt(C)) V with every layer applied to what the formula applies it to."""
    attention, image, vectors = opened(kind, scale).double(), rows(4).double(), rows(CLASSES).double()
    for row, answer in zip(image, attention(image, vectors), strict=True):
        query = attention.query(row) if kind == "learned" else row
        relation = []
        for vector in vectors:
            key = attention.key(vector) if kind == "learned" else vector
            relation.append(math.exp((query @ key).item() / math.sqrt(scale or DIM)))
        mixed = torch.zeros(DIM, dtype=torch.float64)
        for weight, vector in zip(relation, vectors, strict=True):
            mixed += weight / sum(relation) * attention.value(vector)
        torch.testing.assert_close(answer, row + 0.75 * mixed, rtol=0, atol=1e-10)


def test_the_folded_layers_lose_nothing_in_single_precision() -> None:
    attention, image, vectors = opened(), rows(4), rows(CLASSES)
    query, key, value = attention.query(image), attention.key(vectors), attention.value(vectors)
    expected = image + attention.alpha * (query @ key.T / math.sqrt(DIM)).softmax(1) @ value
    torch.testing.assert_close(attention(image, vectors), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["learned", "plain"])
def test_of_a_single_class_it_takes_that_classs_value(kind: Kind) -> None:
    attention, image, vectors = opened(kind), rows(3), rows(1)
    torch.testing.assert_close(attention(image, vectors), image + 0.75 * attention.value(vectors[0]))


@pytest.mark.parametrize("classes", [1, 2, 300])
def test_the_refined_feature_has_its_shape_whatever_the_classes(classes: int) -> None:
    attention = opened()
    assert attention(rows(3), rows(classes)).shape == (3, DIM)
    assert sum(parameter.numel() for parameter in attention.parameters()) == 3 * (DIM * DIM + DIM) + 1


def test_other_order_of_classes_other_order_of_logits_only() -> None:
    model, pixels, vectors, order = student(), images(), rows(CLASSES), torch.randperm(CLASSES)
    assert model.attention is not None
    model.attention.alpha.data.fill_(0.75)
    embedding = model.embed(pixels)
    torch.testing.assert_close(model.logits(embedding, vectors[order]), model.logits(embedding, vectors)[:, order])


@pytest.mark.parametrize("kind", ["learned", "plain"])
def test_with_its_gate_closed_logits_are_those_without_attention(kind: Kind) -> None:
    with_it, without = student(kind), student("none")
    without.load_state_dict({name: value for name, value in with_it.state_dict().items() if not name.startswith("attention")})
    pixels, vectors = images(), rows(CLASSES)
    assert torch.equal(with_it.embed(pixels), without.embed(pixels))
    embedding = with_it.embed(pixels)
    assert with_it.attention is not None and torch.equal(with_it.attention(embedding, vectors), embedding)
    with_it_logits, logits = with_it.logits(embedding, vectors), without.logits(embedding, vectors)
    torch.testing.assert_close(
        with_it_logits, logits, rtol=1e-6, atol=1e-5
    )  # brought to unit length twice, a last bit may differ


def test_the_first_gradient_opens_the_gate_and_leaves_the_layers() -> None:
    attention = EduAttention(DIM, "learned", 0.0)
    (attention(rows(4), rows(CLASSES)) * torch.randn(4, DIM)).sum().backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None
        assert bool((parameter.grad != 0).any()) == (name == "alpha"), name
    attention.alpha.data.fill_(0.1)
    (attention(rows(4), rows(CLASSES)) * torch.randn(4, DIM)).sum().backward()
    assert bool((attention.query.weight.grad != 0).any()) and bool((attention.value.weight.grad != 0).any())  # type: ignore[union-attr]


def test_an_embedding_is_a_unit_row_and_logits_are_scaled_cosines() -> None:
    model, vectors = student("none"), rows(CLASSES)
    embedding = model.embed(images())
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(model.logits(embedding, vectors), 100.0 * embedding @ vectors.T)


def test_pixels_are_normalised_inside() -> None:
    model, pixels = student(), images()
    torch.testing.assert_close(model.features(pixels), model.tower((pixels / 255 - 0.5) / 0.2), rtol=1e-4, atol=1e-5)


def test_the_papers_sizes() -> None:
    def size(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    with torch.device("meta"):
        assert size(EduAttention(768, "learned", 0.0)) == 1_771_777
        assert size(Projector(512, 768)) == 986_112
        paper = Student(
            VisionSpec("vit", 224, 768, 12, 12, 512, 16), 768, 10, prompt_length=4, prompt_depth=9,
            attention="learned", attention_scale=0.0, mean=(0.5,) * 3, std=(0.2,) * 3,
        )  # fmt: skip
    assert paper.tower.prompts is not None and paper.tower.prompts.numel() == 27_648
