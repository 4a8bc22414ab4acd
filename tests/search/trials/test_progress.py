"""The lines printed for finished trials, from a ledger that was filled without training."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from raygenre.data.dataset import Dataset
from raygenre.search.space.samplers import sampler
from raygenre.search.trials.phases import LINE_WIDTH, TextDisplay
from raygenre.search.trials.progress import TrialProgress
from raygenre.search.trials.trial_config import TrialConfig
from tests.conftest import new_ledger
from tests.helpers.trials import epoch_report


def test_ended_trials_are_rows_with_aligned_columns(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks, trials=3)
    text = io.StringIO()
    progress = TrialProgress(ledger, TextDisplay(text))
    for number, epochs in enumerate((2, 1, 0)):
        frozen = ledger.start_trial(sampler("random", seed=number, trials=3), ledger.config.distributions)
        trial: Any = SimpleNamespace(config=TrialConfig.of(ledger, frozen).to_dict())
        progress.on_trial_start(0, [], trial)
        for epoch in range(1, epochs + 1):
            ledger.report(number, epoch=epoch, loss=0.75)
            progress.on_trial_result(0, [], trial, epoch_report(epoch, 0.75))
        ledger.finish(number, failure="" if epochs else "loss is nan in epoch 1")
        progress.on_trial_complete(0, [], trial)
    header, done, pruned, failed = text.getvalue().splitlines()
    assert header.split()[:5] == ["best", "left", "epoch", "loss", "accuracy"]
    assert done.split()[:4] == ["trial", "0", "done", "0.750"]
    assert "2/2    0.750     75.0%" in done
    assert pruned.split()[:3] == ["trial", "1", "pruned"]
    assert failed.split()[:3] == ["trial", "2", "failed"]
    assert len({len(line) for line in (header, done, pruned, failed)}) == 1
    assert len(header) <= LINE_WIDTH
