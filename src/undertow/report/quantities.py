"""Numbers with their units in words, also where they are not known."""


def written(value: float | None, form: str) -> str:
    """A number in a format, or that it is not known."""
    return "not known" if value is None else f"{value:{form}}"


def seconds(value: float | None) -> str:
    """A time; None is one without end."""
    if value is None:
        return "unbounded"
    return f"{1e3 * value:.3g} ms" if value < 1 else f"{value:.3g} s"


def hertz(value: float | None) -> str:
    """A frequency; None is none, and says nothing."""
    return "" if value is None else f"{value:.3g} Hz"
