"""Search spaces, objectives, samplers, start points and the search configuration."""
