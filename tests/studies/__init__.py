"""Tests of the service of studies."""
