"""Jobs: predictions for which the client does not wait, for audio of several hours."""
