"""Which facts of a drawn scene a paragraph states: true, false, and missing ones; repetitions and nonsense.

A scene of n objects has 4 n + 2 facts: their number; of each object its colour with its shape, its size, its material
and its place; and that some of them have something in common. Sentences are parsed by the inverse of the grammar that
describes scenes (data/paragraphs/scene_grammar.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from reverie.data.paragraphs.scene_grammar import (
    Aggregate,
    Count,
    Mention,
    SceneObject,
    Statement,
    how_many,
    parse,
    relation,
)
from reverie.data.text.sentences import split_sentences

OF_OBJECT = 4
"""facts of an object"""


class FactCounts(NamedTuple):
    """What a paragraph states of a scene."""

    true: int
    false: int
    """facts that are stated"""
    unparsed: int
    """sentences that are no statement"""
    duplicate: int
    """sentences that say what an earlier one said"""
    missing: int
    """facts of the scene that are not stated, or not as they are"""
    visits_once_in_order: bool
    """whether each object is described once, by its colour and shape, from left to right, and nothing else is"""
    held_out_true: int
    held_out_total: int
    """objects whose colour and shape never meet in training: those described by both, and all in the scene"""
    total: int
    """facts of the scene"""


def check(paragraph: str | Sequence[str], scene: Sequence[SceneObject]) -> FactCounts:
    """What a paragraph, as a text or as sentences, states of the objects of a scene from left to right.

    A description is of the object that makes most of its facts true, each object being described once at most; it is of
    none if it shares neither colour nor shape with any. "It" is the object that the description before is of.
    """
    sentences = split_sentences(paragraph) if isinstance(paragraph, str) else paragraph
    statements = [statement for sentence in sentences if (statement := parse(sentence))]
    fresh = _without_repetitions(statements, scene)
    mentions = [statement for statement in fresh if isinstance(statement, Mention)]
    matched = assign(mentions, scene)
    before = [None, *matched]
    facts = [_facts(m, i, j, scene) for m, i, j in zip(mentions, before, matched, strict=False)]
    counted = [len(scene) == one.number for one in fresh if isinstance(one, Count)]
    grouped = [how_many(scene, one.value) == one.number for one in fresh if isinstance(one, Aggregate)]
    stated = [fact for of_object in facts for fact in of_object] + counted + grouped
    total = OF_OBJECT * len(scene) + 2
    named = [j for j, of_object in zip(matched, facts, strict=True) if of_object[0]]
    repeated = len(statements) - len(fresh)
    return FactCounts(
        true=sum(stated),
        false=len(stated) - sum(stated),
        unparsed=len(sentences) - len(statements),
        duplicate=repeated,
        missing=total - sum(map(sum, facts)) - any(counted) - any(grouped),
        visits_once_in_order=named == list(range(len(scene))) and len(mentions) == len(scene) and not repeated,
        held_out_true=sum(scene[j].held_out for j in named if j is not None),
        held_out_total=sum(thing.held_out for thing in scene),
        total=total,
    )


def _without_repetitions(statements: Sequence[Statement], scene: Sequence[SceneObject]) -> list[Statement]:
    """The statements without those that say what an earlier one said; of k objects that look alike, k descriptions do
    not."""
    alike = Counter(_looks(thing) for thing in scene)
    said, fresh = Counter[tuple[object, ...]](), list[Statement]()
    for statement in statements:
        key = _looks(statement) if isinstance(statement, Mention) else (type(statement), *statement)
        if said[key] < max(1, alike[key]):
            fresh.append(statement)
        said[key] += 1
    return fresh


def _looks(thing: SceneObject | Mention) -> tuple[object, ...]:
    return thing.size, thing.colour, thing.material, thing.shape


def assign(mentions: Sequence[Mention], scene: Sequence[SceneObject]) -> list[int | None]:
    """The object that each description is of, None for none, so that as many facts as possible are true.

    Of equal assignments the one that goes more often from left to right. Found by dynamic programming over the
    descriptions, the sets of objects described so far, and the object before.
    """

    @cache
    def best(m: int, used: frozenset[int], before: int | None) -> tuple[int, int, tuple[int | None, ...]]:
        """(true facts, steps to the right, objects) of the descriptions from m on."""
        if m == len(mentions):
            return 0, 0, ()
        true, steps, objects = best(m + 1, used, None)
        found = (true, steps, (None, *objects))
        for j, thing in enumerate(scene):
            if j in used or not (thing.colour == mentions[m].colour or thing.shape == mentions[m].shape):
                continue
            true, steps, objects = best(m + 1, used | {j}, j)
            true += sum(_facts(mentions[m], before, j, scene))
            steps += before is not None and j > before
            if (true, steps) > found[:2]:
                found = (true, steps, (j, *objects))
        return found

    return list(best(0, frozenset(), None)[2])


def _facts(
    mention: Mention, before: int | None, j: int | None, scene: Sequence[SceneObject]
) -> tuple[bool, bool, bool, bool]:
    """Whether what is said of object j is true: colour with shape, size, material, place. before: what "it" is."""
    if j is None:
        return False, False, False, False
    thing = scene[j]
    if mention.first:
        placed = j == 0 and mention.place == thing.row
    else:
        placed = before is not None and before < j and mention.place == relation(scene[before], thing)
    looks = (mention.colour, mention.shape) == (thing.colour, thing.shape)
    return looks, mention.size == thing.size, mention.material == thing.material, placed


def fact_scores(counts: Iterable[FactCounts]) -> dict[str, float]:
    """Shares over paragraphs: precision and recall of facts, both 1 at best, and what else FactCounts counts.

    "precision": true of all facts stated, a sentence that is no statement counting as a false one; "recall": stated of
    all facts; "unparsed", "duplicate": sentences a paragraph; "once in order": share of paragraphs; "held-out recall":
    objects described by colour and shape, of those whose colour and shape never meet in training (nan without any).
    """
    rows = list(counts)

    def of(name: str) -> int:
        return sum(getattr(row, name) for row in rows)

    stated = of("true") + of("false") + of("unparsed")
    return {
        "precision": of("true") / stated if stated else 0.0,
        "recall": 1 - of("missing") / of("total"),
        "unparsed": of("unparsed") / len(rows),
        "duplicate": of("duplicate") / len(rows),
        "once in order": of("visits_once_in_order") / len(rows),
        "held-out recall": of("held_out_true") / of("held_out_total") if of("held_out_total") else float("nan"),
    }
