# What is measured on photographs, for which no segmenter ships.
# LPIPS needs AlexNet's weights: alexnet_features.safetensors in weights/ or in the folder PITIKIT_WEIGHTS names.
test_cfg = dict(type="TestLoop")
test_evaluator = [dict(type="PSNR"), dict(type="LPIPS")]
