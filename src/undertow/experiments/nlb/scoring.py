"""Scores of submission files, beside the published ones, with every look at a test split written down first."""

from collections.abc import Mapping
from pathlib import Path

from undertow.data.nlb import tensor_files
from undertow.data.nlb.table import DATA_SETS, DataSet
from undertow.evaluation import nlb
from undertow.evaluation.nlb_published import MARKS, published
from undertow.evaluation.nlb_results import results
from undertow.experiments import looks
from undertow.experiments.looks import Before
from undertow.experiments.nlb.results import Row, Scored, Table
from undertow.vocabulary import UndertowError

SIMULATED = "simulated"
"""The fact of a target file whose data were simulated: published scores do not compare."""


def score_files(path: Path, target: Path) -> Scored:
    """Score every group of a submission that the targets have, and write down each look at test trials.

    Raises:
        UndertowError: files that can't be read, no common group, or rates that don't fit the targets.
    """
    groups = tensor_files.groups_in(path)
    known = tensor_files.groups_in(target)
    shared = [group for group in groups if group in known]
    if not shared:
        raise UndertowError(
            f"'{path}' holds {', '.join(groups)}, '{target}' targets for {', '.join(known)}: no group in common; take "
            "the targets of the same data set and bin width."
        )
    scores, before, tables = {}, {}, []
    for group in shared:
        row, bin_width = known_group(group)
        facts = tensor_files.read_facts(path, group)
        aims, aim_facts = target_of(target, group)
        phase = phase_of(aim_facts)
        _check_phase(facts, phase, path)
        entries = tensor_files.read_submission(path, [group])[group]
        scores[group] = nlb.score(aims, entries, bin_width=bin_width)
        remarks = []
        if phase == "test":
            before[group] = _noted_submission(path, facts, entries, aims, scores[group])
            remarks.append(before[group].sentence())
        remarks += [f"Not in the targets, so not scored: {name}." for name in groups if name not in known]
        name = str(facts.get("model", path.stem))
        tables.append(
            table(row, bin_width, phase, (Row(name, scores[group]),), aim_facts, remarks=tuple(remarks))
        )
    return Scored(results(scores), tuple(tables), before)


def known_group(group: str) -> tuple[DataSet, float]:
    """The data set and the bin width (s) of a group's name.

    Raises:
        UndertowError: the benchmark has no such group.
    """
    name, bin_width = (group[:-3], 0.02) if group.endswith("_20") else (group, 0.005)
    if name not in DATA_SETS:
        raise UndertowError(
            f"The benchmark has no group '{group}'; groups are named like 'mc_maze' and 'mc_maze_20'."
        )
    return DATA_SETS[name], bin_width


def target_of(path: Path, group: str) -> tuple[dict, dict]:
    """The targets of a group, and the facts that are written down with them.

    Raises:
        UndertowError: as for `tensor_files.read_targets`.
    """
    return tensor_files.read_targets(path, [group])[group], tensor_files.read_facts(path, group)


def phase_of(facts: Mapping) -> str:
    """The phase of targets; those that do not say it, like the published file, are taken for the test split's."""
    return "val" if facts.get("phase") == "val" else "test"


def table(
    row: DataSet,
    bin_width: float,
    phase: str,
    rows: tuple[Row, ...],
    facts: Mapping,
    *,
    remarks: tuple[str, ...] = (),
) -> Table:
    """Own scores beside the published ones of the same data set, bin width and phase; generated data have none."""
    trials = "test" if phase == "test" else "validation"
    title = f"{row.title}, {trials} trials, bins of {bin_width * 1e3:g} ms"
    if facts.get("source") == SIMULATED:
        said = "These data are simulated: published scores do not compare with them."
        return Table(f"{title}, generated", rows, (), (said, *remarks))
    numbers = published(row.name, bin_width, phase=phase)
    listed = tuple(Row(one.model, dict(one.scores), f"{one.source} ({MARKS[one.mark]})") for one in numbers)
    return Table(title, rows, listed, remarks)


def _check_phase(facts: Mapping, phase: str, path: Path) -> None:
    if facts.get("phase", phase) != phase:
        raise UndertowError(
            f"'{path}' holds rates of the phase '{facts['phase']}', but these are the targets of the phase '{phase}'; submit the "
            f"run again with --phase {phase}, or give the other targets."
        )


def noted(run: Path, weights: str, target: Mapping, scores: Mapping) -> Before:
    """Write a look of a run at test labels down in its folder; what there was before it, there and in the runs beside it."""
    return looks.record(
        run / looks.NAME,
        weights=weights,
        labels=_labels(target),
        scores=scores,
        beside=run.resolve().parent,
    )


def _noted_submission(
    path: Path, facts: Mapping, entries: Mapping, target: Mapping, scores: Mapping
) -> Before:
    """Write a look at test labels down: in the run's folder where it is still there, else beside the submission."""
    rates = {name: values for name, values in entries.items() if name.startswith("eval_rates")}
    weights = str(facts.get("weights", looks.fingerprint_of_arrays(rates)))
    if "run" in facts and Path(str(facts["run"])).is_dir():
        return noted(Path(str(facts["run"])), weights, target, scores)
    journal = path.with_name(f"{path.name}.{looks.NAME}")
    return looks.record(journal, weights=weights, labels=_labels(target), scores=scores)


def _labels(target: Mapping) -> str:
    return looks.fingerprint_of_arrays({"eval_spikes_heldout": target["eval_spikes_heldout"]})
