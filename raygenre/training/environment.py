"""What the values of a training depend on beside its setting, its seed and its tracks: where and how it computes.

The same training gives the same curve, bit for bit, where all of this is the same. Other numbers of threads add up in
another order.
"""

import torch

from raygenre.model.convolution import algorithm
from raygenre.model.precision import uses_bfloat16
from raygenre.system.hardware import processor_name


def surroundings(device: torch.device, precision: str) -> dict[str, str]:
    """Return the device, what computes there and with which instructions, torch's threads, and the arithmetic.

    Args:
        precision: `auto`, `float32` or `bfloat16`, of which the last two are what it can come to.
    """
    bfloat16 = uses_bfloat16(precision, device)
    return {
        "device": device.type,
        "processor": _processor(device),
        "threads": str(torch.get_num_threads()),
        "precision": "bfloat16" if bfloat16 else "float32",
        "convolutions": algorithm(device, bfloat16=bfloat16),
    }


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    return f"{processor_name()}, {torch.backends.cpu.get_cpu_capability()}"
