# What is measured of an upsampler: likeness to the true image, FID and KID of all against all true ones, and how much
# fine detail there is beside the true images'. For the files that LPIPS and FID need see evaluation_scenes.py.
test_cfg = dict(type="TestLoop")
test_evaluator = [
    dict(type="PSNR"),
    dict(type="LPIPS"),
    dict(type="FID"),
    dict(type="Sharpness"),
]
