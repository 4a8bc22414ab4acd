"""Errors of batch jobs on a cluster."""

from raygenre.errors import RaygenreError


class BatchError(RaygenreError, ValueError):
    """A source, the output or a node of the cluster is unusable.

    The message states which of these is unusable, why, and what to do.
    """
