"""Trials under Ray Tune: searcher, scheduler, trainable and recorder."""
