"""The two ways in which a command ends early: a user's mistake, or a run that failed."""


class UsageError(ValueError):
    """A mistake in what was asked for; the message is one line with the remedy. Exit code 2."""


class RunError(RuntimeError):
    """A run that was asked for rightly and failed, as by a loss that is not finite. Exit code 1."""
