"""The precision of a network's computations: float32, or bfloat16 where it is fast."""

from contextlib import nullcontext

import torch


def autocast(precision: str, device: torch.device) -> torch.autocast | nullcontext[None]:
    """Return the autocast context for `float32`, `bfloat16` or `auto` (bfloat16 where it is fast)."""
    if uses_bfloat16(precision, device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Return whether a precision setting selects bfloat16 on a device."""
    return precision == "bfloat16" or (precision == "auto" and has_fast_bfloat16(device))


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether a device has instructions with which torch can multiply bfloat16 faster than float32.

    The environment variable ATEN_CPU_CAPABILITY restricts torch to older instruction sets.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    on_x86 = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return bool((on_x86 and torch.backends.cpu.get_cpu_capability() == "AVX512") or capabilities.get("bf16"))
