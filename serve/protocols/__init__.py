"""The protocols of other model servers: Open Inference Protocol v2 and MLflow's."""
