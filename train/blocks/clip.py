"""CLIP (Radford et al. 2021): an image tower, a text tower and a temperature."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .clip_spec import ClipSpec, TextSpec, VisionSpec
from .modified_resnet import ModifiedResNet
from .vit import ImageTower, TextTower

__all__ = ["Clip", "ClipSpec", "ImageTower", "ModifiedResNet", "TextSpec", "TextTower", "VisionSpec", "from_openai_names"]


class Clip(nn.Module):
    """Both towers, and the preprocessing's arithmetic.

    Args:
        prompt_length, prompt_depth: of the image tower.
        text_prompt_length, text_prompt_depth: of the text tower.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        spec: ClipSpec,
        prompt_length: int = 0,
        prompt_depth: int = 0,
        text_prompt_length: int = 0,
        text_prompt_depth: int = 0,
    ) -> None:
        super().__init__()
        if spec.vision.embed_dim != spec.text.embed_dim:
            raise ValueError(
                f"the towers end in {spec.vision.embed_dim} and {spec.text.embed_dim} numbers; both need the same embed_dim"
            )
        self.spec = spec
        tower = ImageTower if spec.vision.kind == "vit" else ModifiedResNet
        self.image: ImageTower | ModifiedResNet = tower(spec.vision, prompt_length, prompt_depth)
        self.text = TextTower(spec.text, text_prompt_length, text_prompt_depth)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)

    def normalise(self, image: Tensor) -> Tensor:
        """Pixels 0..255, uint8 or float, (n, 3, h, w) -> (n, 3, h, w)"""
        return (image.float() / 255 - self.mean) / self.std

    def encode_image(self, image: Tensor, prompted: bool = True) -> Tensor:
        """Pixels 0..255 (n, 3, h, w) -> unit rows (n, d)"""
        return F.normalize(self.image(self.normalise(image), prompted).float(), dim=1)

    def encode_text(self, ids: Tensor, prompted: bool = True) -> Tensor:
        """int64 (k, context) -> unit rows (k, d)"""
        return F.normalize(self.text(ids, prompted).float(), dim=1)


def from_openai_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the tensors of OpenAI's (and open_clip's) state dict as `Clip` does."""
    renamed = {}
    for name, value in state.items():
        if name.startswith("visual."):
            name = "image." + name.removeprefix("visual.")
        elif name != "logit_scale" and not name.startswith("text."):
            name = "text." + name
        renamed[name] = value
    return renamed
