"""Text from a corpus or a file name, made safe to show: what would hide or act is shown by its number.

Used for markdown artifacts and for the terminal; a control sequence in a document can neither move the cursor nor
turn the text around it.
"""

_HIDDEN = frozenset(
    number
    for first, last in [
        (0x00, 0x1F),
        (0x7F, 0x9F),
        (0x061C, 0x061C),
        (0x200E, 0x200F),
        (0x2028, 0x202E),
        (0x2066, 0x2069),
        (0xFEFF, 0xFEFF),
    ]
    for number in range(first, last + 1)
)
"""Control characters, line separators, and marks that change the direction of text."""

_SHOWN = {number: f"\\u{{{number:x}}}" for number in _HIDDEN}


def visible(text: str) -> str:
    r"""Show hidden and acting characters by their number.

    Example: an escape character followed by `[2J` gives `\u{1b}[2J`; a newline gives `\u{a}`.
    """
    return text.translate(_SHOWN)
