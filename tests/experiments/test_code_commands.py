"""`undertow sample` and `undertow traverse` on a real run folder, with what they print and what they refuse."""

import numpy as np
import pytest

import undertow as ut
from undertow.cli import main


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code_commands")
    sizes = ["trials=120", "neurons=12", "bins=26", "bin_width=0.04", "mean_rate=20", "hold_out_angles=45:90"]
    main(["simulate", "reaching", str(folder / "reaching.nc"), "--quiet", "--set", *sizes])
    main(
        [
            "fit",
            "pca",
            str(folder / "reaching.nc"),
            "--out",
            str(folder / "run"),
            "--quiet",
            "--set",
            "pca.code=6",
        ]
    )
    return folder


def refused(arguments, capsys) -> str:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 1
    return capsys.readouterr().err.splitlines()[-1]


def test_drawn_trials_are_a_file_and_a_table(place, capsys):
    out = place / "drawn.nc"
    main(
        ["sample", str(place / "run"), "--out", str(out), "--number", "30", "--spikes", "history", "--quiet"]
    )
    printed = capsys.readouterr().out
    assert "Drew 30 trials" in printed
    assert "generated against recorded" in printed
    assert "halves" in printed
    assert {"trial": 30, "time": 26, "neuron": 12, "code_dimension": 6}.items() <= dict(
        ut.open_trials(out).sizes
    ).items()
    again = place / "again.nc"
    main(
        [
            "sample",
            str(place / "run"),
            "--out",
            str(again),
            "--number",
            "30",
            "--spikes",
            "history",
            "--no-compare",
            "--quiet",
        ]
    )
    assert "generated against" not in capsys.readouterr().out
    np.testing.assert_array_equal(ut.open_trials(again).counts, ut.open_trials(out).counts)


def test_trials_drawn_of_a_thinned_out_recording_are_kept_without_a_comparison(place, capsys):
    sparse, out = place / "sparse.nc", place / "of_sparse.nc"
    main(["subsample", str(place / "reaching.nc"), str(sparse), "--keep", "6", "--quiet"])
    main(["fit", "pca", str(sparse), "--out", str(place / "thin"), "--quiet", "--set", "pca.code=2"])
    main(["sample", str(place / "thin"), "--out", str(out), "--number", "5", "--quiet"])
    printed = capsys.readouterr().out
    assert "Drew 5 trials" in printed
    assert "They were not compared with the recording. No bin of the trials has all 12 neurons" in printed
    assert ut.open_trials(out).sizes["trial"] == 5


def test_a_walk_is_a_file_and_a_table_of_what_is_read_from_it(place, capsys):
    out = place / "walk.nc"
    arguments = [
        "traverse",
        str(place / "run"),
        "--behaviour",
        "reach distance",
        "--out",
        str(out),
        "--quiet",
    ]
    main([*arguments, "--keep", "reach_angle", "--steps", "4", "--sources", "5"])
    printed = capsys.readouterr().out
    assert "reach_distan" in printed
    assert "Others moved by" in printed
    walk = ut.open_trials(out)
    assert walk.sizes["trial"] == 20
    main([*arguments, "--values", "8", "10", "--keep", "curvature", "--sources", "1"])
    np.testing.assert_array_equal(ut.open_trials(out).asked, [8, 10])


def test_what_can_not_be_done_is_said_in_a_line(place, capsys):
    run, out = str(place / "run"), str(place / "none.nc")
    assert "was not recorded" in refused(["traverse", run, "--behaviour", "wrist", "--out", out], capsys)
    assert "0 trials" in refused(["sample", run, "--out", out, "--number", "0", "--quiet"], capsys)
    assert "no choice 'steps'" in refused(["sample", run, "--out", out, "--set", "steps=5"], capsys)
    held = ["simulate", "reaching", out, "--set", "trials=40", "hold_out_conditions=99"]
    assert "99" in refused(held, capsys)
    main(
        [
            "traverse",
            run,
            "--behaviour",
            "reach_distance",
            "--out",
            str(place / "far.nc"),
            "--values",
            "900",
            "--keep",
            "curvature",
        ]
    )
    assert "lie far outside the data" in capsys.readouterr().err
    assert not (place / "none.nc").exists()
