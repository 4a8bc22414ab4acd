"""The kinds of input that a network can have, one module each."""
