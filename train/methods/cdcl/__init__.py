"""CdCL: Content-decoupled Contrastive Learning-based implicit degradation modeling for blind image super-resolution.

Jiang Yuan, Ji Ma, Bo Wang, Weiming Hu. IEEE Transactions on Image Processing 34, 2025. arXiv 2408.05440.

A degradation encoder is trained by contrast between crops that share a degradation and never their content (cyclic-shift sampling),
and its map steers a super-resolution network channel by channel and pixel by pixel. At inference the momentum copy, the projector and
the predictor are gone.
"""

from train.contract import Entry

from .config import PRESETS, SMOKE, Config
from .method import CdCL

METHOD = Entry(CdCL, Config, smoke=SMOKE, presets=PRESETS)
