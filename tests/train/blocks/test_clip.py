"""The towers against their definition written a second way, against published parameter counts, and prompted against plain."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.blocks.clip import Clip, ClipSpec, ImageTower, ModifiedResNet, TextSpec, TextTower, VisionSpec, from_openai_names
from train.blocks.vit import resize_positions

VIT = VisionSpec("vit", 16, 32, 3, 2, 24, 4)
TEXT = TextSpec(10, 40, 32, 4, 3, 24)
HALF = (0.5, 0.5, 0.5)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def texts(count: int) -> Tensor:
    """Random words between a start (38) and an end (39), zeros behind."""
    ids = torch.randint(1, 38, (count, 10))
    ids[:, 0], ids[:, 7], ids[:, 8:] = 38, 39, 0
    return ids


def copied(prompted: nn.Module, plain: nn.Module) -> None:
    state = prompted.state_dict()
    state.pop("prompts")
    plain.load_state_dict(state)


@pytest.mark.parametrize(
    ("vision", "text", "total"),
    [
        (VisionSpec("vit", 224, 768, 12, 12, 512, 16), TextSpec(77, 49408, 512, 8, 12, 512), 149_620_737),
        (VisionSpec("vit", 224, 1024, 24, 16, 768, 14), TextSpec(77, 49408, 768, 12, 12, 768), 427_616_513),
        (VisionSpec("resnet", 224, 64, (3, 4, 6, 3), 32, 1024), TextSpec(77, 49408, 512, 8, 12, 1024), 102_007_137),
    ],
    ids=["ViT-B/16", "ViT-L/14", "RN50"],
)
def test_has_as_many_parameters_as_the_published_models(vision: VisionSpec, text: TextSpec, total: int) -> None:
    with torch.device("meta"):
        assert parameters(Clip(ClipSpec(vision, text, HALF, HALF))) == total


def test_the_resnet_has_as_many_parameters_as_the_published_one() -> None:
    with torch.device("meta"):
        assert parameters(ModifiedResNet(VisionSpec("resnet", 224, 64, (3, 4, 6, 3), 32, 1024))) == 38_316_896


def slow_transformer(tower: ImageTower | TextTower, tokens: Tensor, mask: Tensor | None) -> Tensor:
    """One token row at a time by torch's own attention module."""
    block: Any
    for block in tower.transformer.resblocks:
        attention = nn.MultiheadAttention(tokens.shape[2], block.attn.heads, batch_first=True)
        attention.load_state_dict(block.attn.state_dict())
        normal = block.ln_1(tokens)
        tokens = tokens + attention(normal, normal, normal, attn_mask=mask, need_weights=False)[0]
        hidden = block.mlp.c_fc(block.ln_2(tokens))
        tokens = tokens + block.mlp.c_proj(hidden * torch.sigmoid(1.702 * hidden))
    return tokens


def test_the_image_tower_is_its_definition_over_torchs_attention() -> None:
    tower = ImageTower(VIT)
    image = torch.randn(2, 3, 16, 16)
    cells = F.unfold(image, 4, stride=4).transpose(1, 2) @ tower.state_dict()["conv1.weight"].flatten(1).T  # (2, 16, 32)
    tokens = torch.cat([tower.class_embedding.expand(2, 1, 32), cells], 1) + tower.positional_embedding
    expected = tower.ln_post(slow_transformer(tower, tower.ln_pre(tokens), None)[:, 0]) @ tower.proj
    torch.testing.assert_close(tower(image), expected, rtol=1e-5, atol=1e-5)


def test_the_text_tower_is_its_definition_over_torchs_attention() -> None:
    tower, ids = TextTower(TEXT), texts(3)
    mask = torch.full((10, 10), float("-inf")).triu(1)
    tokens = slow_transformer(tower, tower.token_embedding(ids) + tower.positional_embedding, mask)
    expected = tower.ln_final(tokens[torch.arange(3), ids.argmax(1)]) @ tower.text_projection
    torch.testing.assert_close(tower(ids), expected, rtol=1e-5, atol=1e-5)


def test_words_after_the_end_token_change_nothing() -> None:
    tower, ids = TextTower(TEXT).eval(), texts(2)
    other = ids.clone()
    other[:, 8:] = 5
    torch.testing.assert_close(tower(ids), tower(other))


def test_reads_the_text_feature_at_a_given_end_token() -> None:
    tower = TextTower(TextSpec(10, 40, 32, 4, 3, 24, end_token=7))
    ids = torch.tensor([[38, 3, 39, 7, 7, 0, 0, 0, 0, 0], [38, 7, 1, 1, 1, 1, 1, 1, 1, 39]])
    assert tower.end(ids).tolist() == [3, 1]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_image_prompts_follow_the_patches_and_replace_the_last_tokens_of_each_layer(depth: int) -> None:
    tower = ImageTower(VIT, prompt_length=2, prompt_depth=depth)
    assert tower.prompts is not None
    image = torch.randn(2, 3, 16, 16)
    cells = tower.conv1(image).flatten(2).transpose(1, 2)
    tokens = torch.cat([tower.class_embedding.expand(2, 1, 32), cells], 1) + tower.positional_embedding
    tokens = tower.ln_pre(torch.cat([tokens, tower.prompts[0].expand(2, 2, 32)], 1))
    for index, block in enumerate(tower.transformer.resblocks):
        if 0 < index < depth:
            tokens = tokens.clone()
            tokens[:, -2:] = tower.prompts[index]
        tokens = block(tokens)
    torch.testing.assert_close(tower(image), tower.ln_post(tokens[:, 0]) @ tower.proj, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_text_prompts_replace_the_tokens_after_the_first_of_each_layer(depth: int) -> None:
    tower, ids = TextTower(TEXT, prompt_length=2, prompt_depth=depth), texts(3)
    assert tower.prompts is not None
    tokens = tower.token_embedding(ids).clone()
    tokens[:, 1:3] = tower.prompts[0]
    tokens = tokens + tower.positional_embedding
    for index, block in enumerate(tower.transformer.resblocks):
        if 0 < index < depth:
            tokens = tokens.clone()
            tokens[:, 1:3] = tower.prompts[index]
        tokens = block(tokens)
    expected = tower.ln_final(tokens[torch.arange(3), ids.argmax(1)]) @ tower.text_projection
    torch.testing.assert_close(tower(ids), expected, rtol=1e-5, atol=1e-5)


def test_unprompted_equals_a_tower_without_prompts_and_prompted_differs() -> None:
    image, ids = torch.randn(2, 3, 16, 16), texts(2)
    for prompted, plain, given in (
        (ImageTower(VIT, 2, 3), ImageTower(VIT), image),
        (TextTower(TEXT, 2, 3), TextTower(TEXT), ids),
    ):
        copied(prompted, plain)
        assert torch.equal(prompted(given, prompted=False), plain(given))
        assert not torch.allclose(prompted(given), plain(given), atol=1e-4)
        assert plain.prompts is None


def test_text_prompts_start_from_the_words_of_a_text() -> None:
    tower, ids = TextTower(TEXT, 4, 2), texts(1)
    assert tower.prompts is not None
    tower.init_prompts(ids)
    assert torch.equal(tower.prompts[0], tower.token_embedding(ids[0, 1:5]))
    plain = TextTower(TEXT)
    tower.transformer.resblocks.requires_grad_(False)
    copied(tower, plain)
    tower.prompts.data = tower.prompts.data[:1]  # the first layer's alone: nothing changes for texts of these words
    torch.testing.assert_close(tower(ids), plain(ids))


def test_a_stem_of_three_stages_gives_the_grid_of_its_patch_size() -> None:
    tower = ImageTower(VisionSpec("vit", 32, 48, 2, 3, 24, 8, "gelu", stem=(8, 12, 16)), 2, 1).eval()
    assert tower.conv1(torch.randn(2, 3, 32, 32)).shape == (2, 48, 4, 4)
    assert tower(torch.randn(2, 3, 32, 32)).shape == (2, 24)
    with pytest.raises(ValueError, match="divides the side by 4, but patch_size=8"):
        ImageTower(VisionSpec("vit", 32, 48, 2, 3, 24, 8, stem=(8, 12)))


def test_the_resnets_attention_pooling_is_torchs_attention_with_separate_weights() -> None:
    tower = ModifiedResNet(VisionSpec("resnet", 64, 8, (1, 2, 1, 1), 4, 24)).eval()
    maps = torch.randn(2, 256, 2, 2)
    pool = tower.attnpool
    tokens = maps.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(0, keepdim=True), tokens]) + pool.positional_embedding[:, None]
    expected, _ = F.multi_head_attention_forward(
        tokens[:1],
        tokens,
        tokens,
        256,
        4,
        None,
        torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        None,
        None,
        False,
        0.0,
        pool.c_proj.weight,
        pool.c_proj.bias,
        need_weights=False,
        use_separate_proj_weight=True,
        q_proj_weight=pool.q_proj.weight,
        k_proj_weight=pool.k_proj.weight,
        v_proj_weight=pool.v_proj.weight,
    )
    torch.testing.assert_close(pool(maps), expected[0], rtol=1e-5, atol=1e-5)
    assert tower(torch.randn(2, 3, 64, 64)).shape == (2, 24)


def test_the_resnets_names_are_openais() -> None:
    with torch.device("meta"):
        names = set(ModifiedResNet(VisionSpec("resnet", 224, 64, (3, 4, 6, 3), 32, 1024)).state_dict())
    expected = {
        "conv1.weight",
        "bn3.running_var",
        "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.bias",
        "layer2.3.bn3.bias",
    }
    expected |= {"layer3.5.conv2.weight", "attnpool.positional_embedding", "attnpool.c_proj.bias", "layer4.2.conv3.weight"}
    assert expected <= names
    assert not {"layer1.1.downsample.0.weight", "layer2.4.conv1.weight"} & names


def test_gives_unit_rows_and_takes_bytes_and_floats_alike() -> None:
    clip = Clip(ClipSpec(VIT, TEXT, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)), 2, 2, 2, 2).eval()
    image = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(clip.encode_image(image), clip.encode_image(image.float()))
    for rows in (clip.encode_image(image), clip.encode_text(texts(2), prompted=False)):
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(clip.normalise(image)[:, 1], (image[:, 1] / 255 - 0.2) / 0.5)


def test_a_spec_survives_json() -> None:
    for vision in (
        VIT,
        VisionSpec("resnet", 64, 8, (1, 2, 1, 1), 4, 24),
        VisionSpec("vit", 32, 48, 2, 3, 24, 8, "gelu", (8, 12, 16)),
    ):
        spec = ClipSpec(vision, TEXT, HALF, HALF, "bilinear", "squash")
        assert ClipSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_a_spec_names_unknown_and_missing_fields() -> None:
    with pytest.raises(ValueError, match=r"unknown: \['depth'\], missing: \['image_size'"):
        VisionSpec.from_dict({"kind": "vit", "depth": 3})


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ImageTower(VIT, 2, 4), "depth of 0 to 3"),
        (lambda: TextTower(TEXT, 9, 1), "room for 8"),
        (lambda: ImageTower(VisionSpec("vit", 16, 32, 3, 5, 24, 4)), "into 5 heads"),
        (lambda: ImageTower(VisionSpec("vit", 18, 32, 3, 2, 24, 4)), "must divide"),
        (lambda: ImageTower(VisionSpec("resnet", 64, 8, (1, 1, 1, 1), 4, 24)), "kind 'vit'"),
        (lambda: ModifiedResNet(VisionSpec("resnet", 64, 8, (1, 1, 1, 1), 4, 24), 2, 1), "prompts were asked for"),
        (lambda: Clip(ClipSpec(VIT, TextSpec(10, 40, 32, 4, 3, 32), HALF, HALF)), "24 and 32"),
    ],
)
def test_refuses_what_cannot_be_built(build: object, words: str) -> None:
    assert callable(build)
    with pytest.raises(ValueError, match=words):
        build()


def test_positions_keep_the_class_token_and_a_constant_grid() -> None:
    positions = torch.cat([torch.full((1, 3), 7.0), torch.full((16, 3), 2.0)])
    for side in (2, 4, 6):
        resized = resize_positions(positions, side)
        assert resized.shape == (side * side + 1, 3)
        torch.testing.assert_close(resized[0], positions[0])
        torch.testing.assert_close(resized[1:], torch.full((side * side, 3), 2.0))
    assert resize_positions(positions, 4) is positions


def test_positions_of_a_ramp_stay_a_ramp_in_row_order() -> None:
    ramp = torch.arange(8.0).repeat_interleave(8)  # row number of each cell
    resized = resize_positions(torch.cat([torch.zeros(1), ramp])[:, None], 16)[1:, 0].view(16, 16)
    torch.testing.assert_close(resized[:, 0], resized[:, 15])
    assert (resized[1:, 0] > resized[:-1, 0]).all()


def test_openais_names_become_ours() -> None:
    clip = Clip(ClipSpec(VIT, TEXT, HALF, HALF))
    theirs = {name.removeprefix("text.").replace("image.", "visual.", 1): value for name, value in clip.state_dict().items()}
    assert "visual.conv1.weight" in theirs and "positional_embedding" in theirs
    clip.load_state_dict(from_openai_names(theirs))


def test_is_captured_as_one_graph_for_any_batch() -> None:
    clip = Clip(ClipSpec(VisionSpec("vit", 16, 32, 2, 2, 24, 4, stem=(4, 8)), TEXT, HALF, HALF), 2, 2, 2, 2).eval()

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.clip = clip

        def forward(self, image: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
            return self.clip.encode_image(image), self.clip.encode_text(ids)

    def given(images: int, count: int) -> tuple[Tensor, Tensor]:
        return torch.randint(0, 256, (images, 3, 16, 16), dtype=torch.uint8), texts(count)

    dims = ({0: torch.export.Dim.DYNAMIC}, {0: torch.export.Dim.DYNAMIC})
    program = torch.export.export(Both(), given(2, 3), dynamic_shapes=dims).module()
    for images, count in ((1, 5), (4, 1)):
        inputs = given(images, count)
        torch.testing.assert_close(program(*inputs), Both()(*inputs))
