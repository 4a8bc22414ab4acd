"""Metrics, slices and reports for a classifier, and a paired test for two classifiers."""
