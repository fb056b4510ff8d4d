"""Whose weights a member carries, on a genealogy drawn by hand."""

from undertow.search.lineage import history_of, lineage

# generation      0          1          2          3 (ends the search: everybody is its own parent)
PARENTS = [[0, 0, 2, 2], [1, 1, 2, 0], [0, 1, 3, 3], [0, 1, 2, 3]]
GENERATIONS = [{"generation": number, "parents": parents} for number, parents in enumerate(PARENTS)]


def test_ancestors_by_hand():
    """`parents` of a generation say with whose weights each member begins the next one."""
    assert lineage(GENERATIONS, 2, 3) == [0, 0, 3, 2]
    assert lineage(GENERATIONS, 0, 3) == [0, 1, 0, 0]
    assert lineage(GENERATIONS, 1, 3) == [0, 1, 1, 1]
    assert lineage(GENERATIONS, 3, 2) == [0, 0, 3]


def test_in_its_first_generation_a_member_is_its_own_ancestor():
    assert lineage(GENERATIONS, 3, 0) == [3]


def test_the_history_is_that_of_the_ancestors():
    """Two epochs a generation, four members; the winner is member 2 in generation 3."""
    lines = [
        {"generation": epoch // 2, "epoch": epoch, "member": member}
        for epoch in range(8)
        for member in range(4)
    ]
    history = history_of(lines, GENERATIONS, lineage(GENERATIONS, 2, 3))
    assert [line["epoch"] for line in history] == list(range(8))
    assert [line["member"] for line in history] == [0, 0, 0, 0, 3, 3, 2, 2]


def test_a_champion_of_an_earlier_generation_has_no_later_history():
    lines = [
        {"generation": generation, "epoch": generation, "member": member}
        for generation in range(4)
        for member in range(4)
    ]
    history = history_of(lines, GENERATIONS, lineage(GENERATIONS, 3, 2))
    assert [(line["epoch"], line["member"]) for line in history] == [(0, 0), (1, 0), (2, 3)]
