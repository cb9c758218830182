"""Classes and objects on regions: nodes as intervals, strokes, undo, locks, scribbles, the journal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from napari_pcnet.annotation.classes import ClassTable
from napari_pcnet.annotation.drawn import paint_majority, regions_along
from napari_pcnet.annotation.journal import Journal, fingerprint, place_of
from napari_pcnet.annotation.nested import NestedRegions
from napari_pcnet.annotation.objects import detach, merge_into, split, unused_number
from napari_pcnet.annotation.strokes import Annotation
from napari_pcnet.colours import default_colour
from napari_pcnet.disk import download
from napari_pcnet.hierarchy import Measures, PCNetHierarchy
from napari_pcnet.merging.tree import Tree

BASE = np.array([[0, 0, 1, 1], [2, 2, 3, 4]], np.int32)
"""Five regions of 2, 2, 2, 1 and 1 pixels."""

TREE = Tree(5, np.array([[0, 2], [3, 4], [1, 6], [5, 7]]), np.array([1.0, 2.0, 3.0, 4.0]))
"""5 is {0, 2}; 6 is {3, 4}; 7 is {1, 3, 4}; 8 is all."""


def hierarchy_of(base: NDArray[np.int32], *trees: Tree) -> PCNetHierarchy:
    area = np.split(np.bincount(base[base >= 0]), np.cumsum([tree.leaves for tree in trees])[:-1])
    measures = tuple(Measures(each, np.ones((len(each), 1)), np.empty(0)) for each in area)
    return PCNetHierarchy(base, trees, measures)


def drawn() -> tuple[PCNetHierarchy, Annotation]:
    hierarchy = hierarchy_of(BASE, TREE)
    return hierarchy, Annotation.of(hierarchy)


def random_tree(leaves: int, roots: int, seed: int) -> Tree:
    random = np.random.default_rng(seed)
    nodes, children = list(range(leaves)), []
    while len(nodes) > roots:
        pair = [nodes.pop(int(random.integers(len(nodes)))) for _ in range(2)]
        children.append(pair)
        nodes.append(leaves + len(children) - 1)
    return Tree(leaves, np.array(children, np.int64).reshape(-1, 2), np.arange(len(children), dtype=float))


def random_stack() -> PCNetHierarchy:
    """Two planes of 60 and 40 regions, one of them in three parts."""
    base = np.concatenate([np.arange(60), np.arange(60, 100).repeat(2)[:60]]).reshape(2, 6, 10)
    base[1] = 60 + np.arange(60).reshape(6, 10) * 40 // 60
    return hierarchy_of(base.astype(np.int32), random_tree(60, 3, 0), random_tree(40, 1, 1))


# -- nodes as intervals ------------------------------------------------------------------------------------


def leaves_below(tree: Tree, node: int) -> set[int]:
    if node < tree.leaves:
        return {node}
    one, other = tree.children[node - tree.leaves]
    return leaves_below(tree, one) | leaves_below(tree, other)


def test_a_small_tree_is_numbered_as_it_is_drawn() -> None:
    nested = NestedRegions.of([TREE])
    assert_array_equal(nested.order, [0, 2, 1, 3, 4])
    assert [nested.span(node) for node in range(9)] == [
        *((0, 1), (2, 3), (1, 2), (3, 4), (4, 5)),
        *((0, 2), (3, 5), (2, 5), (0, 5)),
    ]


def test_the_regions_of_every_node_follow_one_another() -> None:
    stack = random_stack()
    nested = NestedRegions.of(stack.trees)
    assert_array_equal(np.sort(nested.order), np.arange(100))
    assert_array_equal(nested.order[nested.rank], np.arange(100))
    first_region, first_merge = 0, 100
    for tree in stack.trees:
        for merge in range(len(tree.children)):
            expected = {first_region + leaf for leaf in leaves_below(tree, tree.leaves + merge)}
            span = slice(*nested.span(first_merge + merge))
            assert set(nested.order[span].tolist()) == expected
        first_region += tree.leaves
        first_merge += len(tree.children)


@pytest.mark.parametrize("counts", [(60, 40), (3, 1), (3, 40), (60, 1), (17, 9), (4, 39)])
def test_nodes_and_parts_of_a_cut_are_those_of_the_labels(counts: tuple[int, int]) -> None:
    stack = random_stack()
    nested = NestedRegions.of(stack.trees)
    table = stack._table(stack._parts(counts))[:-1]
    for region in range(100):
        part = nested.order[slice(*nested.span(nested.node_at(region, counts)))]
        assert_array_equal(np.sort(part), np.flatnonzero(table == table[region]))
    starts = nested.starts(counts)
    assert len(starts) == sum(counts)
    for here, end in zip(starts, [*starts[1:], 100], strict=True):
        assert len(set(table[nested.order[here:end]].tolist())) == 1


def test_one_goes_up_and_down_the_tree() -> None:
    nested = NestedRegions.of([TREE])
    assert [nested.parent_of(node) for node in range(9)] == [5, 7, 5, 6, 6, 8, 7, 8, 8]
    assert [nested.child_of(8, region) for region in range(5)] == [5, 7, 5, 7, 7]
    assert nested.child_of(7, 4) == 6 and nested.child_of(6, 4) == 4 == nested.child_of(4, 4)


def test_planes_are_numbered_one_after_the_other_whatever_their_roots_are() -> None:
    pair, single = Tree(2, np.array([[0, 1]]), np.ones(1)), Tree(1, np.empty((0, 2), np.int64), np.empty(0))
    assert_array_equal(NestedRegions.of([pair, single]).order, [0, 1, 2])
    assert_array_equal(NestedRegions.of([single, pair]).order, [0, 1, 2])


def test_a_tree_without_merges_and_a_chain_are_numbered() -> None:
    assert_array_equal(NestedRegions.of([Tree(3, np.empty((0, 2), np.int64), np.empty(0))]).order, range(3))
    n = 2000  # deeper than Python may recurse
    chain = np.array([[0, 1], *([n + k, k + 2] for k in range(n - 2))])
    nested = NestedRegions.of([Tree(n, chain, np.arange(n - 1.0))])
    assert_array_equal(nested.rank, np.arange(n))
    assert nested.span(n + 998) == (0, 1000)


# -- strokes -----------------------------------------------------------------------------------------------


def test_a_stroke_gives_a_class_to_the_part_of_the_cut_under_the_point() -> None:
    _, annotation = drawn()
    node = annotation.nested.node_at(3, (3,))  # {0, 2}, {1}, {3, 4}
    assert annotation.assign(node, 2)
    assert_array_equal(annotation.table[BASE], [[0, 0, 0, 0], [0, 0, 2, 2]])
    assert annotation.table.dtype == np.uint8
    assert [annotation.regions_of(k) for k in (0, 1, 2)] == [3, 0, 2]
    assert [annotation.area_of(k) for k in (0, 1, 2)] == [6, 0, 2]
    assert not annotation.assign(node, 2)  # it has it already: no stroke
    assert annotation.undo() and not annotation.can_undo and not annotation.undo()
    assert not annotation.table.any()


def test_what_lies_outside_has_no_class() -> None:
    base = np.where(BASE == 4, -1, BASE)
    annotation = Annotation.of(hierarchy_of(base, Tree(4, np.array([[0, 1], [2, 3], [4, 5]]), np.zeros(3))))
    annotation.assign(6, 9)
    assert_array_equal(annotation.table[base], [[9, 9, 9, 9], [9, 9, 9, 0]])


def test_coarse_and_fine_strokes_mix_and_the_count_only_sizes_the_brush() -> None:
    _, annotation = drawn()
    nested = annotation.nested
    annotation.assign(nested.node_at(0, (1,)), 1)
    annotation.assign(nested.node_at(1, (2,)), 2)
    annotation.assign(nested.node_at(4, (5,)), 3)
    assert_array_equal(annotation.table[BASE], [[1, 1, 2, 2], [1, 1, 2, 3]])
    assert annotation.used() == [1, 2, 3]


def test_a_click_assigns_and_again_clears() -> None:
    _, annotation = drawn()
    for expected in (4, 0, 4):
        annotation.toggle(7, 4)
        assert_array_equal(annotation.table[[1, 3, 4]], expected)
    annotation.assign(3, 1)
    annotation.toggle(7, 4)  # only a part of it had the class
    assert_array_equal(annotation.table, [0, 4, 0, 4, 4, 0])


def test_a_locked_class_keeps_its_regions() -> None:
    locked = np.zeros(256, bool)
    annotation = Annotation.of(hierarchy_of(BASE, TREE), locked=locked)
    annotation.assign(6, 1)
    locked[1] = True
    annotation.assign(8, 2)
    assert_array_equal(annotation.table[BASE], [[2, 2, 2, 2], [2, 2, 1, 1]])
    annotation.toggle(8, 2)  # all that is free has it: it is cleared
    assert_array_equal(annotation.table[BASE], [[0, 0, 0, 0], [0, 0, 1, 1]])
    assert not annotation.toggle(6, 2) and not annotation.toggle(6, 1)
    locked[1] = False
    assert annotation.toggle(6, 2)


@pytest.mark.parametrize("number", [-1, 256])
def test_a_number_that_is_no_class_is_refused(number: int) -> None:
    _, annotation = drawn()
    with pytest.raises(ValueError, match=f"a number must be from 0 to 255, got {number}"):
        annotation.assign(8, number)


def random_actions(annotation: Annotation, stack: PCNetHierarchy, seed: int) -> list[NDArray[np.uint8]]:
    """Strokes of one or many assignments at any count; the numbers after each, the first before all."""
    random = np.random.default_rng(seed)
    states = [annotation.numbers.copy()]
    for _ in range(80):
        with annotation.stroke():
            for _ in range(random.integers(1, 5)):
                counts = (int(random.integers(3, 61)), int(random.integers(1, 41)))
                node = annotation.nested.node_at(int(random.integers(100)), counts)
                annotation.assign(node, int(random.integers(0, 4)))
        if len(annotation._done) == len(states):
            states.append(annotation.numbers.copy())
    assert len(states) > 60
    return states


def test_undo_to_the_beginning_gives_each_earlier_state_and_redo_each_later_one() -> None:
    stack = random_stack()
    annotation = Annotation.of(stack)
    states = random_actions(annotation, stack, 0)
    for state in reversed(states[:-1]):
        assert annotation.undo()
        assert_array_equal(annotation.numbers, state)
    assert not annotation.undo() and not annotation.numbers.any() and not annotation.table.any()
    for state in states[1:]:
        assert annotation.redo()
        assert_array_equal(annotation.numbers, state)
    assert not annotation.redo()


def test_table_counts_and_areas_are_those_of_the_numbers_after_any_strokes() -> None:
    stack = random_stack()
    annotation = Annotation.of(stack)
    random_actions(annotation, stack, 1)
    for step in range(40):
        classes = annotation.table[stack.base]
        assert_array_equal(annotation.table[:-1], annotation.numbers[annotation.nested.rank])
        pixels, regions = np.bincount(classes.ravel()), np.bincount(annotation.numbers)
        assert [annotation.area_of(k) for k in range(len(pixels))] == pixels.tolist()
        assert [annotation.regions_of(k) for k in range(len(regions))] == regions.tolist()
        if step % 3 == 2:
            annotation.redo()
        else:
            annotation.undo()


def test_a_new_stroke_ends_what_could_be_done_again() -> None:
    _, annotation = drawn()
    annotation.assign(5, 1)
    annotation.undo()
    assert annotation.can_redo
    annotation.assign(6, 1)
    assert not annotation.can_redo and not annotation.redo()


def test_undo_in_the_middle_of_a_stroke_ends_and_undoes_it() -> None:
    _, annotation = drawn()
    annotation.begin()
    annotation.assign(5, 1)
    annotation.undo()
    assert not annotation.numbers.any()
    annotation.assign(6, 2)  # by itself again
    assert annotation.undo() and not annotation.numbers.any()


# -- what is drawn -----------------------------------------------------------------------------------------


def test_a_line_crosses_regions_in_its_order() -> None:
    plane = np.repeat(np.repeat(BASE, 5, axis=0), 5, axis=1)
    assert regions_along(plane, (2, 1), (2, 18)) == [0, 1]
    assert regions_along(plane, (9, 19), (6, 0)) == [4, 3, 2]
    assert regions_along(plane, (7, 12), (7, 12)) == [3]
    assert regions_along(plane, (2, -30), (2, 4)) == [0]
    assert regions_along(plane, (-5, -5), (-1, -1)) == []
    assert regions_along(np.full((4, 4), -1, np.int32), (0, 0), (3, 3)) == []


def test_a_line_from_far_outside_is_looked_at_within_the_plane_alone() -> None:
    plane = np.arange(35, dtype=np.int32).reshape(5, 7)
    far = 10.0**13  # as many numbers would be no array
    assert regions_along(plane, (2, -far), (2, far)) == plane[2].tolist()
    assert regions_along(plane, (far, 3), (-far, 3)) == plane[::-1, 3].tolist()
    assert regions_along(plane, (-far, -far), (far, far)) == [0, 8, 16, 24, 32]
    assert regions_along(plane, (9, -far), (9, far)) == []
    assert regions_along(plane, (-far, 0), (-far, far)) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_line_crosses_what_all_its_points_say(seed: int) -> None:
    random = np.random.default_rng(seed)
    plane = np.arange(35, dtype=np.int32).reshape(5, 7)
    start, stop = random.uniform(-9, 14, (2, 2)).round(int(random.integers(0, 3)))
    steps = int(np.ceil(np.abs(stop - start).max())) * 2
    points = np.rint(start + np.arange(steps + 1)[:, None] / max(steps, 1) * (stop - start)).astype(int)
    on_plane = [(y, x) for y, x in points.tolist() if 0 <= y < 5 and 0 <= x < 7]
    assert regions_along(plane, start, stop) == list(dict.fromkeys(int(plane[at]) for at in on_plane))


def test_a_quick_line_leaves_out_no_region_of_a_row() -> None:
    plane = np.arange(40, dtype=np.int32)[None].repeat(3, axis=0)
    assert regions_along(plane, (1, 0), (1, 39)) == list(range(40))


def test_scribbles_are_counted_in_each_region() -> None:
    _, annotation = drawn()
    scribbles = np.array([[1, 1, 0, 2], [3, 1, 0, 1]])
    assert paint_majority(annotation, BASE, scribbles)
    # 2 has one pixel of 3 and one of 1: the smaller number wins; 3 has none
    assert_array_equal(annotation.table[BASE], [[1, 1, 2, 2], [1, 1, 0, 1]])
    annotation.undo()
    assert not annotation.can_undo and not annotation.numbers.any()


def test_scribbles_are_counted_in_the_parts_of_a_cut() -> None:
    _, annotation = drawn()
    scribbles = np.array([[0, 0, 2, 0], [0, 0, 1, 1]])
    paint_majority(annotation, BASE, scribbles, (2,))
    assert_array_equal(annotation.table[BASE], [[0, 0, 1, 1], [0, 0, 1, 1]])


def test_scribbles_on_many_regions_are_as_a_loop_has_them() -> None:
    stack = random_stack()
    annotation = Annotation.of(stack)
    random = np.random.default_rng(3)
    scribbles = random.integers(0, 4, stack.base.shape) * (random.random(stack.base.shape) < 0.5)
    counts = (20, 7)
    paint_majority(annotation, stack.base, scribbles, counts)
    labels = stack._table(stack._parts(counts))[stack.base]
    for label in np.unique(labels):
        found = np.bincount(scribbles[(labels == label) & (scribbles > 0)])
        expected = int(found.argmax()) if len(found) else 0
        assert (annotation.table[stack.base][labels == label] == expected).all()


def test_scribbles_that_are_no_classes_are_refused() -> None:
    _, annotation = drawn()
    with pytest.raises(ValueError, match="as large as the regions, 2 x 4, got 2 x 3"):
        paint_majority(annotation, BASE, BASE[:, :3])
    with pytest.raises(ValueError, match="a number must be from 0 to 255, got 256"):
        paint_majority(annotation, BASE, np.full(BASE.shape, 256))
    assert not paint_majority(annotation, BASE, np.zeros(BASE.shape, int))


# -- objects -----------------------------------------------------------------------------------------------


def objects() -> Annotation:
    return Annotation.of(hierarchy_of(BASE, TREE), np.uint16)


def test_a_drag_merges_parts_and_the_objects_on_its_way_into_one() -> None:
    annotation = objects()
    assert annotation.numbers.dtype == np.uint16
    merge_into(annotation, 1, 0)
    merge_into(annotation, 2, 4)
    merge_into(annotation, 2, 1)
    assert_array_equal(annotation.table[BASE], [[1, 1, 2, 2], [0, 0, 0, 2]])
    with annotation.stroke():
        merge_into(annotation, 1, 2)
        merge_into(annotation, 1, 4)  # a part of object 2, all of which comes along
    assert_array_equal(annotation.table[BASE], [[1, 1, 1, 1], [1, 1, 0, 1]])
    annotation.undo()
    assert_array_equal(annotation.table[BASE], [[1, 1, 2, 2], [0, 0, 0, 2]])


def test_a_part_is_detached_from_its_object_alone() -> None:
    annotation = objects()
    merge_into(annotation, 1, 8)
    merge_into(annotation, 2, 3)  # all is one object: 2 now
    assert annotation.used() == [2]
    assert detach(annotation, 3, (3,))
    assert_array_equal(annotation.table[BASE], [[2, 2, 2, 2], [2, 2, 0, 0]])
    assert not detach(annotation, 3, (3,))


def test_a_split_follows_the_tree() -> None:
    annotation = objects()
    merge_into(annotation, 1, 8)
    assert split(annotation, 3)
    assert_array_equal(annotation.table[BASE], [[1, 1, 2, 2], [1, 1, 2, 2]])
    assert split(annotation, 3)
    assert_array_equal(annotation.table[BASE], [[1, 1, 2, 2], [1, 1, 3, 3]])
    assert split(annotation, 4)
    assert_array_equal(annotation.table[BASE], [[1, 1, 2, 2], [1, 1, 3, 4]])
    assert not split(annotation, 4)  # a region of the base
    annotation.assign(8, 0)
    assert not split(annotation, 4)  # no object


def test_numbers_of_objects_that_are_gone_are_taken_again() -> None:
    annotation = objects()
    assert unused_number(annotation) == 1
    annotation.assign(0, 1)
    annotation.assign(1, 3)
    assert unused_number(annotation) == 2
    few = Annotation.of(hierarchy_of(np.arange(256, dtype=np.int32)[None], random_tree(256, 1, 0)))
    few.set_from(0, np.arange(256))
    with pytest.raises(ValueError, match="at most 255 objects"):
        unused_number(few)


# -- classes -----------------------------------------------------------------------------------------------


def test_classes_have_names_colours_and_keys_that_no_other_has() -> None:
    table = ClassTable()
    made = [table.add() for _ in range(11)]
    assert [each.number for each in table] == list(range(1, 12))
    assert [each.key for each in table] == [*"123456789", "", ""]
    assert len({each.colour for each in made}) == 11
    assert made[0].name == "class 1" and made[0].colour == default_colour(1)
    table.change(10, key="3", name="sky", colour="#00ff7f")
    assert (table[3].key, table[10].key) == ("", "3") and table.by_key("3") == table[10]
    assert table.by_key("") is None and table.add(20).number == 20
    assert 12 not in table and table.add().number == 12


def test_a_lock_of_the_table_is_one_of_the_annotation() -> None:
    table = ClassTable()
    table.add()
    annotation = Annotation.of(hierarchy_of(BASE, TREE), locked=table.locked)
    annotation.assign(0, 1)
    table.change(1, is_locked=True)
    assert not annotation.assign(0, 0)
    table.change(1, is_locked=False)
    assert annotation.assign(0, 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": " "}, "a name of one line, got ' '"),
        ({"name": "a\nb"}, "a name of one line"),
        ({"colour": "red"}, "#rrggbb in lower case, got 'red'"),
        ({"key": "0"}, "a digit from 1 to 9, got '0'"),
        ({"key": "12"}, "a digit from 1 to 9"),
        ({"is_locked": 1}, "on or off, got 1"),
    ],
)
def test_what_is_no_field_of_a_class_is_refused(fields: dict[str, object], message: str) -> None:
    table = ClassTable()
    before = table.add()
    with pytest.raises(ValueError, match=message):
        table.change(1, **fields)
    assert table[1] == before


def test_there_are_no_more_classes_than_a_byte_can_hold() -> None:
    table = ClassTable()
    for _ in range(255):
        table.add()
    with pytest.raises(ValueError, match="at most 255 classes"):
        table.add()
    with pytest.raises(ValueError, match="a free number from 1 to 255, got 5"):
        table.add(5)


# -- the journal -------------------------------------------------------------------------------------------


def begun(
    path: Path, hierarchy: PCNetHierarchy, trees: str | None = None
) -> tuple[Journal, Annotation, ClassTable]:
    """An annotation that goes on where a journal ends."""
    table = ClassTable()
    annotation = Annotation.of(hierarchy, locked=table.locked)
    journal = Journal(path, trees or fingerprint(hierarchy))
    try:
        journal.replay(annotation, table)
    except ValueError:
        journal.close()
        raise
    annotation.tell = table.tell = journal.append
    return journal, annotation, table


def test_a_journal_gives_back_strokes_undo_classes_and_locks(tmp_path: Path) -> None:
    stack, path = random_stack(), tmp_path / "new" / "a.jsonl"
    journal, annotation, table = begun(path, stack)
    assert not path.exists()  # nothing was done
    table.add()
    random_actions(annotation, stack, 2)
    table.change(1, name="cell", is_locked=True, key="7")
    annotation.assign(157, 3)
    annotation.undo()
    annotation.undo()
    annotation.redo()
    journal.close()
    assert [each.name for each in path.parent.iterdir()] == ["a.jsonl"]  # no lock is left
    again, annotation_again, table_again = begun(path, stack)
    assert_array_equal(annotation_again.numbers, annotation.numbers)
    assert_array_equal(annotation_again.table, annotation.table)
    assert list(table_again) == list(table) and table_again.locked[1]
    assert annotation_again.can_redo
    while annotation.undo():
        assert annotation_again.undo()
        assert_array_equal(annotation_again.numbers, annotation.numbers)
    assert not annotation_again.undo()
    again.close()


def test_a_line_is_written_for_each_stroke(tmp_path: Path) -> None:
    hierarchy, path = hierarchy_of(BASE, TREE), tmp_path / "a.jsonl"
    journal, annotation, _ = begun(path, hierarchy)
    with annotation.stroke():
        annotation.assign(5, 1)
        annotation.assign(6, 1)
    annotation.assign(8, 2)
    annotation.undo()
    journal.close()
    head, *steps = map(json.loads, path.read_text().splitlines())
    assert head == {"napari-pcnet annotation": 1, "trees": fingerprint(hierarchy)}
    assert steps == [
        {"stroke": [[0, 2, 1], [3, 5, 1]]},
        {"stroke": [[0, 2, 2], [2, 3, 2], [3, 5, 2]]},
        {"undo": 1},
    ]


def test_a_torn_last_line_is_dropped_and_the_file_goes_on(tmp_path: Path) -> None:
    hierarchy, path = hierarchy_of(BASE, TREE), tmp_path / "a.jsonl"
    journal, annotation, _ = begun(path, hierarchy)
    annotation.assign(5, 1)
    annotation.assign(6, 2)
    journal.close()
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for torn in range(1, len(last) + 1):
        path.write_bytes(whole[:-torn])
        journal, again, _ = begun(path, hierarchy)
        assert_array_equal(again.table[BASE], [[1, 1, 0, 0], [1, 1, 0, 0]])
        again.assign(6, 2)
        journal.close()
        assert path.read_bytes() == whole
    path.write_bytes(whole[:20])  # not even the head
    journal, again, _ = begun(path, hierarchy)
    assert not again.numbers.any()
    again.assign(5, 1)
    again.assign(6, 2)
    journal.close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"5",
        b"\xff",
        pytest.param(b"[" * 100_000, id="nested without end"),
        b'{"other":1}',
        b'{"redo":1}',
        b'{"stroke":[]}',
        b'{"stroke":[[0,1]]}',
        b'{"stroke":[[0,1,true]]}',
        b'{"stroke":[[0,1,256]]}',
        b'{"stroke":[[0,6,1]]}',
        b'{"stroke":[[2,2,1]]}',
        b'{"stroke":[[0,3,3]]}',
        b'{"class":{"number":1}}',
        b'{"class":{"number":1,"name":"a","colour":"red","key":"","is_locked":false}}',
        b'{"class":5}',
    ],
)
def test_a_damaged_line_is_refused_and_the_file_left_alone(tmp_path: Path, line: bytes) -> None:
    hierarchy, path = hierarchy_of(BASE, TREE), tmp_path / "a.jsonl"
    journal, annotation, _ = begun(path, hierarchy)
    annotation.assign(5, 1)
    journal.close()
    damaged = path.read_bytes() + line + b"\n"
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"a\.jsonl is damaged: its line 3 is no step; move it away"):
        begun(path, hierarchy)
    assert path.read_bytes() == damaged


def test_another_tree_is_refused(tmp_path: Path) -> None:
    hierarchy, path = hierarchy_of(BASE, TREE), tmp_path / "a.jsonl"
    journal, annotation, _ = begun(path, hierarchy)
    annotation.assign(5, 1)
    journal.close()
    other = Tree(5, TREE.children[:, ::-1].copy(), TREE.height)
    with pytest.raises(ValueError, match="is the annotation of other superpixels: move it away"):
        begun(path, hierarchy_of(BASE, other))
    path.write_text('{"napari-pcnet annotation":2}\n')
    with pytest.raises(ValueError, match="is no annotation of this version: move it away"):
        begun(path, hierarchy)


def test_a_fingerprint_is_of_shape_areas_intensities_and_merges() -> None:
    one = hierarchy_of(BASE, TREE)
    assert fingerprint(one) == fingerprint(hierarchy_of(BASE.copy(), TREE)) and len(fingerprint(one)) == 64
    moved = BASE.copy()
    moved[1, 2] = 4
    moved[1, 1] = 3
    brighter = tuple(Measures(each.area, each.intensity_mean + 1, each.confidence) for each in one.measures)
    others = [
        hierarchy_of(BASE.reshape(1, 2, 4), TREE),
        hierarchy_of(moved, TREE),
        hierarchy_of(BASE, Tree(5, TREE.children, TREE.height + 1)),
        hierarchy_of(BASE, Tree(5, TREE.children[:, ::-1].copy(), TREE.height)),
        PCNetHierarchy(BASE, (TREE,), brighter),
    ]
    assert len({fingerprint(each) for each in (one, *others)}) == 6


def test_journals_lie_in_the_cache_folder() -> None:
    path = place_of("ab" * 32, "classes")
    assert path == download.cache_folder() / "annotations" / f"{'ab' * 16}.classes.jsonl"


def test_one_at_a_time_writes_a_journal(tmp_path: Path) -> None:
    hierarchy, path = hierarchy_of(BASE, TREE), tmp_path / "a.jsonl"
    journal, annotation, _ = begun(path, hierarchy)
    with pytest.raises(ValueError, match="are being annotated in another window; close it"):
        Journal(path, fingerprint(hierarchy))
    annotation.assign(5, 1)
    journal.close()
    again, restored, _ = begun(path, hierarchy)
    assert restored.table[0] == 1
    again.close()


def test_a_journal_that_a_thread_has_opened_is_closed_by_another(tmp_path: Path) -> None:
    hierarchy, path = hierarchy_of(BASE, TREE), tmp_path / "a.jsonl"
    with ThreadPoolExecutor(1) as pool:
        journal = pool.submit(Journal, path, fingerprint(hierarchy)).result()
        journal.close()
        Journal(path, fingerprint(hierarchy)).close()


def test_a_disk_that_takes_half_a_line_leaves_a_whole_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hierarchy, path = hierarchy_of(BASE, TREE), tmp_path / "a.jsonl"
    journal, annotation, _ = begun(path, hierarchy)
    annotation.assign(5, 1)
    whole = path.read_bytes()
    opened = Path.open

    def full(self: Path, *words: str) -> object:
        with opened(self, "ab") as file:
            file.write(b'{"str')
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(OSError, match="No space left"):
            annotation.assign(6, 2)
    assert path.read_bytes() == whole and annotation.table[3] == 2
    journal.close()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_annotation import begun, random_stack, random_actions
journal, annotation, table = begun(Path({path!r}), random_stack())
table.add()
random_actions(annotation, random_stack(), 5)
annotation.begin()
annotation.assign(0, 9)  # a stroke under way
print(annotation.numbers.tolist(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows ends processes in another way")
def test_a_killed_process_loses_the_stroke_under_way_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    script = KILLED.format(tests=str(Path(__file__).parent), path=str(path))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    expected = np.array(json.loads(ended.stdout))
    journal, annotation, table = begun(path, random_stack())
    assert expected[annotation.nested.rank[0]] == 9
    assert annotation.number_of(0) != 9 and len(table) == 1
    annotation.assign(0, 9)
    assert_array_equal(annotation.numbers, expected)
    journal.close()
