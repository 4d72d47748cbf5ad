"""Hand-made measures of an image's complexity: what needs no training and is compared with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from runtime.prepare import resize
from train.data.entropy import grey_entropy

LONGEST = 512  # side that larger images are brought to
QUALITY = 75  # of the JPEG
EDGES = (100.0, 200.0)  # Canny's thresholds
BLOCK = 16  # side of the places whose entropy is averaged
FINE = 0.125  # cycles a pixel from which the spectrum is fine

Image = NDArray[np.uint8]  # (h, w, 3)


def measured(image: Image) -> NDArray[np.float64]:
    """Every measure of one image, in the order of MEASURES."""
    longest = max(image.shape[:2])
    if longest > LONGEST:
        h, w = (max(round(side * LONGEST / longest), 1) for side in image.shape[:2])
        image = resize(image, (h, w))
    return np.array([measure(image) for measure in MEASURES.values()])


def jpeg_bytes(image: Image) -> float:
    """Of a JPEG, a pixel."""
    return _encoded(image, ".jpg")


def png_bytes(image: Image) -> float:
    """Of a PNG, a pixel."""
    return _encoded(image, ".png")


def edge_density(image: Image) -> float:
    """Part of the pixels that Canny calls edges."""
    import cv2

    return float((cv2.Canny(_grey(image), *EDGES) > 0).mean())


def gradient(image: Image) -> float:
    """Mean length of Sobel's gradient, grey levels a pixel."""
    across, down = _sobel(image)
    return float(np.hypot(across, down).mean())


def contrast(image: Image) -> float:
    """Standard deviation of grey."""
    return float(_grey(image).std())


def colourfulness(image: Image) -> float:
    """Spread and mean of the opponent colours (Hasler and Süsstrunk 2003)."""
    red, green, blue = image.reshape(-1, 3).astype(np.float64).T
    first, second = red - green, (red + green) / 2 - blue
    return float(np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean()))


def colours(image: Image) -> float:
    """Logarithm of how many colours occur, of 4 bits a channel."""
    high = image.reshape(-1, 3).astype(np.int64) >> 4
    return float(np.log(len(np.unique(high @ [256, 16, 1]))))


def local_entropy(image: Image) -> float:
    """Entropy of grey, the mean over places of BLOCK pixels a side, in nats."""
    h, w = (max(side // BLOCK, 1) for side in image.shape[:2])
    places = [part for row in np.array_split(image, h) for part in np.array_split(row, w, axis=1)]
    return float(np.mean([grey_entropy(place) for place in places]))


def fine_share(image: Image) -> float:
    """Part of the spectrum's amplitude at fine frequencies, the mean left out."""
    grey = _grey(image).astype(np.float64)
    spectrum = np.abs(np.fft.rfft2(grey - grey.mean()))
    across, down = np.fft.rfftfreq(grey.shape[1]), np.fft.fftfreq(grey.shape[0])
    fine = np.hypot(down[:, None], across[None]) >= FINE
    total = spectrum.sum()
    return float(spectrum[fine].sum() / total) if total > 0 else 0.0


def _grey(image: Image) -> NDArray[np.uint8]:
    """Luma, (h, w)."""
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _sobel(image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Differences across and down, grey levels a pixel."""
    import cv2

    grey = _grey(image)
    across, down = (np.asarray(cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx) * (1 / 8), np.float32) for dx in (1, 0))
    return across, down


def _encoded(image: Image, suffix: str) -> float:
    import cv2

    done, content = cv2.imencode(suffix, image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if suffix == ".jpg" else [])
    assert done
    return float(content.size / (image.shape[0] * image.shape[1]))


MEASURES: dict[str, Callable[[Image], float]] = {
    "JPEG bytes": jpeg_bytes,
    "PNG bytes": png_bytes,
    "grey entropy": grey_entropy,
    "edge density": edge_density,
    "mean gradient": gradient,
    "contrast": contrast,
    "colourfulness": colourfulness,
    "number of colours": colours,
    "local entropy": local_entropy,
    "fine frequencies": fine_share,
}
