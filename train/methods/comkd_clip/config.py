"""Every choice of ComKD-CLIP as a field; the defaults are the paper's and PromptKD's where it forks it, presets fit a CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Config:
    """Defaults: a ready ViT-L/14 teacher, a ViT-B/16 student, PromptKD's base-to-novel recipe. F: found, I: inferred."""

    seed: int = 0  # of weights, order, augmentation
    # the data
    scenes: int = 128  # training images of each class of the embedded data, where no --data is given
    templates: tuple[str, ...] = ()  # captions with {} for the class; empty: the data set's own
    base_classes: int = 0  # how many classes, alphabetically, count as base; 0: the data set's own, else the first half
    held_out: float = 0.1  # part of the training images kept for model selection
    split_seed: int = 0  # of which images are held out: the same for all seeds that are to be compared
    unlabelled: str = ""  # folder of images to distil on; empty: the training images, labels unused
    unlabelled_classes: Literal["all", "base"] = "all"  # F PromptKD: all, that is transductive; base: new classes stay unseen
    # the teacher
    teacher: str = ""  # file or folder of a CLIP, or a model.pt of this method; empty: trained here (pretrain_epochs)
    teacher_activation: str = ""  # quick_gelu or gelu, where the file does not say
    teacher_image_size: int = 0  # where the file does not say, or to interpolate the positions
    teacher_mean: tuple[float, ...] = ()  # where the file does not say
    teacher_std: tuple[float, ...] = ()  # where the file does not say
    teacher_base: str = ""  # the original CLIP of a PromptSRC or PromptKD checkpoint, which lacks the word embeddings
    tokenizer: str = ""  # vocabulary file or folder, where the teacher's has none
    # a teacher trained here: CLIP on captions
    pretrain_epochs: float = 0.0  # over the captioned training images; 0: the teacher is ready
    pretrain_batch: int = 256
    pretrain_learning_rate: float = 2e-3
    pretrain_weight_decay: float = 0.05
    pretrain_augment: Literal["none", "flip", "shift", "crop", "rrc"] = "crop"  # a flip makes "left of" in a caption untrue
    image_size: int = 224  # of a teacher trained here, and of a student without a file
    teacher_width: int = 1024
    teacher_layers: int = 24
    teacher_patch: int = 14
    teacher_stem: tuple[int, ...] = ()  # widths of stride-2 convolutional stages instead of the patch embedding
    teacher_dim: int = 768  # d, of the joint space
    text_width: int = 768
    text_layers: int = 12
    text_context: int = 77
    vocabulary: int = 49408
    # stage 1, prompt tuning of the teacher (PromptSRC)
    prompt_epochs: float = 0.0  # F PromptSRC: 20; 0: the teacher is used as it is, with the prompts of its file
    prompt_batch: int = 8  # F PromptSRC
    prompt_learning_rate: float = 0.005  # F PromptSRC
    shots: int = 16  # F PromptSRC: labelled images of each base class
    prompt_length: int = 4  # F
    prompt_depth: int = 9  # F base-to-novel; 3 across data sets
    text_weight: float = 25.0  # F PromptSRC: keeps prompted text features near the frozen ones
    image_weight: float = 10.0  # F PromptSRC: the same for images
    average_epoch: float = 15.0  # F PromptSRC: centre of the Gaussian that averages prompts over epochs
    average_spread: float = 1.0  # F PromptSRC: its standard deviation, in epochs
    # the student
    student: str = ""  # file or folder of a CLIP whose image tower starts it; empty: from scratch, shaped below
    student_activation: str = ""  # quick_gelu or gelu, where the file does not say
    student_width: int = 768
    student_layers: int = 12
    student_patch: int = 16
    student_stem: tuple[int, ...] = ()
    student_dim: int = 512  # of the tower, before the projector
    student_trains: Literal["prompts", "all"] = "prompts"  # F: prompts, projector and attention; all: the tower too
    student_prompt_length: int = 4  # F
    student_prompt_depth: int = 9  # F
    attention: Literal["learned", "plain", "none"] = "learned"  # EduAttention I E1, I E2, or none (PromptKD)
    attention_scale: float = 0.0  # C of softmax(q k / sqrt(C)); 0: d (I E1); plain needs about 1e-4
    attention_start: Literal["random", "identity"] = "random"  # I: what the FC layers start from; alpha starts at 0 (F)
    head: Literal["bank", "learned"] = "bank"  # class vectors: the teacher's, or trained from scratch (supervised baseline)
    # stage 2, distillation
    epochs: float = 20.0  # F
    batch: int = 8  # F PromptKD; IFAlign's statistics are less noisy from 32
    optimizer: Literal["sgd", "adamw"] = "sgd"  # F
    learning_rate: float = 0.005  # F
    weight_decay: float = 5e-4  # I, Dassl's default
    warm_up: float = 1.0  # F epochs
    clip: float = 0.0  # largest gradient norm; 0: none
    augment: Literal["none", "flip", "shift", "crop", "rrc"] = "rrc"  # F random resized crop and flip
    views: int = 0  # fixed augmented views an image, so that the teacher runs once on each; 0: fresh ones at every step
    kl_weight: float = 1.0  # F L_stu
    kl_temperature: float = 1.0  # F
    kl_reduction: Literal["batchmean", "numel"] = "batchmean"  # I; PromptKD's code: numel with kl_weight=1000
    align_weight: float = 1.0  # F L_final = L_stu + L_align, no weight given
    align_reduction: Literal["sum", "mean"] = "sum"  # I
    align_features: Literal["unit", "raw"] = "unit"  # I: statistics of the unit features
    feature_weight: float = 0.0  # CLIP-KD's feature distillation, MSE of unit features (F weight there: 2000)
    label_weight: float = 0.0  # cross-entropy with labels (supervised baseline)
    label_classes: Literal["all", "base"] = "all"  # whose labels it may see
    select_every: float = 5.0  # epochs between two looks at the held-out images
    cache: str = ""  # folder that keeps the teacher's features of fixed views for other runs


_SMALL = Config(
    teacher_patch=8,
    text_width=64,
    text_layers=2,
    text_context=24,
    vocabulary=512,
    student_patch=8,
    student_trains="all",
    student_prompt_depth=2,
    prompt_length=2,
    prompt_depth=2,
    optimizer="adamw",
    learning_rate=2e-3,
    weight_decay=0.05,
    batch=128,
    augment="crop",
    clip=1.0,
)

SMOKE = replace(
    _SMALL,
    scenes=2,
    held_out=0.25,
    pretrain_augment="shift",
    augment="shift",
    pretrain_epochs=0.5,
    pretrain_batch=32,
    image_size=32,
    teacher_width=64,
    teacher_layers=2,
    teacher_dim=32,
    prompt_epochs=0.5,
    prompt_batch=16,
    shots=1,
    average_epoch=0.5,
    student_width=32,
    student_layers=2,
    student_dim=32,
    epochs=0.5,
    batch=32,
    warm_up=0.0,
)

SCENES = replace(
    _SMALL,
    image_size=32,
    teacher_stem=(32, 64, 128),
    teacher_width=128,
    teacher_layers=2,
    teacher_dim=96,
    scenes=128,
    pretrain_epochs=4.0,
    pretrain_batch=128,
    pretrain_augment="shift",
    augment="shift",
    student_stem=(12, 24, 48),
    student_width=48,
    student_layers=2,
    student_dim=48,
    student_prompt_length=2,
    epochs=10.0,
    warm_up=0.5,
    views=2,
    select_every=5.0,
    align_weight=0.1,  # these three as in the preset cifar100
    attention_start="identity",
    attention_scale=0.005,
)

CIFAR100 = replace(
    _SMALL,
    image_size=32,
    templates=("a photo of a {}.",),
    teacher_stem=(64, 128, 256),
    teacher_width=256,
    teacher_layers=1,
    teacher_dim=128,
    pretrain_epochs=12.0,
    student_stem=(32, 64, 128),
    student_width=96,
    student_layers=1,
    student_dim=96,
    student_prompt_length=2,
    epochs=10.0,
    warm_up=0.5,
    views=4,
    select_every=3.0,
    align_weight=0.1,  # chosen on held-out training images (benchmarks.comkd_cifar100 --pilot)
    attention_start="identity",  # attention then starts as the student's own prediction, at the teacher's temperature of 0.07
    attention_scale=0.005,
)

PROMPTKD_COMPATIBLE = Config(kl_weight=1000.0, kl_reduction="numel", align_weight=0.0, attention="none")

PRESETS = {"paper": Config(), "promptkd": PROMPTKD_COMPATIBLE, "scenes": SCENES, "cifar100": CIFAR100}
