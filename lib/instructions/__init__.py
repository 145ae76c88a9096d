"""Instruction sets of rational forecasts for any chat model, usable outside this project.

`styles` words the questions, `processes` says what may lie behind the numbers and in which split,
`series` draws and labels, `rows` makes the sets, `folder` writes a Hugging Face ``datasets``
folder, JSONL and a data card. On the command line:
``python -m lib.instructions --profile sandbox --out FOLDER``.
"""

from lib.instructions.folder import export
from lib.instructions.rows import LABELS, instruction_sets, preview

__all__ = ["LABELS", "export", "instruction_sets", "preview"]
