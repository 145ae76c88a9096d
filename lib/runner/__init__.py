"""The ordered, resumable run of all notebooks: ``python -m lib.runner --help``."""
