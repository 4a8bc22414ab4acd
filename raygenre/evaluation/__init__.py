"""Metrics, slices and reports of a classifier, and the paired test of two classifiers."""
