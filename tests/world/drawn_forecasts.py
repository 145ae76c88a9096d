"""Ways of asking for a forecast, and histories to ask about."""

import numpy as np

from lib.world.analysts import histories
from lib.world.truth import settings

GIVEN = settings("forecasts")
PROMPTS = list(GIVEN["prompts"])


def style(horizon=1):
    return next(s for s in GIVEN["styles"] if s.get("horizon", 1) == horizon)


def drawn(rho, n, length=12):
    rng = np.random.default_rng(0)
    return histories(np.full(n, rho), np.full(n, 8.0), length, rng), rng
