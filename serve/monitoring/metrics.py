"""The endpoint's metrics, which Ray exports to Prometheus.

Ray adds the prefix `ray_`, the suffix `_total` for counters, and the tags `deployment`, `replica` and `application`.
A Prometheus configuration, alerts and a Grafana dashboard for these metrics are in `serve/monitoring/`.
"""

from typing import cast

from ray.serve.metrics import Counter, Gauge, Histogram

_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0]


def _tags(*names: str) -> tuple[str]:
    """Return tag names as the type that Ray declares for this parameter, a tuple of one string."""
    return cast(tuple[str], names)


class Metrics:
    """The metrics of one replica; create them in the replica's process."""

    def __init__(self) -> None:
        self._requests = Counter("raygenre_requests", "Requests, by path and status.", _tags("path", "status"))
        self._seconds = Histogram("raygenre_request_seconds", "Seconds from request to response.", _SECONDS, ("path",))
        self._predictions = Counter(
            "raygenre_predictions",
            "Songs, by genre, uncertainty and model.",
            _tags("genre", "uncertain", "model"),
        )
        self._tagged = Counter("raygenre_tagged", "Songs for which pretrained tags were predicted.")
        self._refused_files = Counter(
            "raygenre_refused_files", "Files without a prediction, by the status of the file.", _tags("status")
        )
        self._stages = Histogram(
            "raygenre_stage_seconds",
            "Seconds in each stage: wait, decode, levels or features, queue, forward.",
            _SECONDS,
            ("stage",),
        )
        self._crashes = Counter("raygenre_decoder_crashes", "Crashed decoder processes, by cause.", ("cause",))
        self._batches = Histogram("raygenre_batch_windows", "Windows in a batch.", [1.5, 2.5, 4.5, 8.5, 16.5, 32.5])
        self._models = Histogram(
            "raygenre_model_seconds", "Seconds in queue and forward pass, by model.", _SECONDS, ("model",)
        )
        self._agreement = Counter(
            "raygenre_challenger_answers",
            "Songs sent to both models, by agreement: true, false, or failed if a model failed.",
            _tags("agree", "model", "champion"),
        )
        self._changes = Counter(
            "raygenre_model_changes", "Model versions loaded (taken) and rejected (refused).", _tags("role", "outcome")
        )
        self._model_error = Gauge(
            "raygenre_model_trouble", "1 if the version in the registry is not being served.", _tags("role")
        )
        self._drift = Gauge(
            "raygenre_input_drift",
            "PSI of mean levels against the model's training tracks, by range of mel bands; 0 for a replaced model.",
            _tags("range", "model"),
        )
        self._jobs = Counter(
            "raygenre_jobs",
            "Jobs, by outcome: done, failed, retried, or stopped if deleted or taken over by another replica.",
            _tags("outcome"),
        )
        self._unfinished_jobs = Gauge(
            "raygenre_unfinished_jobs", "Jobs waiting or running in all replicas; each replica reports the same number."
        )
        self._in_progress = Gauge("raygenre_predictions_under_way", "Predictions running or waiting.")

    def request(self, path: str, status: int, seconds: float) -> None:
        self._requests.inc(tags={"path": path, "status": str(status)})
        self._seconds.observe(seconds, tags={"path": path})

    def prediction(self, genre: str, *, uncertain: bool, model: str) -> None:
        self._predictions.inc(tags={"genre": genre, "uncertain": str(uncertain).lower(), "model": model})

    def tagged(self) -> None:
        self._tagged.inc()

    def refused_file(self, status: int) -> None:
        self._refused_files.inc(tags={"status": str(status)})

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

    def model_error(self, role: str, is_set: bool) -> None:
        self._model_error.set(float(is_set), tags={"role": role})

    def drift(self, model: str, index: list[float]) -> None:
        for number, value in enumerate(index):
            self._drift.set(value, tags={"range": f"{number:02d}", "model": model})

    def job(self, outcome: str) -> None:
        self._jobs.inc(tags={"outcome": outcome})

    def unfinished_jobs(self, number: int) -> None:
        self._unfinished_jobs.set(number, tags={})

    def predictions_in_progress(self, number: int) -> None:
        self._in_progress.set(number, tags={})
