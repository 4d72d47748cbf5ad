"""BIDFC: Weakly Contrastive Learning via Batch Instance Discrimination and Feature Clustering for Small Sample SAR ATR.

Yikui Zhai, Wenlve Zhou, Bing Sun, Jingwen Li, Qirui Ke, Zilu Ying, Junying Gan, Chaoyun Mai, Ruggero Donida Labati, Vincenzo
Piuri, Fabio Scotti. IEEE Transactions on Geoscience and Remote Sensing 60, 2022. arXiv 2408.03627.

SAR chips of one class look alike, so they should not be pushed far apart. Every batch gets a classifier of its own, drawn anew,
which learns in a few steps to tell the batch's chips apart under augmentation; its temperature says how far. Then a variance loss
draws the views of each chip together, with a weight that rises over training. Labels come last: few of them, on all of the
network or on a linear classifier.

Followed as published (BIDFC.py): a classifier by Xavier's rule for each batch, K steps and one of the variance, the ramp, the
rates, T = 2. Changed, because the published file does not do what it says: the average of weights is one (ema=; there it averages
nothing), the classifier's bias and the optimizer's memory of it start anew too, every batch is whole and of distinct chips, and
no step is spent on a variance of weight 0. The fresh classifier is fitted within K steps, which takes a rate of about 0.1
whatever the encoder's (classifier_learning_rate, outside the schedule); with the encoder's usual 1e-3 nothing is learned.
metrics.csv has what share of a batch it tells apart in the end, `instance_accuracy`; 1 / B is chance, and a warning comes below
ten times that.

The published protocol resizes whole chips. MSTAR's chips have sizes of their own for each class, so that this tells the class:
crop=resize is that protocol, for comparison only, and the default cuts the middle at native resolution. It also reports the best
test epoch, and its linear evaluation moves the normalisation's statistics; here the last epoch counts and a frozen encoder is
frozen.

Where the paper is silent, and ours: the variance is the mean over channels; training's schedule is a half cosine; one channel
instead of the same three times; speckle and shifts among the views; windows that are standardised and labels by Adam in the
preset `small`; as many labels of each class; training with labels is that of the group's Cr-GAN code; simclr and moco take as
many steps, of fresh batches; an encoder's normalisation statistics are taken anew from unchanged chips after pretraining, since
resampled views have less speckle, and views of labelled chips are moved by whole pixels for the same reason. The temperature of
the probabilities and the novelty threshold are set on training chips that were held out (val=), whose labels serve nothing else:
accuracy does not depend on them. Novelty is Mahalanobis's distance to the nearest class in feature space: of the three ways it told
MSTAR's training chips of two held-out classes best (one epoch, one seed: AUROC 86 %, neighbours' 61 %, energy's 48 %).

Protocol and numbers: `python -m benchmarks.bidfc --data mstar.zip`.
"""

from train.contract import Entry

from .config import PRESETS, SMOKE, Config
from .method import BIDFC

METHOD = Entry(BIDFC, Config, smoke=SMOKE, presets=PRESETS)
