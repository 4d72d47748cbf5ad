"""ComKD-CLIP: Comprehensive Knowledge Distillation for Contrastive Language-Image Pre-training Model.

Yifan Chen, Xiaozhen Qiao, Zhe Sun, Xuelong Li. arXiv 2408.04145.

A large CLIP, prompt-tuned on a few labelled images (stage 1), teaches a small image tower on unlabelled images (stage 2). The
class vectors of the teacher's text tower are computed once and shared; at inference the text tower and the large image tower are
gone. Beside PromptKD's divergence of logits, the student aligns the statistics of its image features with the teacher's (IFAlign)
and refines them by attention over the class vectors (EduAttention), whose gate starts closed.

Where the paper is silent (its equations could not be read; no code is public), each choice is a field of Config with the
others beside it: the batch as axis of IFAlign's statistics and a sum as its norm; which layers map what in EduAttention and C
= d; no weights on the two losses; the mean over images in the divergence. Recipe and prompts are PromptKD's. Because the
attention is over the current class list, an image's refined feature depends on which classes are in the bank.

Protocol: with unlabelled_classes=all (the paper's, PromptKD's) the student sees unlabelled images of new classes and all
class names. Models are selected on held-out training images by agreement with the teacher, which needs no label; test images
are read once, for the final number.
"""

from train.contract import Entry

from .config import PRESETS, SMOKE, Config
from .method import ComKDCLIP

METHOD = Entry(ComKDCLIP, Config, smoke=SMOKE, presets=PRESETS)
