"""The genre in each tag format: ID3, MP4, Vorbis comments, APE and ASF."""
