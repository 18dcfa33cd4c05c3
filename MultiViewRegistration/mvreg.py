"""The library by the name of its program: `import mvreg` is `import MultiViewRegistrationLib`."""

import sys

import MultiViewRegistrationLib

sys.modules[__name__] = MultiViewRegistrationLib
