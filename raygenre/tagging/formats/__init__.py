"""The genre in each format of tags: ID3, MP4, Vorbis comments, APE and ASF."""
