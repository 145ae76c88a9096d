"""Checks of guesses that never raise and never tell the answer."""

from numbers import Real


def near(guess: object, answer: float, tolerance: float = 1e-6) -> bool:
    """Whether a guess is a number within `tolerance` of the answer; anything else is wrong."""
    return isinstance(guess, Real) and bool(abs(guess - answer) <= tolerance)
