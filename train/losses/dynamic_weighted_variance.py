"""How far the embeddings of one sample's views are from their mean, with a weight that rises over training."""

from __future__ import annotations

from torch import Tensor


def dynamic_weighted_variance(views: Tensor, weight: float | Tensor) -> Tensor:
    r"""$\alpha \frac{1}{B} \sum_b \frac{1}{K d} \sum_i \lVert z_{b,i} - \bar z_b \rVert^2$ (BIDFC, in the form that its code's shapes
    suggest; the mean over channels is ours).

    Args:
        views: (b, K, d), the embeddings of K views of each sample.
        weight: alpha, of `ramp`.

    Returns:
        ()
    """
    wide = views.float()
    return weight * (wide - wide.mean(1, keepdim=True)).square().mean()


def ramp(epoch: float, begin: float, full: float, height: float) -> float:
    r"""$\alpha(e)$: 0 up to epoch `begin` (T1), rising evenly to `height` (af) at `full` (T2), `height` after it."""
    if epoch <= begin:
        return 0.0
    return height if epoch > full else height * (epoch - begin) / (full - begin)
