"""The one error that a user's mistake raises: a single line that says what to do."""


class InputError(ValueError):
    """A mistake in the user's input: names the file or the argument and says what to do.

    The command line prints it and exits with status 2; in Python it is an ordinary `ValueError`.
    """
