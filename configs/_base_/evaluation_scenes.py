# Metrics on SceneWorld: likeness to the true image, FID and KID of all against all true ones, and mIoU.
# mIoU needs PackInputs(keep=["label"]) in the pipeline of the test set; without, its column stays empty.
# LPIPS needs AlexNet's weights and FID those of its Inception: alexnet_features.safetensors and
# inception_fid_pool3_fp16.safetensors in weights/ or in the folder PITIKIT_WEIGHTS names.
test_cfg = dict(type="TestLoop")
test_evaluator = [
    dict(type="PSNR"),
    dict(type="LPIPS"),
    dict(type="FID"),
    dict(
        type="MeanIoU",
        segmenter=dict(type="SceneSegmenter", weights="weights/scenes_segmenter.safetensors"),
    ),
]
