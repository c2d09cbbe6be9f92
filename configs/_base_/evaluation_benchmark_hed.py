# Metrics of the benchmarks, and the agreement of an image's edges with its sketch; both found by HED.
# For sketches of another extractor: --cfg-options test_evaluator.3.extractor.edges=pidinet (or canny).
_base_ = ["./evaluation_benchmark.py"]
extractor = dict(type="LoadSketch", source="image", edges="hed")
test_evaluator = [*_base_.test_evaluator, dict(type="EdgeError", extractor=extractor, tolerance=2.0)]
