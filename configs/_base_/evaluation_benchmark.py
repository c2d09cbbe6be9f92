# Metrics of the benchmarks: FID, KID, precision and recall of Inception's features; FID of CLIP's, the paper's measure
# (FID_CLIP); LPIPS to the true image. What each needs, and where it is looked for: docs/metrics.md.
test_cfg = dict(type="TestLoop")
test_evaluator = [
    dict(type="LPIPS"),
    dict(type="FID", distances=["fid", "kid", "prc"]),
    dict(type="CLIPFID"),
]
