"""Write genres into the tags of audio files, and undo the changes exactly."""
