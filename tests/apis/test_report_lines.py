"""Metrics as text."""

from pitikit.apis.report_lines import report_lines


def test_values_intervals_and_notes():
    metrics = {"IoU/car": 0.5, "FID": 21.5, "LPIPS": None, "mIoU": 0.25}
    notes = {"LPIPS": "no weights", "FID": "of 5 images"}
    assert report_lines(metrics, notes, {"FID": (20, 23.0)}) == [
        "FID        21.5000  [20.0000, 23.0000]",
        "LPIPS            -",
        "mIoU        0.2500",
        "IoU/car     0.5000",
        "[low, high]: 95% interval, by bootstrap over images",
        "no LPIPS: no weights",
        "FID: of 5 images",
    ]
    assert report_lines({}, {}, {}) == []
