"""The estimate of the remaining time, tested on timings of real and simulated searches."""

import heapq
from dataclasses import replace

import numpy as np
import pytest

from raygenre.search.trials.time_left import PHASES, seconds_left
from raygenre.search.trials.timings import Observed, Run, Work
from tests.helpers import timings

TOLERANCE = 0.25  # share of the actual remaining time
POLLING = 3.0  # s; repeats' epochs are noticed only by polling, so no estimate can be more precise

RECORDED = timings.read()


def estimates(work: Work, seen: Observed, end: float) -> list[tuple[float, float | None]]:
    """Return the actual and the estimated remaining time at 30 points during a search."""
    moments = np.linspace(0, end, 31)[:-1].tolist()
    return [(end - now, seconds_left(work, timings.at(seen, now), now)) for now in moments]


def simulate(work: Work, *, seed: int, epoch: float = 10.0) -> tuple[Observed, float]:
    """Return a simulated search under ASHA whose epochs take the given time ±20 %, and its end time."""
    random = np.random.default_rng(seed)
    free = [0.0] * work.slots  # the time at which each slot becomes free
    rungs: dict[int, list[float]] = {rung: [] for rung in work.rungs if rung < work.epochs}

    def train(trial: int, epochs: int, loss: float, *, earliest: float, scale: float = 1.0) -> Run:
        started = max(heapq.heappop(free), earliest)
        ends = started + 1 + np.cumsum(epoch * scale * random.uniform(0.8, 1.2, epochs))
        heapq.heappush(free, float(ends[-1]))
        marks = ((started + 1, 0), *((end, number) for number, end in enumerate(ends.tolist(), start=1)))
        return Run(trial, started, marks, float(ends[-1]), loss, int(random.integers(epochs // 2, epochs + 1)))

    trials = []
    for trial in range(work.trials):
        loss, epochs = random.uniform(), work.epochs
        for rung, losses in rungs.items():
            is_worse = bool(losses) and loss > np.quantile(losses, 1 / 3)
            losses.append(loss)
            if is_worse:
                epochs = rung
                break
        trials.append(train(trial, epochs, loss, earliest=3.0))
    best = sorted((run for run in trials if run.epochs == work.epochs), key=lambda run: run.loss)[: work.finalists]
    phases = {"trials": 0.0, "repeats": max(free)}
    repeats = [
        train(run.trial, work.epochs, run.loss, earliest=phases["repeats"] + 2)
        for run in best
        for _ in range(work.repeats)
    ]
    phases["final"] = max(free)
    epochs = round(np.mean([run.best_epoch for run in repeats]))
    final = train(best[0].trial, epochs, 0.0, earliest=phases["final"], scale=work.final_epoch)
    assert final.ended
    for phase in PHASES[3:]:
        phases[phase] = final.ended + PHASES.index(phase) - 3
    return Observed(phases, trials, repeats, final, epochs), final.ended + 3


@pytest.mark.parametrize("name", [name for name in RECORDED if "busy" not in name and "folds" not in name])
def test_it_is_close_from_a_third_of_a_recorded_search(name: str) -> None:
    work, seen, end = RECORDED[name]
    for left, estimate in estimates(work, seen, end):
        if left <= 2 / 3 * end:
            assert estimate is not None
            assert abs(estimate - left) <= max(TOLERANCE * left, POLLING), f"{estimate} with {left} s to go"


def test_folds_are_close_except_for_a_moment() -> None:
    """Epochs of repeats were a third shorter than those of trials, which becomes apparent only after a few epochs."""
    work, seen, end = RECORDED["three folds"]
    late = [(left, estimate) for left, estimate in estimates(work, seen, end) if left <= 2 / 3 * end]
    errors = [abs((estimate or 0.0) - left) / max(left, POLLING / TOLERANCE) for left, estimate in late]
    assert sum(error <= TOLERANCE for error in errors) >= len(late) - 1
    assert max(errors) < 0.3


@pytest.mark.parametrize("name", [name for name in RECORDED if "busy" in name])
def test_other_programs_make_it_worse_but_not_useless(name: str) -> None:
    """These searches shared two cores with up to twenty other processes that started and ended during the search."""
    work, seen, end = RECORDED[name]
    errors = [
        abs((estimate or 0) - left) / left for left, estimate in estimates(work, seen, end) if left <= 2 / 3 * end
    ]
    assert np.median(errors) <= TOLERANCE
    assert max(errors) <= 1


SIMULATED = {
    "no scheduler": Work(20, 40, finalists=3, repeats=2, slots=2, final_epoch=0.8),
    "ASHA": Work(20, 40, finalists=3, repeats=2, slots=2, rungs=(4, 12, 36), kept=0.5, final_epoch=0.8),
    "four at a time": Work(32, 27, finalists=3, repeats=2, slots=4, rungs=(3, 9, 27), kept=0.5, final_epoch=0.5),
    "one at a time": Work(8, 20, finalists=2, repeats=2, slots=1, rungs=(2, 6, 18), kept=0.5, final_epoch=0.4),
}


@pytest.mark.parametrize("name", SIMULATED)
def test_it_is_close_from_a_third_of_a_simulated_search(name: str) -> None:
    work, errors = SIMULATED[name], []
    for seed in range(8):
        seen, end = simulate(work, seed=seed)
        for left, estimate in estimates(work, seen, end):
            if 0.05 * end <= left <= 2 / 3 * end:
                assert estimate is not None
                errors.append(abs(estimate - left) / left)
    assert np.median(errors) <= TOLERANCE / 4
    assert np.quantile(errors, 0.9) <= TOLERANCE  # the number of trials that ASHA will stop is not always predictable


@pytest.mark.parametrize("name", SIMULATED)
@pytest.mark.parametrize("seed", range(3))
def test_it_falls_with_time_and_is_never_negative(name: str, seed: int) -> None:
    work = SIMULATED[name]
    seen, end = simulate(work, seed=seed)
    for now in np.linspace(0, 1.5 * end, 40).tolist():
        known = timings.at(seen, now)
        if (estimate := seconds_left(work, known, now)) is None:
            continue
        later = seconds_left(work, known, now + 5)  # nothing has happened since then
        assert later is not None
        assert 0 <= later <= estimate


def test_it_is_unknown_until_an_epoch_has_been_timed() -> None:
    work = SIMULATED["ASHA"]
    waiting = Observed({"trials": 0.0}, [Run(0, started=3.0), Run(1)])
    assert seconds_left(work, Observed(), 0.0) is None
    assert seconds_left(work, waiting, 30.0) is None
    assert seconds_left(work, replace(waiting, trials=[Run(0, 3.0, ((5.0, 0), (15.0, 1)))]), 30.0) is not None


def test_it_covers_what_follows_the_trials() -> None:
    """When the last trial ends, the repeats and the final training still remain."""
    work, seen, end = RECORDED["default on idle cores"]
    now = seen.phases["repeats"] - 0.01
    estimate = seconds_left(work, timings.at(seen, now), now)
    assert estimate == pytest.approx(end - now, rel=TOLERANCE)


def test_a_resumed_search_uses_the_pace_of_earlier_drivers() -> None:
    work = Work(4, 10, finalists=1, repeats=2, slots=2)
    earlier = [Run(n, marks=((1e9, 1), (1e9 + 18, 10)), ended=0.0, loss=n, best_epoch=10) for n in range(4)]
    resumed = Observed({"trials": 0.0}, earlier)
    assert seconds_left(work, resumed, 0.0) == pytest.approx(2 * 10 + 2 * 10, abs=10)  # parallel repeats, final run
    interrupted = Observed({"trials": 0.0}, [*earlier[:3], Run(3, marks=((1e9, 1), (1e9 + 8, 5)))])
    difference = (seconds_left(work, interrupted, 0.0) or 0) - (seconds_left(work, resumed, 0.0) or 0)
    assert difference == pytest.approx(2 * 5, abs=2)


def test_a_final_training_with_a_schedule_has_all_epochs() -> None:
    """A trial of 10 epochs of 2 s had the lowest loss after 3 epochs."""
    work = Work(1, 10, finalists=1, repeats=2, slots=2)
    seen = Observed({"trials": 0.0}, [Run(0, marks=((1e9, 1), (1e9 + 18, 10)), ended=0.0, loss=1.0, best_epoch=3)])
    scheduled = replace(work, uses_last_epoch=True)
    assert (seconds_left(scheduled, seen, 0.0) or 0) - (seconds_left(work, seen, 0.0) or 0) == pytest.approx(14, abs=1)


def test_more_work_takes_longer() -> None:
    work = SIMULATED["ASHA"]
    seen, end = simulate(work, seed=0)
    now = end / 3
    known = timings.at(seen, now)

    def left(**changes: int | float) -> float:
        return seconds_left(replace(work, **changes), known, now) or 0.0  # type: ignore[arg-type]

    assert left(trials=30) > left() > left(slots=4)
    assert left(finalists=5) > left() < left(final_epoch=2.0)
