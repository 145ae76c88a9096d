"""XSTest: prompts that sound unsafe and are not, beside ones that are (Rottger et al. 2024)."""

import pandas as pd

from lib.measures.benchmarks.registry import locate


def prompts() -> pd.DataFrame:
    """``item, label, type, focus, prompt``: 250 safe prompts of 10 types, 200 unsafe contrasts."""
    frame = pd.read_csv(locate("xstest", "xstest_prompts.csv"), keep_default_na=False)
    frame = frame.rename(columns={"id": "item"})
    return frame[["item", "label", "type", "focus", "prompt"]]
