"""CLIPs of random weights, written in each format: features against transformers' CLIPModel, or against the model written."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from train import teachers
from train.blocks.clip import Clip, ClipSpec, TextSpec, VisionSpec
from train.teachers.tokenizer import Tokenizer, from_merges

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
WORDS = 514 + 2  # two merges
VISION = VisionSpec("vit", 16, 64, 3, 1, 32, 8, hidden=256)
TEXT = TextSpec(12, WORDS, 64, 1, 3, 32, hidden=256)
SPEC = ClipSpec(VISION, TEXT, MEAN, STD)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def shaken(clip: Clip) -> Clip:
    """Biases and norms away from their initial values, so that a lost one shows."""
    for parameter in clip.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return clip.eval()


def made(spec: ClipSpec = SPEC, *prompts: int) -> Clip:
    return shaken(Clip(spec, *prompts))


def built(teacher: teachers.Teacher) -> Clip:
    clip = Clip(teacher.spec, teacher.prompt_length, teacher.prompt_depth, teacher.text_prompt_length, teacher.text_prompt_depth)
    clip.load_state_dict(teacher.state)
    return clip.eval()


def image(side: int = 16) -> Tensor:
    return torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)


def texts() -> Tensor:
    return Tokenizer(from_merges([("c", "a"), ("ca", "t</w>")]), 12)(["cat", "a dog of cats"])


def assert_same(found: Clip, expected: Clip, tolerance: float = 1e-6) -> None:
    pixels, ids = image(expected.spec.vision.image_size), texts()
    with torch.no_grad():
        torch.testing.assert_close(found.encode_image(pixels), expected.encode_image(pixels), rtol=0, atol=tolerance)
        torch.testing.assert_close(found.encode_text(ids), expected.encode_text(ids), rtol=0, atol=tolerance)
        assert found.logit_scale == expected.logit_scale


def openai_names(clip: Clip) -> dict[str, Tensor]:
    """The state dict under OpenAI's names, by OpenAI's rule and not by our own mapping."""
    renamed = {}
    for name, value in clip.state_dict().items():
        tower, _, rest = name.partition(".")
        renamed[{"image": f"visual.{rest}", "text": rest}.get(tower, name)] = value
    return renamed


def with_scalars(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state | {
        "input_resolution": torch.tensor(16),
        "context_length": torch.tensor(12),
        "vocab_size": torch.tensor(WORDS),
    }


def tree(state: dict[str, Tensor]) -> nn.Module:
    """Modules without code whose state dict is `state`, for a TorchScript archive."""
    root = nn.Module()
    for name, value in state.items():
        *path, last = name.split(".")
        parent = root
        for part in path:
            if part not in parent._modules:
                parent.add_module(part, nn.Module())
            parent = parent.get_submodule(part)
        parent.register_buffer(last, value)
    return root


# Hugging Face


def hugging_face(folder: Path, *, activation: str, end: int, safe: bool = True, shard: str = "5GB") -> Any:
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    shape = {"hidden_size": 32, "intermediate_size": 80, "num_hidden_layers": 2, "hidden_act": activation, "projection_dim": 24}
    config = CLIPConfig(
        text_config=shape
        | {
            "num_attention_heads": 4,
            "vocab_size": WORDS,
            "max_position_embeddings": 12,
            "eos_token_id": end,
            "bos_token_id": end - 1,
        },
        vision_config=shape | {"num_attention_heads": 2, "image_size": 16, "patch_size": 4},
        projection_dim=24,
    )
    model = CLIPModel(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    if safe:
        model.save_pretrained(folder, max_shard_size=shard)
    else:
        model.config.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    ("activation", "end", "safe", "shard"),
    [("quick_gelu", WORDS - 1, True, "5GB"), ("gelu", 2, False, "5GB"), ("quick_gelu", 2, True, "60KB")],
    ids=["safetensors", "bin with gelu and an old end token", "sharded"],
)
def test_a_hugging_face_folder_gives_transformers_features(
    tmp_path: Path, activation: str, end: int, safe: bool, shard: str
) -> None:
    model = hugging_face(tmp_path, activation=activation, end=end, safe=safe, shard=shard)
    (tmp_path / "tokenizer.json").write_text(from_merges([("c", "a"), ("ca", "t</w>")]))
    assert shard == "5GB" or len(list(tmp_path.glob("model-*.safetensors"))) > 1
    teacher = teachers.load(tmp_path)
    assert teacher.spec.vision.activation == activation and teacher.spec.text.activation == activation
    assert teacher.format == "Hugging Face CLIPModel folder"
    assert teacher.tokenizer is not None
    assert teacher.spec.mean == pytest.approx(MEAN)
    clip, pixels, ids = built(teacher), image(), texts()
    with torch.no_grad():
        expected = model.get_image_features(pixel_values=clip.normalise(pixels)).pooler_output
        torch.testing.assert_close(clip.image(clip.normalise(pixels)), expected, rtol=0, atol=1e-5)
        expected = model.get_text_features(input_ids=ids).pooler_output
        torch.testing.assert_close(clip.text(ids), expected, rtol=0, atol=1e-5)


def test_the_preprocessing_of_a_hugging_face_folder_is_kept(tmp_path: Path) -> None:
    hugging_face(tmp_path, activation="gelu", end=2)
    settings = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5], "size": {"height": 16, "width": 16}, "resample": 2}
    (tmp_path / "processor_config.json").unlink(missing_ok=True)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    spec = teachers.load(tmp_path).spec
    assert (spec.mean, spec.std, spec.interpolation, spec.resize) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5), "bilinear", "squash")
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=r"teacher_mean=.*teacher_std="):
        teachers.load(tmp_path)
    assert teachers.load(tmp_path, mean=MEAN, std=STD).spec.mean == MEAN


# OpenAI


@pytest.mark.parametrize("precision", [torch.float32, torch.float16])
def test_an_openai_state_dict_is_read(tmp_path: Path, precision: torch.dtype) -> None:
    clip = made()
    clip.load_state_dict({name: value.to(precision) for name, value in clip.state_dict().items()})
    state = {name: value.to(precision) for name, value in openai_names(clip).items()}
    torch.save(with_scalars(state), tmp_path / "ViT.pt")
    teacher = teachers.load(tmp_path / "ViT.pt")
    assert (teacher.spec, teacher.format) == (SPEC, "OpenAI CLIP state dict")
    assert all(value.dtype == torch.float32 for value in teacher.state.values())
    assert teacher.sha256 == hashlib.sha256((tmp_path / "ViT.pt").read_bytes()).hexdigest()
    assert_same(built(teacher), clip)


def test_an_openai_torchscript_archive_is_read_without_torchscript(tmp_path: Path) -> None:
    clip = made()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated; OpenAI's files are written in it
        torch.jit.script(tree(with_scalars(openai_names(clip)))).save(tmp_path / "ViT.pt")
    teacher = teachers.load(tmp_path / "ViT.pt")
    assert (teacher.spec, teacher.format) == (SPEC, "OpenAI CLIP, TorchScript archive")
    assert_same(built(teacher), clip)


def test_an_openai_resnet_is_read(tmp_path: Path) -> None:
    vision = VisionSpec("resnet", 64, 8, (1, 2, 1, 3), 4, 32)
    clip = made(dataclasses.replace(SPEC, vision=vision))
    state = {name: value for name, value in openai_names(clip).items() if not name.endswith("num_batches_tracked")}
    torch.save(with_scalars(state), tmp_path / "RN.pt")
    teacher = teachers.load(tmp_path / "RN.pt")
    assert teacher.spec.vision == vision
    assert_same(built(teacher), clip)


def test_another_image_size_interpolates_the_positions(tmp_path: Path) -> None:
    torch.save(with_scalars(openai_names(made())), tmp_path / "ViT.pt")
    teacher = teachers.load(tmp_path / "ViT.pt", image_size=32)
    assert teacher.spec.vision.image_size == 32
    assert teacher.state["image.positional_embedding"].shape == (17, 64)
    assert built(teacher).encode_image(image(32)).shape == (2, 32)
    with pytest.raises(ValueError, match="multiple of 8"):
        teachers.load(tmp_path / "ViT.pt", image_size=20)


# open_clip

CONFIG = {
    "model_cfg": {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 16, "layers": 3, "width": 64, "patch_size": 8, "head_width": 32},
        "text_cfg": {"context_length": 12, "vocab_size": WORDS, "width": 64, "heads": 2, "layers": 3},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bilinear", "resize_mode": "squash"},
}


def open_clip_spec(activation: Any) -> ClipSpec:
    return ClipSpec(
        dataclasses.replace(VISION, heads=2, activation=activation),
        dataclasses.replace(TEXT, heads=2, activation=activation),
        (0.5, 0.5, 0.5),
        (0.25, 0.25, 0.25),
        "bilinear",
        "squash",
    )


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("kind", ["bin", "safetensors", "text tower apart"])
def test_an_open_clip_folder_is_read_with_its_configuration(tmp_path: Path, activation: str, kind: str) -> None:
    from safetensors.torch import save_file

    spec = open_clip_spec(activation)
    clip = made(spec)
    state = openai_names(clip)
    if kind == "text tower apart":
        state = {
            name if name.startswith("visual.") or name == "logit_scale" else f"text.{name}": value
            for name, value in state.items()
        }
    state["attn_mask"] = torch.zeros(12, 12)
    if kind == "safetensors":
        save_file(state, tmp_path / "open_clip_model.safetensors")
        torch.save({}, tmp_path / "open_clip_pytorch_model.bin")  # less preferred, not read
    else:
        training = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}, "optimizer": {}}
        torch.save(training, tmp_path / "open_clip_pytorch_model.bin")
    config = json.loads(json.dumps(CONFIG))
    config["model_cfg"]["quick_gelu"] = activation == "quick_gelu"
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    teacher = teachers.load(tmp_path)
    assert (teacher.spec, teacher.format) == (spec, "open_clip folder")
    assert_same(built(teacher), clip)
    other = "gelu" if activation == "quick_gelu" else "quick_gelu"
    with pytest.raises(ValueError, match=f"teacher_activation={other} was given, but"):
        teachers.load(tmp_path, activation=other)


def test_a_bare_open_clip_state_dict_asks_for_what_it_does_not_say(tmp_path: Path) -> None:
    clip = made(dataclasses.replace(SPEC, mean=(0.5, 0.5, 0.5)))
    torch.save({"state_dict": openai_names(clip)}, tmp_path / "epoch_3.pt")
    with pytest.raises(ValueError, match=r"teacher_activation=quick_gelu or gelu.*teacher_mean=.*teacher_std="):
        teachers.load(tmp_path / "epoch_3.pt")
    with pytest.raises(ValueError, match=r"Give teacher_std="):
        teachers.load(tmp_path / "epoch_3.pt", activation="gelu", mean=MEAN)
    teacher = teachers.load(tmp_path / "epoch_3.pt", activation="quick_gelu", mean=(0.5, 0.5, 0.5), std=STD)
    assert teacher.format == "open_clip state dict"
    assert_same(built(teacher), clip)
    with pytest.raises(ValueError, match="'relu' was given"):
        teachers.load(tmp_path / "epoch_3.pt", activation="relu", mean=MEAN, std=STD)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda config: config["model_cfg"]["vision_cfg"].update(timm_model_name="vit"), "timm_model_name='vit'"),
        (lambda config: config["model_cfg"]["text_cfg"].update(hf_model_name="roberta"), "hf_model_name='roberta'"),
        (lambda config: config["model_cfg"]["text_cfg"].update(pool_type="last"), "pool_type='last'"),
        (lambda config: config["model_cfg"]["vision_cfg"].update(layers=2), "0 missing"),
        (lambda config: config["model_cfg"]["vision_cfg"].update(layers=10**9), "more layers than weights"),
        (lambda config: config["model_cfg"]["vision_cfg"].update(width=128), "of shape"),
        (lambda config: config["model_cfg"]["vision_cfg"].update(image_size=[16, 32]), "only square"),
        (lambda config: config["preprocess_cfg"].update(resize_mode="longest"), "resize_mode='longest'"),
        (lambda config: config["preprocess_cfg"].update(mean=[1, 2]), "three numbers"),
        (lambda config: config.pop("preprocess_cfg"), "teacher_mean="),
        (lambda config: config.pop("model_cfg"), "no model_cfg"),
        (lambda config: config["model_cfg"].pop("embed_dim"), "embed_dim"),
    ],
)
def test_an_open_clip_configuration_that_cannot_be_honoured_is_refused(
    tmp_path: Path, change: Callable[[Any], None], words: str
) -> None:
    torch.save(openai_names(made(open_clip_spec("gelu"))), tmp_path / "open_clip_pytorch_model.bin")
    config = json.loads(json.dumps(CONFIG))
    change(config)
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=words):
        teachers.load(tmp_path)


# PromptSRC, PromptKD


def dassl(clip: Clip, path: Path, **entries: object) -> Path:
    """As Dassl saves PromptSRC's CustomCLIP: prompts beside the towers, no token embedding, objects of its own."""
    state = {}
    for name, value in clip.state_dict().items():
        name = name.replace("image.", "image_encoder.", 1).replace("text.", "text_encoder.", 1)
        state[name] = value.half()
    del state["text_encoder.token_embedding.weight"]
    for tower, first in (("image_encoder", "image_encoder.VPT"), ("text_encoder", "prompt_learner.ctx")):
        for index, prompt in enumerate(state.pop(f"{tower}.prompts")):
            state[first if index == 0 else f"{tower}.transformer.resblocks.{index}.VPT_shallow"] = prompt
    state["prompt_learner.token_prefix"] = torch.zeros(5, 1, 64)
    state["prompt_learner.token_suffix2"] = torch.zeros(5, 9, 64)
    state["prompt_learner.ZS_image_encoder.conv1.weight"] = state["image_encoder.conv1.weight"]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    torch.save(
        {"state_dict": state, "epoch": 20, "optimizer": optimizer.state_dict(), "scheduler": scheduler, "val_result": None}
        | entries,
        path,
    )
    return path


def test_a_promptsrc_checkpoint_is_read_with_the_clip_that_it_prompted(tmp_path: Path) -> None:
    clip = made(SPEC, 4, 3, 2, 2)
    clip.load_state_dict({name: value.half().float() for name, value in clip.state_dict().items()})
    path = dassl(clip, tmp_path / "model.pth.tar-20")
    with pytest.raises(ValueError, match=r"no token embedding.*teacher_base=PATH"):
        teachers.load(path)
    plain = {name: value for name, value in clip.state_dict().items() if "prompts" not in name}
    original = Clip(SPEC)
    original.load_state_dict(plain)
    torch.save(with_scalars(openai_names(original)), tmp_path / "ViT.pt")
    (tmp_path / "tokenizer.json").write_text(from_merges([("c", "a"), ("ca", "t</w>")]))
    teacher = teachers.load(path, base=tmp_path / "ViT.pt")
    assert (teacher.spec, teacher.format) == (SPEC, "PromptSRC checkpoint (Dassl)")
    assert (teacher.prompt_length, teacher.prompt_depth, teacher.text_prompt_length, teacher.text_prompt_depth) == (4, 3, 2, 2)
    assert teacher.tokenizer is not None
    assert_same(built(teacher), clip)
    torch.save(with_scalars(openai_names(made())), tmp_path / "other.pt")
    with pytest.raises(ValueError, match="not the CLIP that was prompted"):
        teachers.load(path, base=tmp_path / "other.pt")


def test_a_checkpoint_with_prompts_only_or_a_student_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"prompt_learner.ctx": torch.zeros(4, 64)}}, tmp_path / "coop.pth.tar")
    with pytest.raises(ValueError, match="prompt learner only"):
        teachers.load(tmp_path / "coop.pth.tar")
    torch.save({"state_dict": {"image_encoder.conv1.weight": torch.zeros(4, 3, 2, 2)}}, tmp_path / "student.pth.tar")
    with pytest.raises(ValueError, match="PromptKD student"):
        teachers.load(tmp_path / "student.pth.tar")


def test_a_checkpoint_whose_scheduler_runs_a_command_runs_nothing(tmp_path: Path) -> None:
    class Scheduler:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'harm'}",)

    path = dassl(made(SPEC, 2, 1, 2, 1), tmp_path / "model-best.pth.tar", scheduler=Scheduler())
    torch.save(with_scalars(openai_names(made())), tmp_path / "other.pt")
    with pytest.raises(ValueError, match="not the CLIP that was prompted"):
        teachers.load(path, base=tmp_path / "other.pt")
    assert not (tmp_path / "harm").exists()


# ours


def own(path: Path, clip: Clip, prompts: dict[str, int], **entries: object) -> Path:
    words = from_merges([("c", "a"), ("ca", "t</w>")])
    content = {
        "format": 1,
        "method": "comkd_clip",
        "config": {},
        "facts": {"teacher": {"spec": clip.spec.to_dict(), **prompts}, "tokenizer": words},
        "metrics": {},
        "model": {f"teacher.{name}": value for name, value in clip.state_dict().items()} | {"student.alpha": torch.zeros(())},
    }
    torch.save(content | entries, path)
    return path


def test_the_teacher_of_a_model_pt_is_read(tmp_path: Path) -> None:
    vision = VisionSpec("vit", 16, 32, 2, 2, 32, 4, "gelu", stem=(8, 16))
    clip = made(ClipSpec(vision, dataclasses.replace(TEXT, layers=1), MEAN, STD, "bilinear"), 2, 2, 1, 1)
    prompts = {"prompt_length": 2, "prompt_depth": 2, "text_prompt_length": 1, "text_prompt_depth": 1}
    teacher = teachers.load(own(tmp_path / "model.pt", clip, prompts))
    assert (teacher.spec, teacher.format) == (clip.spec, "comkd_clip model.pt")
    assert {name: getattr(teacher, name) for name in prompts} == prompts
    assert teacher.tokenizer is not None
    assert_same(built(teacher), clip)


def test_a_model_pt_of_a_newer_format_or_without_a_teacher_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="checkpoint format 2"):
        teachers.load(own(tmp_path / "model.pt", made(), {}, format=2))
    with pytest.raises(ValueError, match="holds no teacher"):
        teachers.load(own(tmp_path / "model.pt", made(), {}, facts={}))


# what is no teacher


def test_an_unknown_file_is_named_by_what_it_holds(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(ValueError, match=r"first keys are weight, bias.*OpenAI's CLIP.*Hugging Face"):
        teachers.load(tmp_path / "linear.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds a list"):
        teachers.load(tmp_path / "list.pt")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a model")
    with pytest.raises(ValueError, match="no torch file"):
        teachers.load(tmp_path / "photo.jpg")
    with pytest.raises(FileNotFoundError, match="no teacher at"):
        teachers.load(tmp_path / "nothing.pt")


def test_an_unknown_folder_is_named_by_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found: nothing"):
        teachers.load(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"found: notes\.txt"):
        teachers.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="no weights beside it"):
        teachers.load(tmp_path)
    torch.save({"vision_model.x": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="model_type None"):
        teachers.load(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../a.safetensors"}}))
    with pytest.raises(ValueError, match="which is not in"):
        teachers.load(tmp_path)


def test_a_truncated_safetensors_file_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(openai_names(made()), tmp_path / "clip.safetensors")
    whole = (tmp_path / "clip.safetensors").read_bytes()
    (tmp_path / "clip.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="truncated or damaged"):
        teachers.load(tmp_path / "clip.safetensors")


def test_weights_that_are_not_finite_or_missing_are_refused(tmp_path: Path) -> None:
    state = with_scalars(openai_names(made()))
    state["visual.proj"] = state["visual.proj"].clone()
    state["visual.proj"][0, 0] = float("nan")
    torch.save(state, tmp_path / "ViT.pt")
    with pytest.raises(ValueError, match=r"not finite, image\.proj"):
        teachers.load(tmp_path / "ViT.pt")
    del state["visual.ln_post.bias"]
    torch.save(state | {"visual.extra": torch.zeros(2)}, tmp_path / "ViT.pt")
    with pytest.raises(ValueError, match=r"1 missing \(image\.ln_post\.bias\), 1 unknown \(image\.extra\)"):
        teachers.load(tmp_path / "ViT.pt")


def test_a_tokenizer_must_fit_the_text_tower(tmp_path: Path) -> None:
    folder = tmp_path / "words"
    folder.mkdir()
    merges = [("c", "a"), ("d", "o"), ("do", "g</w>")]
    (folder / "tokenizer.json").write_text(from_merges(merges))
    torch.save(with_scalars(openai_names(made())), tmp_path / "ViT.pt")
    with pytest.raises(ValueError, match="517 tokens and the text tower"):
        teachers.load(tmp_path / "ViT.pt", tokenizer=folder)
    (folder / "tokenizer.json").write_text(from_merges(merges[:2]))
    assert teachers.load(tmp_path / "ViT.pt", tokenizer=folder).tokenizer == from_merges(merges[:2])
