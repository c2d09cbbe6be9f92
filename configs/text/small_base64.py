# configs/text/glide_base64.py in small, for random weights, with the words of SceneWorld.
#   python tools/translate.py configs/text/small_base64.py random "red car road" --out drawn
_base_ = ["./glide_base64.py", "../_base_/models/tiny_text.py"]
model = dict(denoiser=dict(encoder={{_base_.encoder}}, decoder={{_base_.decoder}}), sampler=dict(steps=10))
test_dataloader = dict(dataset=dict(pipeline={{_base_.pipeline}}))
