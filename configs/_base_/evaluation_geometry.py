# Metrics on photographs made from depth and normals: those of photographs, and the errors of depth and normals that a
# network estimates in the images.
# The errors need PackInputs(keep=["depth"]) in the pipeline of the test set, and nyu_geometry_estimator.safetensors in
# weights/ or in the folder PITIKIT_WEIGHTS names; minutes of one core make it (without it, the columns stay empty):
#   PITIKIT_DATA=data python tools/train_segmenter.py --config configs/geometry/piti_small_nyu-geometry.py \
#       --out weights/nyu_geometry_estimator.safetensors --iterations 700
_base_ = ["./evaluation_photographs.py"]
test_evaluator = [
    dict(type="PSNR"),
    dict(type="LPIPS"),
    dict(type="FID"),
    dict(
        type="GeometryError",
        estimator=dict(type="GeometryEstimator", weights="weights/nyu_geometry_estimator.safetensors"),
    ),
]
