# Metrics of an upsampler: likeness to the true image, FID and KID of all against all true ones, and the amount of
# fine detail relative to the true images. For the files that LPIPS and FID need see evaluation_scenes.py.
test_cfg = dict(type="TestLoop")
test_evaluator = [
    dict(type="PSNR"),
    dict(type="LPIPS"),
    dict(type="FID"),
    dict(type="Sharpness"),
]
