"""CLIPs in the formats that users have them in, read without running code."""

from .formats import load
from .teacher import Teacher

__all__ = ["Teacher", "load"]
