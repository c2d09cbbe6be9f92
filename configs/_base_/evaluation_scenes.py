# What is measured on SceneWorld: likeness to the true picture, and whether a segmenter finds the labels again.
# mIoU needs PackInputs(keep=["label"]) in the pipeline of the test set; without, its column stays empty.
# LPIPS needs AlexNet's weights: alexnet_features.safetensors in weights/ or in the folder PITIKIT_WEIGHTS names.
test_cfg = dict(type="TestLoop")
test_evaluator = [
    dict(type="PSNR"),
    dict(type="LPIPS"),
    dict(
        type="MeanIoU",
        segmenter=dict(type="SceneSegmenter", weights="weights/scenes_segmenter.safetensors"),
    ),
]
