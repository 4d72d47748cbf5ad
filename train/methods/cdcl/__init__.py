"""CdCL: Content-decoupled Contrastive Learning-based Implicit Degradation Modeling for Blind Image Super-Resolution.

Jiang Yuan, Ji Ma, Bo Wang, Weiming Hu. IEEE Transactions on Image Processing 34, 2025. arXiv 2408.05440.

A degradation encoder learns by contrast between crops that share a degradation and never their content (cyclic-shift sampling), and its
map steers a super-resolution network channel by channel and pixel by pixel. At inference the momentum copy, the projector and the
predictor are gone. Networks, sampling, losses and schedule follow the authors' code (Fieldhunter/CdCL), whose smaller network has the
2,913,463 parameters that the defaults give.

Where paper and code differ: the paper calls the contrast negative-free, the code's loss is InfoNCE with the batch as negatives;
objective=infonce is the default, objective=byol the other. Where neither says: the size of the larger network. Ours: the map is cut
to the image's size before the regulator's convolutions (the code cuts after them; equal where sides are multiples of 4); the preset
`small` has a nearest-neighbour skip, a one-step upsampler, layer scale 0.1, T = 0.3, a tenth of the rate on the estimator in stage 2,
since with the generator's own rate its code forgets the blur, and standardised images before the estimator: without, stage 1 often
stays at the loss of chance, ln(batch), because contrast and colour drown the blur. The read-out of the blur is ours.

Baselines: code=none contrast_steps=0 (learned constants where the code would be); DASR-style code=vector sampling=same_image views=2
tiles=1 temperature=0.07 (crops of one photograph as positives, no map; negatives are the batch's, not a queue's).

Protocol and numbers: `python -m benchmarks.cdcl --data sr.zip`.
"""

from train.contract import Entry

from .config import PRESETS, SMOKE, Config
from .method import CdCL

METHOD = Entry(CdCL, Config, smoke=SMOKE, presets=PRESETS)
