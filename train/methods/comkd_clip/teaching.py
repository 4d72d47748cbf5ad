"""The teacher's own stages: CLIP from captions, and PromptSRC's prompt tuning (stage 1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.blocks.clip import Clip
from train.blocks.gather import gather
from train.contract import Batch, Losses
from train.losses.distillation import distillation
from train.losses.image_text_contrast import image_text_contrast

MAX_SCALE = math.log(100.0)  # CLIP clips the learned inverse temperature here


def contrast_objective(teacher: Clip, ids: Tensor, number: Tensor) -> Callable[[Batch], tuple[Tensor, Losses]]:
    """CLIP's loss of a batch of images and their captions.

    Args:
        ids: (captions, context), every distinct caption's tokens.
        number: (images,), each training image's caption.
    """

    def loss(batch: Batch) -> tuple[Tensor, Losses]:
        caption = number[batch["index"].cpu()].to(batch["image"].device)  # (n,)
        image = gather(teacher.encode_image(batch["image"], prompted=False))
        everywhere = gather(caption)
        distinct, place = torch.unique(everywhere, return_inverse=True)
        text = teacher.encode_text(ids.to(caption.device)[distinct], prompted=False)[place]  # (n, d)
        scale = teacher.logit_scale.clamp(max=MAX_SCALE).exp()
        with torch.autocast(image.device.type, enabled=False):
            value = image_text_contrast(image.float(), text.float(), scale, everywhere)
        return value, {"scale": scale}

    return loss


class PromptAverage(nn.Module):
    """Sum of prompts over epochs, weighted by a Gaussian of the epoch; part of the method, so that a resumed run has it."""

    total: Tensor

    def __init__(self, prompts: list[nn.Parameter], *, epoch_steps: float, centre: float, spread: float) -> None:
        super().__init__()
        self.prompts = prompts  # a list: they stay the towers' parameters
        self.epoch_steps, self.centre, self.spread = epoch_steps, centre, spread
        self.register_buffer("total", torch.zeros(()))
        for index, prompt in enumerate(prompts):
            self.register_buffer(f"sum_{index}", torch.zeros_like(prompt))

    def after_step(self, step: int) -> None:
        """At the end of an epoch add the prompts."""
        epoch = math.floor((step + 1) / self.epoch_steps)
        if epoch == math.floor(step / self.epoch_steps):
            return
        weight = math.exp(-0.5 * ((epoch - self.centre) / self.spread) ** 2)
        self.total += weight
        for index, prompt in enumerate(self.prompts):
            self.get_buffer(f"sum_{index}").add_(prompt.detach(), alpha=weight)

    def end(self) -> None:
        """Put the average in the prompts' place; a stage too short to meet the Gaussian keeps its last prompts."""
        if float(self.total) > 1e-6:
            for index, prompt in enumerate(self.prompts):
                prompt.data.copy_(self.get_buffer(f"sum_{index}") / self.total)


def prompt_objective(
    teacher: Clip, tokens: Tensor, *, text_weight: float, image_weight: float
) -> Callable[[Batch], tuple[Tensor, Losses]]:
    r"""PromptSRC (Khattak et al. 2023): prompts in both towers, held to the frozen model by three regularisers.

    $CE(q_p) + w_t |W_p - W|_1 + w_i |u_p - u|_1 + KL(q_p \| q)$. Found: the weights 25 and 10 (PromptKD's scripts). The norms are
    means over elements and the divergence is divided by n*k, as in its released code.

    Args:
        tokens: (k, context), the classes that take part; a batch's labels index them.
    """

    def loss(batch: Batch) -> tuple[Tensor, Losses]:
        ids = tokens.to(batch["image"].device)
        with torch.no_grad():
            image = gather(teacher.encode_image(batch["image"], prompted=False))
            text = teacher.encode_text(ids, prompted=False)
        image_prompted = gather(teacher.encode_image(batch["image"]))
        text_prompted = teacher.encode_text(ids)
        scale = teacher.logit_scale.exp()
        logits = scale * image_prompted @ text_prompted.T  # (n, k)
        parts = {
            "cross_entropy": F.cross_entropy(logits, gather(batch["label"])),
            "text": text_weight * F.l1_loss(text_prompted, text),
            "image": image_weight * F.l1_loss(image_prompted, image),
            "logits": distillation(logits, scale * image @ text.T, 1.0, "numel"),
        }
        return torch.stack(list(parts.values())).sum(), parts

    return loss


def relabelled(batches: Iterator[Batch], place: Tensor) -> Iterator[Batch]:
    """Labels as places within the classes that take part, (classes,) -> place."""
    for batch in batches:
        yield {**batch, "label": place[batch["label"]]}
