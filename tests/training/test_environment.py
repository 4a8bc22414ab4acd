import torch

from raygenre.model.precision import has_fast_bfloat16
from raygenre.training.environment import compute_environment

CPU = torch.device("cpu")


def test_environment_names_processor_threads_and_precision() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    environment = compute_environment(CPU, "auto")
    torch.set_num_threads(before)
    assert environment["threads"] == "3"
    assert environment["precision"] == ("bfloat16" if has_fast_bfloat16(CPU) else "float32")
    assert environment["device"] == "cpu"
    assert torch.backends.cpu.get_cpu_capability() in environment["processor"]


def test_requested_precision_is_reported() -> None:
    assert compute_environment(CPU, "float32")["precision"] == "float32"
    assert compute_environment(CPU, "bfloat16")["precision"] == "bfloat16"


def test_algorithm_of_convolutions_depends_on_precision() -> None:
    assert compute_environment(CPU, "float32")["convolutions"] == "winograd"
    assert compute_environment(CPU, "bfloat16")["convolutions"] == "direct"
