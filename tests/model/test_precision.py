import torch

from raygenre.model.precision import autocast, has_fast_bfloat16


def product(precision: str) -> torch.dtype:
    with autocast(precision, torch.device("cpu")):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_precision_is_the_requested_one() -> None:
    assert product("float32") == torch.float32
    assert product("bfloat16") == torch.bfloat16


def test_auto_follows_the_hardware() -> None:
    fast = has_fast_bfloat16(torch.device("cpu"))
    assert product("auto") == (torch.bfloat16 if fast else torch.float32)
