"""The tables of ``data/README.md``: what the registry of public datasets holds, and its hashes."""

from lib.measures.benchmarks.registry import Dataset, registry
from lib.study.text import cell, table

WHAT = ["dataset", "what", "rights", "cite", "public source"]
FILES = ["dataset", "file", "SHA-256"]


def dataset_tables() -> str:
    """Markdown: one row a dataset, then one row a file."""
    datasets = registry().values()
    what = [[d.name, f"{d.title}. {d.note}".rstrip(". ") + ".", d.licence, d.citation, _source(d)]
            for d in datasets]
    files = [[d.name, file.name, file.sha256] for d in datasets for file in d.files.values()]
    return "\n\n".join(
        table(header, [[cell(value) for value in row] for row in rows])
        for header, rows in ((WHAT, what), (FILES, files))
    )


def _source(dataset: Dataset) -> str:
    """The repositories of its files, with the first eight digits of their commits."""
    sources = [file.source.partition(":")[0] for file in dataset.files.values()]
    named = dict.fromkeys(source[: source.index("@") + 9] for source in sources if source)
    return ", ".join(named) or "a mirror only"
