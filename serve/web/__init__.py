"""HTTP routes, request log, OpenAPI document and the upload page."""
