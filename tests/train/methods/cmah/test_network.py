"""CMAH's networks against the formulas written another way."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from train.methods.cmah.network import Autoencoder, ImageEncoder, PointEncoder, PointTokens, patches, place_in_grid, pool


def test_point_tokens_are_point_maes_with_the_joint_layer_on_a_concatenation() -> None:
    torch.manual_seed(0)
    tokens = PointTokens(4, 12).eval()
    near = torch.randn(2, 5, 6, 3)
    local = near @ tokens.first[0].weight[:, :, 0, 0].T  # (2, 5, 6, 4)
    local = F.relu(local / (1 + 1e-5) ** 0.5)  # statistics 0 and 1
    local = local @ tokens.first[3].weight[:, :, 0, 0].T + tokens.first[3].bias
    joint = torch.cat([local.amax(2, keepdim=True).expand_as(local), local], -1)
    weight = torch.cat([tokens.of_group.weight[:, :, 0, 0], tokens.of_point.weight[:, :, 0, 0]], 1)
    second = F.relu((joint @ weight.T) / (1 + 1e-5) ** 0.5)
    expected = (second @ tokens.second[2].weight[:, :, 0, 0].T + tokens.second[2].bias).amax(2)
    assert torch.allclose(tokens(near), expected, atol=1e-5)


def test_a_cloud_does_not_depend_on_the_order_of_groups_or_points() -> None:
    torch.manual_seed(0)
    encoder = PointEncoder(4, 16, 2, 2).eval()
    centres, near = torch.randn(3, 6, 3), torch.randn(3, 6, 5, 3)
    one = encoder(centres, near)
    assert one.shape == (3, 32)
    assert torch.allclose(one, encoder(centres.flip(1), near.flip(1)), atol=1e-5)
    assert torch.allclose(one, encoder(centres, near.flip(2)), atol=1e-5)


def test_patches_follow_the_order_of_the_images_tokens() -> None:
    encoder = ImageEncoder(8, 4, 16, 2, 1)
    pixels = torch.randn(2, 3, 8, 8)
    own = patches(pixels, 4)  # (2, 4, 48)
    assert torch.equal(own[1, 2].reshape(3, 4, 4), pixels[1, :, 4:, :4])
    told = own @ encoder.tokens.weight.flatten(1).T + encoder.tokens.bias + encoder.places
    assert torch.allclose(encoder.embed(pixels), told, atol=1e-5)


def test_places_in_a_grid_differ() -> None:
    places = place_in_grid(4, 16)
    distance = torch.cdist(places, places) + 9 * torch.eye(16)
    assert places.shape == (16, 16) and float(distance.min()) > 0.1


def test_pool_is_mean_and_maximum() -> None:
    tokens = torch.tensor([[[0.0, 4.0], [2.0, 0.0]]])
    assert torch.equal(pool(tokens), torch.tensor([[1.0, 2.0, 2.0, 4.0]]))


def test_the_autoencoder_tells_what_is_masked_of_each_from_both() -> None:
    torch.manual_seed(0)
    auto = Autoencoder(16, 2, 1, 8, 2, 1, tokens=9, pixels=12, neighbours=5)
    points, image, centres = torch.randn(2, 3, 16), torch.randn(2, 4, 16), torch.randn(2, 7, 3)
    kept = torch.tensor([[0, 1, 2]] * 2), torch.tensor([[0, 1, 2, 3]] * 2)
    masked = torch.tensor([[3, 4, 5, 6]] * 2), torch.tensor([[4, 5, 6, 7, 8]] * 2)
    cloud, pixels = auto(points, image, centres, kept, masked)
    assert cloud.shape == (2, 4, 5, 3) and pixels.shape == (2, 5, 12)
    other, _ = auto(points, image + torch.eye(4, 16), centres, kept, masked)
    assert not torch.allclose(cloud, other)
