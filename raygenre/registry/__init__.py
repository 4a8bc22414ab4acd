"""Registered models in MLflow, and the rules by which one becomes the champion."""
