"""In which precision a network computes, by what the hardware is fast at."""

from contextlib import nullcontext

import torch


def autocast(precision: str, device: torch.device) -> torch.autocast | nullcontext[None]:
    """Return the context for `float32`, `bfloat16`, or `auto`: bfloat16 where it is fast."""
    if in_bfloat16(precision, device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def in_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether a precision means bfloat16 there."""
    return precision == "bfloat16" or (precision == "auto" and fast_in_bfloat16(device))


def fast_in_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 faster than float32, and torch may use those instructions.

    The environment variable ATEN_CPU_CAPABILITY limits torch to older instructions.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    on_x86 = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return bool((on_x86 and torch.backends.cpu.get_cpu_capability() == "AVX512") or capabilities.get("bf16"))
