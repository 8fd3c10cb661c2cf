"""How many inputs are tried: few and always the same, or with BBH_FUZZ=long many and new ones."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "short",
    max_examples=6,
    deadline=None,  # the first call of a function compiles it
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "long", settings.get_profile("short"), max_examples=150, derandomize=False
)
settings.load_profile(os.environ.get("BBH_FUZZ", "short"))
