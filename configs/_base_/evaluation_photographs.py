# Metrics on photographs: likeness to the true image, and FID and KID of all against all true ones.
# LPIPS needs AlexNet's weights and FID those of its Inception: alexnet_features.safetensors and
# inception_fid_pool3_fp16.safetensors in weights/ or in the folder PITIKIT_WEIGHTS names. Without, their columns stay
# empty, and a note explains how to get the files.
test_cfg = dict(type="TestLoop")
test_evaluator = [dict(type="PSNR"), dict(type="LPIPS"), dict(type="FID")]
