"""Objects that manifests refer to but do not create, such as secrets."""

SECRETS = {
    "ray-token": {"auth_token"},
    "api-keys": {"keys"},
    "mlflow-server": {"admin-password", "flask-key"},
    "mlflow-search": {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"},
    "mlflow-serving": {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"},
    "postgres-mlflow": {"PGHOST", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSSLMODE"},
    "postgres-search": {"PGHOST", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSSLMODE"},
    "s3": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"},
    "redis": {"password"},
}
"""Secrets by name, with their keys. They are created with the commands in k8s/README.md."""

PORTS = {"postgres-mlflow": 5432, "postgres-search": 5432, "s3": 443}
"""For each secret, the port outside the namespace that a pod with this secret must reach."""

CONFIG_MAPS = {"kube-root-ca.crt": {"ca.crt"}}
"""ConfigMaps that Kubernetes creates in every namespace."""
