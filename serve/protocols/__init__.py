"""Protocols of other model servers, for their clients: Open Inference Protocol v2 and MLflow's scoring server."""
