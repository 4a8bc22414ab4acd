import torch

from raygenre.model.precision import has_fast_bfloat16
from raygenre.training.environment import surroundings

CPU = torch.device("cpu")


def test_threads_and_precision_are_what_a_training_has_here() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    found = surroundings(CPU, "auto")
    torch.set_num_threads(before)
    assert found["threads"] == "3"
    assert found["precision"] == ("bfloat16" if has_fast_bfloat16(CPU) else "float32")
    assert found["device"] == "cpu"
    assert torch.backends.cpu.get_cpu_capability() in found["processor"]


def test_a_precision_that_was_asked_for_is_said() -> None:
    assert surroundings(CPU, "float32")["precision"] == "float32"
    assert surroundings(CPU, "bfloat16")["precision"] == "bfloat16"


def test_the_convolutions_algorithm_follows_the_precision() -> None:
    assert surroundings(CPU, "float32")["convolutions"] == "winograd"
    assert surroundings(CPU, "bfloat16")["convolutions"] == "direct"
