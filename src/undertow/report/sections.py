"""The report's sections in their order: which figures each shows, and what their captions say to look for.

A section is made by one function of the `Material`; it returns None where the data for it do not exist.
"""

from __future__ import annotations

from collections.abc import Callable

from undertow.report import (
    codes_section,
    dynamics_section,
    excerpt,
    figures,
    history,
    latency_section,
    population_section,
    summary,
)
from undertow.report.entry_words import ACTIVITY, SPIKES, words_of
from undertow.report.latent_space import space_of
from undertow.report.material import Material, Picture, Section

_FACTORS_BY_CONDITION = (
    "Colours are conditions, thick lines their averages; dots mark the starts of trials. Drag to turn. "
    "Trials of one condition should run together, and different conditions apart."
)
_FACTORS_BY_TRIAL = (
    "Each line is a trial; dots mark the starts of trials. Drag to turn. Smooth paths that share a flow speak "
    "for common dynamics, tangles for noise."
)


def sections(material: Material) -> list[Section]:
    """The sections that this material can fill, in order."""
    made = (make(material) for make in _SECTIONS)
    return [section for section in made if section is not None]


def _recorded(material: Material) -> Section:
    right = (
        "trials by condition and split; every condition should have some trials of each split."
        if excerpt.conditions(material.trials).known
        else "trials by split; without labels for conditions, averages below are over all trials."
    )
    left = (
        "how often the neurons fire on average; neurons below about half a spike per second say little about single trials."
        if words_of(material.trials) is SPIKES
        else "how active the neurons are on average."
    )
    caption = f"Left: {left} Right: {right}"
    picture = Picture(
        "recorded",
        figures.recorded_figure(material.trials),
        caption,
        "Histogram of mean rates, and bars of trial numbers.",
    )
    introduction = "The data as the model received them."
    facts = tuple(summary.facts(material.trials))
    return Section("recorded", "What was recorded", introduction, (picture,), facts=facts)


def _learning(material: Material) -> Section | None:
    if not any(
        len(history.series(material.lines, key)[0]) > 1 for line in material.lines[:1] for key in line
    ):
        return None
    caption = (
        "Reconstruction and total: lower is better. Training and validation should fall together and level "
        "off: a validation curve that turns upwards means overfitting, one that still falls at the end means "
        "that training was too short. KL terms say how much the model reads out of each single trial; near "
        "zero, that part is unused. In the grey range the weights of KL and penalties were still ramping up, "
        "so that the total may rise there. The first twentieth of the epochs may lie outside a panel: "
        "double-click on it to see everything."
    )
    picture = Picture(
        "learning",
        figures.learning_figure(material.lines),
        caption,
        "Curves of each term of the objective over the epochs of training.",
    )
    introduction = "The named terms of the objective, epoch by epoch."
    if material.population is not None and material.population.is_evolved:
        introduction += (
            " Shown are the selected weights and their ancestors in the search; where one member became a copy of another, its "
            "numbers changed and a curve may jump."
        )
    return Section("learning", "How it learned", introduction, (picture,))


def _rasters(material: Material) -> Section:
    split, many = _split_words(material), words_of(material.trials).many
    caption = (
        f"Single {split}. Above: recorded {many}, one row a neuron. Below: the rates inferred for the "
        "same trial, neurons in the same "
        f"order (by the time of their peak rate). Look for structure in the {many} that returns, cleaned "
        "of noise, in the rates, and "
        "for differences between trials. Grey: not recorded." + _forecast_words(material)
    )
    figure = figures.raster_figure(material.trials, material.estimate)
    picture = Picture(
        "rasters",
        figure,
        caption,
        f"Images of {many} and of inferred rates, neuron by time, for several trials.",
    )
    return Section(
        "rasters",
        "Single trials, all neurons",
        f"{many.capitalize()} as recorded and rates as inferred.",
        (picture,),
    )


def _rates(material: Material) -> Section:
    yardstick = (
        ""
        if material.yardstick is None
        else " Dotted orange: the same from Gaussian smoothing with Poisson regression."
    )
    band = " The band is ± 2 posterior standard deviations." if "rates_sd" in material.estimate else ""
    truth = " Black: the true rate of the simulation." if "true_rates" in material.trials else ""
    words = words_of(material.trials)
    recorded = "grey: what was recorded." if words is ACTIVITY else f"the ticks below are the {words.many}."
    good = (
        "Good rates follow what was recorded, and not its every jump."
        if words is ACTIVITY
        else f"Good rates rise where {words.many} crowd, and do not jump at every single one."
    )
    caption = (
        f"The neurons whose rates vary most, in three {_split_words(material)}. Blue: the inferred rate; "
        f"{recorded}{band}{yardstick}{truth} {good}" + _forecast_words(material)
    )
    figure = figures.rates_figure(material.trials, material.estimate, material.yardstick)
    picture = Picture(
        "rates", figure, caption, f"Curves of inferred rates with {words.many}, neurons by trials."
    )
    return Section(
        "rates",
        "Single trials, single neurons",
        f"Inferred rates against the {words.many} they come from.",
        (picture,),
    )


def _averages(material: Material) -> Section:
    grouping = excerpt.conditions(material.trials)
    words = words_of(material.trials)
    entries = "spike counts" if words is SPIKES else words.many
    of_what = "each condition" if grouping.known else "all trials, as no conditions were given"
    caption = (
        f"Averages over {of_what}. Left: {entries} smoothed by 40 ms and averaged, without any model. "
        "Right: the model's rates "
        "of the same trials. Both sides should show the same shapes and order; the model's are "
        "smoother. A model that misses a peak "
        "on the left is too stiff or trained too briefly." + _conditions_words(grouping)
    )
    figure = figures.psth_figure(material.trials, material.estimate)
    picture = Picture(
        "averages",
        figure,
        caption,
        "Condition-averaged smoothed counts beside condition-averaged inferred rates.",
    )
    return Section(
        "averages",
        "Averages over conditions" if grouping.known else "Averages over trials",
        "What repeats from trial to trial.",
        (picture,),
    )


def _factors(material: Material) -> Section | None:
    space = space_of(material.estimate)
    if space is None:
        return None
    grouping = excerpt.conditions(material.trials)
    look = _FACTORS_BY_CONDITION if grouping.known else _FACTORS_BY_TRIAL
    caption = (
        f"{look} Percentages on the axes say how much of the variance each direction carries."
        + _conditions_words(grouping)
    )
    courses = "The same directions over time, averaged over trials." + _forecast_words(material)
    description = f"Trajectories of the {space} of single trials."
    whole = figures.factors_figure(material.trials, material.estimate)
    pictures = [Picture("factors", whole, caption, description)]
    if any(trace.type == "scatter3d" for trace in whole.data):
        flat = figures.factor_planes_figure(material.trials, material.estimate)
        pictures = [
            Picture("factors", whole, caption, description, shown="screen"),
            Picture(
                "factor-planes",
                flat,
                caption.replace(" Drag to turn.", " Seen along each axis."),
                description,
                shown="flat",
            ),
        ]
    over_time = figures.factor_courses_figure(material.trials, material.estimate)
    pictures.append(Picture("factor-courses", over_time, courses, f"Curves of the {space} over time."))
    introduction = (
        f"The few {space} from which the model makes the rates of all neurons, turned onto "
        "their main directions."
    )
    return Section("factors", space.capitalize(), introduction, tuple(pictures))


def _inputs(material: Material) -> Section | None:
    if "inferred_inputs" not in material.estimate or not material.estimate.inferred_inputs.size:
        return None
    truth = (
        " Dotted black: the size of the true input, scaled to the panel."
        if "true_inputs" in material.trials
        else ""
    )
    band = " with ± 2 posterior standard deviations" if "inferred_inputs_sd" in material.estimate else ""
    caption = (
        f"What pushed the dynamics from outside: three {_split_words(material)}{band}, and the average "
        f"over trials on the right.{truth} "
        "A band that always covers zero means that the model saw no need for this input; bumps at the "
        "time of an event are worth a look. "
        "Sign and size of an inferred input are arbitrary." + _forecast_words(material)
    )
    figure = figures.inputs_figure(material.trials, material.estimate)
    picture = Picture(
        "inputs", figure, caption, "Curves of inferred inputs over time, with bands of uncertainty."
    )
    return Section(
        "inputs", "Inferred inputs", "What the model could not explain by its own dynamics.", (picture,)
    )


def _split_words(material: Material) -> str:
    return {"valid": "validation trials", "test": "test trials"}.get(
        excerpt.shown_split(material.trials), "training trials"
    )


def _conditions_words(grouping: excerpt.Grouping) -> str:
    drawn = len(grouping.names)
    return f" Drawn are {drawn} of {grouping.known} conditions." if grouping.known > drawn else ""


def _forecast_words(material: Material) -> str:
    if excerpt.forecast_start(material.trials) is None:
        return ""
    return " Right of the dashed line lies what the model never saw and had to forecast."


_SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    _recorded,
    _learning,
    population_section.section,
    _rasters,
    _rates,
    _averages,
    _factors,
    _inputs,
    codes_section.codes,
    codes_section.walk,
    codes_section.generated,
    dynamics_section.section,
    latency_section.section,
)
