"""Native ops: `_ops` is compiled from src/ and include/; without it the runtime uses the NumPy twins."""

from pkgutil import extend_path

# Started in a checkout, this folder hides the installed package that holds the compiled module: look there as well.
__path__ = extend_path(__path__, __name__)
