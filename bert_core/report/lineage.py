"""The lineage of a run as inline SVG: stages as boxes from the raw files down, arrows from what they were built from.

A layered layout in three steps, small enough to read: a stage lies below the lowest of its parents, and stages that
only feed later ones sink next to them; a long arrow gets an invisible box in every layer that it passes, so that it
goes around the boxes; a few sweeps order each layer by the mean place of its neighbours. An arrow that follows from
others is left out (A -> C where A -> B -> C).

Colours are CSS variables and classes of the page (`html.py`); the layout knows neither manifests nor files.

Source: Sugiyama, Tagawa and Toda 1981, "Methods for visual understanding of hierarchical system structures".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

BOX_HEIGHT = 46
LAYER_GAP = 38
BOX_GAP = 18
PASSAGE_WIDTH = 8
MARGIN = 10
NUM_SWEEPS = 12
_CHARACTER_WIDTH = 7.5
"""Mean width of a character of a box's title, pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A box of the graph."""

    id: str
    """Stage id."""
    kind: str
    """Kind of stage: a class of the box."""
    action: str
    """`run` or `reuse`: a class of the box; empty where unknown."""
    note: str
    """A short line under the title, such as `19,484 rows`."""
    parents: tuple[str, ...]
    """Ids of the boxes that it is built from; those that are not there are passed over."""


@dataclass(slots=True)
class _Place:
    """Where a box or a passage of a long arrow lies."""

    layer: int
    width: float
    x: float = 0.0


def draw_lineage(nodes: Sequence[Node]) -> str:
    """Lay out a graph without cycles and draw it.

    Args:
        nodes: boxes; ids are unique.

    Returns:
        An `<svg class="lineage">` element; empty where there is no node.
    """
    if not nodes:
        return ""
    parents = direct_parents({node.id: node.parents for node in nodes})
    layers = layers_of(parents)
    places = {node.id: _Place(layer=layers[node.id], width=_box_width(node)) for node in nodes}
    chains: dict[tuple[str, str], list[str]] = {}
    for child, its_parents in parents.items():
        for parent in its_parents:
            chain = [parent]
            for layer in range(layers[parent] + 1, layers[child]):
                chain.append(f"{parent}\0{child}\0{layer}")
                places[chain[-1]] = _Place(layer=layer, width=PASSAGE_WIDTH)
            chains[parent, child] = [*chain, child]
    _arrange(places, list(chains.values()))
    width = max(place.x + place.width / 2 for place in places.values()) + MARGIN
    height = (max(layers.values()) + 1) * (BOX_HEIGHT + LAYER_GAP) - LAYER_GAP + 2 * MARGIN
    arrows = "".join(_arrow(chain, places) for chain in chains.values())
    boxes = "".join(_box(node, places[node.id]) for node in nodes)
    return (
        f'<svg class="lineage" role="img" aria-label="Lineage of the run: {len(nodes)} stages" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0.5 7.5 4 0 7.5z"/></marker></defs>{arrows}{boxes}</svg>'
    )


def direct_parents(parents: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Keep the parents that no other parent descends from.

    Example: `{"a": [], "b": ["a"], "c": ["a", "b"]}` -> `{"a": [], "b": ["a"], "c": ["b"]}`.
    """
    above: dict[str, set[str]] = {}

    def ancestors(node: str) -> set[str]:
        if node not in above:
            above[node] = set()
            for parent in parents[node]:
                if parent in parents:
                    above[node] |= {parent} | ancestors(parent)
        return above[node]

    kept = {}
    for node, its_parents in parents.items():
        known = list(dict.fromkeys(parent for parent in its_parents if parent in parents))
        kept[node] = [p for p in known if not any(p in ancestors(other) for other in known if other != p)]
    return kept


def layers_of(parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Give each node a layer below its parents; a node that feeds others sinks to just above the first of them.

    Example: `{"a": [], "b": ["a"], "c": ["b"], "x": [], "d": ["c", "x"]}` -> a 0, b 1, c 2, x 2, d 3.
    """
    layers: dict[str, int] = {}

    def layer(node: str) -> int:
        if node not in layers:
            layers[node] = 1 + max((layer(parent) for parent in parents[node]), default=-1)
        return layers[node]

    for node in parents:
        layer(node)
    children: dict[str, list[str]] = {node: [] for node in parents}
    for node, its_parents in parents.items():
        for parent in its_parents:
            children[parent].append(node)
    for node in sorted(parents, key=lambda name: -layers[name]):
        if children[node]:
            layers[node] = min(layers[child] for child in children[node]) - 1
    return layers


def _arrange(places: dict[str, _Place], chains: list[list[str]]) -> None:
    """Set the x of every place: order the layers by their neighbours, then centre boxes among them."""
    neighbours: dict[str, tuple[list[str], list[str]]] = {name: ([], []) for name in places}
    for chain in chains:
        for upper, lower in pairwise(chain):
            neighbours[lower][0].append(upper)
            neighbours[upper][1].append(lower)
    rows: list[list[str]] = [[] for _ in range(1 + max(place.layer for place in places.values()))]
    for name, place in places.items():
        rows[place.layer].append(name)
    for row in rows:
        _pack(row, places, [0.0] * len(row))
    for sweep in range(NUM_SWEEPS):
        side = sweep % 2
        for row in rows if side == 0 else reversed(rows):
            wanted = []
            for name in row:
                near = (
                    neighbours[name][side] if sweep < NUM_SWEEPS - 2 else [*neighbours[name][0], *neighbours[name][1]]
                )
                wanted.append(sum(places[other].x for other in near) / len(near) if near else places[name].x)
            order = sorted(range(len(row)), key=lambda index: (wanted[index], index))
            row[:] = [row[index] for index in order]
            _pack(row, places, [wanted[index] for index in order])
    left = min(place.x - place.width / 2 for place in places.values())
    for place in places.values():
        place.x += MARGIN - left


def _pack(row: list[str], places: dict[str, _Place], wanted: list[float]) -> None:
    """Put the boxes of a layer as near to where they want to be as their widths allow, in the order given.

    Boxes that would overlap form a block that is centred on the mean of their wishes, as in the
    pool-adjacent-violators rule of isotonic regression.
    """
    blocks: list[tuple[float, int, list[str]]] = []  # sum of (wish - offset), number of boxes, names
    offsets: dict[str, float] = {}
    right = 0.0
    for name, wish in zip(row, wanted, strict=True):
        half = places[name].width / 2
        offsets[name] = right + half
        right += places[name].width + BOX_GAP
        blocks.append((wish - offsets[name], 1, [name]))
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, number, names = blocks.pop()
            blocks[-1] = (blocks[-1][0] + total, blocks[-1][1] + number, blocks[-1][2] + names)
    for total, number, names in blocks:
        for name in names:
            places[name].x = total / number + offsets[name]


def _box_width(node: Node) -> float:
    longest = max(len(node.id) * _CHARACTER_WIDTH, len(node.note) * _CHARACTER_WIDTH * 0.86)
    return round(max(84.0, longest + 24))


def _top(layer: int) -> float:
    return MARGIN + layer * (BOX_HEIGHT + LAYER_GAP)


def _arrow(chain: list[str], places: dict[str, _Place]) -> str:
    """A smooth line from the lower edge of the first box through the passages to the upper edge of the last."""
    first, last = places[chain[0]], places[chain[-1]]
    x, y = first.x, _top(first.layer) + BOX_HEIGHT
    path = [f"M{x:.1f} {y:.1f}"]
    for name in chain[1:]:
        place = places[name]
        top = _top(place.layer)
        middle = (y + top) / 2
        path.append(f"C{x:.1f} {middle:.1f} {place.x:.1f} {middle:.1f} {place.x:.1f} {top - (place is last):.1f}")
        x, y = place.x, top
        if place is not last:
            y = top + BOX_HEIGHT
            path.append(f"V{y:.1f}")
    return f'<path class="arrow" d="{"".join(path)}" marker-end="url(#tip)"/>'


def _box(node: Node, place: _Place) -> str:
    left, top = place.x - place.width / 2, _top(place.layer)
    title = escape(f"{node.id}: {node.action or 'no decision'}, {node.note}", quote=True)
    return (
        f'<g class="box {escape(node.kind, quote=True)} {escape(node.action, quote=True)}"><title>{title}</title>'
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{place.width:.0f}" height="{BOX_HEIGHT}" rx="9"/>'
        f'<text x="{place.x:.1f}" y="{top + 20:.1f}">{escape(node.id)}</text>'
        f'<text class="note" x="{place.x:.1f}" y="{top + 36:.1f}">{escape(node.note)}</text></g>'
    )
