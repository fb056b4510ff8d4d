"""The report's sections on codes: where trials lie, a walk along a behaviour, and generated trials beside recorded ones."""

from __future__ import annotations

from undertow.report import figures
from undertow.report.codes import Codes, Generated, Walk
from undertow.report.codes_words import plain, r2_words, step_names
from undertow.report.entry_words import words_of
from undertow.report.generated_figures import drawn_pairs
from undertow.report.material import Material, Picture, Section, Table

STATISTICS = {
    "spike_count_kl": ("spikes of the population in a bin", "divergence, nats"),
    "correlation_rmse": ("correlations between neurons", "RMSE"),
    "interval_mean_rmse": ("mean inter-spike intervals", "RMSE, s"),
    "interval_sd_rmse": ("sd of inter-spike intervals", "RMSE, s"),
    "rate_mean_rmse": ("mean rates of neurons", "RMSE, Hz"),
    "rate_sd_rmse": ("sd of rates over trials", "RMSE, Hz"),
    "population_spectrum_rmse": ("power spectrum of the population", "RMSE, log10"),
    "component_spectrum_rmse": ("power spectra of main components", "RMSE, log10"),
    "sliced_wasserstein": ("whole trials, sliced Wasserstein", "distance, sd"),
    "mmd_squared": ("whole trials, kernel (MMD²)", "distance"),
}

_CODES = (
    "Each dot is a trial, at the same place in every panel; colours are what was recorded. The plane is the one in which "
    "the codes tell most of behaviour (percentages: the share of all that a line reads from them). A behaviour whose "
    "colours run in order here can be read in this plane; one whose colours are mixed may still be read along another "
    "direction: see the next figure."
)
_PLAIN_CODES = (
    "Each dot is a trial, in the two main directions of the codes. No behaviour is known of these trials (columns that are "
    "numbers, or channels of behaviour), so that nothing colours them."
)
_READINGS = (
    "Across: what was recorded; upwards: what a straight line (ridge regression) reads from the code of the same "
    "trial{where}. On the dotted line both agree. R² is 1 where the code tells everything and 0 where it tells no more "
    "than the average."
)
_ACTIVITY = (
    "Trial {source} made again while its {behaviour} is moved through the values above the panels and all else is to "
    "stay. Above: {many} drawn, below: the rates that they were drawn from. Neurons are ordered by the step at which they"
    " fire most: look for activity that moves upwards from step to step."
)
_AVERAGES = (
    "The {number} neurons that change most along the walk, one colour for each value of {behaviour}. Left: recorded "
    "trials whose {behaviour} is within half a step of it ({near} trials a step), smoothed and averaged. Right: the "
    "average over the trials of the walk. Both sides should show the same order of colours at the same times; the walk "
    "keeps all other behaviours as they are, so sizes may differ."
)
_PATHS = (
    "Averages at each step. Left: behaviour of recorded trials near the step. Middle: what a ridge decoder, fitted to "
    "recorded training trials alone, reads from the activity of {read} (R² {r2:.2f}): as good as it can be. Right: the "
    "same decoder on the activity generated along the walk.{ends} The right panel should look like the middle one."
)
_GENERATED = (
    "Left: single trials, recorded above and drawn from the model below; not the same trials, for generated ones belong "
    "to none. Right: the average over all, smoothed by 50 ms. Rows are the same neurons above and below, by the time of "
    "their peak. The lower row should hold as much as the upper one, spread as unevenly in time."
)
_NEURONS = (
    "Recorded across, generated upwards; on the dotted line both agree. One dot a neuron{pairs}. Dots below the line in the "
    "second panel mean that generated trials differ too little from each other."
)
_FLOOR = (
    "Distances of {generated} generated from {recorded} recorded trials; 0 is best. The floor is the same distance "
    "between two halves of the recorded trials: less can't be asked for. A ratio near 1 or below is as near as recordings"
    " are to each other."
)


def codes(material: Material) -> Section | None:
    """The section "Codes"; None for a model without codes."""
    found = material.codes
    if found is None:
        return None
    pictures = [
        Picture(
            "codes",
            figures.codes_figure(found),
            _CODES if found.behaviours else _PLAIN_CODES,
            "Scatter plots of the codes of trials, coloured by behaviour.",
        )
    ]
    if found.behaviours:
        pictures.append(
            Picture(
                "readings",
                figures.readings_figure(found),
                _READINGS.format(where=_where(found)),
                "Scatter plots of behaviour read from codes against recorded behaviour.",
            )
        )
    introduction = (
        f"A code is all that the model keeps of a trial: {found.dimension} numbers, from which it makes the activity of all "
        f"neurons and bins. It was found without behaviour; what it tells of behaviour is asked here."
    )
    if found.r2:
        where = "validation trials" if found.is_left_out.any() else "trials left out, in five folds"
        introduction += (
            f" Below: how well a straight line reads each behaviour from the code, on {where}. The figures show the "
            "behaviours that no line makes of the others."
        )
    return Section("codes", "Codes", introduction, tuple(pictures), facts=_read_facts(found))


def walk(material: Material) -> Section | None:
    """The section on the walk; None where there is none."""
    if material.codes is None or material.codes.walk is None:
        return None
    found, words = material.codes.walk, words_of(material.trials)
    behaviour = plain(found.behaviour)
    pictures = [
        Picture(
            "walk-activity",
            figures.walk_activity_figure(found, words),
            _ACTIVITY.format(many=words.many, source=found.source + 1, behaviour=behaviour),
            f"Images of {words.many} and rates, neuron by time, for each step of the walk.",
        ),
        Picture(
            "walk-averages",
            figures.walk_averages_figure(found, words),
            _AVERAGES.format(
                number=len(found.changed),
                behaviour=behaviour,
                near=f"{found.near.min()} to {found.near.max()}",
            ),
            "Curves of averaged rates of single neurons, one colour for each step of the walk.",
        ),
    ]
    if found.paths is not None:
        ends = " Dots are the ends." if found.paths.plane is not None else ""
        caption = _PATHS.format(read=found.paths.read_from, r2=found.paths.r2, ends=ends)
        pictures.append(
            Picture(
                "walk-behaviour",
                figures.walk_behaviour_figure(found, found.paths),
                caption,
                "Recorded and decoded behaviour, one colour for each step of the walk.",
            )
        )
    return Section(
        "walk",
        f"A walk along {behaviour}",
        _walk_introduction(found, words.many),
        tuple(pictures),
        facts=_walk_facts(found),
    )


def generated(material: Material) -> Section | None:
    """The section on generated trials; None where there are none."""
    if material.codes is None or material.codes.generated is None:
        return None
    found, words = material.codes.generated, words_of(material.trials)
    pictures = [
        Picture(
            "generated",
            figures.generated_figure(found, words),
            _GENERATED,
            f"Images of {words.many}, neuron by time, of recorded and of generated trials.",
        )
    ]
    if drawn_pairs(found):
        pictures.append(
            Picture(
                "generated-neurons",
                figures.generated_neurons_figure(found, words),
                _NEURONS.format(pairs=", for correlations a pair of neurons" * bool(found.correlations.size)),
                "Scatter plots of rates and correlations of generated against recorded trials.",
            )
        )
    introduction = (
        "Codes drawn from the model's prior, and activity from these codes: trials that nobody recorded. They should look"
        " like recorded ones, and differ from each other as much as those do."
    )
    if found.note:
        introduction += f" Their statistics can't be compared: {found.note}"
    tables = (statistics_table(found),) if found.statistics else ()
    return Section("generated", "Generated beside recorded", introduction, tuple(pictures), tables=tables)


def statistics_table(found: Generated) -> Table:
    """Every statistic of generated trials beside its floor."""
    rows = tuple(
        (
            *STATISTICS.get(name, (plain(name), "")),
            f"{one.value:.3g}",
            f"{one.floor:.3g}",
            "not known" if one.ratio != one.ratio else f"{one.ratio:.2f}",
        )
        for name, one in found.statistics.items()
    )
    recorded, made = found.sizes
    heads = ("What is compared", "Measure", "Generated", "Floor", "Ratio")
    return Table(_FLOOR.format(generated=made, recorded=recorded), heads, rows)


def _where(found: Codes) -> str:
    if found.is_left_out.any():
        return f"; the line was fitted to training trials, dots are the {found.is_left_out.sum()} validation trials"
    return ", each trial by a line that was fitted to the others (five folds)"


def _read_facts(found: Codes) -> tuple[tuple[str, str], ...]:
    ranked = sorted(found.r2.items(), key=lambda pair: -pair[1])
    return tuple((plain(name), f"R² {r2_words(r2)}") for name, r2 in ranked)


def _walk_introduction(found: Walk, many: str) -> str:
    behaviour = plain(found.behaviour)
    others = ", ".join(plain(name) for name in found.others)
    stay = f", while {others} are to stay" if others else ""
    names = step_names(found)
    return (
        f"Codes of {found.read.shape[1]} training trials are moved along the direction that changes {behaviour} from "
        f"{names[0]} to {names[-1]}{stay}; activity is then made of the moved codes. Does it change as recorded activity "
        f"does? Behaviour is also read again from the generated {many}: {behaviour} should follow what was asked (a "
        f"correlation of 1), and the others should not move (0 standard deviations for each one of {behaviour})."
    )


def _walk_facts(found: Walk) -> tuple[tuple[str, str], ...]:
    facts = {"Follows what was asked": f"{found.monotonicity:.2f} (rank correlation)"}
    for name, moved in found.others.items():
        facts[f"{plain(name)} moves along"] = f"{moved:.2f} sd"
    facts["Codes far outside the data"] = f"{found.outside:.0%}"
    return tuple(facts.items())
