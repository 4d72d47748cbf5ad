"""Keep other libraries' chatter out of our own reports."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Hide warnings below the level of errors while torch's exporter and ONNX Runtime's quantiser run.

    They warn about their own deprecations, about torchvision being absent and about steps that we have already taken;
    what goes wrong raises all the same. The setting is the process's, so this is for command lines, not for threads.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
