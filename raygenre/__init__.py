"""Search, compare and serve convolutional networks for music genres."""
