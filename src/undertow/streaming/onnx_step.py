"""The one-bin step beside this file, run by ONNX Runtime: this needs numpy and onnxruntime, and nothing else.

In Python: `step = Step()`, then `step.predict(counts)` for each bin and `step.reset()` before each trial. From the command line,
`python THIS_FILE counts.npy` streams an array (time, neuron) of counts, NaN = not observed, and says how long a bin took.
"""

import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime


class Step:
    """Estimates bin by bin, by name; rates are in Hz."""

    def __init__(self, path=None):
        """Load the step at `path`; without one, the file beside this one that has its name."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a bin is too little work to share
        options.log_severity_level = 3  # it warns of inputs that have defaults, as the state's do
        path = Path(path or Path(__file__).with_suffix(".onnx"))
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.longest = int(self.session.get_modelmeta().custom_metadata_map.get("longest", sys.maxsize))
        self.reset()

    def reset(self):
        """Begin a trial; without a state the step starts from the one that is stored in it."""
        self.bins, self.state = 0, {}

    def predict(self, counts, inputs=None):
        """The estimate after one more bin: counts (neuron), all neurons, NaN = not observed; and known inputs (input), if any."""
        if self.bins == self.longest:
            raise ValueError(f"A trial has at most {self.longest} bins; call reset().")
        given = {"counts": counts} if inputs is None else {"counts": counts, "inputs": inputs}
        given = {name: np.asarray(array, np.float32) for name, array in given.items()}
        values = dict(zip(self.outputs, self.session.run(None, given | self.state), strict=True))
        after = [name for name in self.outputs if name.startswith("next_")]
        self.bins, self.state = (
            self.bins + 1,
            {name.removeprefix("next_"): values.pop(name) for name in after},
        )
        return values


if __name__ == "__main__":
    step, seconds = Step(), []
    for counts in np.load(sys.argv[1]):
        start = time.perf_counter()
        estimate = step.predict(counts)
        seconds.append(time.perf_counter() - start)
    sys.stdout.write(
        f"{len(seconds)} bins, median {1e3 * np.median(seconds):.3f} ms a bin: {list(estimate)}\n"
    )
