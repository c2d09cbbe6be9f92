# Metrics of the benchmarks, and the agreement of an image's edges with its sketch; both found by Canny.
# Half the thresholds of the sketches, as in evaluation_sketches.py.
_base_ = ["./evaluation_benchmark.py"]
extractor = dict(type="LoadSketch", source="image", edges="canny", canny=(50, 100))
test_evaluator = [*_base_.test_evaluator, dict(type="EdgeError", extractor=extractor, tolerance=2.0)]
