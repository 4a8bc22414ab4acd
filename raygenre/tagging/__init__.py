"""Write genres into the tags of audio files, and take them back exactly."""
