"""Jobs: predictions that run in the background, for audio that lasts several hours."""
