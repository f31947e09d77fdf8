"""The small language of `data.rows.where`."""


def parse_predicate(text: str) -> object:
    """Placeholder until the parser is written."""
    return text
