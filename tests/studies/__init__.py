"""Tests of the studies service."""
