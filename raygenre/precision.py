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
    """Whether the hardware multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
