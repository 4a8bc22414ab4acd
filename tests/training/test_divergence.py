import math

import pytest

from raygenre.training.divergence import DivergedError, check_loss


@pytest.mark.parametrize(("genres", "highest"), [(2, 6.93), (10, 23.02)])
def test_a_loss_ten_times_that_of_guessing_is_the_limit(genres: int, highest: float) -> None:
    check_loss(highest, genres=genres, name="training", where="in epoch 1")
    with pytest.raises(DivergedError, match=r"loss is .* in epoch 1, more than 10 times that of guessing \("):
        check_loss(highest + 0.02, genres=genres, name="training", where="in epoch 1")


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_has_diverged(loss: float) -> None:
    with pytest.raises(DivergedError, match=f"the training loss is {loss} in epoch 2"):
        check_loss(loss, genres=10, name="training", where="in epoch 2")
