"""What a trial's worker is told: setting, seed, and where its runs are."""

from typing import Any

from optuna.trial import FrozenTrial

from raygenre.search.study.ledger import Ledger


def trial_config(ledger: Ledger, trial: FrozenTrial) -> dict[str, Any]:
    """What `run_trial` needs to know of a trial."""
    return {
        "number": trial.number,
        "setting": dict(trial.params),
        "fixed": ledger.config.fixed,
        "seed": trial_seed(ledger.config.seed, trial.number),
        "place": str(ledger.checkpoint_location(trial.number)),
    }


def trial_seed(seed: int, number: int) -> int:
    """A seed for each trial of a search, far from those of other trials, folds, re-runs and searches."""
    import numpy as np

    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
