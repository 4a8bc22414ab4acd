"""Limits the concurrent predictions of a replica; further requests get 429."""

from collections.abc import Iterator
from contextlib import contextmanager

from serve.admission.limits import Limits
from serve.monitoring.metrics import Metrics


class PredictionSlots:
    """The predictions running or waiting in one replica."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._in_progress = 0

    def check(self) -> None:
        """Check that another prediction may start.

        This is called before the body is read, so that requests are refused early.

        Raises:
            RefusalError: 429 if all slots are occupied.
        """
        if self._in_progress >= self._limits.predictions:
            raise self._limits.too_many("too many predictions in progress; retry later")

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Occupy a slot for the duration of a prediction.

        Raises:
            RefusalError: 429 if all slots are occupied.
        """
        self.check()
        self._add(1)
        try:
            yield
        finally:
            self._add(-1)

    def _add(self, change: int) -> None:
        self._in_progress += change
        self._metrics.predictions_in_progress(self._in_progress)
