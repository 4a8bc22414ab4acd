"""MSD_musicnn, a network pretrained on music: its weights, features and tags."""
