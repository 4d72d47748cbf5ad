"""CMAH: Contrastive masked auto-encoders based self-supervised hashing for 2D image and 3D point cloud cross-modal retrieval.

Rukai Wei, Heng Cui, Yu Liu, Yufeng Hou, Yanzhao Xie, Ke Zhou. arXiv 2408.05711.

A transformer for clouds and one for images are taught, without labels, to put a cloud and a rendering of it at the same place of a
Hamming space. Pairs are contrasted whole with whole and masked with whole; beside that, what was masked of both is told from what is
left of both, which look at each other in a fusion block. What is deployed are the two encoders and their hash heads.

Where the paper is silent. Its abstract and the beginning of its introduction could be read, and no code, table or size. From it: the
tokens (farthest points, neighbours, a small PointNet; ViT's patches), both kinds of contrast, the fusion of self- and
cross-attention, and L = L_c + L_r with L_r of both modalities. All else is ours, mostly after Point-MAE, MAE and CrossPoint: every
number in config.py; that tokens are masked before the encoder; that the contrast is the symmetric InfoNCE of tanh outputs, the same
instance twice in a batch being no negative; the head (mean and maximum of tokens, 512, batch normalisation, GELU), normalised by their own
batch for masked views; several code lengths at once, each with its own head; a float embedding beside them, learned by the same contrast,
which is the ceiling and what random hyperplanes are put through; positions that are added once; the preset `small` weighs L_3D by 20, since
Chamfer distances of neighbourhoods are about 0.01 where the contrast is 3: after 300 steps held-out training instances' mAP was then 0.01 to 0.04
higher at every length, one seed.

Baselines by fields: contrast only: reconstruction_weight=0 masked_weight=0, where no masked view is made; masked autoencoding only:
contrast_weight=0. The latter has no aligned head: it is read by the cosine of the pooled tokens of whole inputs, standardised over the
training set's items of their modality, and by random hyperplanes of those.

Protocol and numbers: `python -m benchmarks.cmah`.
"""

from train.contract import Entry

from .config import PRESETS, SMOKE, Config
from .method import CMAH

METHOD = Entry(CMAH, Config, smoke=SMOKE, presets=PRESETS)
