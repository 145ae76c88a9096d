"""``python -m lib.measures.benchmarks`` prints the tables of ``data/README.md``."""

from lib.measures.benchmarks.registry import catalogue, checksums
from lib.study.text import cell, table


def dataset_tables() -> str:
    """Markdown: one row a dataset, then one row a file."""
    what = [
        [row.dataset, f"{row.title}. {row.note}".rstrip(". ") + ".", row.licence, row.citation,
         row.source] for row in catalogue().itertuples()
    ]
    files = checksums()[["dataset", "file", "sha256"]].to_numpy().tolist()
    tables = [
        table(header, [[cell(value) for value in row] for row in rows])
        for header, rows in (
            (["dataset", "what", "rights", "cite", "public source"], what),
            (["dataset", "file", "SHA-256"], files),
        )
    ]
    return "\n\n".join(tables)


if __name__ == "__main__":
    print(dataset_tables())
