"""Where a member's weights come from: its ancestors, generation by generation."""

from undertow.training.journal import Line


def lineage(generations: list[Line], member: int, generation: int) -> list[int]:
    """The member that held the ancestor in each generation 0 to `generation`, ending with `member` itself.

    Args:
        generations: the lines of generations.jsonl.
        member: whose ancestors.
        generation: the generation in which it is looked at.
    """
    ancestors = [member]
    for line in reversed(generations[:generation]):
        ancestors.append(int(line["parents"][ancestors[-1]]))
    return ancestors[::-1]


def origin_of(generations: list[Line], member: int, epoch: int) -> tuple[int, int]:
    """The generation of an epoch, and the member that then held what `member` has at the end: whose numbers trained it."""
    generation = next(place for place, line in enumerate(generations) if epoch < line["epoch"])
    return generation, lineage(generations, member, len(generations) - 1)[generation]


def history_of(lines: list[Line], generations: list[Line], ancestors: list[int]) -> list[Line]:
    """The lines of metrics.jsonl that led to a member: of each generation in `generations` those of its ancestor there."""
    member_of = dict(zip((line["generation"] for line in generations), ancestors, strict=False))
    return [line for line in lines if member_of.get(line["generation"]) == line["member"]]
