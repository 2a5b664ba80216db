"""What each layer knows: what is in the residual stream, how it moves, and what can be read off it."""

from .probes import Probes, probe
from .texts import read

__all__ = ["Probes", "probe", "read"]
