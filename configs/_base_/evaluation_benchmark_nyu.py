# Metrics of the benchmarks, and the errors of depth and normals, as a network estimates them in the images:
#   python tools/train_segmenter.py --config configs/geometry/piti_small_nyu-official-geometry.py \
#       --out weights/nyu_geometry_estimator.safetensors
_base_ = ["./evaluation_benchmark.py"]
estimator = dict(type="GeometryEstimator", weights="weights/nyu_geometry_estimator.safetensors")
test_evaluator = [*_base_.test_evaluator, dict(type="GeometryError", estimator=estimator)]
