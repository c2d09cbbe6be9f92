"""New plugins about data pass their own tests."""


def test_they_pass(passes):
    assert passes("modality", "dataset", "metric").startswith("10 passed")
