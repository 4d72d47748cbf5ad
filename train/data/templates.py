"""Prompts as plain data: CoOp's one for each of its eleven data sets, and the short ensemble of CLIP's authors.

The single prompts are those of CoOp's zero-shot baseline (KaiyangZhou/CoOp, trainers/zsclip.py); PromptSRC, PromptKD and
ComKD-CLIP evaluate with them too. SELECTED are the seven that CLIP's authors found to do as well on ImageNet as all eighty
(openai/CLIP, notebooks/Prompt_Engineering_for_ImageNet.ipynb).
"""

from __future__ import annotations

PLAIN = ("a photo of a {}.",)

COOP = {
    "ImageNet": "a photo of a {}.",
    "Caltech101": "a photo of a {}.",
    "OxfordPets": "a photo of a {}, a type of pet.",
    "StanfordCars": "a photo of a {}.",
    "Flowers102": "a photo of a {}, a type of flower.",
    "Food101": "a photo of {}, a type of food.",
    "FGVCAircraft": "a photo of a {}, a type of aircraft.",
    "SUN397": "a photo of a {}.",
    "DTD": "{} texture.",
    "EuroSAT": "a centered satellite photo of {}.",
    "UCF101": "a photo of a person doing {}.",
}

SELECTED = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
