"""The reference's half of `nlb_reference.py` and `nlb_speed.py`, run by the Python of an environment that has nlb_tools.

    python benchmarks/nlb_reference_side.py JOBS.json

The file of jobs names a folder with an importable copy of nlb_tools, and for each job what to do and where to put what comes out.
Nothing of undertow is imported here, so that it runs where undertow is not installed.
"""

import json
import logging
import sys
import time
import warnings
from pathlib import Path

import numpy as np

SPLITS = {"val": ("train", "val"), "test": (["train", "val"], "test")}


def plain(tensors):
    """Arrays alone: a list of rows becomes their lengths and their values one after the other."""
    flat = {}
    for name, values in tensors.items():
        if name.endswith("cond_idx"):
            flat[f"{name}/lengths"] = np.array([len(row) for row in values])
            flat[f"{name}/values"] = np.concatenate([np.asarray(row, int) for row in values])
        else:
            flat[name] = np.asarray(values)
    return flat


def opened(job):
    """The data set at the bin width of the job."""
    from nlb_tools.nwb_interface import NWBDataset

    data = NWBDataset(job["folder"], job.get("prefix", ""))
    data.resample(job["bin"])
    return data


def inputs_of(job, data):
    """Input tensors of the training and of the evaluated trials, with everything the reference can add."""
    from nlb_tools.make_tensors import make_eval_input_tensors, make_train_input_tensors

    train, evaluated = SPLITS[job["phase"]]
    kept = {"save_file": False, "return_dict": True}
    made = make_train_input_tensors(
        data,
        job["name"],
        trial_split=train,
        include_behavior=True,
        include_forward_pred=True,
        **kept,
    )
    return made | make_eval_input_tensors(data, job["name"], trial_split=evaluated, **kept)


def target_of(job, data):
    """The one group of target tensors, written as the reference writes it where the job names a file for it."""
    from nlb_tools.make_tensors import make_eval_target_tensors

    train, evaluated = SPLITS[job["phase"]]
    path = job.get("target")
    made = make_eval_target_tensors(
        data,
        job["name"],
        train_trial_split=train,
        eval_trial_split=evaluated,
        include_psth=job["name"] != "mc_rtt",
        save_file=path is not None,
        **({"save_path": path} if path else {}),
    )
    (group,) = made.values()
    return group


def tensors(job):
    """Job "tensors": input and target tensors into .npz files, each where the job names a file for it."""
    data = opened(job)
    for what, make in (("inputs", inputs_of), ("targets", target_of)):
        if what in job:
            np.savez(job[what], **plain(make(job, data)))


def score(job):
    """Job "score": the reference's result structure as JSON."""
    from nlb_tools.evaluation import evaluate

    Path(job["out"]).write_text(json.dumps(evaluate(job["target"], job["submission"])))


def everything(job):
    """Job "everything": load, input tensors, target with PSTH, scores of given rates; seconds of each stage as JSON."""
    from nlb_tools.evaluation import evaluate

    begun = time.perf_counter()
    data = opened(job)
    inputs_of(job, data)
    target_of(job, data)
    prepared = time.perf_counter()
    found = evaluate(job["target"], job["submission"])
    seconds = {"prepare": prepared - begun, "score": time.perf_counter() - prepared}
    Path(job["out"]).write_text(json.dumps({"seconds": seconds, "results": found}))


if __name__ == "__main__":
    WORK = json.loads(Path(sys.argv[1]).read_text())
    sys.path.insert(0, WORK["tools"])
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    for JOB in WORK["jobs"]:
        {"tensors": tensors, "score": score, "everything": everything}[JOB["do"]](JOB)
