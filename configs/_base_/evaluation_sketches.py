# Metrics on photographs made from sketches: those of photographs, and the agreement of edges with the sketch.
# The edges of the images are found as those of the sketches (nyuv2_sketch.py: Canny, 100 and 200), at half the
# thresholds: slopes of 64 pixels enlarged to 256 are half as steep.
_base_ = ["./evaluation_photographs.py"]
test_evaluator = [
    dict(type="PSNR"),
    dict(type="LPIPS"),
    dict(type="FID"),
    dict(
        type="EdgeError",
        extractor=dict(type="LoadSketch", source="image", edges="canny", canny=(50, 100)),
        tolerance=2.0,
    ),
]
