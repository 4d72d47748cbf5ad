"""CLIC: Contrastive Learning for Image Complexity Representation.

Shipeng Liu, Liang Zhao, Dengfeng Chen, Zhanping Song. 2024. arXiv 2408.03230. With the complexity-aware loss of its successor, by the same
authors: CLIC, arXiv 2411.12792 (complexity_weight=0 leaves it out).

Momentum contrast (MoCo v2) in which the positive of a photograph is a mosaic of its own crops at one of three scales (random crop and mix):
whatever a place shows, what is shared is how much there is to see. The sum of the stages' mean activations is drawn towards the grey
entropy of the photograph and is read off as a complexity without any label; a head on the frozen encoder is trained on people's ratings.
Networks, views, mosaics, losses and schedules follow the authors' code (xauat-liushipeng/CLIC), whose published score is the head's.

Not taken over from the code, since it is a slip there: entropy is of raw pixels (normalised ones leave the histogram), of the whole
photograph or, in the presets small and scenes, of the view before its colours change; a frozen encoder is in evaluation mode, statistics included; weights that do not match are
refused; the queue takes any batch.

Ours, and in the preset small only: the activation rises with entropy (complexity_fit=correlation) where the published loss has it equal
entropy's number, which raises the gain of all channels alike and costs what tells them apart; entropy is of colours (entropy=colour); and each
place of the view follows its own entropy too (regions=32), in the spirit of the patches of CLICv2 (arXiv 2503.06641), whose loss is another.

Where paper and code are silent, and ours: the query is a view of the photograph, the key one of its 7 c mosaics, each as likely; crops are
drawn anew at every step instead of once; turns reflect at the edge; colour jitter is one affine map (hue turns in YIQ). Keys have the batch
statistics of the global batch. The embedding is the mean and deviation of every channel of every stage. The map is the activation by place
at the second stage's resolution. The component, pc1 among the measures, is the first principal component of standardised embeddings, on
entropy's side. The label-free score is 100 times where the activation, or with label_free=component the component, stands among held-out
photographs' quantiles. The whole image is squashed to a square.
The linear head is by AdamW; icnet's gates pool to half their map by means.

Baselines: positives=aug complexity_weight=0 (MoCo v2), complexity_weight=0 (the paper without the loss), both with contrast_weight=1;
contrast_weight=0 (the loss without the paper), epochs=0 (a random encoder, or weights=), epochs=0 frozen=False (supervised from scratch).

Protocol and numbers: `python -m benchmarks.clic --data photos.zip --rated savoias.zip`.
"""

from train.contract import Entry

from .config import PRESETS, SMOKE, Config
from .method import CLIC

METHOD = Entry(CLIC, Config, smoke=SMOKE, presets=PRESETS)
