"""Objects that manifests refer to but do not create, such as secrets."""

SECRETS = {
    "ray-token": {"auth_token"},
    "api-keys": {"keys"},
    "mlflow-server": {"admin-password", "flask-key"},
    "mlflow-search": {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"},
    "mlflow-serving": {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"},
    "postgres-mlflow": {"PGHOST", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSSLMODE"},
    "postgres-search": {"PGHOST", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSSLMODE"},
    "postgres-jobs": {"PGHOST", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSSLMODE"},
    "s3": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"},
    "redis": {"password"},
}
"""Secrets by name, with their keys. They are created with the commands in k8s/README.md."""

USERS = {
    "ray-token": {"search", "serving", "studies"},
    "api-keys": {"serving"},
    "mlflow-server": {"mlflow"},
    "mlflow-search": {"search", "studies"},
    "mlflow-serving": {"serving"},
    "postgres-mlflow": {"mlflow", "migration"},
    "postgres-search": {"search", "studies"},
    "postgres-jobs": {"serving"},
    "s3": {"mlflow", "search", "studies"},
    "redis": {"redis", "serving"},
}
"""For each secret, the components whose pods may use it."""

VARIABLES = {
    "MLFLOW_AUTH_ADMIN_PASSWORD": ("mlflow-server", "admin-password"),
    "MLFLOW_FLASK_SERVER_SECRET_KEY": ("mlflow-server", "flask-key"),
    "REDISCLI_AUTH": ("redis", "password"),
}
"""For each variable that reads a single key of a secret, the secret and the key."""

PORTS = {"postgres-mlflow": 5432, "postgres-search": 5432, "postgres-jobs": 5432, "s3": 443}
"""For each secret, the port outside the namespace that pods with this secret must reach."""

CONFIG_MAPS = {"kube-root-ca.crt": {"ca.crt"}}
"""ConfigMaps that Kubernetes creates in every namespace."""
