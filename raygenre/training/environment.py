"""Describe a training run's compute environment: device, processor, threads and arithmetic.

With the same settings, seeds and tracks, training in the same environment produces identical metrics, bit for bit. The
metrics may differ if, for instance, the number of threads changes, because numbers are then added in a different order.
"""

import torch

from raygenre.model.convolution import algorithm
from raygenre.model.precision import uses_bfloat16
from raygenre.system.hardware import processor_name


def compute_environment(device: torch.device, precision: str) -> dict[str, str]:
    """Return the device, its processor and instruction set, the number of torch threads, and the arithmetic.

    Args:
        precision: `auto`, `float32` or `bfloat16`. The returned precision is `float32` or `bfloat16`.
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
