"""Registered models in MLflow, and the rules by which a version becomes the champion."""
