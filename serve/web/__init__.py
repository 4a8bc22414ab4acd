"""The HTTP API, its OpenAPI document and its pages."""
