"""Text of others, harmless to the terminal it is shown on."""


def plain(text: str) -> str:
    """`text` with all that steers a terminal, or hides in it, made visible; hosts and models write what they like."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
