"""A real second process, with the compilation cache of the first."""

from benchmarks.start import measure_starts


def test_a_second_process_starts_sooner():
    starts = measure_starts("mlp")
    assert starts.keys() == {"ours, first", "ours, second", "torch"}
    for start in starts.values():
        assert 0 < start["imports"] < start["first_step"]
        assert 50 < start["peak_mib"] < 5000
    assert starts["ours, second"]["first_step"] < starts["ours, first"]["first_step"]
