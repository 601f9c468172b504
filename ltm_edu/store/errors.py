"""The one error that a user's mistake raises: a single line that says what to do."""


class InputError(ValueError):
    """A mistake in what the user gave: names the file or argument and says what to do.

    The command line prints it and exits with status 2; in Python it is an ordinary `ValueError`.
    """
