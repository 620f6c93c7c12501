"""The one error that this room raises for a user's mistake."""


class DataError(ValueError):
    """The data are missing or not what a reader needs; the message is one line with the remedy."""
