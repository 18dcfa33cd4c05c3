"""The library by the name of its program: `from mvreg import register`.

Its rooms have one name, MultiViewRegistrationLib: under two, each class would be there twice.
"""

from typing import TYPE_CHECKING

from MultiViewRegistrationLib import __all__, __dir__, __getattr__, __version__  # noqa: F401

if TYPE_CHECKING:
    from MultiViewRegistrationLib import *  # noqa: F403
