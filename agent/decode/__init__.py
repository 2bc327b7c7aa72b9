"""Decoders: each adds a view of a message beside the payload as it came.

One decoder a module; a module of this package that has a `DECODER` is in force.
"""

import pkgutil
from importlib import import_module

from sockwarden.agent.decode.decoder import Decoder


def decoders() -> tuple[Decoder, ...]:
    """All decoders, in the order in which they are tried."""
    modules = (
        import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)
    )
    found = [module.DECODER for module in modules if hasattr(module, "DECODER")]
    return tuple(sorted(found, key=lambda decoder: (decoder.order, decoder.name)))
