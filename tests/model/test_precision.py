import torch

from raygenre.model.precision import autocast, fast_in_bfloat16


def product(precision: str) -> torch.dtype:
    with autocast(precision, torch.device("cpu")):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_precision_is_what_was_asked_for() -> None:
    assert product("float32") == torch.float32
    assert product("bfloat16") == torch.bfloat16


def test_auto_follows_the_hardware() -> None:
    fast = fast_in_bfloat16(torch.device("cpu"))
    assert product("auto") == (torch.bfloat16 if fast else torch.float32)
