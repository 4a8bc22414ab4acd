"""The base of the project's errors."""


class RaygenreError(Exception):
    """Something that a user can cause or fix. The message says what failed, where, why, and what to do about it.

    Commands print it in one line and exit with 2. Any other exception is a bug and keeps its traceback.
    """
