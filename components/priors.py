"""The combiner of priors."""

from __future__ import annotations

from imagegraph.component import Combiner


class Priors(Combiner):
    """Unites what the predictors read out of one photo."""
