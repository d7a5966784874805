"""Locust users of a studio; see locustfile.py. The token of a user is the environment's STUDIO_TOKEN.

LOCUST_SKIP_MONKEY_PATCH=1 locust -f load-tests/locustfile_studio.py --host http://localhost:7860
"""

from __future__ import annotations

from locustfile import Arrivals


class Job(Arrivals):
    """Jobs, each waited for to its end."""

    way = "job"


class Gallery(Arrivals):
    """What the studio's page reads; nine of ten requests."""

    way = "gallery"
    weight = 9
