"""How often an encoding is found from a short excerpt, and what a call costs, beside charset-normalizer.

    python benchmarks/decoding.py --text FILE.json

Excerpts of 10, 40 and 200 characters at even distances of a text, 60 each; Big5 of the text in traditional characters.
The text is the contexts of a SQuAD JSON file. A call counts as right where decoding gives the
excerpt back. Time is processor time of one thread, the best of five passes.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CODECS = ("gb18030", "gbk", "big5", "utf-16-le")
NUM_EXCERPTS = 60


def main() -> None:
    """Write the table to decoding.md, beside this file."""
    import opencc
    from charset_normalizer import from_bytes

    from bert_core.corpus.decode import detect_encoding

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, help="a SQuAD JSON file with Chinese contexts", required=True)
    articles = json.loads(parser.parse_args().text.read_text(encoding="utf-8"))["data"]
    text = "".join(paragraph["context"] for article in articles[:200] for paragraph in article["paragraphs"])

    def peer(raw: bytes) -> str:
        best = from_bytes(raw).best()
        return "utf-8" if best is None else best.encoding

    lines = [
        "# Encodings found from short excerpts",
        "",
        "`python benchmarks/decoding.py --text cmrc2018_dev.json`: excerpts of the contexts, 60 of each",
        "length, Big5 in traditional characters. Processor time of one thread, best of five passes.",
        "",
        "| characters | codec | right of 60, ours | charset-normalizer | ms a call, ours | charset-normalizer |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for length in (10, 40, 200):
        for codec in CODECS:
            source = opencc.OpenCC("s2t").convert(text) if codec == "big5" else text
            source = source.encode(codec, "ignore").decode(codec)
            step = (len(source) - length) // NUM_EXCERPTS
            excerpts = [source[index * step : index * step + length] for index in range(NUM_EXCERPTS)]
            (right, cost), (peer_right, peer_cost) = (
                measured(find, excerpts, codec) for find in (detect_encoding, peer)
            )
            lines.append(f"| {length} | {codec} | {right} | {peer_right} | {cost:.3f} | {peer_cost:.3f} |")
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def measured(find: Callable[[bytes], str], excerpts: list[str], codec: str) -> tuple[int, float]:
    """Return how many excerpts come back, and processor milliseconds a call."""
    raws = [excerpt.encode(codec) for excerpt in excerpts]
    right = sum(raw.decode(find(raw), "replace") == excerpt for raw, excerpt in zip(raws, excerpts, strict=True))
    costs = []
    for _ in range(5):
        began = time.thread_time()
        for raw in raws:
            find(raw)
        costs.append(1000 * (time.thread_time() - began) / len(raws))
    return right, min(costs)


if __name__ == "__main__":
    main()
