"""MSD_musicnn, a network pretrained on music: its weights, and the features and tags of songs."""
