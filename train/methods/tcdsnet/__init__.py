"""TCDSNet: A Simple Task-aware Contrastive Local Descriptor Selection Strategy for Few-shot Learning between inter class and intra class.

Qian Qiao, Yu Xie, Shaoyao Huang, Fanzhang Li. ICANN 2024. arXiv 2408.05953.

An image is a set of local descriptors. A support descriptor is kept if it is nearer to its own class than to the other classes of the
task, by two means of cosines; kept descriptors then choose which query descriptors count; a query's score in a class is the sum of its
descriptors' nearest cosines there. Nothing is learned but the backbone, which is trained through the choice.

Read in the abstract and in reviews: the two means, and that the chosen support chooses the queries. Where they are silent, and ours: the
score is the difference of the means (score=ratio is the other), a fraction of each class is kept (or threshold=mean), a query descriptor
counts by how far its best class's mean cosine is above the others' mean (a fraction of each image, or ATL-Net's learned threshold), the
mask is soft in training (a sigmoid at ATL-Net's sharpness) and hard afterwards, the class score is DN4's (three neighbours, the bare sum).
The schedule is that of DN4 and ATL-Net. Ours without a source: the backbone may first be trained by a cosine classifier at every place
(pretrain_epochs); the loss then takes the mean cosine times logit_scale, since DN4's bare sum undoes that training; `other_images`, `center`
and `class_offset`; an image whose descriptors all miss the threshold keeps its best. And `one_image`: the contrast looks for what a class has
in common, which one image does not tell (it then finds that image's largest even region), so that one_image=grid keeps every second place
of a class's only image, and where no class has more images every descriptor of a query.

Baselines: classifier=protonet (cosines of mean descriptors), classifier=dn4, selection=random query=none, selection=grid (every second
place of every image), selection=all_support (all support descriptors choose the queries, as methods before it do).

Protocol and numbers: `python -m benchmarks.tcdsnet --data cifar100.zip`.
"""

from train.contract import Entry

from .config import PRESETS, SMOKE, Config
from .method import TCDSNet

METHOD = Entry(TCDSNet, Config, smoke=SMOKE, presets=PRESETS)
