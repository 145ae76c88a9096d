"""Shared, tested code of the workbook *Side Effects*: what fine-tuning fixes and breaks."""

__version__ = "0.1.0"
