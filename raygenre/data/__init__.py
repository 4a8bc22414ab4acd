"""Data sets: folders of tracks, duplicates, splits and playlists."""
