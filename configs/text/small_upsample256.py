# configs/text/glide_upsample256.py in small, for random weights, with the words of SceneWorld.
#   python tools/translate.py configs/text/small_upsample256.py random "red car road" --low-res LOW_RES --out drawn
_base_ = ["./glide_upsample256.py", "../_base_/models/tiny_text.py"]
model = dict(denoiser=dict(encoder={{_base_.encoder}}, decoder={{_base_.enlarging}}), sampler=dict(steps=10))
test_dataloader = dict(dataset=dict(pipeline={{_base_.pipeline}}))
