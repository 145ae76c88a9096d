"""Columns of the instruction sets: kind and meaning, for the files and for the data card."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datasets

COLUMNS = {
    "messages": ("chat", "the chat as role and content; the last message is the assistant's"),
    "prompt": ("text", "all that stands before the answer, as one text for models without roles"),
    "answer": ("text", "the label: the number alone, rounded to the decimals of the style"),
    "label_type": ("text", "whose forecast the answer is"),
    "process": ("text", "what generated the series: ar1, ar2, ma1 or `local_level`"),
    "rho": ("number", "persistence of an AR(1), else null"),
    "phi1": ("number", "first coefficient of an AR(2), else null"),
    "phi2": ("number", "second coefficient of an AR(2), else null"),
    "theta": ("number", "coefficient of an MA(1), else null"),
    "level_ratio": ("number", "local level: sd of the level's steps over sigma, else null"),
    "sigma": ("number", "sd of the innovations (local level: of the noise), in the unit"),
    "mu": ("number", "mean of the series (random walk and local level: where it starts), "
                     "in the unit"),
    "horizon": ("count", "periods from the last value shown to the one asked for: 1 or 2"),
    "style": ("text", "how the question is worded"),
    "group": ("text", "kind of style: prices, returns, units, story or chat"),
    "held_out": ("flag", "a style of the test split alone"),
    "unit": ("text", "what the numbers count"),
    "decimals": ("count", "decimals shown, in history and answer"),
    "series": ("text", "identifier of the series; cluster errors by it"),
    "t": ("count", "position of the last value shown in its series, from 0"),
    "history": ("numbers", "values shown, oldest first, exactly as displayed"),
    "outcome": ("number", "what came at t + horizon, as it would be displayed"),
    "forecast": ("number", "full-information forecast before rounding"),
    "forecast_bayes": ("number", "posterior-mean forecast before rounding"),
    "forecast_least_squares": ("number", "least-squares forecast before rounding"),
    "split": ("text", "train, validation or test"),
}
"""Name to kind and meaning, in the order of the files."""


def features() -> "datasets.Features":
    """The columns as types of Hugging Face ``datasets``."""
    from datasets import Features, List, Value  # slow to import

    text, number = Value("string"), Value("float64")
    kinds = {
        "text": text, "number": number, "count": Value("int64"), "flag": Value("bool"),
        "numbers": List(number), "chat": List({"role": text, "content": text}),
    }
    return Features({name: kinds[kind] for name, (kind, _) in COLUMNS.items()})
