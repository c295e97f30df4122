"""What can go wrong with a study for which the message is all that the user needs."""


class StudyError(ValueError):
    """A study that cannot be read, run or resumed; the message says what to change."""
