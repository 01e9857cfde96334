"""What is told to Prometheus, as its own client reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from studio.lib.metrics import BOUNDS, Family, add, empty_times, exposition


def test_a_counter_is_read_back_with_its_labels_whatever_they_hold() -> None:
    strange = 'a "quoted" \\ back\nslash'
    family = Family("studio_things_total", "counter", "Things.")
    family.add(3, name=strange, kind="x")
    [read] = text_string_to_metric_families(exposition([family]))
    assert (read.name, read.type, read.documentation) == ("studio_things", "counter", "Things.")
    [sample] = read.samples
    assert (sample.labels, sample.value) == ({"name": strange, "kind": "x"}, 3)


def test_a_histogram_adds_up() -> None:
    times = empty_times()
    for seconds in (0.001, 0.005, 0.03, 0.03, 99.0):
        add(times, seconds)
    family = Family("studio_request_seconds", "histogram", "Requests.")
    family.add_times(times, route="a")
    [read] = text_string_to_metric_families(exposition([family]))
    buckets = {s.labels["le"]: s.value for s in read.samples if s.name.endswith("_bucket")}
    assert len(buckets) == len(BOUNDS) + 1
    assert (buckets["0.005"], buckets["0.025"], buckets["0.05"], buckets["10"]) == (2, 2, 4, 4)
    assert buckets["+Inf"] == 5
    others = {s.name.rpartition("_")[2]: s.value for s in read.samples if "le" not in s.labels}
    assert others["count"] == 5
    assert round(others["sum"], 3) == 99.066


def test_a_metric_without_samples_is_no_error() -> None:
    [read] = text_string_to_metric_families(exposition([Family("studio_none", "gauge", "None.")]))
    assert read.samples == []
