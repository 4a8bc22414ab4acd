"""What the endpoint counts and times, for Prometheus, through Ray Serve.

Ray exports each name with `ray_` before it, counters with `_total` behind it, and adds `deployment`, `replica` and
`application`. `serve/monitoring/` has a Prometheus configuration and a Grafana dashboard over them.
"""

from typing import cast

from ray.serve.metrics import Counter, Gauge, Histogram

_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0]


def _tags(*names: str) -> tuple[str]:
    """Any number of tags, for a parameter that Ray annotates as a tuple of one."""
    return cast(tuple[str], names)


class Metrics:
    """The metrics of one replica; to be made inside of it."""

    def __init__(self) -> None:
        self._requests = Counter("raygenre_requests", "Requests by path and status.", _tags("path", "status"))
        self._seconds = Histogram("raygenre_request_seconds", "s from request to answer.", _SECONDS, ("path",))
        self._predictions = Counter(
            "raygenre_predictions", "Songs by genre, certainty and model.", _tags("genre", "uncertain", "model")
        )
        self._stages = Histogram(
            "raygenre_stage_seconds", "s in each stage: wait, decode, levels, queue, forward.", _SECONDS, ("stage",)
        )
        self._crashes = Counter("raygenre_decoder_crashes", "Decoders that ended over a file, by cause.", ("cause",))
        self._batches = Histogram("raygenre_batch_windows", "Windows in a batch.", [1.5, 2.5, 4.5, 8.5, 16.5, 32.5])
        self._models = Histogram("raygenre_model_seconds", "s for the network's answer.", _SECONDS, ("model",))
        self._agreement = Counter(
            "raygenre_challenger_answers",
            "Songs that both models were asked about, by whether they agree: true, false, or failed where one fails.",
            _tags("agree", "model", "champion"),
        )
        self._changes = Counter(
            "raygenre_model_changes", "Versions taken into service, and those that failed.", _tags("role", "outcome")
        )
        self._trouble = Gauge("raygenre_model_trouble", "1 if the version wanted is not the one serving.", ("role",))
        self._drift = Gauge(
            "raygenre_input_drift",
            "PSI of the mean level against a model's training tracks, by range of bands; 0 once it answers no more.",
            _tags("range", "model"),
        )
        self._working = Gauge("raygenre_predictions_under_way", "Predictions under way or waiting.")

    def request(self, path: str, status: int, seconds: float) -> None:
        self._requests.inc(tags={"path": path, "status": str(status)})
        self._seconds.observe(seconds, tags={"path": path})

    def prediction(self, genre: str, *, uncertain: bool, model: str) -> None:
        self._predictions.inc(tags={"genre": genre, "uncertain": str(uncertain).lower(), "model": model})

    def stage(self, name: str, seconds: float) -> None:
        self._stages.observe(max(seconds, 1e-6), tags={"stage": name})

    def crash(self, cause: str) -> None:
        self._crashes.inc(tags={"cause": cause})

    def batch(self, windows: int) -> None:
        self._batches.observe(windows, tags={})

    def model(self, name: str, seconds: float) -> None:
        self._models.observe(seconds, tags={"model": name})

    def agreement(self, agree: str, *, model: str, champion: str) -> None:
        self._agreement.inc(tags={"agree": agree, "model": model, "champion": champion})

    def change(self, role: str, outcome: str) -> None:
        self._changes.inc(tags={"role": role, "outcome": outcome})

    def trouble(self, role: str, there_is: bool) -> None:
        self._trouble.set(float(there_is), tags={"role": role})

    def drift(self, model: str, index: list[float]) -> None:
        for number, value in enumerate(index):
            self._drift.set(value, tags={"range": f"{number:02d}", "model": model})

    def working(self, number: int) -> None:
        self._working.set(number, tags={})
