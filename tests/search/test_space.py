import optuna
import pytest
from optuna.samplers import GPSampler, RandomSampler, TPESampler

from raygenre.search.space import Setting, first_setting, sampler, space


@pytest.mark.parametrize("epochs", [1, 12, 150])
def test_decay_ends_between_hardly_and_nearly_all(epochs: int) -> None:
    decay = space(epochs)["decay"]
    assert 1 / (1 + decay.low * epochs) == pytest.approx(1 / 1.1)
    assert 1 / (1 + decay.high * epochs) == pytest.approx(1 / 10)
    assert decay.log


def test_the_space_is_that_of_a_setting() -> None:
    assert set(space(10)) == set(vars(Setting()))


def test_the_first_setting_is_the_projects_own_where_the_space_has_it() -> None:
    assert first_setting(space(100)) == Setting()
    assert first_setting(space(2)) == Setting(decay=0.05)


def asked(seed: int, told: int = 0) -> list[dict[str, float]]:
    study = optuna.create_study(sampler=sampler("random", seed=seed, trials=9, told=told))
    return [study.ask(dict(space(10))).params for _ in range(3)]


def test_same_seed_same_settings_other_seed_others() -> None:
    assert asked(1) == asked(1)
    assert asked(1) != asked(2)


def test_a_resumed_study_does_not_draw_its_first_settings_again() -> None:
    assert asked(1, told=3) != asked(1)


def test_samplers_have_their_names() -> None:
    kinds = {name: type(sampler(name, seed=0, trials=20)) for name in ("tpe", "random")}
    assert kinds == {"tpe": TPESampler, "random": RandomSampler}
    assert isinstance(sampler("gp", seed=0, trials=20), GPSampler)
    with pytest.raises(ValueError, match="unknown sampler 'grid'"):
        sampler("grid", seed=0, trials=20)  # type: ignore[arg-type]
