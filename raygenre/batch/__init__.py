"""Predict and render songs by the million on a Ray cluster, with Ray Data."""
